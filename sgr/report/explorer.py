"""What the token explorer of the page shows of a dataset: images, labels, predictions, and the tokens of each row."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgr.datasets import describe
from sgr.errors import UserError

from .captions import short
from .examples import Example, load, same_images
from .labels import Network
from .palette import palette

SIDE = 512  # most pixels of a picture along its longer side
LOSSLESS = 65536  # bytes of a photograph up to which it stays a PNG
VOTES = 4  # classes told of a token


def explorer(work: Path, dataset: str, rows: Mapping[str, Network]) -> dict[str, Any] | None:
    """What explorer.js reads of a dataset, as JSON; None where no row of it has been looked at.

    Maps of classes and tokens are grey PNGs in data URLs, since a page that lies on a disk may not read other files:
    the value of a pixel is its class, or the token's weight with 255 at its peak. The maps of a row's tokens on one
    image stand below one another in one PNG.

    Args:
        work: work/<profile>, with tokens/<dataset>/<row>.npz and explain/<dataset>/<row>.npz.
        rows: of params/rows.yaml by name; those of the dataset are shown, in the order of the tables.

    Raises:
        UserError: for a file that holds something else.
    """
    own = sorted((row for row in rows if rows[row].dataset == dataset), key=lambda row: rows[row].order)
    looked = [row for row in own if _explained(work, dataset, row).exists()]
    if not looked:
        return None
    examples = {row: load(work / "tokens" / dataset / f"{row}.npz") for row in looked}
    same_images(examples)
    images, description = examples[looked[0]], describe(dataset)
    classes = description.classes
    return {
        "title": description.title,
        "classes": [short(name, 28) for name in classes],
        "colours": palette(description.palette, len(classes)).tolist(),
        "images": [
            {
                "name": one.name,
                "size": one.label.shape,
                "photo": _photo(one.image),
                "label": {"url": _grey(one.label)},
            }
            for one in images
        ],
        "rows": [
            _row(_explained(work, dataset, row), row, rows[row], images, len(classes)) for row in looked
        ],
    }


def _explained(work: Path, dataset: str, row: str) -> Path:
    return work / "explain" / dataset / f"{row}.npz"


def _row(path: Path, row: str, network: Network, images: list[Example], classes: int) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as data:
            found = [_image(data, number, one.label.shape, classes) for number, one in enumerate(images)]
            tokens, peaks = data["tokens"].tolist(), np.round(data["peaks"].astype(float), 4).tolist()
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} does not hold what `python -m stages.explain` writes ({error}): run `dvc repro`"
        ) from None
    regions = network.added or "the head's queries"
    return {
        "row": row,
        "method": network.method,
        "unit": regions,
        "tokens": tokens,
        "peaks": peaks,
        "images": found,
    }


def _image(data: Any, number: int, size: tuple[int, ...], classes: int) -> dict[str, Any]:
    prediction, regions = data[f"prediction_{number}"], data[f"regions_{number}"]
    votes, covers = data[f"votes_{number}"], data[f"covers_{number}"]
    if prediction.shape != size or votes.shape != (len(regions), classes):
        raise ValueError(f"image {number} is of {prediction.shape} pixels and votes {votes.shape}")
    S, D = float(data[f"semantics_{number}"]), float(data[f"diversity_{number}"])
    return {
        "prediction": _grey(prediction),
        "regions": _png(regions.reshape(-1, regions.shape[2])),
        "cells": regions.shape[1:],
        # the height and width under the cells in those of the image: more than 1 where it was padded
        "covers": [round(float(c) / s, 6) for c, s in zip(covers, size, strict=True)],
        "semantics": None if np.isnan(S) else round(S, 4),
        "diversity": None if np.isnan(D) else round(D, 4),
        "votes": [
            [[int(c), round(float(of_token[c]), 4)] for c in np.argsort(-of_token, kind="stable")[:VOTES]]
            for of_token in votes
        ],
    }


def _photo(image: NDArray[np.uint8]) -> str:
    """A photograph of at most SIDE pixels a side, as a data URL: without loss where that is small."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    url = _png(np.asarray(picture))
    if len(url) <= LOSSLESS:
        return url
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=88)
    return _url("jpeg", packed.getvalue())


def _grey(classes: NDArray[np.uint8]) -> str:
    """A map of classes of at most SIDE pixels a side, none of them mixed, as a data URL."""
    from PIL import Image

    H, W = classes.shape
    shrink = min(1.0, SIDE / max(H, W))
    picture = Image.fromarray(classes).resize(
        (max(1, round(W * shrink)), max(1, round(H * shrink))), Image.Resampling.NEAREST
    )
    return _png(np.asarray(picture))


def _png(values: NDArray[np.uint8]) -> str:
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(values).save(packed, "PNG", optimize=True)
    return _url("png", packed.getvalue())


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
