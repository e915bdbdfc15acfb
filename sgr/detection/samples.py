"""Torch datasets of MS-COCO for detection: training images, functions of seed and position, and whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import Dataset

from sgr.data.coco import Annotations, Instance, read_instances
from sgr.data.files import Bytes, read_image
from sgr.data.sample_order import Order
from sgr.data.samples import channels_first
from sgr.errors import UserError

Item = dict[str, Any]


class TrainingImages(Dataset[Item]):
    """Images by position in training: epoch * number of images + slot, each epoch a new permutation.

    Images without an annotation teach nothing about things and are left out, as in Detectron2; so are crowd regions.
    """

    def __init__(
        self,
        annotations: Annotations,
        *,
        length: int,
        seed: int,
        min_sizes: Sequence[int],
        max_size: int,
        flip: bool,
    ) -> None:
        """Arguments:

        annotations: of the training split.
        length: number of positions, iterations x batch size.
        seed: non-negative; with the position it decides image, size and flip, whoever loads it.
        min_sizes: the shorter side in pixels is drawn from these.
        max_size: of the longer side.
        flip: mirror every second image.

        Raises UserError if no image has an annotation.
        """
        self.annotations, self.length = annotations, length
        self.min_sizes, self.max_size, self.flip = min_sizes, max_size, flip
        self.annotated = [number for number in range(len(annotations)) if len(annotations[number].spans)]
        if not self.annotated:
            raise UserError(f"{annotations.file} has no annotation to learn from")
        self._order = Order(len(self.annotated), seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> Item:
        """{"image": (3, h, w) uint8, "target": {boxes, labels, masks}} as `sgr.detection.network.MaskRCNN.losses`."""
        if not 0 <= position < self.length:
            raise IndexError(position)
        index, rng = self._order.at(position)
        draws = rng.random(2)
        item = self.annotations[self.annotated[index]]
        image = read_image(item.image.path)
        mirrored = self.flip and draws[0] < 0.5
        size = scaled(image.shape[:2], self.min_sizes[int(draws[1] * len(self.min_sizes))], self.max_size)
        things = [instance for instance in read_instances(item) if not instance.crowd]
        return {
            "image": channels_first(resized(image, size)[:, :: -1 if mirrored else 1]),
            "target": target(things, image.shape[:2], size, mirrored),
        }


class EvaluationImages(Dataset[Item]):
    """Every image of a split in the order of its number, of whatever size it has: for batches of one."""

    def __init__(self, annotations: Annotations, *, min_size: int, max_size: int) -> None:
        self.annotations, self.min_size, self.max_size = annotations, min_size, max_size

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, number: int) -> Item:
        """{"image": (3, h, w) uint8, "id": COCO's number, "size": height and width of the file's image}."""
        found = self.annotations[number].image
        image = read_image(found.path)
        size = scaled(image.shape[:2], self.min_size, self.max_size)
        return {
            "image": channels_first(resized(image, size)),
            "id": found.id,
            "size": (found.height, found.width),
        }


def scaled(size: tuple[int, ...], shorter: int, longest: int) -> tuple[int, int]:
    """Height and width with a shorter side of `shorter` pixels, less where the longer one would pass `longest`."""
    scale = min(shorter / min(size), longest / max(size))
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def resized(image: Bytes, size: tuple[int, int]) -> Bytes:
    """(H, W, 3) at another height and width, bilinear."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def target(
    things: list[Instance], original: tuple[int, ...], size: tuple[int, int], mirrored: bool
) -> dict[str, torch.Tensor]:
    """`boxes` (N, 4) float32 in pixels x0, y0, x1, y1, `labels` (N,) int64 from 1 on, `masks` (N, *size) uint8.

    A box that is thinner than a hundredth of a pixel is left out.

    Args:
        things: instances of an image of height and width `original`.
        size: to which the image was resized.
        mirrored: left and right changed places.
    """
    (H, W), (h, w) = original, size
    corners = np.array([thing.box for thing in things], dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    boxes = (corners.clip(0, [W, H, W, H]) * [w / W, h / H, w / W, h / H]).astype(np.float32)
    if mirrored:
        boxes = np.stack([w - boxes[:, 2], boxes[:, 1], w - boxes[:, 0], boxes[:, 3]], axis=1)
    kept = np.flatnonzero((boxes[:, 2:] - boxes[:, :2] > 0.01).all(axis=1))
    y, x = nearest(H, h), nearest(W, w)[:: -1 if mirrored else 1]
    masks = np.zeros((len(kept), h, w), dtype=np.uint8)
    for row, number in enumerate(kept):
        masks[row] = things[number].mask(H, W)[y][:, x]
    return {
        "boxes": torch.from_numpy(boxes[kept]),
        "labels": torch.tensor([things[number].category + 1 for number in kept], dtype=torch.int64),
        "masks": torch.from_numpy(masks),
    }


def nearest(source: int, wanted: int) -> npt.NDArray[np.intp]:
    """For each of `wanted` pixels, the one of `source` under its centre."""
    return ((np.arange(wanted) + 0.5) * (source / wanted)).astype(np.intp)


def padded(images: list[torch.Tensor], stride: int, fill: tuple[int, int, int]) -> torch.Tensor:
    """Images (3, h, w) in the upper left corners of one (B, 3, H, W), H and W the next multiples of `stride`."""
    H, W = (-(-max(image.shape[axis] for image in images) // stride) * stride for axis in (1, 2))
    batch = torch.tensor(fill, dtype=images[0].dtype).view(1, 3, 1, 1).repeat(len(images), 1, H, W)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch
