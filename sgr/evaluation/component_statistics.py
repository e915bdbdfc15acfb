"""Connected components against instances: how often the weak supervision of a concept region is one instance.

SGR takes a component for one thing. Two instances of a class that touch are one component, and an instance behind a
pole is two; this counts both, over label maps of whole images.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sgr.data import reader
from sgr.data.component_archive import ComponentArchive
from sgr.data.files import Bytes, Sample
from sgr.data.manifest import Manifest, samples
from sgr.data.parallel import in_parallel
from sgr.errors import UserError

Integers = npt.NDArray[np.int64]

# An instance that holds less of a component leaves it, for a mask, the component of its largest instance: their IoU
# stays about 0.9. A smaller part of an instance is a sliver that an edge or the opening cut off.
MIN_SHARE = 0.1


class Counts(NamedTuple):
    """What is counted in an image, by class; counts of several images add up.

    Attributes:
        components: (classes, 4) components that cover no, one, two, three or more instances. Stuff covers none.
        instances: (classes, 4) instances that are one component alone, that share theirs with another instance, that
            are split into several, and that no component is left of.
        area: (classes,) pixels of components.
        largest: (classes,) of them, those of the largest instance of each component.
        purity: (classes,) sum over components of the largest instance's share of their pixels.
    """

    components: Integers
    instances: Integers
    area: Integers
    largest: Integers
    purity: npt.NDArray[np.float64]


class Statistics(NamedTuple):
    """What `measure` finds.

    Attributes:
        counts: of all images together.
        per_image: (images, classes) components of each class in each image.
        min_of_component, min_of_instance: as in `count`.
    """

    counts: Counts
    per_image: Integers
    min_of_component: float
    min_of_instance: float


def measure(
    root: Path,
    manifest: Manifest,
    split: str,
    archive: Path,
    things: npt.NDArray[np.bool_],
    min_of_component: float = MIN_SHARE,
    min_of_instance: float = MIN_SHARE,
) -> Statistics:
    """Statistics of a split, one image in memory at a time for each core.

    Args:
        root: the dataset's folder.
        archive: the split's components, of the stage `components`.
        things: (classes,) whether a class has instances.
        min_of_component, min_of_instance: as in `count`.

    Raises:
        UserError: the dataset has no instances, a file is missing or unreadable, or sizes differ.
    """
    name = manifest["dataset"]
    if not hasattr(reader(name), "read_instances"):
        raise UserError(f"{name} has no instance annotations to compare its components with")
    found = ComponentArchive(archive)
    shares = (min_of_component, min_of_instance)
    images = list(
        in_parallel(
            _count_sample,
            [(name, sample, found, things, *shares) for sample in samples(root, manifest, split)],
        )
    )
    if not images:
        raise UserError(f"split {split} of {name} has no images")
    return Statistics(reduce(_add, images), np.stack([image.components.sum(1) for image in images]), *shares)


def count(
    components: npt.NDArray[Any],
    labels: Bytes,
    instances: npt.NDArray[Any],
    things: npt.NDArray[np.bool_],
    min_of_component: float = MIN_SHARE,
    min_of_instance: float = MIN_SHARE,
) -> Counts:
    """Counts of one image.

    Args:
        components: (H, W) integers, 0 for none, else 1..C; each in one class.
        labels: (H, W) classes, 255 where unlabelled.
        instances: (H, W) integers, 0 for none; each in one class. Those of classes that are no things never count.
        things: (classes,) whether a class has instances.
        min_of_component: an instance counts for a component if it holds this share of the component's pixels.
        min_of_instance: a component counts for an instance if it holds this share of the instance's pixels.

    Raises:
        ValueError: the maps differ in size.
    """
    if not components.shape == labels.shape == instances.shape:
        raise ValueError(
            f"maps of {components.shape}, {labels.shape} and {instances.shape} are not of one image"
        )
    classes = len(things)
    is_thing = np.zeros(256, dtype=bool)
    is_thing[:classes] = things
    numbers = _numbered(np.where(is_thing[labels], instances, 0))
    rows, columns = int(components.max(initial=0)) + 1, int(numbers.max(initial=0)) + 1
    pairs = components.astype(np.int64) * columns + numbers
    overlap = np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)
    area, size = overlap.sum(1)[1:], overlap.sum(0)[1:]
    inside = overlap[1:, 1:]  # (C, I) pixels
    class_of_component, class_of_instance = (
        _classes(components, labels, rows),
        _classes(numbers, labels, columns),
    )

    counts_for = (inside > 0) & (inside >= min_of_component * area[:, None])
    lies_in = (inside > 0) & (inside >= min_of_instance * size)
    covered, parts = counts_for.sum(1), lies_in.sum(0)
    alone = (lies_in & counts_for & (covered == 1)[:, None]).any(0)
    outcome = np.select([parts == 0, parts > 1, alone], [3, 2, 0], default=1)
    largest = inside.max(1, initial=0)
    purity: npt.NDArray[np.float64] = np.zeros(classes)
    np.add.at(purity, class_of_component, largest / area)
    return Counts(
        _tally(class_of_component, np.minimum(covered, 3), classes),
        _tally(class_of_instance, outcome, classes),
        _sums(class_of_component, area, classes),
        _sums(class_of_component, largest, classes),
        purity,
    )


def _count_sample(
    dataset_name: str,
    sample: Sample,
    archive: ComponentArchive,
    things: npt.NDArray[np.bool_],
    min_of_component: float,
    min_of_instance: float,
) -> Counts:
    module = reader(dataset_name)
    maps = archive.read(sample.id), module.read_label(sample.label), module.read_instances(sample.label)
    if len({one.shape for one in maps}) > 1:
        raise UserError(f"components, labels and instances of {sample.id} have different sizes")
    return count(*maps, things, min_of_component, min_of_instance)


def _add(first: Counts, second: Counts) -> Counts:
    return Counts(
        first.components + second.components,
        first.instances + second.instances,
        first.area + second.area,
        first.largest + second.largest,
        first.purity + second.purity,
    )


def _numbered(instances: npt.NDArray[Any]) -> Integers:
    """The same map with numbers 1..I, in ascending order of the old ones, and 0."""
    present = np.flatnonzero(np.bincount(instances.ravel()))
    table = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.int64)
    table[present[present > 0]] = np.arange(1, np.count_nonzero(present) + 1)
    return table[instances]


def _classes(regions: npt.NDArray[Any], labels: Bytes, number: int) -> npt.NDArray[np.uint8]:
    """Class of regions 1 to number - 1, that of any of their pixels."""
    found = np.zeros(number, dtype=np.uint8)
    found[regions] = labels
    return found[1:]


def _tally(classes_of: npt.NDArray[np.uint8], kinds: Integers, classes: int) -> Integers:
    """(classes, 4) how many there are of each class and kind."""
    return np.bincount(classes_of.astype(np.int64) * 4 + kinds, minlength=4 * classes).reshape(classes, 4)


def _sums(classes_of: npt.NDArray[np.uint8], values: Integers, classes: int) -> Integers:
    found = np.zeros(classes, dtype=np.int64)
    np.add.at(found, classes_of, values)
    return found
