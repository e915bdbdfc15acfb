"""Segmentation frameworks by name: how each is called, what its head takes, and what it can do.

Plain data, so that params.yaml is checked and tables are labelled without importing torch. A job does not read it: the
head's module and arguments stand in its plan entry. A new head is a file of `sgr.models.heads`, a line here, and its
settings under `families` of each profile in params.yaml.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Head(BaseModel):
    """Arguments of a head: `width` is the number of channels inside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Positive


class Atrous(Head):
    atrous_rates: tuple[Positive, Positive, Positive]


class Queries(Head):
    """`width` is that of the queries and of the pixel decoder."""

    queries: Positive
    layers: Positive
    heads: Positive


class PointQueries(Queries):
    """`points`: of the masks at which the loss is taken."""

    points: Positive


class Family(NamedTuple):
    """A framework.

    title: in tables. head: what its settings must hold. prototypes: whether ProtoSeg's classifier can stand in the
    place of its linear one. queries: whether it classifies masks, whose regions have S and D.
    """

    title: str
    head: type[Head]
    prototypes: bool = False
    queries: bool = False


# In the order of the paper's Table 1, which tables and figures keep.
FAMILIES = {
    "fcn": Family("Dil-FCN", Head),
    "deeplabv3": Family("DeepLabV3", Atrous),
    "maskformer": Family("MaskFormer", Queries, queries=True),
    "upernet": Family("UperNet", Head, prototypes=True),
    "mask2former": Family("Mask2Former", PointQueries, queries=True),
    "segformer": Family("SegFormer", Head, prototypes=True),
    "hrnet": Family("HRNet", Head, prototypes=True),
}
