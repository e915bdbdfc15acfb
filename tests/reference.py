"""Slow references for the mathematics, in float64 and in loops, written from the paper's formulas.

Nothing here shares code with `sgr`. Sizes are those of a test, so that a loop over pixels, concepts and
components can be read beside the equation it spells out.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
EDGE = 1e-6  # of a union of regions: probabilities this close to 0 or 1 count as such (docs/paper.md)


class Reasoned(NamedTuple):
    """Features (C,H,W), concept logits (K,H,W) and tokens (K,D) of one image."""

    features: Array
    logits: Array
    tokens: Array


def position_embedding(position: float, width: int) -> Array:
    """PE_pos: sines of all frequencies 10000^(-2i/width), then their cosines; (width,)."""
    angles = [position / 10_000 ** (2 * i / width) for i in range(math.ceil(width / 2))]
    return np.array(([math.sin(a) for a in angles] + [math.cos(a) for a in angles])[:width])


def position_aware(x: Array, xy_embedding: bool = True) -> Array:
    """Eq. 1, X' of one image, the two halves stacked: (C,H,W) -> (2C,H,W). Cells count from 1 as in Eq. 4."""
    C, H, W = x.shape
    out = np.zeros((2 * C, H, W))
    for h, w in np.ndindex(H, W):
        along_x = position_embedding(w + 1, C) if xy_embedding else 0
        along_y = position_embedding(h + 1, C) if xy_embedding else 0
        out[:, h, w] = np.concatenate([x[:, h, w] + along_x, x[:, h, w] + along_y])
    return out


def convolve(x: Array, weight: Array, bias: Array | None) -> Array:
    """1x1 convolution: (C,H,W), (O,C,1,1), (O,) -> (O,H,W)."""
    out = np.zeros((len(weight), *x.shape[1:]))
    for o, h, w in np.ndindex(*out.shape):
        out[o, h, w] = sum(weight[o, c, 0, 0] * x[c, h, w] for c in range(len(x)))
        if bias is not None:
            out[o, h, w] += bias[o]
    return out


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def centroid(region: Array) -> tuple[float, float]:
    """Eq. 4: (H,W) -> x and y, cells counted from 1; a vanished region is at 0."""
    x: Any = 0.0
    y: Any = 0.0
    area: Any = 0.0
    for h, w in np.ndindex(*region.shape):
        x, y, area = x + (w + 1) * region[h, w], y + (h + 1) * region[h, w], area + region[h, w]
    return x / max(area, EDGE), y / max(area, EDGE)


def transformer(tokens: Array, p: dict[str, Array], layers: int, heads: int) -> Array:
    """Encoder of Vaswani et al. (2017), section 3: (K,D) -> (K,D), p as nn.TransformerEncoder names it."""
    for layer in range(layers):
        q = {
            name[len(f"layers.{layer}.") :]: v for name, v in p.items() if name.startswith(f"layers.{layer}.")
        }
        attended = attention(tokens, q, heads)
        tokens = layer_norm(tokens + attended, q["norm1.weight"], q["norm1.bias"])
        hidden = np.maximum(tokens @ q["linear1.weight"].T + q["linear1.bias"], 0)
        tokens = tokens + hidden @ q["linear2.weight"].T + q["linear2.bias"]
        tokens = layer_norm(tokens, q["norm2.weight"], q["norm2.bias"])
    return tokens


