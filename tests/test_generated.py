"""Generated data: the same bytes from one seed, whole or absent, with pairs that only context tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from sgr.connected import connected_components
from sgr.data import reader
from sgr.data.files import IGNORE
from sgr.datasets import describe, names
from sgr.download.manifest import make
from sgr.errors import UserError
from sgr.files import sha256_file, write_json
from sgr.generated import generate, painter, scenes


def tree_of(root):
    return {p.relative_to(root).as_posix(): sha256_file(p) for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", names())
def test_same_seed_same_bytes(name, tmp_path):
    counts = dict.fromkeys(describe(name).splits, 3)
    generate.generate(name, tmp_path / "one", counts, (48, 64), seed=5)
    generate.generate(name, tmp_path / "two", counts, (48, 64), seed=5)
    generate.generate(name, tmp_path / "other", counts, (48, 64), seed=6)
    assert tree_of(tmp_path / "one") == tree_of(tmp_path / "two")
    assert tree_of(tmp_path / "one") != tree_of(tmp_path / "other")
    made = make(tmp_path / "one", name)
    assert {split: len(entries) for split, entries in made["splits"].items()} == counts
    sizes = {tuple(entry["size"]) for entries in made["splits"].values() for entry in entries}
    if describe(name).varying_sizes:
        assert len(sizes) > 1
        assert all(48 <= height <= 60 and 64 <= width <= 80 for height, width in sizes)
    else:
        assert sizes == {(48, 64)}


# Of all generated files: content keys of every row of the profile mini start from such a manifest.
MANIFESTS = {
    "ade20k": "98087782bc4ca491",
    "camvid": "65157ae333527ae9",
    "cityscapes": "ecc975ddb4400644",
    "coco": "a2167ea0d3794ae8",
    "cocostuff10k": "663b7e9be60410cb",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_bytes_are_those_of_earlier_versions(name, tmp_path):
    counts = dict.fromkeys(describe(name).splits, 3)
    generate.generate(name, tmp_path / name, counts, (48, 64), seed=5)
    write_json(tmp_path / "manifest.json", make(tmp_path / name, name))
    assert sha256_file(tmp_path / "manifest.json")[:16] == MANIFESTS[name]


def test_a_scene_depends_on_its_own_number_only():
    first = generate.draw("camvid", (32, 32), 0, "train", 4)
    again = generate.draw("camvid", (32, 32), 0, "train", 4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (("train", 5), ("val", 4)):
        assert not np.array_equal(first[0], generate.draw("camvid", (32, 32), 0, *other)[0])


def test_written_labels_are_the_drawn_ones(tmp_path):
    generate.generate("cityscapes", tmp_path / "c", {"train": 2, "val": 1}, (40, 40), seed=0)
    for number, sample in enumerate(reader("cityscapes").index(tmp_path / "c", "train")):
        drawn = generate.draw("cityscapes", (40, 40), 0, "train", number)[1]
        assert np.array_equal(reader("cityscapes").read_label(sample.label), drawn)


def test_written_instances_are_the_drawn_ones_and_lie_on_things(tmp_path):
    module, size = reader("cityscapes"), (96, 96)
    classes = describe("cityscapes").classes
    ids = {classes.index(name): number for name, number in (("person", 24), ("car", 26), ("bus", 28))}
    generate.generate("cityscapes", tmp_path / "c", {"train": 6, "val": 1}, size, seed=0)
    touching = 0
    for sample in module.index(tmp_path / "c", "train"):
        number = int(sample.id.split("_")[1])
        _, label, drawn = generate.draw("cityscapes", size, 0, "train", number)
        found = module.read_instances(sample.label)
        things = np.isin(label, list(ids))
        assert np.array_equal(found > 0, things) and np.array_equal(drawn > 0, things)
        for instance in np.unique(drawn[things]):
            (of_class,) = np.unique(label[drawn == instance])
            (value,) = np.unique(found[drawn == instance])
            assert value // 1000 == ids[of_class]
            assert np.array_equal(found == value, drawn == instance)
        touching += np.any((drawn[:, 1:] != drawn[:, :-1]) & (label[:, 1:] == label[:, :-1]))
    assert touching > 0  # labels alone would not part these instances


@pytest.mark.parametrize("name", [name for name in names() if describe(name).label_maps])
def test_roles_have_classes_of_their_own(name):
    table = generate.class_of_role(name)
    assert len(set(table[: len(painter.ROLES)])) == len(painter.ROLES)
    assert set(table[len(painter.ROLES) :]) == {IGNORE}


def test_a_whole_folder_is_kept_and_another_replaced(tmp_path):
    root = tmp_path / "camvid"
    counts = {"train": 2, "val": 1, "test": 1}
    generate.generate("camvid", root, counts, (32, 32), seed=0)
    before = root.stat().st_ino
    generate.generate("camvid", root, counts, (32, 32), seed=0)
    assert root.stat().st_ino == before
    generate.generate("camvid", root, {**counts, "train": 1}, (32, 32), seed=0)
    assert len(reader("camvid").index(root, "train")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["camvid"]


def test_real_data_is_never_replaced(tmp_path):
    (tmp_path / "precious.png").write_bytes(b"real")
    with pytest.raises(UserError, match="holds files that were not generated"):
        generate.generate("camvid", tmp_path, {"train": 1}, (32, 32), seed=0)
    assert (tmp_path / "precious.png").read_bytes() == b"real"


def test_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        generate.generate("camvid", tmp_path / "camvid", {"train": 1}, (32, 32), seed=0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no split 'dev'"):
        generate.generate("camvid", tmp_path / "camvid", {"dev": 1}, (32, 32), seed=0)


@pytest.fixture(scope="module")
def drawn():
    return [scenes.scene(np.random.default_rng(seed), (96, 96))[:2] for seed in range(60)]


def test_scenes_hold_every_role_several_components_and_ignored_pixels(drawn):
    roles = [roles for _, roles in drawn]
    for role in range(len(painter.ROLES)):
        assert sum((one == role).any() for one in roles) >= 10, painter.ROLES[role]
    assert np.mean([connected_components(one).max() for one in roles]) > 4
    split = sum(len(np.unique(connected_components(np.where(one == 6, 0, 255))) - 1) > 2 for one in roles)
    assert split >= 5  # images with several cars apart
    assert 0 < np.mean([(one == 255).mean() for one in roles]) < 0.1


def test_lookalikes_are_alike_locally_and_others_are_not(drawn):
    """Mean and deviation of 5x5 patches tell sky from road, but not from water of the same image."""

    def separation(first, second):
        scores = []
        for image, roles in drawn:
            grey = image.astype(np.float64)
            patches = np.lib.stride_tricks.sliding_window_view(grey, (5, 5), axis=(0, 1))[::2, ::2]
            around = np.lib.stride_tricks.sliding_window_view(roles, (5, 5))[::2, ::2]
            pure = (around == around[..., :1, :1]).all(axis=(2, 3))
            features = np.concatenate([patches.mean(axis=(3, 4)), patches.std(axis=(3, 4))], axis=-1)
            a = features[pure & (around[..., 0, 0] == first)]
            b = features[pure & (around[..., 0, 0] == second)]
            if len(a) > 20 and len(b) > 20:
                spread = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2) + 1
                scores.append(np.max(np.abs(a.mean(axis=0) - b.mean(axis=0)) / spread))
        assert len(scores) > 5
        return float(np.median(scores))

    sky, water, road, tree = (painter.ROLES.index(name) for name in ("sky", "water", "road", "tree"))
    assert separation(sky, water) < 1
    assert separation(sky, road) > 2
    assert separation(sky, tree) > 2


def test_lookalikes_are_drawn_by_the_same_strokes():
    for first, second in scenes.LOOKALIKES:
        pair = painter.ROLES.index(first), painter.ROLES.index(second)
        assert np.array_equal(painter.TEXTURE[pair[0]], painter.TEXTURE[pair[1]])
    pictures = []
    for role in (painter.ROLES.index("car"), painter.ROLES.index("boat")):
        canvas = painter.Painter(np.random.default_rng(0), (64, 64))
        canvas.vehicle(role, 0.5, 0.7, 0.3)
        pictures.append((canvas.image(), canvas.roles() == role))
    assert all(np.array_equal(a, b) for a, b in zip(*pictures, strict=True))


def test_position_alone_does_not_tell_sky_from_water(drawn):
    top = [roles[0] for _, roles in drawn]
    sky, water = painter.ROLES.index("sky"), painter.ROLES.index("water")
    assert sum((row == sky).sum() for row in top) > 500
    assert sum((row == water).sum() for row in top) > 500
