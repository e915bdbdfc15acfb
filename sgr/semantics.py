"""Semantics S and diversity D of tokens: section 4 of the paper.

Dimensions: B images, K tokens, h x w cells, H x W pixels, N = h * w, M bins (classes or instances).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Semantics(NamedTuple):
    """Semantics (lower is better) and diversity (higher is better) of each image, (B,) float64 both."""

    semantics: Tensor
    diversity: Tensor


def token_semantics(regions: Tensor, labels: Tensor, bins: int, ignore_index: int = 255) -> Semantics:
    """Entropy and variance of the label histograms of the tokens.

    A cell votes for each label with the region's weight times the share of the cell's pixels that have the label;
    unlabelled pixels have no vote. The histogram of a token is normalised to sum 1; S is the mean over tokens of its
    entropy in base 10, D the variance over tokens summed over bins. A token without any vote is left out, and an image
    without any labelled pixel gives NaN: leave it out of the mean over images.

    Args:
        regions: (B, K, h, w) weights, not negative.
        labels: (B, H, W) integers below `bins`, or `ignore_index`.
        bins: M.
        ignore_index: the label of unlabelled pixels.

    Raises:
        ValueError: if a label is neither below `bins` nor `ignore_index`.
    """
    size = (regions.shape[2], regions.shape[3])
    return _of_votes(regions.double().flatten(2) @ label_shares(labels, bins, size, ignore_index))


def mask_semantics(regions: Tensor, masks: Tensor) -> Semantics:
    """The same with masks for bins, which may overlap: S_I and D_I of one image, whose bins are its instances.

    A cell votes for each mask with the region's weight times the share of the cell's pixels in the mask: a pixel of
    two instances votes for both, a pixel of none for nothing. An image without a mask gives NaN, and one with a single
    mask 0: there is nothing to confuse it with.

    Args:
        regions: (1, K, h, w) weights, not negative.
        masks: (M, H, W) bool.
    """
    return _of_votes(regions.double().flatten(2) @ mask_shares(masks, (regions.shape[2], regions.shape[3])))


def _of_votes(votes: Tensor) -> Semantics:
    """From the votes (B, K, M) of each token for each bin."""
    total = votes.sum(-1)  # (B, K)
    counts = total > 0
    histograms = votes / total.clamp_min(torch.finfo(torch.float64).tiny).unsqueeze(-1)
    tokens = counts.sum(1).double()  # 0 / 0 below is the NaN of an image without votes
    entropy = -torch.special.xlogy(histograms, histograms).sum(-1) / torch.log(histograms.new_tensor(10.0))
    mean = histograms.sum(1, keepdim=True) / tokens[:, None, None]
    spread = ((histograms - mean) ** 2).sum(-1) * counts
    return Semantics((entropy * counts).sum(1) / tokens, spread.sum(1) / tokens)


def label_shares(labels: Tensor, bins: int, size: tuple[int, int], ignore_index: int = 255) -> Tensor:
    """Share of each cell's pixels with each label: (B, N, M) float64; arguments as in `token_semantics`."""
    B, H, W = labels.shape
    h, w = size
    labels = labels.long()  # a uint8 map would wrap `bins` and `ignore_index`
    cell = cell_of_pixel((H, W), size, labels.device).expand(B, H, W)
    cell = cell + torch.arange(B, device=labels.device)[:, None, None] * (h * w)
    known = labels != ignore_index
    if bool((known & ((labels < 0) | (labels >= bins))).any()):
        raise ValueError(f"a label is neither below {bins} nor the ignored {ignore_index}")
    slot = torch.where(known, labels, bins)  # a last bin for unlabelled pixels, dropped below
    counts = torch.bincount((cell * (bins + 1) + slot).flatten(), minlength=B * h * w * (bins + 1))
    counts = counts.view(B, h * w, bins + 1).double()
    return counts[..., :bins] / counts.sum(-1, keepdim=True).clamp_min(1)


def mask_shares(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Share of each cell's pixels in each mask: (1, N, M) float64; masks (M, H, W) bool."""
    H, W = masks.shape[1:]
    cell, cells = cell_of_pixel((H, W), size, masks.device), size[0] * size[1]
    # one at a time: M x H x W may be large
    counts = [torch.bincount(cell[mask], minlength=cells) for mask in masks]
    pixels = torch.bincount(cell.flatten(), minlength=cells).double().clamp_min(1)
    inside = torch.stack(counts, 1) if counts else torch.zeros(cells, 0, device=masks.device)
    return (inside / pixels[:, None])[None].double()


def cell_of_pixel(image: tuple[int, int], size: tuple[int, int], device: torch.device) -> Tensor:
    """Number of the cell, of h x w, that each of the H x W pixels lies in: (H, W)."""
    (H, W), (h, w) = image, size
    rows = torch.div(torch.arange(H, device=device) * h, H, rounding_mode="floor")
    columns = torch.div(torch.arange(W, device=device) * w, W, rounding_mode="floor")
    return rows[:, None] * w + columns
