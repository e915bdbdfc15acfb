"""Augmentation: one geometry for image, labels and components, at every scale and size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sgr.data.augment import colour_matrix, training_crop


def coded(height, width):
    """An image whose pixels hold their label and component, in blocks of 16 so that scaling keeps them."""
    rows, columns = np.mgrid[:height, :width] // 16
    label = ((rows * 7 + columns * 3) % 16).astype(np.uint8)
    components = ((rows * 5 + columns) % 10).astype(np.int16)
    image = np.stack([label * 15, components * 25, np.full_like(label, 90)], axis=-1).astype(np.uint8)
    return image, label, components


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (0.5, 2.0)])
@pytest.mark.parametrize("size", [(64, 80), (97, 61), (200, 30)])
def test_image_labels_and_components_agree(scale, size):
    image, label, components = coded(*size)
    agreeing = total = 0
    for seed in range(12):
        crop = (48, 56)
        rng = np.random.default_rng(seed)
        x, y, c = training_crop(image, label, components, rng, crop, scale, fill=(1, 2, 3))
        assert x.shape == (*crop, 3)
        assert y.shape == c.shape == crop
        assert (x.dtype, y.dtype, c.dtype) == (np.uint8, np.uint8, np.int16)
        padded = y == 255
        assert np.array_equal(padded, (x == (1, 2, 3)).all(axis=-1))
        assert not c[padded].any()
        agree = (np.abs(x[..., 0] / 15 - y) < 0.4) & (np.abs(x[..., 1] / 25 - c) < 0.4)
        agreeing, total = agreeing + agree[~padded].sum(), total + (~padded).sum()
        # Label and component maps are sampled at the same pixels: only pairs of the source may occur.
        pairs = set(zip(label.ravel().tolist(), components.ravel().tolist(), strict=True))
        assert set(zip(y[~padded].tolist(), c[~padded].tolist(), strict=True)) <= pairs
    # All but the edges between blocks, where bilinear pixels are mixtures; they are most at half size.
    assert agreeing / total > (0.5 if scale[0] < 1 else 0.7)


def test_whole_image_at_scale_one_is_unchanged():
    image, label, components = coded(40, 48)
    rng = np.random.default_rng(0)
    x, y, c = training_crop(image, label, components, rng, (40, 48), (1.0, 1.0), flip=False)
    assert np.array_equal(x, image)
    assert np.array_equal(y, label)
    assert np.array_equal(c, components)


def test_a_window_equals_the_crop_of_the_resized_image():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (60, 70, 3)).astype(np.uint8)
    label = rng.integers(0, 19, (60, 70)).astype(np.uint8)
    for factor in (0.5, 2.0):
        size = (round(70 * factor), round(60 * factor))
        whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)).astype(int)
        whole_label = np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST))
        x, y, _ = training_crop(image, label, label, rng, (25, 30), (factor, factor), flip=False)
        matches = [
            (top, left)
            for top in range(size[1] - 24)
            for left in range(size[0] - 29)
            if np.array_equal(whole_label[top : top + 25, left : left + 30], y)
        ]
        assert len(matches) == 1
        top, left = matches[0]
        assert np.abs(whole[top : top + 25, left : left + 30] - x).max() <= 1


def test_flip_mirrors_all_three():
    image, label, components = coded(30, 41)
    seen = set()
    for seed in range(20):
        x, y, c = training_crop(image, label, components, np.random.default_rng(seed), (30, 41), (1.0, 1.0))
        mirrored = np.array_equal(x, image[:, ::-1])
        step = -1 if mirrored else 1
        assert np.array_equal(x, image[:, ::step])
        assert np.array_equal(y, label[:, ::step])
        assert np.array_equal(c, components[:, ::step])
        seen.add(mirrored)
    assert seen == {True, False}


def test_padding_and_flip_together():
    image, label, components = coded(16, 16)
    for seed in range(10):
        x, y, c = training_crop(image, label, components, np.random.default_rng(seed), (40, 50), (1.0, 1.0))
        rows, columns = np.nonzero(y != 255)
        box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        assert y[box].shape == (16, 16)
        assert any(
            np.array_equal(x[box], image[:, ::s]) and np.array_equal(c[box], components[:, ::s])
            for s in (1, -1)
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_tiny_images(size):
    image, label = np.full((*size, 3), 50, dtype=np.uint8), np.zeros(size, dtype=np.uint8)
    for seed in range(5):
        x, y, _ = training_crop(
            image, label, label, np.random.default_rng(seed), (32, 33), (0.1, 2.0), jitter=1.0
        )
        assert x.shape == (32, 33, 3)
        assert (y == 0).any()


def test_every_call_draws_the_same_number():
    states = set()
    for arguments in ({}, {"jitter": 1.0}, {"flip": False}, {"scale": (0.5, 0.5)}):
        rng = np.random.default_rng(0)
        training_crop(*coded(20, 20), rng, (16, 16), **arguments)
        states.add(rng.bit_generator.state["state"]["state"])
    assert len(states) == 1


def test_windows_reach_every_border():
    label = np.arange(20, dtype=np.uint8)[:, None] * np.ones((1, 20), dtype=np.uint8)
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    tops = {
        int(training_crop(image, label, label, np.random.default_rng(s), (15, 15), (1.0, 1.0))[1][0, 0])
        for s in range(80)
    }
    assert tops == {0, 1, 2, 3, 4, 5}


def test_colour_matrix():
    nothing = np.reshape(colour_matrix(1.0, np.full(8, 0.9)), (3, 4))
    assert np.allclose(nothing, np.eye(3, 4))
    only = lambda k, amount: np.where(np.arange(8) == k, 0.0, np.where(np.arange(8) == 4 + k, amount, 0.9))  # noqa: E731
    brighter = np.reshape(colour_matrix(1.0, only(0, 1.0)), (3, 4))
    assert np.allclose(brighter, np.column_stack([np.eye(3), [32] * 3]))
    stronger = np.reshape(colour_matrix(1.0, only(1, 1.0)), (3, 4))
    assert np.allclose(stronger, 1.5 * np.eye(3, 4))
    for kind in (2, 3):  # saturation and hue leave grey alone, and change colours
        matrix = np.reshape(colour_matrix(1.0, only(kind, 1.0)), (3, 4))
        assert np.allclose(matrix @ [100, 100, 100, 1], 100)
        assert not np.allclose(matrix @ [200, 100, 50, 1], [200, 100, 50])


def test_jitter_changes_the_image_only():
    image, label, components = coded(40, 40)
    plain = training_crop(image, label, components, np.random.default_rng(2), (32, 32))
    jittered = training_crop(image, label, components, np.random.default_rng(2), (32, 32), jitter=1.0)
    assert not np.array_equal(plain[0], jittered[0])
    assert np.array_equal(plain[1], jittered[1])
    assert np.array_equal(plain[2], jittered[2])
