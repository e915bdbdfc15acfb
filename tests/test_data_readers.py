"""Every reader of label maps: what is written in the official layout is found and read, and how it can be broken."""

from __future__ import annotations

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

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


def png(path, depth, colour, rows, *more):
    """A PNG of the bit depth and colour type that Pillow does not write: `rows` are a line's bytes each."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width = len(rows[0]) * 8 // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour])
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", pixels), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))
    return path


PALETTE = (b"PLTE", bytes(range(48)))


@pytest.mark.parametrize(
    ("depth", "colour", "said"),
    [
        (8, 2, "RGB"),
        (8, 6, "RGBA"),
        (8, 4, "LA"),
        (16, 0, "I;16B"),
        (16, 2, "RGB;16B"),
        (4, 0, "L;4"),
        (2, 0, "L;2"),
        (1, 0, "1"),
    ],
)
def test_label_map_of_other_pixels(tmp_path, depth, colour, said):
    """Among them those that Pillow would turn into other values without a word: 5 of 4 bits into 85."""
    path = png(tmp_path / "label.png", depth, colour, [[0, 5] * 12])
    with pytest.raises(
        UserError, match=rf"label\.png holds {said} pixels, but a label map has one channel of 8"
    ):
        reader("camvid").read_label(path)


def test_label_map_of_a_palette(tmp_path):
    """Its indices are the labels, as in Pascal VOC, whatever the colours and however few the bits."""
    read = reader("camvid").read_label
    assert read(png(tmp_path / "8.png", 8, 3, [[0, 5, 11]], PALETTE)).tolist() == [[0, 5, 255]]
    assert read(png(tmp_path / "4.png", 4, 3, [[0x05, 0x0B]], PALETTE)).tolist() == [[0, 5, 0, 255]]
    with pytest.raises(UserError, match="holds the label 12"):
        read(png(tmp_path / "8.png", 8, 3, [[12]], PALETTE))


def test_label_map_that_is_no_png(tmp_path):
    """JPEG keeps no labels."""
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "label.png", "JPEG")
    with pytest.raises(UserError, match=r"label\.png is truncated or is not a PNG file"):
        reader("camvid").read_label(tmp_path / "label.png")


def test_map_of_instances(tmp_path):
    label = tmp_path / "a_gtFine_labelIds.png"
    instances = tmp_path / "a_gtFine_instanceIds.png"
    png(instances, 16, 0, [[*(26001).to_bytes(2, "big"), 0, 7]])
    assert reader("cityscapes").read_instances(label).tolist() == [[26001, 0]]
    for depth, colour, said in ((8, 0, "L"), (16, 2, "RGB;16B"), (8, 3, "P")):
        png(instances, depth, colour, [[0, 7] * 6], PALETTE)
        with pytest.raises(
            UserError, match=f"holds {said} pixels, but a map of instances has one channel of 16"
        ):
            reader("cityscapes").read_instances(label)


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
    assert np.array_equal(found[..., 0], np.arange(12).reshape(3, 4))
    assert np.array_equal(found[..., 0], found[..., 2])


@pytest.mark.parametrize(
    ("depth", "colour", "said"),
    [
        (16, 0, "I;16B"),
        (16, 2, "RGB;16B"),
        (16, 6, "RGBA;16B"),
        (8, 6, "RGBA"),
        (8, 4, "LA"),
        (8, 3, "P"),
        (4, 0, "L;4"),
        (1, 0, "1"),
    ],
)
def test_image_of_other_pixels(tmp_path, depth, colour, said):
    path = png(tmp_path / "image.png", depth, colour, [[0, 5] * 12], PALETTE)
    with pytest.raises(
        UserError, match=rf"image\.png holds {said} pixels, but an image has 8 bits of red, green"
    ):
        read_image(path)


def test_image_of_inks(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "image.jpg")
    with pytest.raises(UserError, match=r"image\.jpg holds CMYK(;I)? pixels"):
        read_image(tmp_path / "image.jpg")


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_image_that_is_to_be_turned(tmp_path, format):
    path, picture = tmp_path / "image", Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3))
    for orientation in range(10):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        picture.save(path, format, exif=exif)
        if orientation in (0, 1, 9):  # as it is, and no orientation at all
            assert read_image(path).shape == (3, 4, 3)
            continue
        with pytest.raises(UserError, match=f"image has the EXIF orientation {orientation}, but"):
            read_image(path)
    picture.save(path, format, exif=b"Exif\0\0II*\0\x08\0\0\0\x05")
    assert read_image(path).shape == (3, 4, 3)


def test_image_of_another_format(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "image.png", "BMP")
    with pytest.raises(UserError, match=r"image\.png is truncated or is not a PNG or JPEG file"):
        read_image(tmp_path / "image.png")


def test_png_without_pixels(tmp_path):
    whole = png(tmp_path / "image.png", 8, 0, [[0, 1]]).read_bytes()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[: whole.index(b"IDAT") - 4] + whole[whole.index(b"IEND") - 4 :])
    for read in (read_image, reader("camvid").read_label):
        with pytest.raises(UserError, match=r"cut\.png is truncated or is not a PNG"):
            read(path)


def test_name_that_is_no_text(tmp_path):
    module = reader("camvid")
    write("camvid", tmp_path, "train", 1, *picture(11))
    for folder in ("train", "trainannot"):
        (path,) = (tmp_path / folder).iterdir()
        path.rename(path.with_name(os.fsdecode(b"caf\xe9.png")))
    with pytest.raises(
        UserError, match=r"train holds a file whose name is not UTF-8, 'caf.udce9\.png': rename it"
    ):
        module.index(tmp_path, "train")


def test_hidden_folder_beside_the_cities(tmp_path):
    write("cityscapes", tmp_path, "train", 1, *picture(19))
    for top in ("leftImg8bit", "gtFine"):
        shutil.copytree(tmp_path / top / "train/southtown", tmp_path / top / "train/.southtown")
    assert len(reader("cityscapes").index(tmp_path, "train")) == 1


def test_lookup():
    for name in ("os", "", "files", "../camvid"):
        with pytest.raises(UserError, match=f"sgr/data reads no dataset '{name}': use one of") as error:
            reader(name)
        assert str(error.value).endswith("use one of ade20k, camvid, cityscapes, coco, cocostuff10k")
