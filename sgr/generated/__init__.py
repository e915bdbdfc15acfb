"""Generated scenes in the layouts of real datasets."""
