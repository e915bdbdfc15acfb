"""Connected components against a slow loop over the classes with scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from sgr.connected import connected_components
from sgr.errors import UserError
from sgr.generated import scenes


def slow_components(labels, ignore_index=255, opening=3, min_share=0.05):
    masks = []
    for value in np.unique(labels[labels != ignore_index]):
        mask = labels == value
        if opening > 1:
            mask = ndimage.binary_opening(mask, np.ones((opening, opening)))
        numbered, count = ndimage.label(mask, np.ones((3, 3)))
        masks += [numbered == number for number in range(1, count + 1)]
    masks.sort(key=lambda mask: (-mask.sum(), np.flatnonzero(mask)[0]))
    result = np.zeros(labels.shape, dtype=np.int32)
    kept = [mask for mask in masks if mask.sum() >= min_share * masks[0].sum()]
    for number, mask in enumerate(kept, start=1):
        result[mask] = number
    return result


@pytest.mark.parametrize("opening", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("min_share", [0.0, 0.05, 0.5])
def test_equals_the_slow_loop_on_random_blobs(opening, min_share):
    rng = np.random.default_rng(opening)
    for blob in (1, 2, 3, 4):
        for _ in range(8):
            cells = rng.choice([0, 1, 2, 255], rng.integers(1, 12, 2)).astype(np.uint8)
            labels = np.kron(cells, np.ones((blob, blob), dtype=np.uint8))
            found = connected_components(labels, opening=opening, min_share=min_share)
            assert np.array_equal(found, slow_components(labels, 255, opening, min_share))


def test_equals_the_slow_loop_on_scenes():
    for seed in range(6):
        labels = scenes.scene(np.random.default_rng(seed), (97, 131))[1]
        found = connected_components(labels)
        assert np.array_equal(found, slow_components(labels))
        assert found.max() > 2


def test_a_map_worked_by_hand():
    labels = np.array(
        [
            [0, 0, 0, 7, 1],
            [0, 0, 0, 1, 7],
            [0, 0, 0, 7, 7],
        ]
    )
    # Areas 9 (class 0), 4 (class 7: the corners touch) and 2 (class 1, by its corner); 2 < 0.3 * 9.
    expected = [[1, 1, 1, 2, 3], [1, 1, 1, 3, 2], [1, 1, 1, 2, 2]]
    assert connected_components(labels, opening=0, min_share=0.0).tolist() == expected
    expected = [[1, 1, 1, 2, 0], [1, 1, 1, 0, 2], [1, 1, 1, 2, 2]]
    assert connected_components(labels, opening=0, min_share=0.3).tolist() == expected
    assert connected_components(labels).tolist() == [[1, 1, 1, 0, 0]] * 3


def test_equal_areas_come_in_raster_order():
    labels = np.full((12, 12), 255, dtype=np.uint8)
    labels[8:11, 0:3], labels[1:4, 8:11], labels[0:3, 1:4] = 2, 1, 3
    found = connected_components(labels)
    assert (found[1, 2], found[2, 9], found[9, 1]) == (1, 2, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (3, 3), (0, 4)])
@pytest.mark.parametrize("value", [0, 5, 255])
def test_tiny_and_ignored_maps(size, value):
    labels = np.full(size, value, dtype=np.uint8)
    whole = value != 255 and min(size) >= 3
    assert np.array_equal(connected_components(labels), np.full(size, int(whole)))
    assert np.array_equal(connected_components(labels, opening=0), np.full(size, int(value != 255)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64])
def test_any_integer_type_and_ignore_index(dtype):
    labels = np.kron(np.random.default_rng(0).choice([0, 1, 9], (6, 7)), np.ones((4, 4))).astype(dtype)
    found = connected_components(labels, ignore_index=9)
    assert found.dtype == np.int32
    assert np.array_equal(found, slow_components(labels, ignore_index=9))
    labels[labels == 0] = 127 if dtype == np.int16 else 255
    assert np.array_equal(
        connected_components(labels, ignore_index=9), slow_components(labels, ignore_index=9)
    )


def test_a_batch_is_its_images_and_a_tensor_stays_one():
    labels = np.stack([scenes.scene(np.random.default_rng(seed), (40, 50))[1] for seed in range(3)])
    batch = connected_components(labels)
    assert np.array_equal(batch, np.stack([connected_components(one) for one in labels]))
    for tensor in (torch.from_numpy(labels), torch.from_numpy(labels).long()):
        found = connected_components(tensor)
        assert found.dtype == torch.int64
        assert torch.equal(found, torch.from_numpy(batch).long())
    assert connected_components(labels[:0]).shape == (0, 40, 50)


def test_the_argument_is_not_changed():
    labels = np.random.default_rng(0).choice([0, 255], (20, 20)).astype(np.uint8)
    before = labels.copy()
    connected_components(labels)
    assert np.array_equal(labels, before)


def test_mistakes():
    labels = np.zeros((4, 4), dtype=np.uint8)
    with pytest.raises(UserError, match="opening is -1"):
        connected_components(labels, opening=-1)
    with pytest.raises(UserError, match=r"min_share is 1\.5"):
        connected_components(labels, min_share=1.5)
    with pytest.raises(ValueError, match="float32"):
        connected_components(labels.astype(np.float32))
