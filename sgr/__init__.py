"""SGR: semantically-aware global reasoning for segmentation, as a unit, a loss and metrics.

The names below are the whole public interface. They load on first use, so that `import sgr` stays free of torch, and
check what they are given; jobs import the modules behind them instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what the door stands before, with the same types and docstrings
    from sgr.connected import connected_components as connected_components
    from sgr.glore import GloRe as GloRe
    from sgr.losses import ConceptLoss as ConceptLoss
    from sgr.matching import match_concepts as match_concepts
    from sgr.semantics import token_semantics as token_semantics
    from sgr.unit import SGR as SGR

__version__ = "0.1.0"
__all__ = ["SGR", "ConceptLoss", "GloRe", "connected_components", "match_concepts", "token_semantics"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sgr' has no attribute {name!r}")
    return getattr(import_module("sgr.door"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
