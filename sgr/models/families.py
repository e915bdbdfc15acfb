"""Segmentation frameworks by name: how each is called, what its head takes, and what it can do.

Plain data, so that params.yaml is checked and tables are labelled without importing torch. A job does not read it: the
head's module and arguments stand in its plan entry. A new head is a file of `sgr.models.heads`, a line here, and its
settings under `families` of each file of params/profiles.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

# No layer, batch or picture has more of anything: a larger number is a slip that would end in want of memory.
Positive = Annotated[int, Field(ge=1, le=2**16)]


class Family(NamedTuple):
    """A framework.

    title: in tables. head: names and types of what its head takes, all of which a profile must set; `width` is the
    number of channels inside it, or of the queries. prototypes: whether ProtoSeg's classifier can stand in the place of
    its linear one. queries: whether it classifies masks, whose regions have S and D. pools: whether it normalizes maps
    pooled to one cell, for which it needs two images at a time.
    """

    title: str
    head: dict[str, Any]
    prototypes: bool = False
    queries: bool = False
    pools: bool = False


_WIDTH = {"width": Positive}
_RATES = Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]  # a list will do
_QUERIES = {"width": Positive, "queries": Positive, "layers": Positive, "heads": Positive}

# In the order of the paper's Table 1, which tables and figures keep.
FAMILIES = {
    "fcn": Family("Dil-FCN", _WIDTH),
    "deeplabv3": Family("DeepLabV3", _WIDTH | {"atrous_rates": _RATES}, pools=True),
    "maskformer": Family("MaskFormer", _QUERIES, queries=True),
    "upernet": Family("UperNet", _WIDTH, prototypes=True, pools=True),
    # points: of the masks, at which the loss is taken
    "mask2former": Family("Mask2Former", _QUERIES | {"points": Positive}, queries=True),
    "segformer": Family("SegFormer", _WIDTH, prototypes=True),
    "hrnet": Family("HRNet", _WIDTH, prototypes=True),
}
