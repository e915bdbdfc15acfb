"""What measures: speed, scale, and how well a detector learns. `python -m bench.<name>` runs one."""
