"""MS-COCO 2017, instances: 118287 training and 5000 validation images, 80 classes of things.

{train2017,val2017}/<id>.jpg and annotations/instances_{train2017,val2017}.json, where an instance is a list of polygons
and a crowd region a run-length encoding (RLE). Some images have no annotation.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sgr.data.files import check_split, list_files, read_image
from sgr.data.json_stream import elements
from sgr.data.manifest import Manifest
from sgr.errors import UserError

# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender and hair brush were never annotated
CATEGORY_IDS = tuple(
    number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
)
SPLITS = ("train2017", "val2017")

_CLASS = {number: position for position, number in enumerate(CATEGORY_IDS)}
_KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")


class Image(NamedTuple):
    """One image; sizes in pixels."""

    id: int
    path: Path
    height: int
    width: int


class Instance(NamedTuple):
    """One annotation of an image.

    Attributes:
        id: the annotation's number, one of its own in the file.
        category: the class, a position in CATEGORY_IDS.
        box: (x, y, width, height) in pixels; x and y of the upper left corner.
        area: pixels of the mask, by which COCO tells small, medium and large.
        crowd: a region of several things that are not told apart.
        segmentation: polygons [[x, y, x, y, ...], ...] in pixels, or {"size": [H, W], "counts": runs}.
    """

    id: int
    category: int
    box: tuple[float, float, float, float]
    area: float
    crowd: bool
    segmentation: Any

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """(height, width) pixels of the instance, by COCO's own rules; the sizes are the image's."""
        from pycocotools import mask

        rle = self.segmentation
        if isinstance(rle, list):
            rle = mask.merge(mask.frPyObjects(rle, height, width))
        elif isinstance(rle["counts"], list):
            rle = mask.frPyObjects(rle, height, width)
        found: npt.NDArray[np.bool_] = mask.decode(rle).astype(bool)
        return found


class Annotated(NamedTuple):
    """One image and the (start, end) bytes of its annotations in the file of its split."""

    image: Image
    file: Path
    spans: npt.NDArray[np.int64]


class Annotations:
    """The images of a split, sorted by id, with their annotations, which stay in the file until they are asked for.

    Of an annotation memory holds its place in the file, 16 bytes, and forked and spawned workers may share it.
    """

    def __init__(self, root: str | os.PathLike[str], split: str, names: Container[str] | None = None) -> None:
        """`root` holds `train2017/`, `val2017/` and `annotations/`.

        names: of the files of the images that are meant; those that are listed beside them are left out.

        Raises UserError for an unknown split, a missing or broken file, a missing image, an unknown category, and an
        annotation of an image that is not listed.
        """
        check_split(split, SPLITS, "MS-COCO")
        self.file = annotation_file(Path(root), split).absolute()
        folder = Path(root).absolute() / split
        images: list[Image] = []
        of_image, start, end = array("q"), array("q"), array("q")
        for element in elements(self.file):
            if element.key == "images":
                images.append(self._image(element.value, folder))
            elif element.key == "annotations":
                of_image.append(self._image_id(element.value))
                start.append(element.start)
                end.append(element.end)
        listed = np.sort(np.array([image.id for image in images], dtype=np.int64))
        self.images = sorted(image for image in images if names is None or image.path.name in names)
        self._ids = np.array([image.id for image in self.images], dtype=np.int64)
        self._check_images(folder, listed)
        owners = np.frombuffer(of_image, dtype=np.int64)
        order = np.argsort(owners, kind="stable")
        owners = owners[order]
        unlisted = np.flatnonzero(~np.isin(owners, listed))
        if len(unlisted):
            raise UserError(
                f"{self.file}: annotation {self._number(start[order[unlisted[0]]], end[order[unlisted[0]]])} "
                f"is of image {owners[unlisted[0]]}, which is not listed under images"
            )
        meant = np.isin(owners, self._ids)
        owners, order = owners[meant], order[meant]
        self._spans = np.stack([np.frombuffer(start, np.int64), np.frombuffer(end, np.int64)], axis=1)[order]
        self._first = np.append(np.searchsorted(owners, self._ids), len(owners))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> Annotated:
        """Image `position` of `images`, with what `read_instances` needs; small enough to send to a worker."""
        if not 0 <= position < len(self.images):
            raise IndexError(position)
        first, last = self._first[position], self._first[position + 1]
        return Annotated(self.images[position], self.file, self._spans[first:last].copy())

    def instances(self, image_id: int) -> list[Instance]:
        """The annotations of an image in the file's order, crowd regions among them.

        Raises UserError for an image that is not listed, and as `read_instances`.
        """
        position = int(np.searchsorted(self._ids, image_id))
        if position == len(self._ids) or self._ids[position] != image_id:
            raise UserError(f"{self.file} lists no image {image_id}")
        return read_instances(self[position])

    def _image(self, entry: Any, folder: Path) -> Image:
        try:
            image = Image(entry["id"], folder / entry["file_name"], entry["height"], entry["width"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.file}: an image has no {_key(error)}: {str(entry)[:100]}") from None
        if not (isinstance(image.id, int) and all(isinstance(side, int) and side > 0 for side in image[2:])):
            raise UserError(
                f"{self.file}: id, height and width of image {image.id} are not whole numbers above 0"
            )
        if image.path.parent != folder:
            raise UserError(
                f"{self.file}: file_name of image {image.id} is {entry['file_name']!r}, not a plain name"
            )
        return image

    def _image_id(self, entry: Any) -> int:
        missing = [key for key in _KEYS if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise UserError(f"{self.file}: an annotation has no {missing[0]}: {str(entry)[:100]}")
        if not (isinstance(entry["id"], int) and isinstance(entry["image_id"], int)):
            raise UserError(f"{self.file}: id or image_id of annotation {entry['id']} is no whole number")
        if entry["category_id"] not in CATEGORY_IDS:
            raise UserError(
                f"{self.file}: annotation {entry['id']} has category {entry['category_id']}, "
                "which is none of COCO's 80"
            )
        image_id: int = entry["image_id"]
        return image_id

    def _check_images(self, folder: Path, listed: npt.NDArray[np.int64]) -> None:
        if not len(listed):
            raise UserError(f"{self.file} lists no image")
        twice = np.flatnonzero(np.diff(listed) == 0)
        if len(twice):
            raise UserError(f"{self.file} lists image {listed[twice[0]]} twice")
        there = {path.name for path in list_files(folder, ".jpg").values()}
        for image in self.images:
            if image.path.name not in there:
                raise UserError(f"{self.file} lists image {image.id}, but there is no {image.path}")

    def _number(self, start: int, end: int) -> int:
        return int(_read(self.file, [(start, end)])[0]["id"])


def annotation_file(root: Path, split: str) -> Path:
    """The JSON file of a split's instances."""
    return root / "annotations" / f"instances_{split}.json"


