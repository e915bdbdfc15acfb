"""COCO-Stuff-10K: 9000 training and 1000 test images of MS-COCO, 171 classes.

images/<id>.jpg, annotations/<id>.mat and imageLists/{train,test}.txt. The variable S of a .mat file is the
label map: 0 is unlabelled, 1..182 are COCO's 91 things and 91 stuff classes, of which 11 things were never
annotated.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from sgr.data.files import (
    IGNORE,
    INVALID,
    Bytes,
    Sample,
    check_split,
    list_files,
    pair,
    train_ids,
    write_image,
)
from sgr.errors import UserError
from sgr.files import write_bytes

# fmt: off
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush", "banner", "blanket", "branch", "bridge", "building-other",
    "bush", "cabinet", "cage", "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth", "clothes",
    "clouds", "counter", "cupboard", "curtain", "desk-stuff", "dirt", "door-stuff", "fence", "floor-marble",
    "floor-other", "floor-stone", "floor-tile", "floor-wood", "flower", "fog", "food-other", "fruit",
    "furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves", "light", "mat", "metal",
    "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper", "pavement", "pillow", "plant-other",
    "plastic", "platform", "playingfield", "railing", "railroad", "river", "road", "rock", "roof", "rug",
    "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow", "solid-other", "stairs", "stone",
    "straw", "structural-other", "table", "tent", "textile-other", "towel", "tree", "vegetable", "wall-brick",
    "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile", "wall-wood", "water-other",
    "waterdrops", "window-blind", "window-other", "wood",
)
# fmt: on
SPLITS = ("train", "test")

_FIRST_TEST = 500_000  # write_sample numbers test images from here, and write_lists knows them by it
# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
_IDS = np.array(
    [number for number in range(1, 183) if number not in _UNUSED], dtype=np.uint8
)  # of each class
_TABLE = np.full(256, INVALID, dtype=np.uint8)
_TABLE[0] = IGNORE
_TABLE[_IDS] = np.arange(len(CLASSES))


def index(root: Path, split: str) -> list[Sample]:
    """Samples of a split, sorted by name. Raises UserError for a missing folder, list, image or label map."""
    check_split(split, SPLITS, "COCO-Stuff-10K")
    path = Path(root) / "imageLists" / f"{split}.txt"
    if not path.is_file():
        raise UserError(f"there is no list file {path}")
    names = path.read_text(encoding="utf-8").split()
    if not names:
        raise UserError(f"{path} lists no image")
    images = list_files(Path(root) / "images", ".jpg")
    labels = list_files(Path(root) / "annotations", ".mat")
    for name in names:
        if name not in images and name not in labels:
            raise UserError(f"{path} lists {name}, but there is no images/{name}.jpg")
    listed = set(names)
    return pair(
        {name: images[name] for name in images.keys() & listed},
        {name: labels[name] for name in labels.keys() & listed},
        ".jpg",
        ".mat",
    )


def read_label(path: Path) -> Bytes:
    """(H, W) uint8 train ids, 255 ignored. Raises UserError for a broken file, or an id not in use."""
    from scipy.io import loadmat

    try:
        with open(path, "rb") as file:
            ids = np.asarray(loadmat(file, variable_names=["S"])["S"])
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except KeyError:
        raise UserError(
            f"{path} has no variable S, which is the label map of a COCO-Stuff annotation"
        ) from None
    except (
        Exception
    ) as error:  # a damaged file can raise anything in the reader: zlib.error, TypeError, OSError, ...
        raise UserError(f"{path} is truncated or is not a MATLAB file: {error}") from None
    if ids.ndim != 2 or ids.dtype.kind not in "iuf":
        raise UserError(f"S of {path} is {ids.dtype} {ids.shape}, but a label map is a matrix of numbers")
    narrow = np.clip(ids, 0, 255).astype(np.uint8)
    if not np.array_equal(narrow, ids):
        raise UserError(f"S of {path} holds {ids[narrow != ids][0]}, but COCO-Stuff's labels are 0 to 182")
    return train_ids(
        narrow, _TABLE, path, "the labels of COCO-Stuff in use are 1 to 182 less 11, and 0 for none"
    )


def write_sample(root: Path, split: str, number: int, image: Bytes, label: Bytes) -> None:
    """Write image (H, W, 3) and train ids (H, W) as sample `number`, with all five official variables."""
    from scipy.io import savemat

    name = f"COCO_train2014_{SPLITS.index(split) * _FIRST_TEST + number:012d}"
    ids = np.zeros(256, dtype=np.uint16)
    ids[: len(_IDS)] = _IDS
    labels = ids[label]
    regions, region_of_pixel = np.unique(labels, return_inverse=True)
    names = np.array(["unlabeled", *CLASSES], dtype=object)
    annotation = {
        "S": labels,
        "names": names[:, None],
        "captions": np.array([["a generated scene"]], dtype=object),
        "regionMapStuff": region_of_pixel.reshape(labels.shape).astype(np.uint16) + np.uint16(1),
        "regionLabelsStuff": regions[:, None],
    }
    buffer = io.BytesIO()
    savemat(buffer, annotation, do_compression=True)
    # The first 116 bytes are a comment with the time of day; equal samples are to be equal bytes.
    buffer.seek(0)
    buffer.write(b"MATLAB 5.0 MAT-file".ljust(116))
    path = Path(root) / "annotations" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    write_image(Path(root) / "images" / f"{name}.jpg", image)


def write_lists(root: Path) -> None:
    """Write imageLists/{train,test,all}.txt of the samples that write_sample wrote."""
    names = sorted(list_files(Path(root) / "images", ".jpg"))
    test = [name for name in names if int(name.rsplit("_", 1)[1]) >= _FIRST_TEST]
    train = names[: len(names) - len(test)]
    for split, listed in (("train", train), ("test", test), ("all", names)):
        write_bytes(
            Path(root) / "imageLists" / f"{split}.txt", "".join(f"{name}\n" for name in listed).encode()
        )
