"""Training items are a function of (seed, position), whoever loads them and in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sgr.data import manifest, reader
from sgr.data.component_archive import ComponentArchive
from sgr.data.component_extraction import extract
from sgr.data.files import read_image
from sgr.data.samples import EvaluationSamples
from sgr.data.training_samples import TrainingSamples
from sgr.download.manifest import make
from sgr.errors import UserError
from sgr.generated.generate import generate


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    module = reader("ade20k")
    generate("ade20k", root / "ade20k", {"train": 5, "val": 2}, (48, 56), seed=0)
    made = make(root / "ade20k", "ade20k")
    extract(root / "ade20k", made, "train", root / "components.zip")
    return module, manifest.samples(root / "ade20k", made, "train"), root / "components.zip"


def training(data, seed=0, length=23, components=True, **arguments):
    module, samples, path = data
    archive = ComponentArchive(path) if components else None
    return TrainingSamples(
        samples, module.read_label, archive, length=length, seed=seed, crop=(32, 40), jitter=0.5, **arguments
    )


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_shapes_and_types(data):
    dataset_ = training(data)
    assert len(dataset_) == 23
    item = dataset_[7]
    assert (item["image"].dtype, item["image"].shape) == (torch.uint8, (3, 32, 40))
    assert (item["label"].dtype, item["label"].shape) == (torch.uint8, (32, 40))
    assert (item["components"].dtype, item["components"].shape) == (torch.int16, (32, 40))
    assert any(dataset_[position]["components"].any() for position in range(5))
    assert not training(data, components=False)[7]["components"].any()
    with pytest.raises(IndexError):
        dataset_[23]


def test_an_item_does_not_depend_on_what_was_loaded_before(data):
    forward = [training(data)[position] for position in range(23)]
    one = training(data)
    for position in np.random.default_rng(0).permutation(23):
        assert equal(one[int(position)], forward[position])
    assert not equal(training(data, seed=1)[0], forward[0])
    assert equal(training(data, length=1000)[3], forward[3])


def test_components_do_not_change_the_augmentation(data):
    with_components, without = training(data), training(data, components=False)
    for position in range(8):
        assert torch.equal(with_components[position]["image"], without[position]["image"])
        assert torch.equal(with_components[position]["label"], without[position]["label"])


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(data, workers):
    here = list(DataLoader(training(data), batch_size=4, num_workers=0))
    there = list(DataLoader(training(data), batch_size=4, num_workers=workers))
    assert len(here) == len(there) == 6
    assert all(equal(a, b) for a, b in zip(here, there, strict=True))


def test_every_epoch_holds_every_sample_in_a_new_order(data):
    def orders_of(seed):
        order = training(data, seed=seed)._order
        return [[order.at(5 * epoch + slot)[0] for slot in range(5)] for epoch in range(6)]

    orders = orders_of(0)
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len({tuple(order) for order in orders}) > 3
    assert orders != orders_of(9)


def test_evaluation_gives_whole_images(data):
    module, samples, _ = data
    items = list(DataLoader(EvaluationSamples(samples, module.read_label), batch_size=1))
    assert [item["id"][0] for item in items] == [sample.id for sample in samples]
    for item, sample in zip(items, samples, strict=True):
        assert np.array_equal(item["image"][0].permute(1, 2, 0).numpy(), read_image(sample.image))
        assert np.array_equal(item["label"][0].numpy(), module.read_label(sample.label))


def test_mistakes(data):
    module, samples, path = data
    with pytest.raises(UserError, match="no training samples"):
        TrainingSamples([], module.read_label, None, length=1, seed=0, crop=(8, 8))
    crossed = [samples[0]._replace(label=sample.label) for sample in samples[1:]]
    with pytest.raises(UserError, match=r"has 59x52 pixels, but its label map .* has 56x57"):
        [EvaluationSamples(crossed, module.read_label)[i] for i in range(4)]
    renamed = [sample._replace(id="absent") for sample in samples]
    components = ComponentArchive(path)
    with pytest.raises(UserError, match="no components of absent"):
        TrainingSamples(renamed, module.read_label, components, length=1, seed=0, crop=(8, 8))[0]