def index(root: Path, split: str, whole: bool = True) -> Annotations:
    """The images of a split, sorted by id, each with its annotations; those that are there, unless it is `whole`.

    Raises UserError as `Annotations`, and for a missing folder.
    """
    check_split(split, SPLITS, "MS-COCO")
    there = None if whole else {path.name for path in list_files(Path(root) / split, ".jpg").values()}
    return Annotations(root, split, there)


def described(root: Path, manifest: Manifest, split: str) -> Annotations:
    """The images of a split that the manifest holds. Raises UserError as `Annotations`."""
    return Annotations(root, split, {Path(entry["image"]).name for entry in manifest["splits"][split]})


def read_instances(annotated: Annotated) -> list[Instance]:
    """The annotations of an image in the file's order.

    Raises UserError, with file and annotation, for polygons or an RLE that are not of this image.
    """
    image, file, spans = annotated
    return [_instance(entry, image, file) for entry in _read(file, spans)]


def verify(annotated: Annotated) -> None:
    """Decode an image and the mask of each of its annotations. Raises UserError if one does not, or sizes differ."""
    image = annotated.image
    found = read_image(image.path).shape[:2]
    if found != (image.height, image.width):
        raise UserError(
            f"{image.path} has {found[1]}x{found[0]} pixels, but {annotated.file} says {image.width}x{image.height}"
        )
    for instance in read_instances(annotated):
        instance.mask(image.height, image.width)


def _read(file: Path, spans: Any) -> list[dict[str, Any]]:
    if not len(spans):
        return []
    entries = []
    with open(file, "rb", buffering=0) as opened:
        for start, end in spans:
            opened.seek(start)
            entries.append(json.loads(opened.read(end - start)))
    return entries


def _instance(entry: dict[str, Any], image: Image, file: Path) -> Instance:
    where = f"{file}: annotation {entry['id']}"
    segmentation, box = entry["segmentation"], entry["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, [*box, entry["area"]]))):
        raise UserError(f"{where}: bbox is not [x, y, width, height] in pixels, or area is no number")
    if isinstance(segmentation, dict):
        _check_rle(segmentation, image, where)
    elif not (isinstance(segmentation, list) and segmentation and all(map(_is_polygon, segmentation))):
        raise UserError(
            f"{where}: segmentation is neither an RLE nor polygons, each of three or more pairs x, y"
        )
    return Instance(
        id=entry["id"],
        category=_CLASS[entry["category_id"]],
        box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        area=float(entry["area"]),
        crowd=bool(entry["iscrowd"]),
        segmentation=segmentation,
    )


def _check_rle(rle: dict[str, Any], image: Image, where: str) -> None:
    # pycocotools leaves the pixels behind the last run as they happen to be in memory.
    size, counts = rle.get("size"), rle.get("counts")
    if size != [image.height, image.width]:
        raise UserError(f"{where}: its RLE is of size {size}, but image {image.id} is {list(image[2:])}")
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    pixels = image.height * image.width
    if (
        not isinstance(runs, list)
        or any(not isinstance(run, int) or run < 0 for run in runs)
        or sum(runs) != pixels
    ):
        raise UserError(
            f"{where}: the runs of its RLE do not add up to the {pixels} pixels of image {image.id}"
        )


def _uncompressed(counts: str) -> list[int] | None:
    """Runs of COCO's compressed RLE: five bits a character, from the third run on less the one but last; or None."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs


def _is_polygon(points: Any) -> bool:
    return (
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(map(_is_number, points))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _key(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) else "id, file_name, height and width"
