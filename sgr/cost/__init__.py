"""What rows cost: FLOPs and GPU-hours before they run, and the overhead that is measured."""
