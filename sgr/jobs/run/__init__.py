"""Running jobs on this machine and waiting for them."""
