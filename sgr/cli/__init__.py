"""What people type: `python -m sgr <command>`, or `sgr <command>` where the package is installed."""
