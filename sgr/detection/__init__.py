"""Transfer to detection (Table 3): Mask R-CNN C4 that starts from a segmentation network."""
