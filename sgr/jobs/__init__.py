"""Jobs: work with a content key, done at most once, in-process, in a subprocess or on SLURM."""