def attention(tokens: Array, p: dict[str, Array], heads: int) -> Array:
    """Multi-head self-attention, one head and one query at a time."""
    K, D = tokens.shape
    width = D // heads
    queries, keys, values = np.split(
        tokens @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"], 3, axis=1
    )
    joined = np.zeros((K, D))
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for k in range(K):
            scores = keys[:, part] @ queries[k, part] / math.sqrt(width)
            weights = np.exp(scores - scores.max())
            joined[k, part] = weights / weights.sum() @ values[:, part]
    return np.asarray(joined @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"])


def layer_norm(tokens: Array, weight: Array, bias: Array) -> Array:
    """Normalise each token over its channels."""
    mean, variance = tokens.mean(1, keepdims=True), tokens.var(1, keepdims=True)
    return np.asarray((tokens - mean) / np.sqrt(variance + 1e-5) * weight + bias)


def graph(tokens: Array, p: dict[str, Array]) -> Array:
    """ReLU((I - A) T W) with a bias of the diffusion, GloRe's Eq. 2: (K,D) -> (K,D)."""
    K, D = tokens.shape
    diffused = np.zeros((K, D))
    for k, d in np.ndindex(K, D):
        diffused[k, d] = (
            sum(p["adjacency.weight"][k, j] * tokens[j, d] for j in range(K)) + p["adjacency.bias"][k]
        )
    return np.asarray(np.maximum((tokens - diffused) @ p["update.weight"].T, 0))


def sgr(
    x: Array,
    p: dict[str, Array],
    *,
    reasoning: str = "transformer",
    layers: int = 2,
    heads: int = 8,
    xy_embedding: bool = True,
    centroid_embedding: bool = True,
    token_normalization: str = "area",
) -> Reasoned:
    """Eq. 1-4 and section 3.2 for one image (C,H,W); p holds the parameters of a `sgr.SGR` by name."""
    _, H, W = x.shape
    stacked = position_aware(x, xy_embedding)  # Eq. 1
    logits = convolve(stacked, p["concepts.weight"], p["concepts.bias"])
    P = sigmoid(logits)  # Eq. 2
    reduced = convolve(stacked, p["reduce.weight"], p["reduce.bias"])
    K, D = len(P), len(reduced)
    tokens = np.zeros((K, D))
    for k in range(K):
        for h, w in np.ndindex(H, W):
            tokens[k] += P[k, h, w] * reduced[:, h, w]  # Eq. 3
        if token_normalization == "area":
            tokens[k] /= max(P[k].sum(), EDGE)
        if centroid_embedding:
            at_x, at_y = centroid(P[k])  # Eq. 4
            tokens[k] += np.concatenate(
                [position_embedding(at_x, math.ceil(D / 2)), position_embedding(at_y, D // 2)]
            )
    inner = {name.removeprefix("reason."): v for name, v in p.items() if name.startswith("reason.")}
    if reasoning == "transformer":
        tokens = transformer(tokens, inner, layers, heads)
    else:
        for layer in range(layers):
            tokens = graph(tokens, {n[2:]: v for n, v in inner.items() if n.startswith(f"{layer}.")})
    mapped = np.zeros((D, H, W))
    for h, w in np.ndindex(H, W):
        mapped[:, h, w] = sum(P[k, h, w] * tokens[k] for k in range(K))
        if token_normalization == "area":
            mapped[:, h, w] /= max(P[:, h, w].sum(), EDGE)
    return Reasoned(x + convolve(mapped, p["expand.weight"], None), logits, tokens)


def glore(x: Array, p: dict[str, Array], training: bool = False) -> tuple[Array, Array, Array]:
    """GloRe for a batch (B,C,H,W), of whose batch the normalisation takes its statistics in training."""
    B, C, H, W = x.shape
    signed, states, branch = [], [], np.zeros((B, C, H, W))
    for b in range(B):
        weights = convolve(x[b], p["project.weight"], p["project.bias"])
        reduced = convolve(x[b], p["state.weight"], p["state.bias"])
        nodes = np.zeros((len(weights), len(reduced)))
        for k in range(len(weights)):
            for h, w in np.ndindex(H, W):
                nodes[k] += weights[k, h, w] * reduced[:, h, w] / (H * W)
        nodes = graph(nodes, {n.removeprefix("reason."): v for n, v in p.items() if n.startswith("reason.")})
        mapped = np.zeros((nodes.shape[1], H, W))
        for h, w in np.ndindex(H, W):
            mapped[:, h, w] = sum(weights[k, h, w] * nodes[k] for k in range(len(nodes)))
        branch[b] = convolve(mapped, p["expand.weight"], None)
        signed.append(weights)
        states.append(nodes)
    for c in range(C):
        mean = branch[:, c].mean() if training else p["norm.running_mean"][c]
        variance = branch[:, c].var() if training else p["norm.running_var"][c]
        branch[:, c] = (branch[:, c] - mean) / math.sqrt(variance + 1e-4) * p["norm.weight"][c] + p[
            "norm.bias"
        ][c]
    return x + branch, np.array(signed), np.array(states)


def focal(
    p: Array,
    mask: Array,
    alpha: float = 0.25,
    gamma: float = 2.0,
    edge: float = 0.0,
    log_off: Array | None = None,
) -> float:
    """RetinaNet's focal loss of the probabilities p against a binary mask, (N,) both, a mean over cells.

    log_off is log(1 - p) where it is known better than from p.
    """
    total = 0.0
    for n, inside in enumerate(mask):
        if inside:
            total -= alpha * (1 - p[n]) ** gamma * math.log(max(p[n], edge))
        else:
            off = math.log(max(1 - p[n], edge)) if log_off is None else log_off[n]
            total -= (1 - alpha) * p[n] ** gamma * off
    return total / len(p)


def dice(p: Array, mask: Array) -> float:
    """1 - (2 sum(pm) + 1) / (sum p + sum m + 1)."""
    return float(1 - (2 * sum(p * mask) + 1) / (sum(p) + sum(mask) + 1))


def cost(logits: Array, masks: Array, rho: float = 1.0, alpha: float = 0.25, gamma: float = 2.0) -> Array:
    """Eq. 5, pair by pair: logits (K,N), masks (C,N) -> (K,C)."""
    out = np.zeros((len(logits), len(masks)))
    for i, j in np.ndindex(*out.shape):
        p = sigmoid(logits[i])
        out[i, j] = focal(p, masks[j], alpha, gamma) + rho * dice(p, masks[j])
    return out


def match(costs: Array, L: int) -> Array:
    """Figure 3 by trying every assignment and sorting what is left: costs (K,C) -> (K,) component or -1."""
    K, C = costs.shape
    matched = np.full(K, -1)
    if C == 0:
        return matched
    assignments = itertools.permutations(range(K), C)
    best = min(assignments, key=lambda concepts: sum(costs[i, j] for j, i in enumerate(concepts)))
    for j, i in enumerate(best):
        matched[i] = j
    left = sorted((min(costs[i]), i) for i in range(K) if i not in best)
    for _, i in left[: L - C]:
        matched[i] = int(np.argmin(costs[i]))
    return matched


def components_at(components: Array, h: int, w: int, L: int) -> Array:
    """Masks of the L largest components by nearest cell, largest first: (H,W) -> (C, h*w)."""
    H, W = components.shape
    small = np.zeros((h, w), dtype=int)
    for y, x in np.ndindex(h, w):
        small[y, x] = components[math.floor((y + 0.5) * H / h), math.floor((x + 0.5) * W / w)]
    ids = [i for i in np.unique(small) if i > 0]
    ids.sort(key=lambda i: (-int((small == i).sum()), i))
    return np.array([(small == i).ravel() for i in ids[:L]]).reshape(-1, h * w)


def cosine(a: Array, b: Array) -> float:
    """Cosine of two flattened regions; 0 where one vanished."""
    norms = math.sqrt(sum(a * a)) * math.sqrt(sum(b * b))
    return float(sum(a * b)) / norms if norms > 0 else 0.0


def concept_terms(
    logits: Array,
    components: Array,
    L: int,
    *,
    rho: float = 1.0,
    alpha: float = 0.25,
    gamma: float = 2.0,
    union: str = "sum",
) -> dict[str, float]:
    """Terms of Eq. 6, means over the components or ordered pairs of a batch: (B,K,h,w), (B,H,W)."""
    focals, dices, cosines = [], [], []
    B, K, h, w = logits.shape
    for b in range(B):
        flat = logits[b].reshape(K, h * w)
        masks = components_at(components[b], h, w, L)
        matched = match(cost(flat, masks, rho, alpha, gamma), L)
        regions = sigmoid(flat)
        for j, mask in enumerate(masks):
            own = [i for i in range(K) if matched[i] == j]
            if union == "sum":
                joined, log_off = np.minimum(np.sum([regions[i] for i in own], axis=0), 1), None
            else:  # 1 - prod (1 - p), and log (1 - p) = -log (1 + exp x)
                joined = 1 - np.prod([1 - regions[i] for i in own], axis=0)
                log_off = -np.sum([np.logaddexp(0, flat[i]) for i in own], axis=0)
            focals.append(focal(joined, mask, alpha, gamma, EDGE, log_off))
            dices.append(dice(joined, mask))
            cosines += [cosine(regions[i], regions[k]) for i in own for k in own if i != k]
    terms = {"focal": focals, "dice": dices, "cosine": cosines}
    return {name: sum(values) / max(len(values), 1) for name, values in terms.items()}


def semantics(regions: Array, labels: Array, bins: int, ignore_index: int = 255) -> tuple[float, float]:
    """Section 4 for one image: (K,h,w), (H,W) -> S in base 10, D as variance summed over bins."""
    K, h, w = regions.shape
    H, W = labels.shape
    pixels_of = np.zeros((h, w))
    for y, x in np.ndindex(H, W):
        pixels_of[y * h // H, x * w // W] += 1
    histograms = []
    for k in range(K):
        histogram = [0.0] * bins
        for y, x in np.ndindex(H, W):
            cell = (y * h // H, x * w // W)
            if labels[y, x] != ignore_index:
                histogram[labels[y, x]] += regions[k][cell] / pixels_of[cell]
        histograms.append(histogram)
    return _entropy_and_variance(histograms, bins)


def mask_semantics(regions: Array, masks: Array) -> tuple[float, float]:
    """The same with masks (M,H,W) for bins: each pixel votes for every mask that it is in."""
    K, h, w = regions.shape
    M, H, W = masks.shape
    pixels_of = np.zeros((h, w))
    for y, x in np.ndindex(H, W):
        pixels_of[y * h // H, x * w // W] += 1
    histograms = []
    for k in range(K):
        histogram = [0.0] * M
        for m, y, x in np.ndindex(M, H, W):
            cell = (y * h // H, x * w // W)
            if masks[m, y, x]:
                histogram[m] += regions[k][cell] / pixels_of[cell]
        histograms.append(histogram)
    return _entropy_and_variance(histograms, M)


def _entropy_and_variance(votes: list[list[float]], bins: int) -> tuple[float, float]:
    histograms = [[v / sum(histogram) for v in histogram] for histogram in votes if sum(histogram) > 0]
    if not histograms:
        return math.nan, math.nan
    entropies = [-sum(v * math.log10(v) for v in histogram if v > 0) for histogram in histograms]
    spread = 0.0
    for m in range(bins):
        column = [histogram[m] for histogram in histograms]
        mean = sum(column) / len(column)
        spread += sum((v - mean) ** 2 for v in column) / len(column)
    return sum(entropies) / len(entropies), spread
