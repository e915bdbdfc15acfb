"""Generated scenes: stuff and things, instances, split components, and classes that only context tells apart.

LOOKALIKES are drawn with the same colours, shapes and texture: water is sky below the land, a boat is a car on water.
Some scenes look down from above and have no sky at all, so that the position alone does not tell either.
"""

from __future__ import annotations

import numpy as np

from sgr.data.files import Bytes
from sgr.generated.painter import BOAT, CAR, GROUND, ROAD, SKY, WATER, Painter

LOOKALIKES = (("sky", "water"), ("car", "boat"))


def scene(
    rng: np.random.Generator, size: tuple[int, int], detection: bool = False
) -> tuple[Bytes, Bytes, Bytes]:
    """Draw one scene.

    Args:
        rng: source of every choice: the same state draws the same scene.
        size: (height, width) in pixels.
        detection: draw things close up, in groups, or not at all as well.

    Returns:
        image (H, W, 3) uint8; roles (H, W) uint8: positions in ROLES, 255 in the thin strips to ignore; and instances
        (H, W) uint8: 1, 2, ... for each car, boat and person, from FIRST_GROUP on for each group, 0 elsewhere.
    """
    painter = Painter(rng, size)
    kinds = (_street, _coast, _park, _harbour, *((_portrait, _gathering, _landscape) if detection else ()))
    kinds[rng.integers(len(kinds))](painter)
    return painter.image(), painter.roles(), painter.instances()


def _sky(p: Painter, horizon: float) -> None:
    """Sky, and a strip of land that always parts it from what lies below."""
    p.box(SKY, 0, 0, 1, horizon)
    hills = [(x, horizon - p.uniform(0.02, 0.07)) for x in np.linspace(0, 1, 7)]
    p.polygon(GROUND, [(0, horizon + 0.02), *hills, (1, horizon + 0.02)])


def _skyline(p: Painter, horizon: float, left: float = 0, right: float = 1) -> None:
    x = left
    while x < right:
        wide = p.uniform(0.1, 0.24)
        if p.chance(0.6):
            top = horizon * p.uniform(0.15, 0.75)
            p.building(x, min(x + wide, right), top, horizon + p.uniform(0.01, 0.04))
        elif p.chance(0.6):
            p.tree(x + wide / 2, horizon + 0.04, p.uniform(0.15, 0.4) * min(1, 2 * horizon))
        x += wide


def _road(p: Painter, horizon: float, vanish: float, left: float, right: float) -> None:
    p.polygon(ROAD, [(vanish - 0.04, horizon), (vanish + 0.04, horizon), (right, 1.01), (left, 1.01)])


def _fleet(
    p: Painter, role: int, number: int, x: tuple[float, float], y: tuple[float, float], far: float
) -> None:
    """Vehicles from far to near; `far` is where they have no height."""
    for y_one in sorted(p.uniform(*y) for _ in range(number)):
        p.vehicle(role, p.uniform(*x), y_one, 0.07 + 0.2 * (y_one - far))


def _crowd(p: Painter, number: int, y: tuple[float, float], far: float) -> None:
    for y_one in sorted(p.uniform(*y) for _ in range(number)):
        p.person(p.uniform(0.03, 0.97), y_one, 0.1 + 0.32 * (y_one - far))


def _street(p: Painter) -> None:
    horizon, vanish = p.uniform(0.25, 0.5), p.uniform(0.3, 0.7)
    _sky(p, horizon)
    _skyline(p, horizon)
    canal = p.chance(0.5)
    if canal:
        side = p.count(0, 1)
        p.polygon(WATER, [(side, horizon + 0.06), (vanish, horizon + 0.05), (side, p.uniform(0.85, 1.3))])
    _road(p, horizon + 0.02, vanish, vanish - p.uniform(0.3, 0.5), vanish + p.uniform(0.3, 0.5))
    middle = (vanish - 0.15, vanish + 0.15)
    if p.chance(0.4):
        p.fence(0, vanish - 0.1, horizon + 0.1, 0.06)
    _fleet(p, CAR, p.count(1, 4), middle, (horizon + 0.15, 0.97), horizon)
    if canal:
        _fleet(p, BOAT, p.count(1, 2), (side * 0.8, side * 0.8 + 0.2), (horizon + 0.16, 0.7), horizon)
    _crowd(p, p.count(0, 3), (horizon + 0.2, 0.98), horizon)
    for _ in range(p.count(0, 3)):
        p.pole(p.uniform(0.05, 0.95), p.uniform(horizon + 0.1, 0.9), p.uniform(0.3, 0.6))


def _coast(p: Painter) -> None:
    horizon, shore = p.uniform(0.12, 0.45), p.uniform(0.75, 0.95)
    _sky(p, horizon)
    if p.chance(0.5):
        _skyline(p, horizon, p.uniform(0, 0.5), p.uniform(0.5, 1))
    p.box(WATER, 0, horizon + 0.03, 1, shore)
    _fleet(p, BOAT, p.count(2, 5), (0.05, 0.95), (horizon + 0.12, shore), horizon)
    if p.chance(0.5):
        p.box(ROAD, 0, shore + 0.03, 1, 1.01)
        _fleet(p, CAR, p.count(1, 3), (0.1, 0.9), (shore + 0.04, 1), horizon)
    _crowd(p, p.count(0, 3), (shore, 1), horizon)
    if p.chance(0.5):
        p.fence(0, p.uniform(0.3, 1), shore + 0.03, 0.06)
    for _ in range(p.count(0, 2)):
        p.pole(p.uniform(0.05, 0.95), p.uniform(shore, 1), p.uniform(0.4, 0.9))


