"""The tables: the paper's four beside our rows, and one of our own for each dataset that the paper does not have.

A table is its specification here, nothing else; a new column is one Measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgr.datasets import describe
from sgr.errors import UserError
from sgr.files import write_bytes, write_json

from . import published
from .builder import build
from .labels import DETECTOR, Network
from .latex import float_of
from .lines import Rows
from .results import INSTANCE_SPLIT, INSTANCES, SEMANTICS, profile_folder
from .specification import Measure, Section, Splits, Table

if TYPE_CHECKING:
    from sgr.plan.params import Params

# Whose networks Table 4 takes apart, and whose tokens are compared with the instances of MS-COCO.
ABLATED, INSTANCES_OF = "cocostuff10k", "coco"
# What predicting the most frequent class everywhere reaches.
FLOOR = "majority_miou"
# Of S and D, which a network has that segments nothing too.
OF_COLLAPSED: dict[str, Any] = {
    "flag": "collapsed_ss",
    "failure": "of a network that predicts one class for everything",
}


def is_ablation(network: Network) -> bool:
    """Whether a row stands in Table 4 and in no other: the paper's Dil-FCN + SGR with settings of its own."""
    return _of_table4(network) and bool(network.changes)


def _framework(network: Network) -> tuple[str, str]:
    """Framework and backbone, among whose rows one is the best."""
    return network.framework, network.backbone


def _of_table4(network: Network) -> bool:
    return (network.dataset, network.family, network.unit) == (ABLATED, "fcn", "sgr")


def table1() -> Table:
    """Mean intersection over union of every method, single- and multi-scale."""
    measures = tuple(
        Measure(
            f"miou_{scale}",
            f"{scale[0]}.s. ↑",
            f"miou_{scale}",
            f"miou_{scale}",
            2,
            1,
            gain=True,
            summary_gain=f"gain_{scale}",
            flag=f"collapsed_{scale}",
            floor=FLOOR,
        )
        for scale in ("ss", "ms")
    )

    where = ", ".join(f"{describe(dataset).title} {split}" for dataset, split in published.splits().items())
    return Table(
        "Table 1. Semantic segmentation",
        f"mIoU in percent on {where}, ↑ higher is better; s.s. single-scale, m.s. multi-scale inference with "
        "horizontal flip. In parentheses the gain over the row that the unit or the prototypes are added to, paired by "
        "seed. Bold: the best of a framework and backbone.",
        (
            Section(
                lambda network: network.dataset in published.splits() and not is_ablation(network), measures
            ),
        ),
        paper="table1",
        group=_framework,
    )


def table2() -> Table:
    """Semantics and diversity of the tokens (section 4), with classes and with instances as bins."""

    def measures(
        level: str, letter: str, file: str, summary: tuple[str, str] = ("", "")
    ) -> tuple[Measure, ...]:
        S, D = f"semantics_{level}", f"diversity_{level}"
        return (
            Measure(
                "semantics",
                f"S_{letter} ↓",
                S,
                "semantics",
                3,
                3,
                file,
                summary_mean=summary[0],
                **OF_COLLAPSED,
            ),
            Measure(
                "diversity",
                f"D_{letter} ↑",
                D,
                "diversity",
                3,
                3,
                file,
                summary_mean=summary[1],
                **OF_COLLAPSED,
            ),
        )

    return Table(
        "Table 2. Semantics and diversity of the tokens",
        "S: entropy of a token's votes, base 10, ↓ lower is better. D: variance between the tokens' votes, ↑ higher is "
        "better. Bold: the best of a column.",
        (
            Section(
                lambda network: (
                    network.dataset in published.splits() and network.has_regions and not is_ablation(network)
                ),
                measures("class", "C", SEMANTICS, ("S_C", "D_C")),
                heading="Class level",
                columns={"level": "class"},
            ),
            Section(
                lambda network: (
                    network.dataset == ABLATED and network.has_regions and not is_ablation(network)
                ),
                measures("instance", "I", INSTANCES),
                heading="Instance level",
                text="The networks are those trained on COCO-Stuff-10K, the images those of MS-COCO val2017. Bins are "
                "an image's instances of things; crowd regions and stuff are left out, and so are images without an "
                "instance.",
                columns={"level": "instance"},
                dataset=INSTANCES_OF,
                split=INSTANCE_SPLIT,
                trained_only=True,
            ),
        ),
        paper="table2",
    )


def table3() -> Table:
    """Box and mask AP of Mask R-CNN C4 on MS-COCO, by what it starts from."""

    def section(task: str, heading: str) -> Section:
        figures = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_s": "AP S", "ap_m": "AP M", "ap_l": "AP L"}
        return Section(
            lambda network: network.family == DETECTOR,
            tuple(
                Measure(
                    figure,
                    f"{title} ↑",
                    f"{task}_{figure}",
                    figure,
                    summary_gain=f"gain_{task}_ap" if figure == "ap" else "",
                    flag=f"{task}_finds_nothing",
                    failure="finds nothing",
                )
                for figure, title in figures.items()
            ),
            heading=heading,
            columns={"task": task},
            split=INSTANCE_SPLIT,
        )

    return Table(
        "Table 3. Transfer to detection and instance segmentation",
        "AP in percent, ↑ higher is better, by COCO's evaluation on val2017: AP is the mean over IoU 0.50 to 0.95; S, "
        "M and L are instances below 32², below 96² and from 96² pixels on. The plain row starts from ImageNet's "
        "weights, the others from the network of COCO-Stuff-10K without its head, the unit kept. Bold: the best of a "
        "column.",
        (section("box", "Boxes"), section("mask", "Masks")),
        paper="table3",
    )


