"""Which rows of a dataset a figure shows, no more than four, and the words that name those it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from . import labels
from .labels import Network, backbone_title

if TYPE_CHECKING:
    from sgr.plan.params import Params

MOST = 4


def leading(rows: Mapping[str, Network], candidates: Iterable[str] | None = None) -> list[str]:
    """The rows that a figure shows, of `candidates` or of all, in the order of tables.

    First come the rows of the first network with SGR: plain, with GloRe, with SGR; then the heads whose own masks are
    regions, such as MaskFormer's; then the first network's ablations, then the others.
    """
    leader = first_with_sgr(rows)
    named = rows if candidates is None else [row for row in candidates if row in rows]
    ranked = sorted(named, key=lambda row: (_rank(rows[row], leader), rows[row].order))
    return sorted(ranked[:MOST], key=lambda row: rows[row].order)


def of_leader(rows: Mapping[str, Network], candidates: Iterable[str]) -> list[str]:
    """Those of the first network with SGR alone, whose losses are the same: no more than four, ablations last."""
    leader = first_with_sgr({row: rows[row] for row in candidates})
    same = [row for row in candidates if _bare(rows[row]) == leader]
    return sorted(same, key=lambda row: (bool(rows[row].changes), rows[row].order))[:MOST]


def predicted(params: Params, dataset: str) -> list[str]:
    """The rows of a dataset whose predictions its figures show; none where no row keeps example images.

    They are the first two kinds of `leading`, so that a new ablation changes no stage but its own.
    """
    rows = {name: labels.network(row) for name, row in params.rows.items() if row.dataset == dataset}
    leader = first_with_sgr(rows)
    chosen = leading(rows, [row for row in rows if _rank(rows[row], leader) <= 1])
    return chosen if any(rows[row].has_regions for row in chosen) else []


def first_with_sgr(rows: Mapping[str, Network]) -> Network | None:
    """The plain network of the first row with SGR, or of the first row; None of no rows."""
    first = min(rows.values(), key=lambda network: (network.unit != "sgr", network.order), default=None)
    return first and _bare(first)


def left_out(rows: Mapping[str, Network], shown: Iterable[str]) -> str:
    """`Not shown: DeepLabV3 (plain, SGR), MaskFormer.`; empty where all are shown."""
    of_framework: dict[str, list[str]] = {}
    for row in sorted(rows.keys() - set(shown), key=lambda row: rows[row].order):
        of_framework.setdefault(_framework(rows[row], rows.values()), []).append(
            rows[row].addition or "plain"
        )
    told = [
        name if added == ["plain"] else f"{name} ({'; '.join(added)})" for name, added in of_framework.items()
    ]
    return f"Not shown: {', '.join(told)}." if told else ""


def titles(networks: Sequence[Network]) -> list[str]:
    """What is added to each, `SGR`, where that tells them apart; else the whole method, and its backbone if need be."""
    short = [network.addition or network.method for network in networks]
    return short if len(set(short)) == len(short) else methods(networks)


def methods(networks: Sequence[Network]) -> list[str]:
    """The method of each, and its backbone where the method alone does not tell them apart."""
    words = [network.method for network in networks]
    return [
        f"{method}, {backbone_title(network.backbone)}" if words.count(method) > 1 else method
        for method, network in zip(words, networks, strict=True)
    ]


def _framework(network: Network, others: Iterable[Network]) -> str:
    """Its title, with the backbone where the framework stands on several."""
    backbones = {other.backbone for other in others if other.framework == network.framework}
    return (
        network.framework
        if len(backbones) == 1
        else f"{network.framework} on {backbone_title(network.backbone)}"
    )


def _bare(network: Network) -> Network:
    return replace(network.plain, training=())


def _rank(network: Network, leader: Network | None) -> int:
    if _bare(network) == leader:
        return 2 if network.changes or network.training or network.prototypes else 0
    return 1 if network.unit == "none" and network.has_regions else 3
