"""Watching trainings from outside, by what they leave in their job folders: no bit of a training depends on it.

`runs` finds what trains, `checkpoints` measures its mIoU, `live` and `board` show both to DVC and TensorBoard, `watch`
goes on doing it, and `beside` starts that beside a stage.
"""
