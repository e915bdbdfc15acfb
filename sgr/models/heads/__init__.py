"""Segmentation heads, one file a framework: `head(channels, classes, **arguments)` gives a `Head` of head.py."""
