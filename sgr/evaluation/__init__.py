"""Evaluating a trained network: mIoU, and the semantics of its tokens."""
