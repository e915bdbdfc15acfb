"""Jobs: work with a content key, done at most once, in-process, in a subprocess or on SLURM.

`job` is what they are, `store` where they lie, `worker` what does one; `run` and `slurm` run them, `inspect` lists.
Nothing here knows what the jobs are about: `project` and `cluster` hold what a project says of itself.
docs/jobs.md shows another project using them.
"""
