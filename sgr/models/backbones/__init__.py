"""Backbones, one file a kind: `body(stride, **arguments)` gives the module, the channels of its four maps, its stride.

A body takes normalised images (B, 3, H, W) and returns its maps from the finest to the coarsest.
"""
