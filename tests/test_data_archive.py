"""The component archive: deterministic bytes, exact maps, and readers in several processes."""

from __future__ import annotations

import multiprocessing
import pickle
import zipfile

import numpy as np
import pytest

from sgr.connected import connected_components
from sgr.data import component_archive as archive
from sgr.data import dataset, manifest
from sgr.data.component_extraction import extract
from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.generated.generate import generate


def maps(count=4):
    rng = np.random.default_rng(0)
    return [(f"sample_{number}", rng.integers(0, 200, (30, 40 + number))) for number in range(count)]


def test_maps_survive_and_bytes_repeat(tmp_path):
    archive.write(tmp_path / "one.zip", iter(maps()))
    archive.write(tmp_path / "two.zip", iter(maps()))
    assert sha256_file(tmp_path / "one.zip") == sha256_file(tmp_path / "two.zip")
    reader = archive.ComponentArchive(tmp_path / "one.zip")
    for name, components in reversed(maps()):
        found = reader.read(name)
        assert found.dtype == np.int16
        assert np.array_equal(found, components)
    with zipfile.ZipFile(tmp_path / "one.zip") as stored:
        assert {(entry.compress_type, entry.date_time[0]) for entry in stored.infolist()} == {(0, 1980)}


@pytest.mark.parametrize("largest", [0, 1, 255, 256, 300, 32767])
def test_eight_and_sixteen_bits(tmp_path, largest):
    components = np.zeros((5, 6), dtype=np.int32)
    components[1, 2] = largest
    archive.write(tmp_path / "a.zip", [("x", components)])
    assert np.array_equal(archive.ComponentArchive(tmp_path / "a.zip").read("x"), components)


def test_nothing_half_written(tmp_path):
    def broken():
        yield maps()[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        archive.write(tmp_path / "a.zip", broken())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="ascending"):
        archive.write(tmp_path / "a.zip", reversed(maps()))
    with pytest.raises(ValueError, match="32768 components"):
        archive.write(tmp_path / "a.zip", [("x", np.array([[32768]]))])


def test_mistakes_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"no component archive .*a\.zip: run the stage components"):
        archive.ComponentArchive(tmp_path / "a.zip")
    archive.write(tmp_path / "a.zip", maps())
    with pytest.raises(UserError, match=r"a\.zip has no components of other"):
        archive.ComponentArchive(tmp_path / "a.zip").read("other")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[200:400] = bytes(200)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"b\.zip is damaged at sample_0"):
        archive.ComponentArchive(tmp_path / "b.zip").read("sample_0")
    (tmp_path / "c.zip").write_bytes(data[:300])
    with pytest.raises(UserError, match=r"c\.zip is damaged"):
        archive.ComponentArchive(tmp_path / "c.zip").read("sample_0")


def read_all(reader, rounds=20):
    return [reader.read(name).sum() for _ in range(rounds) for name, _ in maps()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_reader(tmp_path, method):
    archive.write(tmp_path / "a.zip", maps())
    reader = archive.ComponentArchive(tmp_path / "a.zip")
    expected = read_all(reader)  # opened before the workers start
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_all, [reader] * 4) == [expected] * 4
    assert pickle.loads(pickle.dumps(reader)).read("sample_1").shape == (30, 41)


def test_build_holds_the_components_of_every_training_label(tmp_path):
    counts = {"train": 4, "val": 1}
    generate("ade20k", tmp_path / "ade20k", counts, (48, 48), seed=0)
    made, module = manifest.make(tmp_path / "ade20k", "ade20k"), dataset("ade20k")
    for name in ("one", "two"):
        extract(tmp_path / "ade20k", made, "train", tmp_path / f"{name}.zip", 3, 0.1)
    assert sha256_file(tmp_path / "one.zip") == sha256_file(tmp_path / "two.zip")
    reader = archive.ComponentArchive(tmp_path / "one.zip")
    for sample in module.index(tmp_path / "ade20k", "train"):
        expected = connected_components(module.read_label(sample.label), opening=3, min_share=0.1)
        assert np.array_equal(reader.read(sample.id), expected)
