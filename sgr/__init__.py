"""SGR: semantically-aware global reasoning for segmentation, as a unit, a loss and metrics.

The names below are the whole public interface. They load on first use, so that `import sgr` stays free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgr.connected import connected_components as connected_components
    from sgr.glore import GloRe as GloRe
    from sgr.losses import ConceptLoss as ConceptLoss
    from sgr.matching import match_concepts as match_concepts
    from sgr.semantics import token_semantics as token_semantics
    from sgr.unit import SGR as SGR

__all__ = ["SGR", "ConceptLoss", "GloRe", "connected_components", "match_concepts", "token_semantics"]

_HOME = {
    "SGR": "unit",
    "GloRe": "glore",
    "connected_components": "connected",
    "match_concepts": "matching",
    "ConceptLoss": "losses",
    "token_semantics": "semantics",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sgr' has no attribute {name!r}")
    return getattr(import_module(f"sgr.{_HOME[name]}"), name)
