"""The archive of components: deterministic bytes, exact maps, and readers in several processes."""

from __future__ import annotations

import multiprocessing
import pickle
import zipfile

import numpy as np
import pytest

from sgr.connected import connected_components
from sgr.data import reader
from sgr.data.component_archive import ComponentArchive
from sgr.data.component_extraction import encode, extract, write
from sgr.download.manifest import make
from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.generated.generate import generate


def maps(count=4):
    rng = np.random.default_rng(0)
    return [(f"sample_{number}", rng.integers(0, 200, (30, 40 + number))) for number in range(count)]


def encoded(count=4):
    return [(name, encode(components)) for name, components in maps(count)]


def test_maps_survive_and_bytes_repeat(tmp_path):
    write(tmp_path / "one.zip", iter(encoded()))
    write(tmp_path / "two.zip", iter(encoded()))
    assert sha256_file(tmp_path / "one.zip") == sha256_file(tmp_path / "two.zip")
    archive = ComponentArchive(tmp_path / "one.zip")
    for name, components in reversed(maps()):
        found = archive.read(name)
        assert found.dtype == np.int16
        assert np.array_equal(found, components)
    with zipfile.ZipFile(tmp_path / "one.zip") as stored:
        assert {(entry.compress_type, entry.date_time[0]) for entry in stored.infolist()} == {(0, 1980)}


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 300, 32767])
def test_eight_and_sixteen_bits(tmp_path, largest):
    components = np.zeros((5, 6), dtype=np.int32)
    components[1, 2] = largest
    write(tmp_path / "a.zip", [("x", encode(components))])
    assert np.array_equal(ComponentArchive(tmp_path / "a.zip").read("x"), components)


def test_nothing_half_written(tmp_path):
    def broken():
        yield encoded()[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write(tmp_path / "a.zip", broken())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="ascending"):
        write(tmp_path / "a.zip", reversed(encoded()))
    with pytest.raises(ValueError, match="32768 components"):
        encode(np.array([[32768]]))


def test_mistakes_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"no component archive .*a\.zip: run the stage components"):
        ComponentArchive(tmp_path / "a.zip")
    write(tmp_path / "a.zip", encoded())
    with pytest.raises(UserError, match=r"a\.zip has no components of other"):
        ComponentArchive(tmp_path / "a.zip").read("other")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[200:400] = bytes(200)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"b\.zip is damaged at sample_0"):
        ComponentArchive(tmp_path / "b.zip").read("sample_0")
    (tmp_path / "c.zip").write_bytes(data[:300])
    with pytest.raises(UserError, match=r"c\.zip is damaged"):
        ComponentArchive(tmp_path / "c.zip").read("sample_0")


def read_all(archive, rounds=20):
    return [archive.read(name).sum() for _ in range(rounds) for name, _ in maps()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_reader(tmp_path, method):
    write(tmp_path / "a.zip", encoded())
    archive = ComponentArchive(tmp_path / "a.zip")
    expected = read_all(archive)  # opened before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_all, [archive] * 4) == [expected] * 4
    assert pickle.loads(pickle.dumps(archive)).read("sample_1").shape == (30, 41)


def test_build_holds_the_components_of_every_training_label(tmp_path):
    counts = {"train": 4, "val": 1}
    generate("ade20k", tmp_path / "ade20k", counts, (48, 48), seed=0)
    made, module = make(tmp_path / "ade20k", "ade20k"), reader("ade20k")
    for name in ("one", "two"):
        extract(tmp_path / "ade20k", made, "train", tmp_path / f"{name}.zip", 3, 0.1)
    assert sha256_file(tmp_path / "one.zip") == sha256_file(tmp_path / "two.zip")
    archive = ComponentArchive(tmp_path / "one.zip")
    for sample in module.index(tmp_path / "ade20k", "train"):
        expected = connected_components(module.read_label(sample.label), opening=3, min_share=0.1)
        assert np.array_equal(archive.read(sample.id), expected)
