"""Every reader of label maps: what is written in the official layout is found and read, and how it can be broken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sgr.data import reader
from sgr.data.files import read_image
from sgr.datasets import Scene, describe, names
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
WITH_LABEL_MAPS = [name for name in names() if describe(name).label_maps]


def picture(number_of_classes, seed=0, size=(24, 30)):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, number_of_classes, size).astype(np.uint8)
    label.ravel()[:number_of_classes] = np.arange(number_of_classes)
    label[-1] = 255
    smooth = np.add.outer(np.arange(size[0]) * 3, np.arange(size[1]) * 2)
    return np.stack([smooth, 200 - smooth, smooth // 2], axis=-1).astype(np.uint8), label


def write(name, root, split, number, image, label):
    """One sample in the official layout."""
    describe(name).generated.write(root, split, number, Scene(image, label, np.zeros_like(label)))


@pytest.fixture(params=WITH_LABEL_MAPS)
def written(request, tmp_path):
    """(name, root, {(split, number): (image, label)}) of a dataset of three samples a split."""
    name, content = request.param, {}
    for split in describe(name).splits:
        for number in (3, 1, 2):
            content[split, number] = picture(len(describe(name).classes), seed=number)
            write(name, tmp_path, split, number, *content[split, number])
    describe(name).generated.finish(tmp_path)
    return name, tmp_path, content


def test_round_trip(written):
    name, root, content = written
    module = reader(name)
    for split in module.SPLITS:
        samples = module.index(root, split)
        assert [sample.id for sample in samples] == sorted(sample.id for sample in samples)
        assert len(samples) == 3
        for sample in samples:
            number = int(sample.id.split("_")[1 if name in ("camvid", "cityscapes") else 2]) % 500_000
            image, label = content[split, number]
            assert np.array_equal(module.read_label(sample.label), label)
            found = read_image(sample.image).astype(int)
            assert np.abs(found - image).max() <= (0 if sample.image.suffix == ".png" else 8)


def test_official_names(written):
    name, root, _ = written
    module = reader(name)
    image, label = LAYOUT[name]
    last = module.index(root, "train")[-1]
    assert last.image.is_absolute()
    assert (last.image.relative_to(root).as_posix(), last.label.relative_to(root).as_posix()) == (
        image,
        label,
    )


def test_missing_folder(written, tmp_path):
    module = reader(written[0])
    with pytest.raises(UserError, match=r"there is no (folder|list file) .*nowhere"):
        module.index(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="no split 'trian': use one of train, "):
        module.index(tmp_path, "trian")


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_partner(written, missing):
    name, root, _ = written
    module = reader(name)
    sample = module.index(root, "train")[1]
    (sample.image, sample.label)[missing].unlink()
    with pytest.raises(
        UserError, match=f"{sample.id}.* has no {('image', 'label map')[missing]} {sample.id}"
    ):
        module.index(root, "train")


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1)])
def test_of_a_part_what_lacks_a_file_is_left_out(written, missing):
    name, root, _ = written
    module = reader(name)
    whole = module.index(root, "train")
    for place in missing:
        (whole[1].image, whole[1].label)[place].unlink()
    assert module.index(root, "train", whole=False) == [whole[0], whole[2]]


def test_missing_file(written):
    name, root, _ = written
    module = reader(name)
    with pytest.raises(UserError, match="there is no file"):
        module.read_label(root / "none.png")
    with pytest.raises(UserError, match="there is no file"):
        read_image(root / "none.png")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_truncated_files(written, share):
    name, root, _ = written
    module = reader(name)
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
        reader(name).read_label(path)


def test_label_of_another_mode(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)).save(path)
    with pytest.raises(UserError, match="holds RGB pixels, but a label map has one channel"):
        reader("camvid").read_label(path)


def test_cityscapes_label_ids(tmp_path):
    path = tmp_path / "label.png"
    Image.fromarray(np.array([[*range(34), 255]], dtype=np.uint8)).save(path)
    found = reader("cityscapes").read_label(path)[0]
    evaluated = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert found[evaluated].tolist() == list(range(19))
    assert set(np.delete(found, evaluated)) == {255}


def test_cocostuff_label_ids(tmp_path):
    from scipy.io import loadmat, savemat

    module, path = reader("cocostuff10k"), tmp_path / "label.mat"
    unused = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
    used = [number for number in range(1, 183) if number not in unused]
    savemat(path, {"S": np.array([[0, *used]], dtype=np.uint16)})
    assert module.read_label(path)[0].tolist() == [255, *range(171)]
    ids = {
        name: used[describe("cocostuff10k").classes.index(name)]
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

    write("cocostuff10k", tmp_path, "train", 0, *picture(171))
    written = loadmat(tmp_path / "annotations" / "COCO_train2014_000000000000.mat")
    assert {"S", "names", "captions", "regionMapStuff", "regionLabelsStuff"} <= written.keys()
    regions = written["regionLabelsStuff"].ravel()
    assert np.array_equal(regions[written["regionMapStuff"].astype(int) - 1], written["S"])


def test_cocostuff_lists_an_absent_image(tmp_path):
    module = reader("cocostuff10k")
    for split in module.SPLITS:
        write("cocostuff10k", tmp_path, split, 0, *picture(171))
    describe("cocostuff10k").generated.finish(tmp_path)
    with (tmp_path / "imageLists" / "test.txt").open("a") as file:
        file.write("COCO_train2014_000000999999\n")
    assert len(module.index(tmp_path, "train")) == 1
    with pytest.raises(UserError, match=r"test\.txt lists COCO_train2014_000000999999"):
        module.index(tmp_path, "test")


def test_ade20k_root_may_be_the_official_folder(tmp_path):
    module = reader("ade20k")
    write("ade20k", tmp_path, "val", 7, *picture(150))
    assert module.index(tmp_path, "val") == module.index(tmp_path / "ADEChallengeData2016", "val")


def test_camvid_takes_jpeg_but_not_twice(tmp_path):
    module = reader("camvid")
    image, label = picture(11)
    write("camvid", tmp_path, "train", 1, image, label)
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


def test_lookup():
    for name in ("os", "", "files", "../camvid"):
        with pytest.raises(UserError, match=f"sgr/data reads no dataset '{name}': use one of") as error:
            reader(name)
        assert str(error.value).endswith("use one of ade20k, camvid, cityscapes, coco, cocostuff10k")
