"""Every dataset's official layout: written, found and read again, and each way in which it can be broken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sgr.data import DATASETS, dataset, locate
from sgr.data.files import read_image
from sgr.errors import UserError

LAYOUT = {
    "ade20k": (
        "ADEChallengeData2016/images/training/ADE_train_00000003.jpg",
        "ADEChallengeData2016/annotations/training/ADE_train_00000003.png",
    ),
    "camvid": ("train/0001TP_000003.png", "trainannot/0001TP_000003.png"),
    "cityscapes": (
        "leftImg8bit/train/southtown/southtown_000003_000019_leftImg8bit.png",
        "gtFine/train/southtown/southtown_000003_000019_gtFine_labelIds.png",
    ),
    "cocostuff10k": (
        "images/COCO_train2014_000000000003.jpg",
        "annotations/COCO_train2014_000000000003.mat",
    ),
}
COUNTS = {"ade20k": 150, "camvid": 11, "cityscapes": 19, "cocostuff10k": 171}


def picture(number_of_classes, seed=0, size=(24, 30)):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, number_of_classes, size).astype(np.uint8)
    label.ravel()[:number_of_classes] = np.arange(number_of_classes)
    label[-1] = 255
    smooth = np.add.outer(np.arange(size[0]) * 3, np.arange(size[1]) * 2)
    return np.stack([smooth, 200 - smooth, smooth // 2], axis=-1).astype(np.uint8), label


@pytest.fixture(params=DATASETS)
def written(request, tmp_path):
    """(module, root, {(split, number): (image, label)}) of a dataset of three samples a split."""
    module = dataset(request.param)
    content = {}
    for split in module.SPLITS:
        for number in (3, 1, 2):
            content[split, number] = picture(len(module.CLASSES), seed=number)
            module.write_sample(tmp_path, split, number, *content[split, number])
    module.write_lists(tmp_path)
    return module, tmp_path, content


def name_of(module):
    return module.__name__.rsplit(".", 1)[1]


def test_round_trip(written):
    module, root, content = written
    for split in module.SPLITS:
        samples = module.index(root, split)
        assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
        assert len(samples) == 3
        for sample in samples:
            number = (
                int(sample.id.split("_")[1 if name_of(module) in ("camvid", "cityscapes") else 2]) % 500_000
            )
            image, label = content[split, number]
            assert np.array_equal(module.read_label(sample.label), label)
            found = read_image(sample.image).astype(int)
            assert np.abs(found - image).max() <= (0 if sample.image.suffix == ".png" else 8)


def test_official_names(written):
    module, root, _ = written
    image, label = LAYOUT[name_of(module)]
    last = module.index(root, "train")[-1]
    assert last.image.is_absolute()
    assert (last.image.relative_to(root).as_posix(), last.label.relative_to(root).as_posix()) == (
        image,
        label,
    )


def test_classes(written):
    module, _, _ = written
    assert len(module.CLASSES) == len(set(module.CLASSES)) == COUNTS[name_of(module)]
    assert all(name == name.strip() for name in module.CLASSES)


def test_missing_folder(written, tmp_path):
    module, _, _ = written
    with pytest.raises(UserError, match=r"there is no (folder|list file) .*nowhere"):
        module.index(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="no split 'trian': use one of train, "):
        module.index(tmp_path, "trian")


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_partner(written, missing):
    module, root, _ = written
    sample = module.index(root, "train")[1]
    (sample.image, sample.label)[missing].unlink()
    with pytest.raises(
        UserError, match=f"{sample.id}.* has no {('image', 'label map')[missing]} {sample.id}"
    ):
        module.index(root, "train")


def test_missing_file(written):
    module, root, _ = written
    with pytest.raises(UserError, match="there is no file"):
        module.read_label(root / "none.png")
    with pytest.raises(UserError, match="there is no file"):
        read_image(root / "none.png")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_truncated_files(written, share):
    module, root, _ = written
    sample = module.index(root, "train")[0]
    for path, read in ((sample.image, read_image), (sample.label, module.read_label)):
        whole = path.read_bytes()
        # The map is not the last variable of a .mat file, nor the whole file: cut within it.
        path.write_bytes(whole[: int(len(whole) * (share if path.suffix != ".mat" else share / 4))])
        with pytest.raises(UserError, match=f"{path.name} is truncated or is not"):
            read(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("camvid", 12), ("camvid", 255), ("ade20k", 151), ("cityscapes", 34), ("cityscapes", 254)],
)
def test_label_outside_the_encoding(tmp_path, name, value):
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[1, value]], dtype=np.uint8)).save(path)
    with pytest.raises(UserError, match=rf"label\.png holds the label {value}, but "):
        dataset(name).read_label(path)


def test_label_of_another_mode(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(path)
    with pytest.raises(UserError, match="holds RGB pixels, but a label map has one channel"):
        dataset("camvid").read_label(path)


def test_cityscapes_label_ids(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[*range(34), 255]], dtype=np.uint8)).save(path)
    found = dataset("cityscapes").read_label(path)[0]
    evaluated = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert found[evaluated].tolist() == list(range(19))
    assert set(np.delete(found, evaluated)) == {255}


def test_cocostuff_label_ids(tmp_path):
    from scipy.io import loadmat, savemat

    module, path = dataset("cocostuff10k"), tmp_path / "label.mat"
    unused = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
    used = [number for number in range(1, 183) if number not in unused]
    savemat(path, {"S": np.array([[0, *used]], dtype=np.uint16)})
    assert module.read_label(path)[0].tolist() == [255, *range(171)]
    ids = {
        name: used[module.CLASSES.index(name)]
        for name in ("person", "stop sign", "toothbrush", "banner", "wood")
    }
    assert ids == {"person": 1, "stop sign": 13, "toothbrush": 90, "banner": 92, "wood": 182}
    for wrong in (*unused, 183, 256, 300, -1):
        savemat(path, {"S": np.array([[1, wrong]], dtype=np.int32)})
        with pytest.raises(UserError, match=rf"holds .*{wrong}, but"):
            module.read_label(path)
    savemat(path, {"T": np.zeros((2, 2))})
    with pytest.raises(UserError, match="has no variable S"):
        module.read_label(path)

    module.write_sample(tmp_path, "train", 0, *picture(171))
    written = loadmat(tmp_path / "annotations" / "COCO_train2014_000000000000.mat")
    assert {"S", "names", "captions", "regionMapStuff", "regionLabelsStuff"} <= written.keys()
    regions = written["regionLabelsStuff"].ravel()
    assert np.array_equal(regions[written["regionMapStuff"].astype(int) - 1], written["S"])


def test_cocostuff_lists_an_absent_image(tmp_path):
    module = dataset("cocostuff10k")
    for split in module.SPLITS:
        module.write_sample(tmp_path, split, 0, *picture(171))
    module.write_lists(tmp_path)
    with (tmp_path / "imageLists" / "test.txt").open("a") as file:
        file.write("COCO_train2014_000000999999\n")
    assert len(module.index(tmp_path, "train")) == 1
    with pytest.raises(UserError, match=r"test\.txt lists COCO_train2014_000000999999"):
        module.index(tmp_path, "test")


def test_ade20k_root_may_be_the_official_folder(tmp_path):
    module = dataset("ade20k")
    module.write_sample(tmp_path, "val", 7, *picture(150))
    assert module.index(tmp_path, "val") == module.index(tmp_path / "ADEChallengeData2016", "val")


def test_camvid_takes_jpeg_but_not_twice(tmp_path):
    module = dataset("camvid")
    image, label = picture(11)
    module.write_sample(tmp_path, "train", 1, image, label)
    Image.fromarray(image).save(tmp_path / "train" / "0001TP_000001.jpg")
    with pytest.raises(UserError, match="are the same sample"):
        module.index(tmp_path, "train")
    (tmp_path / "train" / "0001TP_000001.png").unlink()
    assert module.index(tmp_path, "train")[0].image.suffix == ".jpg"


def test_grey_images_become_rgb(tmp_path):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "grey.png")
    found = read_image(tmp_path / "grey.png")
    assert found.shape == (3, 4, 3)
    assert np.array_equal(found[..., 0], found[..., 2])


def test_lookup(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'os': use one of ade20k, "):
        dataset("os")
    with pytest.raises(UserError, match=r"no folder .*camvid for dataset camvid: set SGR_DATA or data in"):
        locate("camvid", tmp_path)
    (tmp_path / "camvid").mkdir()
    assert locate("camvid", tmp_path) == tmp_path / "camvid"
