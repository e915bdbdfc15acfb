"""What a trained network makes of example images: predictions, tokens and votes, against the jobs' own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sgr.evaluation.explain import SIDE, TOKENS, explain, look, most_active
from sgr.evaluation.inference import single_and_multi_scale
from sgr.evaluation.semantics import image_regions
from sgr.evaluation.settings import Seen
from sgr.files import write_bytes
from sgr.models.network import build
from sgr.models.weights_file import packed
from sgr.semantics import token_semantics
from tests import networks

pytestmark = pytest.mark.usefixtures("on_the_cpu")
CLASSES = 5
SEEN = Seen(
    "camvid", networks.settings("fcn", "tiny_resnet", 8, networks.sgr(K=40), CLASSES, width=16), 1.0, False, 1
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write_bytes(tmp_path / "model.safetensors", packed(build(SEEN.network).state_dict()))
    return tmp_path / "model.safetensors"


def examples(count: int = 2) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Images of 60 x 72, which stride 8 pads to 64 x 72; a tenth of the labels is ignored."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (60, 72, 3), dtype=np.uint8) for _ in range(count)]
    labels = [random.integers(0, CLASSES, (60, 72), dtype=np.uint8) for _ in range(count)]
    for label in labels:
        label[:6] = 255
    return images, labels


def test_prediction_and_semantics_are_those_of_the_jobs(model: Path) -> None:
    images, labels = examples()
    found = explain(SEEN, model, 0, images, labels)
    torch.manual_seed(0)
    network = build(SEEN.network).eval()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        single, _ = single_and_multi_scale(network, batch, (60, 72), resize=1.0, scales=(1.0,), flip=False)
        np.testing.assert_array_equal(found[f"prediction_{number}"], single[0].numpy())
        regions, covers = image_regions(network, batch, 1.0)
        assert covers == (64, 72) == tuple(found[f"covers_{number}"])
        extended = np.pad(label, ((0, 4), (0, 0)), constant_values=255)
        expected = token_semantics(regions, torch.from_numpy(extended)[None], CLASSES)
        assert found[f"semantics_{number}"] == pytest.approx(expected.semantics.item(), abs=1e-6)
        assert found[f"diversity_{number}"] == pytest.approx(expected.diversity.item(), abs=1e-6)


def test_votes_are_the_shares_of_a_tokens_weight(model: Path) -> None:
    images, labels = examples(1)
    found = explain(SEEN, model, 0, images, labels)
    torch.manual_seed(0)
    network = build(SEEN.network).eval()
    regions, _ = image_regions(network, torch.from_numpy(images[0]).permute(2, 0, 1)[None], 1.0)
    weight = np.repeat(np.repeat(regions[0].numpy(), 8, 1), 8, 2)[:, :60]  # of each pixel
    for n, token in enumerate(found["tokens"]):
        votes = np.array([weight[token][labels[0] == one].sum() for one in range(CLASSES)])
        np.testing.assert_allclose(found["votes_0"][n], votes / votes.sum(), atol=1e-5)


def test_a_kept_map_is_of_its_token_and_ends_at_its_peak(model: Path) -> None:
    found = explain(SEEN, model, 0, *examples())
    assert found["tokens"].shape == (TOKENS,) == found["peaks"].shape
    assert len({*found["tokens"].tolist()}) == TOKENS
    both = np.stack([found["regions_0"], found["regions_1"]])
    assert both.dtype == np.uint8 and both.shape == (2, TOKENS, 8, 9)
    assert (both.max((0, 2, 3)) == 255).all()


def test_maps_of_large_images_are_kept_small(model: Path) -> None:
    network = build(SEEN.network).eval()
    image, label = (
        torch.zeros(1, 3, 400, 1040, dtype=torch.uint8),
        torch.zeros(1, 400, 1040, dtype=torch.uint8),
    )
    one = look(network, image, label, SEEN)
    assert one.regions.shape == (40, 25, SIDE)


def test_active_tokens_come_first_and_look_alikes_last() -> None:
    left, right = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    regions = torch.stack([0.5 * left, left, 0.1 * right, 0 * left, 0.9 * left])
    assert most_active([regions, regions]).tolist() == [1, 2, 4, 0, 3]


def test_an_image_without_labels_has_neither_S_nor_D(model: Path) -> None:
    images, labels = examples(1)
    found = explain(SEEN, model, 0, images, [np.full_like(labels[0], 255)])
    assert np.isnan(found["semantics_0"]) and np.isnan(found["diversity_0"])
    assert not found["votes_0"].any()
