"""A trained network in the hands of somebody who did not train it: predictions of photographs, files to hand on."""

from __future__ import annotations

from sgr.use.hub import TrainedNetwork as TrainedNetwork

__all__ = ["TrainedNetwork"]
