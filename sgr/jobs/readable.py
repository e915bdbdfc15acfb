"""Durations and sizes as a person reads them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Two units at most: `3 d 4 h`, `5 h 20 min`, `12 min`, `40 s`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def size(count: float) -> str:
    """Bytes in decimal units, three digits: `999 B`, `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