def table4() -> Table:
    """Ablations of Dil-FCN + SGR on COCO-Stuff-10K."""

    def tokens(key: str, title: str, metric: str, file: str, split: str = "") -> Measure:
        return Measure(key, title, metric, key, 3, 3, file, split, **OF_COLLAPSED)

    return Table(
        "Table 4. Ablations on COCO-Stuff-10K",
        "mIoU in percent, multi-scale (the paper's 39.7 is Table 1's multi-scale number); S ↓ lower is better, "
        "D ↑ higher is better. In parentheses the gain over the whole unit (first line), paired by seed. Bold: the "
        "best of a column. S_C and D_C are of the test images; S_I and D_I of MS-COCO val2017, whose bins are an "
        "image's instances of things: crowd regions, stuff and images without an instance are left out.",
        (
            Section(
                _of_table4,
                (
                    Measure(
                        "miou_ms",
                        "mIoU m.s. ↑",
                        "miou_ms",
                        "miou_cocostuff10k",
                        2,
                        1,
                        gain=True,
                        summary_gain="ablations_gain_ms",
                        flag="collapsed_ms",
                        floor=FLOOR,
                    ),
                    tokens("s_c", "S_C ↓", "semantics_class", SEMANTICS),
                    tokens("d_c", "D_C ↑", "diversity_class", SEMANTICS),
                    tokens("s_i", "S_I ↓", "semantics_instance", INSTANCES, INSTANCE_SPLIT),
                    tokens("d_i", "D_I ↑", "diversity_instance", INSTANCES, INSTANCE_SPLIT),
                ),
            ),
        ),
        paper="table4",
        base=lambda network: network.whole,
        summarised=is_ablation,
    )


def own_table(dataset: str, splits: Splits) -> Table:
    """Every row of a dataset that the paper does not have; the summary's gains are of the split of S and D."""
    semantics = splits.semantics
    title = describe(dataset).title

    def miou(split: str, scale: str) -> Measure:
        summary = f"gain_{scale}" if split == semantics else ""
        return Measure(
            f"{split}_miou_{scale}",
            f"{split} {scale[0]}.s. ↑",
            f"miou_{scale}",
            split=split,
            gain=True,
            summary_gain=summary,
            flag=f"collapsed_{scale}",
            floor=FLOOR,
        )

    def tokens(metric: str, letter: str, arrow: str) -> Measure:
        return Measure(
            metric,
            f"{semantics} {letter} {arrow}",
            metric,
            decimals=3,
            file=SEMANTICS,
            split=semantics,
            summary_mean=letter,
            **OF_COLLAPSED,
        )

    return Table(
        title,
        "mIoU in percent, ↑ higher is better; s.s. single-scale, m.s. multi-scale inference with horizontal "
        "flip. In parentheses the gain over the plain row of the same head, paired by seed. S_C ↓ lower is better and "
        f"D_C ↑ higher is better (section 4 of the paper), on {semantics}. Bold: the best of a framework and backbone. "
        f"The paper has no numbers for {title}.",
        (
            Section(
                lambda network: network.dataset == dataset,
                (
                    *(miou(split, scale) for split in splits.evaluate for scale in ("ss", "ms")),
                    tokens("semantics_class", "S_C", "↓"),
                    tokens("diversity_class", "D_C", "↑"),
                ),
                split=", ".join(splits.evaluate),
            ),
        ),
        group=_framework,
    )


def splits_of(params: Params) -> dict[str, Splits]:
    """What each dataset of the parameters is evaluated on."""
    return {name: Splits(of.evaluate, of.semantics) for name, of in params.datasets.items()}


def tables(datasets: Mapping[str, Splits]) -> dict[str, Callable[[], Table]]:
    """What specifies every table: table1 to table4, and table_<dataset> for each dataset that is not the paper's."""
    own = {
        f"table_{name}": partial(own_table, name, splits)
        for name, splits in datasets.items()
        if name not in published.splits()
    }
    return {"table1": table1, "table2": table2, "table3": table3, "table4": table4, **own}


def write_table(profile: str, name: str, table: Table, rows: Rows, results: Path = Path("results")) -> None:
    """Write results/<profile>/<name>.md, .tex, .csv, which holds every digit, and summary/<name>.json.

    Args:
        rows: of params.yaml by name; those that belong there stand in the table beside the paper's.

    Raises:
        UserError: a missing folder of results, a malformed result, or a table of our own without any.
    """
    folder = profile_folder(results, profile)
    built = build(table, folder, rows)
    if not table.paper and not built.frame["seeds"].any():
        raise UserError(f"{folder} holds no result of {table.title}: run `dvc repro {name}`")
    csv = built.frame.to_csv(index=False, lineterminator="\n")
    write_bytes(folder / f"{name}.csv", csv.encode())
    write_bytes(folder / f"{name}.md", built.markdown.encode())
    tex = float_of(name, built.title, built.reading, built.grids, [built.notice])
    write_bytes(folder / f"{name}.tex", tex.encode())
    write_json(folder / "summary" / f"{name}.json", built.summary)
