"""The real datasets: where their archives come from, how they get onto this machine, and whether a folder is whole."""
