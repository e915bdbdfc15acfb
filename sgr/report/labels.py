"""What a row is called in tables and figures: made from its fields, never from its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sgr.datasets import describe
from sgr.models.families import FAMILIES
from sgr.models.recipes import RECIPES

if TYPE_CHECKING:
    from sgr.plan.params import Params
    from sgr.plan.sections import Row, Transfer

DETECTOR, DETECTOR_TITLE = "maskrcnn_c4", "Mask R-CNN C4"
UNITS = {"none": "", "glore": "GloRe", "sgr": "SGR"}  # in the order of tables
PROTOSEG = "ProtoSeg"
# Settings of the unit in the words and the order of the paper's Table 4; any other is shown as `K = 48`.
ABLATIONS: dict[str, dict[str, Any]] = {
    "w/o focal, dice and cosine": {"beta": 0},
    "w/o cosine": {"gamma": 0},
    "with graph": {"reasoning": "graph"},
    "w/o x-y embedding": {"xy_embedding": False},
    "w/o centroid embedding": {"centroid_embedding": False},
    "w/o any position": {"xy_embedding": False, "centroid_embedding": False},
}
# Table 3 starts from this framework of this dataset; another start is told in the label.
USUAL_START = ("cocostuff10k", "fcn")


@dataclass(frozen=True)
class Network:
    """The fields of a row that tell its network from those of other rows.

    Attributes:
        dataset: that it is trained on.
        family: of FAMILIES, or DETECTOR for a row of Table 3.
        backbone: as params.yaml calls it.
        unit: none, glore or sgr.
        prototypes: whether ProtoSeg's classifier stands in the place of the linear one.
        changes: the row's own settings of the unit, in words: `w/o cosine`.
        training: the row's own settings of training, in words: `iterations = 100`.
    """

    dataset: str
    family: str
    backbone: str
    unit: str = "none"
    prototypes: bool = False
    changes: tuple[str, ...] = ()
    training: tuple[str, ...] = ()

    @property
    def framework(self) -> str:
        """Title of the family."""
        if self.family == DETECTOR:
            return DETECTOR_TITLE
        # The paper calls UperNet with ProtoSeg's classifier by its backbone.
        recipe = RECIPES.get(self.backbone)
        if self.prototypes and self.family == "upernet" and recipe and recipe.module == "swin":
            return "Swin"
        return FAMILIES[self.family].title

    @property
    def added(self) -> str:
        """What is added to the framework: `SGR`, `ProtoSeg`; empty for a plain row."""
        return " + ".join(filter(None, (UNITS[self.unit], PROTOSEG if self.prototypes else "")))

    @property
    def addition(self) -> str:
        """`added` with the row's own settings: `SGR, w/o cosine`; empty for a plain row."""
        return ", ".join(filter(None, (self.added, *self.changes, *self.training)))

    @property
    def method(self) -> str:
        """The row in words: `Dil-FCN + SGR, w/o cosine`."""
        network = " + ".join(filter(None, (self.framework, self.added)))
        return ", ".join((network, *self.changes, *self.training))

    @property
    def has_regions(self) -> bool:
        """Whether it has S and D: of the unit's regions, or of the masks of queries."""
        return self.unit != "none" or (self.family in FAMILIES and FAMILIES[self.family].queries)

    @property
    def plain(self) -> Network:
        """The network that the unit or the prototypes are added to; a plain one is its own."""
        return replace(self, unit="none", prototypes=False, changes=())

    @property
    def whole(self) -> Network:
        """The network with the unit as params.yaml has it for all rows, without settings of its own."""
        return replace(self, changes=())

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key in a dataset: frameworks as in Table 1; for each the plain row, GloRe, SGR, ProtoSeg, ablations."""
        return (
            _place(self.framework, [family.title for family in FAMILIES.values()]),
            _place(self.backbone, [*RECIPES]),
            tuple(_place(words, []) for words in self.training),
            self.prototypes,
            [*UNITS].index(self.unit),
            tuple(_place(words, [*ABLATIONS]) for words in self.changes),
        )


def networks(params: Params) -> list[tuple[str, Network]]:
    """The rows of params/rows.yaml with their names, those of Table 3 last."""
    rows = [(name, network(row)) for name, row in params.rows.items()]
    return rows + [(name, _detector(params, transfer)) for name, transfer in params.transfer.items()]


def network(row: Row) -> Network:
    """What a row of params/rows.yaml trains."""
    settings = {"none": None, "glore": row.glore, "sgr": row.sgr}[row.unit]
    own = settings.model_dump(exclude_none=True) if settings else {}
    training = _settings(row.training.model_dump(exclude_none=True))
    return Network(
        row.dataset, row.family, row.backbone, row.unit, row.prototypes, changes_in_words(own), training
    )


def changes_in_words(own: Mapping[str, Any]) -> tuple[str, ...]:
    """A row's own settings of its unit, ablations first: {beta: 0, K: 48} is `w/o focal, dice and cosine`, `K = 48`."""
    left, found = dict(own), []
    # `w/o any position` before the two that it consists of
    for words, settings in sorted(ABLATIONS.items(), key=lambda item: -len(item[1])):
        if settings.items() <= left.items():
            found.append(words)
            left = {key: value for key, value in left.items() if key not in settings}
    return *sorted(found, key=[*ABLATIONS].index), *_settings(left)


def backbone_title(name: str) -> str:
    """A backbone in words: `ResNet-101`; a name that is no longer known stays as it is."""
    return RECIPES[name].title if name in RECIPES else name


def _detector(params: Params, transfer: Transfer) -> Network:
    plain = Network(params.detection.dataset, DETECTOR, params.backbone(transfer))
    if transfer.trained is None:
        return plain
    start = network(params.rows[transfer.trained])
    usual = (start.dataset, start.family) == USUAL_START and start.unit != "none"
    head = replace(start, unit="none", changes=(), training=()).method
    origin = () if usual else (f"from {head} on {describe(start.dataset).title}",)
    return replace(plain, unit=start.unit, changes=(*start.changes, *start.training, *origin))


def _settings(own: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key.replace('_', ' ')} = {_value(value)}" for key, value in own.items())


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _place(words: str, known: list[str]) -> tuple[int, list[Any]]:
    """Known words in their order, then the others by alphabet, `K = 48` before `K = 128`."""
    natural = [float(part) if n % 2 else part for n, part in enumerate(re.split(r"(\d+\.?\d*)", words))]
    return [*known, words].index(words), natural
