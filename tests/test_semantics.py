"""Semantics S and diversity D of section 4, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sgr.semantics import label_shares, token_semantics
from tests import reference


def maps(
    B: int, K: int, size: tuple[int, int], image: tuple[int, int], bins: int = 4
) -> tuple[Tensor, Tensor]:
    """Random regions, and labels of which a fifth is ignored."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, bins, (B, *image), generator=generator)
    ignored = torch.rand(labels.shape, generator=generator) < 0.2
    return torch.rand(B, K, *size, generator=generator, dtype=torch.float64), labels.masked_fill(ignored, 255)


@pytest.mark.parametrize(
    "size, image",
    [
        ((3, 4), (9, 12)),
        ((3, 4), (10, 13)),
        ((1, 5), (7, 5)),
        ((5, 1), (5, 9)),
        ((1, 1), (1, 1)),
        ((6, 5), (4, 3)),
    ],
)
def test_section_4(size: tuple[int, int], image: tuple[int, int]) -> None:
    regions, labels = maps(2, 3, size, image)
    measured = token_semantics(regions, labels, 4)
    for b in range(2):
        expected = reference.semantics(regions[b].numpy(), labels[b].numpy(), 4)
        ours = [measured.semantics[b].item(), measured.diversity[b].item()]
        np.testing.assert_allclose(ours, expected, atol=1e-8, equal_nan=True)


def test_regions_all_zero_are_left_out() -> None:
    regions, labels = maps(1, 4, (3, 3), (9, 9))
    regions[:, 1] = 0
    measured = token_semantics(regions, labels, 4)
    expected = reference.semantics(regions[0].numpy(), labels[0].numpy(), 4)
    np.testing.assert_allclose([m.item() for m in measured], expected, atol=1e-8)
    torch.testing.assert_close(measured, token_semantics(regions[:, [0, 2, 3]], labels, 4))


def test_entropy_by_hand() -> None:
    """Over two classes in equal parts log 2, over a single class none, in base 10."""
    labels = torch.tensor([[[0, 1]]])
    both, one = torch.tensor([[[[1.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert token_semantics(both, labels, 2).semantics.item() == pytest.approx(math.log10(2))
    assert token_semantics(one, labels, 2).semantics.item() == 0
    assert token_semantics(torch.cat([both, one], 1), labels, 2).semantics.item() == pytest.approx(
        math.log10(2) / 2
    )


def test_diversity_by_hand() -> None:
    """Two tokens of one class each: variance 1/4 in both bins. Equal tokens: none."""
    labels = torch.tensor([[[0, 1]]])
    apart = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    assert token_semantics(apart, labels, 2).diversity.item() == pytest.approx(0.5)
    assert token_semantics(torch.ones(1, 2, 1, 2), labels, 2).diversity.item() == 0


def test_base_10_is_the_label_entropy_of_the_image() -> None:
    """Tokens that see everything alike have the entropy of the image's own labels, and no diversity."""
    _, labels = maps(1, 1, (1, 1), (12, 12))
    shares = np.bincount(labels[labels < 255].numpy(), minlength=4) / (labels < 255).sum().item()
    measured = token_semantics(torch.ones(1, 5, 1, 1), labels, 4)
    assert measured.semantics.item() == pytest.approx(-(shares * np.log10(shares)).sum())
    assert measured.diversity.item() == pytest.approx(0, abs=1e-12)


def test_image_without_labels() -> None:
    regions, labels = maps(2, 3, (2, 2), (4, 4))
    labels[1] = 255
    measured = token_semantics(regions, labels, 4)
    assert measured.semantics.isnan().tolist() == measured.diversity.isnan().tolist() == [False, True]


def test_image_of_one_class() -> None:
    regions, labels = maps(1, 3, (2, 2), (4, 4))
    measured = token_semantics(regions, labels.clamp_max(0), 4)
    assert measured.semantics.item() == measured.diversity.item() == 0


def test_size_of_a_region_does_not_matter() -> None:
    regions, labels = maps(2, 3, (2, 2), (5, 5))
    scaled = regions * torch.tensor([1e-3, 1.0, 70.0])[:, None, None]
    for ours, theirs in zip(
        token_semantics(scaled, labels, 4), token_semantics(regions, labels, 4), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_batched_equals_one_by_one() -> None:
    regions, labels = maps(3, 4, (3, 4), (10, 13))
    together = token_semantics(regions, labels, 4)
    for b in range(3):
        alone = token_semantics(regions[b : b + 1], labels[b : b + 1], 4)
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[b : b + 1], theirs, rtol=1e-12, atol=1e-12)


def test_order_of_tokens_and_numbers_of_bins_are_free() -> None:
    regions, labels = maps(1, 4, (3, 4), (10, 13))
    renumbered = torch.where(labels == 255, 255, torch.tensor([2, 3, 0, 1])[labels.clamp_max(3)])
    measured = token_semantics(regions[:, [3, 1, 0, 2]], renumbered, 9)
    for ours, theirs in zip(measured, token_semantics(regions, labels, 4), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_mirrored_images() -> None:
    regions, labels = maps(1, 4, (3, 4), (9, 12))
    for ours, theirs in zip(
        token_semantics(regions.flip(3), labels.flip(2), 4), token_semantics(regions, labels, 4), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_shares_of_a_cell() -> None:
    """Unlabelled pixels weaken a cell's vote: 1 of 4 pixels has label 0, 2 have label 1."""
    shares = label_shares(torch.tensor([[[0, 1], [1, 255]]]), 2, (1, 1))
    assert shares.tolist() == [[[0.25, 0.5]]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_integer_types(dtype: torch.dtype) -> None:
    regions, labels = maps(1, 3, (2, 2), (4, 4))
    expected = token_semantics(regions, labels, 300)
    for ours, theirs in zip(token_semantics(regions, labels.to(dtype), 300), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_more_bins_than_an_unsigned_byte() -> None:
    """256 instances in a uint8 map, and an ignored label that it cannot hold."""
    labels = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    measured = token_semantics(torch.ones(1, 1, 1, 3), labels, 256, ignore_index=-1)
    assert measured.semantics.item() == pytest.approx(math.log10(3))


def test_bfloat16_regions() -> None:
    regions, labels = maps(2, 3, (3, 4), (9, 12))
    rounded = token_semantics(regions.bfloat16(), labels, 4)
    assert rounded.semantics.dtype == torch.float64
    torch.testing.assert_close(
        rounded.semantics, token_semantics(regions, labels, 4).semantics, atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("label", [4, 254, -1])
def test_label_outside_the_bins(label: int) -> None:
    with pytest.raises(ValueError, match="below 4"):
        token_semantics(torch.ones(1, 1, 1, 2), torch.tensor([[[0, label]]]), 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    regions, labels = maps(2, 3, (3, 4), (10, 13))
    for ours, theirs in zip(
        token_semantics(regions.cuda(), labels.cuda(), 4), token_semantics(regions, labels, 4), strict=True
    ):
        torch.testing.assert_close(ours.cpu(), theirs)
