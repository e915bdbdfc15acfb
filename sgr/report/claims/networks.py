"""Which networks a claim compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from sgr.report.labels import Network, changes_in_words

# The network that another one is compared with.
Against: TypeAlias = Callable[[Network], Network]


def with_sgr(family: str) -> Callable[[Network], bool]:
    """The networks of a framework with the whole unit."""
    return lambda network: (network.family, network.unit, network.changes) == (family, "sgr", ())


def plain(network: Network) -> Network:
    """The same without a unit."""
    return network.plain


def glore(network: Network) -> Network:
    """The same with the rival's unit."""
    return replace(network, unit="glore")


def maskformer(network: Network) -> Network:
    """MaskFormer on the same backbone: the masks of its queries are regions too."""
    return replace(network, family="maskformer", unit="none")


def without(**settings: Any) -> Against:
    """The same with these settings of the unit, as an ablation has them."""
    return lambda network: replace(network, changes=changes_in_words(settings))
