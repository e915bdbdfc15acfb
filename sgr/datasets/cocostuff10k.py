"""COCO-Stuff-10K: 9000 training and 1000 test images of MS-COCO, 171 classes.

Nobody publishes a checksum of its archive: the ZIP's own and the number of files have to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sgr.datasets import Description, Generated, Scene, Split
from sgr.download.layout import Archive, Part, stems

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
SPLITS = {"train": Split(9000, (480, 640)), "test": Split(1000, (480, 640))}
FIRST_TEST = 500_000  # `write` numbers test images from here, and `finish` knows them by it

ARCHIVE = Archive(
    "cocostuff-10k-v1.1.zip",
    "https://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/cocostuff-10k-v1.1.zip",
    ("images", "annotations", "imageLists"),
    unpacked=2.4,
)


def layout(root: Path) -> Iterator[Part]:
    """Both splits lie in the same two folders; lists tell them apart."""
    for split, (files, _) in SPLITS.items():
        names = listed(split)
        yield Part(split, "images", (".jpg",), files, ARCHIVE.name, "image", names, shared=True)
        yield Part(split, "annotations", (".mat",), files, ARCHIVE.name, "label", names, shared=True)


def listed(split: str) -> Callable[[Path], set[str]]:
    """The names in the list of a split."""

    def names(root: Path) -> set[str]:
        path = root / "imageLists" / f"{split}.txt"
        return set(os.fsdecode(path.read_bytes()).split()) if path.is_file() else set()

    return names


def write(root: Path, split: str, number: int, scene: Scene) -> None:
    """Write a generated scene as sample `number` of a split, with all five official variables."""
    import io

    import numpy as np
    from scipy.io import savemat

    from sgr.data.cocostuff10k import IDS
    from sgr.generated.writing import write_image

    name = f"COCO_train2014_{number + (FIRST_TEST if split == 'test' else 0):012d}"
    ids = np.zeros(256, dtype=np.uint16)
    ids[: len(IDS)] = IDS
    labels = ids[scene.label]
    regions, region_of_pixel = np.unique(labels, return_inverse=True)
    annotation = {
        "S": labels,
        "names": np.array(["unlabeled", *CLASSES], dtype=object)[:, None],
        "captions": np.array([["a generated scene"]], dtype=object),
        "regionMapStuff": region_of_pixel.reshape(labels.shape).astype(np.uint16) + np.uint16(1),
        "regionLabelsStuff": regions[:, None],
    }
    buffer = io.BytesIO()
    savemat(buffer, annotation, do_compression=True)
    # The first 116 bytes are a comment with the time of day; equal samples are to be equal bytes.
    buffer.seek(0)
    buffer.write(b"MATLAB 5.0 MAT-file".ljust(116))
    path = root / "annotations" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    write_image(root / "images" / f"{name}.jpg", scene.image)


def finish(root: Path) -> None:
    """Write imageLists/{train,test,all}.txt of what `write` wrote."""
    from sgr.files import write_bytes

    names = sorted(stems(root / "images", (".jpg",)))
    test = [name for name in names if int(name.rsplit("_", 1)[1]) >= FIRST_TEST]
    for split, listed in (("train", names[: len(names) - len(test)]), ("test", test), ("all", names)):
        write_bytes(root / "imageLists" / f"{split}.txt", "".join(f"{name}\n" for name in listed).encode())


DESCRIPTION = Description(
    title="COCO-Stuff-10K",
    classes=CLASSES,
    splits=SPLITS,
    archives=(ARCHIVE,),
    layout=layout,
    single_files={f"imageLists/{split}.txt": ARCHIVE.name for split in SPLITS},
    generated=Generated(
        roles=(
            *("sky-other", "water-other", "road", "grass", "building-other", "tree"),
            *("car", "boat", "person", "traffic light", "fence"),
        ),
        write=write,
        finish=finish,
    ),
    varying_sizes=True,
)