def _park(p: Painter) -> None:
    horizon = p.uniform(0.2, 0.55)
    _sky(p, horizon)
    for _ in range(p.count(2, 6)):
        p.tree(p.uniform(0, 1), horizon + p.uniform(0, 0.1), p.uniform(0.2, 0.45))
    if p.chance(0.5):
        p.building(0.1, p.uniform(0.25, 0.45), horizon * p.uniform(0.4, 0.8), horizon + 0.03)
    ponds = p.count(1, 3)
    for i in range(ponds):
        x, y = (i + p.uniform(0.3, 0.7)) / ponds, p.uniform(horizon + 0.2, 0.9)
        rx = p.uniform(0.3, 0.48) / ponds
        p.ellipse(WATER, x, y, rx, p.uniform(0.08, 0.16))
        if p.chance(0.6):
            p.vehicle(BOAT, x, y + 0.03, 0.06 + 0.15 * (y - horizon))
    if p.chance(0.4):
        _road(p, horizon + 0.03, p.uniform(0.2, 0.8), p.uniform(0, 0.3), p.uniform(0.5, 0.8))
    if p.chance(0.6):
        p.fence(p.uniform(0, 0.3), p.uniform(0.5, 1), horizon + 0.1, 0.06)
    _crowd(p, p.count(1, 5), (horizon + 0.15, 1), horizon)
    for _ in range(p.count(0, 2)):
        p.tree(p.uniform(0, 1), p.uniform(0.7, 1), p.uniform(0.4, 0.7))


def _harbour(p: Painter) -> None:
    """Seen from above: water up to the upper edge, where the other scenes have sky, and no sky."""
    p.box(WATER, 0, 0, 1, 1)
    _fleet(p, BOAT, p.count(1, 3), (0.05, 0.95), (0.12, 0.35), -0.3)
    y = p.uniform(0.38, 0.6)
    slope, wide = p.uniform(-0.08, 0.08), p.uniform(0.14, 0.22)
    p.polygon(ROAD, [(0, y - slope), (1, y + slope), (1, y + slope + wide), (0, y - slope + wide)])
    if p.chance(0.5):
        p.fence(0, 1, y - abs(slope) + 0.02, 0.05)
    _fleet(p, CAR, p.count(1, 4), (0.05, 0.95), (y + 0.07, y + wide - 0.02), -0.1)
    quay = p.uniform(0.85, 1.05)
    p.box(GROUND, 0, quay, 1, 1.01)
    _fleet(p, BOAT, p.count(0, 3), (0.05, 0.95), (min(y + wide + 0.2, quay), quay + 0.02), 0)
    if p.chance(0.6):
        p.building(0, p.uniform(0.12, 0.3), quay - p.uniform(0.1, 0.3), 1.01)
    _crowd(p, p.count(0, 2), (quay, 1.06), 0.4)
    for _ in range(p.count(0, 2)):
        p.pole(p.uniform(0.05, 0.95), y + wide, p.uniform(0.25, 0.45))


def _portrait(p: Painter) -> None:
    """One thing that fills most of the image, often behind a pole that splits it, before smaller ones."""
    horizon = p.uniform(0.15, 0.35)
    _sky(p, horizon)
    _skyline(p, horizon)
    ground, role = ((ROAD, CAR), (WATER, BOAT))[p.count(0, 1)]
    p.box(ground, 0, horizon + 0.03, 1, 1.01)
    _fleet(p, role, p.count(0, 2), (0.05, 0.95), (horizon + 0.1, 0.5), horizon)
    x, y = p.uniform(0.35, 0.65), p.uniform(0.88, 0.98)
    if p.chance(0.7):
        p.vehicle(role, x, y, p.uniform(0.55, 0.85))
    else:
        p.person(x, y, p.uniform(0.75, 0.9))
    if p.chance(0.6):
        p.pole(x + p.uniform(-0.2, 0.2), 1, p.uniform(0.8, 0.95))


def _gathering(p: Painter) -> None:
    """Persons who stand so close together that nobody tells them apart, and some who stand alone."""
    horizon = p.uniform(0.2, 0.4)
    _sky(p, horizon)
    _skyline(p, horizon)
    left, y, s = p.uniform(0.05, 0.5), p.uniform(horizon + 0.25, 0.75), p.uniform(0.14, 0.22)
    with p.grouped():
        for _ in range(p.count(10, 20)):
            p.person(left + p.uniform(0, 0.4), y + p.uniform(-0.03, 0.03), s)
    _crowd(p, p.count(1, 3), (min(y + 0.15, 0.9), 1), horizon)


def _landscape(p: Painter) -> None:
    """No thing at all."""
    horizon = p.uniform(0.25, 0.6)
    _sky(p, horizon)
    _skyline(p, horizon)
    p.box((WATER, ROAD)[p.count(0, 1)], 0, horizon + 0.03, 1, p.uniform(0.7, 1))
    for _ in range(p.count(0, 3)):
        p.tree(p.uniform(0, 1), p.uniform(0.75, 1), p.uniform(0.3, 0.6))
