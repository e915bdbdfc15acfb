"""Draws generated scenes: each shape as a role, for the labels, and as a colour, for the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sgr.data.files import IGNORE, Bytes

ROLES = ("sky", "water", "road", "ground", "building", "tree", "car", "boat", "person", "pole", "fence")

SKY, WATER, ROAD, GROUND, BUILDING, TREE, CAR, BOAT, PERSON, POLE, FENCE = range(len(ROLES))
THINGS = (CAR, BOAT, PERSON)  # the roles whose instances are told apart
FIRST_GROUP = 200  # numbers of instances from here on are groups, whose things are not told apart

# Texture of each role: amplitudes in grey levels of clouds, ripples and grain. Lookalikes share a row.
TEXTURE = np.zeros((256, 3), dtype=np.float32)
TEXTURE[:11] = [
    (22, 6, 2),  # sky
    (22, 6, 2),  # water
    (6, 0, 8),  # road
    (10, 0, 22),  # ground
    (5, 3, 4),  # building
    (26, 0, 18),  # tree
    (3, 0, 2),  # car
    (3, 0, 2),  # boat
    (3, 0, 4),  # person
    (2, 0, 2),  # pole
    (4, 16, 4),  # fence
]

Point = tuple[float, float]
Colour = tuple[int, int, int]


class Painter:
    """Draws every shape as role and as colour, so that labels are exact; units are shares of the image."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.rng = rng
        self.height, self.width = size
        self._roles = Image.new("L", (self.width, self.height), GROUND)
        self._paint = Image.new("RGB", (self.width, self.height))
        self._instances = Image.new("L", (self.width, self.height))
        self._on_roles, self._on_paint = ImageDraw.Draw(self._roles), ImageDraw.Draw(self._paint)
        self._on_instances, self._things = ImageDraw.Draw(self._instances), 0
        self._groups, self._group = 0, 0
        blue = self.jitter((120, 155, 195), 30)
        self.colours = {
            SKY: blue,
            WATER: blue,
            ROAD: self.jitter((105, 103, 108), 18),
            GROUND: self.jitter((125, 130, 80), 25),
            FENCE: self.jitter((150, 115, 80), 20),
            POLE: self.jitter((70, 70, 75), 15),
        }
        self.polygon(GROUND, [(0, 0), (1, 0), (1, 1), (0, 1)])

    # Choices

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def count(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def jitter(self, colour: Colour, spread: int) -> Colour:
        red, green, blue = (
            int(c) for c in np.clip(np.add(colour, self.rng.integers(-spread, spread + 1, 3)), 0, 255)
        )
        return red, green, blue

    # Shapes

    def polygon(self, role: int, points: list[Point], colour: Colour | None = None) -> None:
        pixels = [(x * self.width, y * self.height) for x, y in points]
        self._on_roles.polygon(pixels, fill=role)
        self._on_instances.polygon(pixels, fill=self._instance(role))
        if role != IGNORE:
            self._on_paint.polygon(pixels, fill=colour or self.colours[role])

    def ellipse(
        self, role: int, x: float, y: float, rx: float, ry: float, colour: Colour | None = None
    ) -> None:
        box = ((x - rx) * self.width, (y - ry) * self.height, (x + rx) * self.width, (y + ry) * self.height)
        self._on_roles.ellipse(box, fill=role)
        self._on_instances.ellipse(box, fill=self._instance(role))
        if role != IGNORE:
            self._on_paint.ellipse(box, fill=colour or self.colours[role])

    def box(
        self, role: int, left: float, top: float, right: float, bottom: float, colour: Colour | None = None
    ) -> None:
        self.polygon(role, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def _instance(self, role: int) -> int:
        return (self._group or self._things) if role in THINGS else 0

    @contextmanager
    def grouped(self) -> Iterator[None]:
        """The things drawn inside are one group."""
        self._group = FIRST_GROUP + self._groups
        self._groups += 1
        yield
        self._group = 0

    # Things: x is the middle, y the lower edge, s the height

    def vehicle(self, role: int, x: float, y: float, s: float) -> None:
        """A car or a boat: one shape for both."""
        self._things += 1
        colour = self.jitter(
            [(190, 40, 40), (235, 235, 230), (45, 60, 120), (215, 175, 45)][self.count(0, 3)], 15
        )
        w = s * self.uniform(0.85, 1.1) * self.height / self.width
        body = [
            (-1, -0.5),
            (-0.55, -0.55),
            (-0.35, -1),
            (0.4, -1),
            (0.6, -0.55),
            (1, -0.45),
            (0.9, 0),
            (-0.9, 0),
        ]
        if self.chance(0.5):
            body = [(-dx, dy) for dx, dy in body]
        if self.chance(0.35):
            self.polygon(IGNORE, [(x + dx * w * 1.15, y - s / 2 + (dy + 0.5) * s * 1.25) for dx, dy in body])
        self.polygon(role, [(x + dx * w, y + dy * s) for dx, dy in body], colour)
        dark = self.jitter((40, 45, 55), 10)
        self.box(role, x - 0.28 * w, y - 0.88 * s, x + 0.3 * w, y - 0.6 * s, dark)
        self.box(role, x - 0.85 * w, y - 0.15 * s, x + 0.85 * w, y, dark)

    def person(self, x: float, y: float, s: float) -> None:
        self._things += 1
        w = 0.17 * s * self.height / self.width
        skin = self.jitter((195, 150, 125), 30)
        if self.chance(0.3):
            self.box(IGNORE, x - 1.35 * w, y - 0.83 * s, x + 1.35 * w, y + 0.03 * s)
        self.box(PERSON, x - w, y - 0.8 * s, x + w, y - 0.4 * s, self.jitter((140, 60, 120), 60))
        self.box(PERSON, x - 0.8 * w, y - 0.4 * s, x + 0.8 * w, y, self.jitter((50, 50, 80), 20))
        self.ellipse(PERSON, x, y - 0.88 * s, 0.8 * w, 0.12 * s, skin)

    def tree(self, x: float, y: float, s: float) -> None:
        ratio = self.height / self.width
        green = self.jitter((65, 100, 50), 22)
        self.box(
            TREE, x - 0.06 * s * ratio, y - 0.5 * s, x + 0.06 * s * ratio, y, self.jitter((85, 65, 45), 10)
        )
        for _ in range(self.count(2, 4)):
            dx, dy = self.uniform(-0.2, 0.2) * s * ratio, self.uniform(-0.15, 0.15) * s
            self.ellipse(TREE, x + dx, y - 0.68 * s + dy, 0.24 * s * ratio, 0.24 * s, self.jitter(green, 8))

    def building(self, left: float, right: float, top: float, bottom: float) -> None:
        wall = self.jitter([(160, 110, 90), (170, 165, 150), (110, 115, 125)][self.count(0, 2)], 20)
        self.box(BUILDING, left, top, right, bottom, wall)
        glass = self.jitter((60, 70, 85), 15)
        columns, rows = max(1, round((right - left) / 0.055)), max(1, round((bottom - top) / 0.075))
        dx, dy = (right - left) / columns, (bottom - top) / rows
        for i in range(columns):
            for j in range(rows):
                x, y = left + i * dx, top + j * dy
                self.box(BUILDING, x + 0.3 * dx, y + 0.25 * dy, x + 0.7 * dx, y + 0.7 * dy, glass)

    def pole(self, x: float, y: float, s: float) -> None:
        w = max(0.012, 0.035 * s)
        self.box(POLE, x - w / 2, y - s, x + w / 2, y)

    def fence(self, left: float, right: float, y: float, s: float) -> None:
        self.box(FENCE, left, y - s, right, y)

    # Results

    def roles(self) -> Bytes:
        return np.array(self._roles, dtype=np.uint8)

    def instances(self) -> Bytes:
        """(H, W) number of the thing, or of the group, that each pixel belongs to, in the order of drawing; 0: none."""
        return np.array(self._instances, dtype=np.uint8)

    def image(self) -> Bytes:
        """Paint with each role's texture, lit by one light, as seen by a noisy camera."""
        rng, shape = self.rng, (self.height, self.width)
        # A strip to ignore looks like what lies below it, which the roles do not remember: it gets no texture.
        amplitude = TEXTURE[np.array(self._roles)]
        y = np.arange(self.height, dtype=np.float32)[:, None] / self.height
        phase = rng.uniform(0, 2 * np.pi) + 6 * self.clouds(4)
        ripples = np.sin(2 * np.pi * rng.uniform(12, 20) * y + phase)
        grain = rng.standard_normal(shape, dtype=np.float32)
        texture = amplitude[..., 0] * self.clouds(8) + amplitude[..., 1] * ripples + amplitude[..., 2] * grain
        light = rng.uniform(0.6, 1.15) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
        noise = rng.uniform(1, 6) * rng.standard_normal((*shape, 3), dtype=np.float32)
        pixels = (np.asarray(self._paint, dtype=np.float32) + texture[..., None]) * light + noise
        image: Bytes = np.clip(pixels, 0, 255).astype(np.uint8)
        return image

    def clouds(self, cells: int) -> npt.NDArray[np.float32]:
        """(H, W) smooth noise of standard deviation about 1, `cells` bumps across."""
        coarse = Image.fromarray(self.rng.standard_normal((cells, cells), dtype=np.float32))
        return np.asarray(coarse.resize((self.width, self.height), Image.Resampling.BICUBIC))
