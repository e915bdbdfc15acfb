"""Mask classification: equal to the library's models, void left out, targets of every kind, and both can learn."""

from __future__ import annotations

import re
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessor,
    ResNetConfig,
    SwinConfig,
)
from transformers.models.maskformer.configuration_maskformer import MaskFormerDetrConfig

from bench.overfit import miou_by_heart
from sgr.data.files import IGNORE
from sgr.errors import UserError
from sgr.models import build
from sgr.models.heads import mask2former, maskformer
from sgr.models.heads.queries import Answers, QueryHead, QueryPrediction, target
from sgr.models.network import Network, parameter_count, weighted_sum

FAMILIES = ("maskformer", "mask2former")
CLASSES, WIDTH, QUERIES, LAYERS, HEADS, POINTS = 6, 32, 8, 3, 4, 64
CHANNELS = [8, 16, 24, 40]
SIZES = {"width": WIDTH, "queries": QUERIES, "layers": LAYERS, "heads": HEADS}
TERMS = {"classification": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}


@pytest.fixture(autouse=True)
def deterministic():
    """As training on a CPU: an operation that is not deterministic raises."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


def head_of(family: str, channels: list[int] = CHANNELS, classes: int = CLASSES, **changed: int) -> QueryHead:
    sizes = SIZES | ({"points": POINTS} if family == "mask2former" else {}) | changed
    head: QueryHead = {"maskformer": maskformer, "mask2former": mask2former}[family].head(
        channels, classes, **sizes
    )
    return head


def blocks(*patterns: list[list[int]], cell: int = 16) -> Tensor:
    """Label maps (B, H, W) of square blocks."""
    labels = torch.tensor(patterns, dtype=torch.uint8)
    return labels.repeat_interleave(cell, 1).repeat_interleave(cell, 2)


def random_prediction(
    labels: Tensor, factor: int = 1, queries: int = QUERIES, layers: int = 1
) -> QueryPrediction:
    """Random answers, masks at 1/factor of the labels' size."""
    B, H, W = labels.shape
    generator = torch.Generator().manual_seed(5)

    def answers() -> Answers:
        masks = 2 * torch.randn(B, queries, H // factor, W // factor, generator=generator)
        return Answers(torch.randn(B, queries, CLASSES + 1, generator=generator), masks)

    return QueryPrediction(*answers(), [answers() for _ in range(layers)])


def losses_of(head: QueryHead, prediction: QueryPrediction, labels: Tensor) -> dict[str, Tensor]:
    """Under one seed, for the points of Mask2Former."""
    torch.manual_seed(3)
    return head.losses(prediction, labels)


# Equal to the library's models


def stock_model(family: str, backbone: str) -> nn.Module:
    """The library's model with random weights, large enough that the queries differ."""
    stages = [f"stage{i}" for i in range(1, 5)]
    encoder = {
        "resnet": ResNetConfig(
            embedding_size=8, hidden_sizes=CHANNELS, depths=[1] * 4, layer_type="basic", out_features=stages
        ),
        "swin": SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1] * 4,
            num_heads=[1, 2, 2, 4],
            window_size=4,
            drop_path_rate=0.0,
            out_features=stages,
        ),
    }[backbone]
    torch.manual_seed(0)
    model: nn.Module
    if family == "maskformer":
        decoder = MaskFormerDetrConfig(
            d_model=WIDTH,
            num_queries=QUERIES,
            decoder_layers=LAYERS,
            decoder_attention_heads=HEADS,
            decoder_ffn_dim=8 * WIDTH,
        )
        model = MaskFormerForInstanceSegmentation(
            MaskFormerConfig(
                backbone_config=encoder,
                decoder_config=decoder,
                fpn_feature_size=WIDTH,
                mask_feature_size=WIDTH,
                num_labels=CLASSES,
            )
        )
    else:
        model = Mask2FormerForUniversalSegmentation(
            Mask2FormerConfig(
                backbone_config=encoder,
                feature_size=WIDTH,
                mask_feature_size=WIDTH,
                hidden_dim=WIDTH,
                encoder_feedforward_dim=4 * WIDTH,
                dim_feedforward=8 * WIDTH,
                encoder_layers=2,
                decoder_layers=LAYERS + 1,
                num_attention_heads=HEADS,
                num_queries=QUERIES,
                train_num_points=POINTS,
                num_labels=CLASSES,
            )
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return model


def with_weights_of(stock: Any, family: str) -> QueryHead:
    """Our head with all the weights that are not the encoder's."""
    renamed = {
        re.sub(r"^model\.(pixel_level_module\.decoder|transformer_module)", _ours, name): value
        for name, value in stock.state_dict().items()
        if "pixel_level_module.encoder" not in name and not name.startswith("criterion.")
    }
    head = head_of(family, list(stock.model.pixel_level_module.encoder.channels))
    head.load_state_dict(renamed)
    return head


def _ours(match: re.Match[str]) -> str:
    return {"pixel_level_module.decoder": "pixel_decoder", "transformer_module": "transformer"}[match[1]]


class Encoder(nn.Module):
    """The library's encoder in a backbone's place."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.encoder(images).feature_maps)


class Identity(nn.Module):
    """In SGR's place."""

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(features=x)


def example() -> tuple[Tensor, Tensor]:
    """Three images of 64 x 96: several classes, one class, nothing labelled."""
    images = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    rows = [[0, 0, 1, 1, 4, 4], [0, 3, 3, 1, 4, 4], [5, 3, 3, 1, 1, 0], [5, 5, 5, 0, 0, 0]]
    return images, blocks(rows, [[2] * 6] * 4, [[IGNORE] * 6] * 4)


def masks_and_classes(labels: Tensor) -> dict[str, list[Tensor]]:
    """Targets as the library takes them."""
    classes = [torch.tensor(sorted({int(c) for c in label.flatten()} - {IGNORE})).long() for label in labels]
    masks = [
        torch.stack([label == c for c in own]).float() if len(own) else torch.zeros(0, *label.shape)
        for label, own in zip(labels, classes, strict=True)
    ]
    return {"mask_labels": masks, "class_labels": classes}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("backbone", ["resnet", "swin"])
@pytest.mark.parametrize("family", FAMILIES)
def test_identity_in_place_of_sgr_gives_the_stock_model(family, backbone, training):
    """Logits, scores and every loss, bit for bit; the total up to the order of its sum."""
    stock: Any = stock_model(family, backbone).train(training)
    head = with_weights_of(stock, family).train(training)
    images, labels = example()
    terms: dict[str, Tensor] = {}
    stock.criterion.register_forward_hook(
        lambda module, arguments, output: terms.update({k: v.clone() for k, v in output.items()})
    )
    torch.manual_seed(7)
    expected = stock(images, **masks_and_classes(labels))

    torch.manual_seed(7)
    network = Network(Encoder(stock.model.pixel_level_module.encoder), Identity(), head, None)
    output = network(images)
    assert torch.equal(output.prediction.class_logits, expected.class_queries_logits)
    assert torch.equal(output.prediction.mask_logits, expected.masks_queries_logits)
    losses = network.losses(output, labels, labels)
    for ours, theirs in TERMS.items():
        assert torch.equal(losses[ours], terms[theirs]), ours
    if family == "mask2former":
        for ours, theirs in TERMS.items():
            layers = torch.stack([terms[f"{theirs}_{layer}"] for layer in range(LAYERS)])
            assert torch.equal(losses[f"auxiliary_{ours}"], layers.sum()), ours
        total = weighted_sum(losses, head.loss_weights)
    else:  # the library's default has no auxiliary loss, and its own is broken: see the test below
        total = weighted_sum({k: losses[k] for k in TERMS}, {k: head.loss_weights[k] for k in TERMS})
    torch.testing.assert_close(total, expected.loss, rtol=1e-6, atol=0)
    assert expected.masks_queries_logits.std(1).mean() > 0.1  # the queries do differ

    # the library has one size for all, that of its masks or 384 x 384
    processor: Any = MaskFormerImageProcessor() if family == "maskformer" else Mask2FormerImageProcessor()
    semantic = processor.post_process_semantic_segmentation(expected, return_segmentation_scores=True)
    scores = torch.stack([image.segmentation_scores for image in semantic])
    assert torch.equal(network.scores(output, scores.shape[-2:]), scores)


@pytest.mark.parametrize("family", FAMILIES)
def test_feature_maps_give_the_gradients_of_the_stock_model(family):
    stock: Any = stock_model(family, "resnet").eval()
    head = with_weights_of(stock, family).eval()
    images, labels = example()
    features = [map.detach() for map in stock.model.pixel_level_module.encoder(images).feature_maps]
    torch.manual_seed(7)
    stock(images, **masks_and_classes(labels)).loss.backward()
    torch.manual_seed(7)
    losses = head.losses(head(features), labels)
    if family == "maskformer":
        losses |= {f"auxiliary_{name}": losses[name].detach() for name in TERMS}
    weighted_sum(losses, head.loss_weights).backward()
    theirs = dict(stock.named_parameters())
    for name, parameter in head.named_parameters():
        name = re.sub("^transformer", "model.transformer_module", name)
        name = re.sub("^pixel_decoder", "model.pixel_level_module.decoder", name)
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_the_defaults_of_the_library(family):
    config: Any = MaskFormerConfig() if family == "maskformer" else Mask2FormerConfig()
    classification = config.cross_entropy_weight if family == "maskformer" else config.class_weight
    weights = {"classification": classification, "mask": config.mask_weight, "dice": config.dice_weight}
    head = head_of(family)
    assert head.loss_weights == weights | {f"auxiliary_{name}": weight for name, weight in weights.items()}
    assert (
        weights
        == {
            "maskformer": {"classification": 1, "mask": 20, "dice": 1},
            "mask2former": {"classification": 2, "mask": 5, "dice": 5},
        }[family]
    )  # and those of the papers
    assert head.class_weights.tolist() == [1.0] * CLASSES + [pytest.approx(config.no_object_weight)]


def test_auxiliary_answers_of_maskformer_cannot_be_the_stock_models():
    """Ours come from the normed output of each layer; the library's from its input, of the first even, and not normed.

    The input of the first layer is zero, so there all queries of the library give the same answer.
    """
    stock: Any = stock_model("maskformer", "resnet").eval()
    head: Any = with_weights_of(stock, "maskformer").eval()
    images, _ = example()
    stock.config.use_auxiliary_loss = True
    with pytest.raises(TypeError):  # needs all hidden states, and does not ask for them
        stock(images, output_auxiliary_logits=True)
    expected = stock(images, output_auxiliary_logits=True, output_hidden_states=True)
    prediction = head(stock.model.pixel_level_module.encoder(images).feature_maps)
    assert len(prediction.auxiliary) == LAYERS - 1
    assert len(expected.auxiliary_logits) == LAYERS

    zero, *unnormed = expected.auxiliary_logits
    assert torch.equal(zero["class_queries_logits"], stock.class_predictor.bias.expand(3, QUERIES, -1))
    states = expected.transformer_decoder_hidden_states[1:-1]
    norm = stock.model.transformer_module.decoder.layernorm
    pixels = expected.pixel_decoder_last_hidden_state
    for ours, theirs, state in zip(prediction.auxiliary, unnormed, states, strict=True):
        assert torch.equal(theirs["class_queries_logits"], stock.class_predictor(state))
        assert not torch.allclose(ours.class_logits, theirs["class_queries_logits"], atol=0.01)
        assert torch.equal(ours.class_logits, stock.class_predictor(norm(state)))
        masks = torch.einsum("bqc,bchw->bqhw", stock.mask_embedder(norm(state)), pixels)
        assert torch.equal(ours.mask_logits, masks)


# Scores and regions


@pytest.mark.parametrize("size", [(24, 32), (50, 33)])
def test_scores_are_the_sum_over_queries_of_class_times_mask(size):
    labels = blocks([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]], [[5] * 4] * 3)
    prediction = random_prediction(labels, 4)
    scores = head_of("maskformer").scores(prediction, size)
    assert scores.shape == (2, CLASSES, *size)
    assert scores.dtype == torch.float32
    masks = F.interpolate(prediction.mask_logits.double(), size, mode="bilinear", align_corners=False)
    expected = torch.zeros(2, CLASSES, *size, dtype=torch.float64)
    for b in range(2):
        for q in range(QUERIES):
            powers = prediction.class_logits[b, q].double().exp()
            for c in range(CLASSES):
                expected[b, c] += powers[c] / powers.sum() / (1 + (-masks[b, q]).exp())
    torch.testing.assert_close(scores.double(), expected, rtol=1e-5, atol=1e-6)
    assert (scores >= 0).all()


def test_regions_are_the_masks_of_the_queries():
    prediction = random_prediction(blocks([[0, 1]]), 4)
    regions = head_of("maskformer").regions(prediction)
    torch.testing.assert_close(regions, 1 / (1 + (-prediction.mask_logits).exp()))


# Losses against a slow formula, and void


def mask_and_dice(logits: Any, truth: Any, counts: Any, focal: bool) -> tuple[float, float]:
    """Of one mask: a mean over all places of a sum over those that count, and dice over those that count."""
    p = 1 / (1 + np.exp(-logits))
    loss = -(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    if focal:  # truth is 0 or 1
        loss = loss * (truth * 0.25 * (1 - p) ** 2 + (1 - truth) * 0.75 * p**2)
    p, truth, loss = p[counts], truth[counts], loss[counts]
    return loss.sum() / counts.size, 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)


def bilinear(image: Any, x: float, y: float) -> float:
    """The value at (x, y) in 0..1, zero outside of the image."""
    H, W = image.shape
    x, y = x * W - 0.5, y * H - 0.5
    value = 0.0
    for i in (int(np.floor(y)), int(np.floor(y)) + 1):
        for j in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= i < H and 0 <= j < W:
                value += image[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return value


def at_points(image: Any, points: Any) -> Any:
    return np.array([bilinear(image, float(x), float(y)) for x, y in points])


def best_pairs(cost: Any) -> list[tuple[int, int]]:
    """Rows and columns of the cheapest assignment, one to one, in the order of the rows."""
    rows, columns = cost.shape
    if rows < columns:
        return sorted((row, column) for column, row in best_pairs(cost.T))
    choices = permutations(range(rows), columns)
    best = min(choices, key=lambda chosen: sum(cost[row, column] for column, row in enumerate(chosen)))
    return sorted((row, column) for column, row in enumerate(best))


def slow_losses(family: str, answers: Answers, labels: Tensor) -> dict[str, float]:
    """By trying every assignment, in float64, with one loop a mask; masks at half the labels' size."""
    focal = family == "maskformer"
    weights = {"maskformer": (1, 20, 1), "mask2former": (2, 5, 5)}[family]
    probabilities = answers.class_logits.double().softmax(-1).numpy()
    logits, maps = answers.mask_logits.double().numpy(), labels.numpy()
    B, Q = logits.shape[:2]
    pairs = []
    for b in range(B):
        present = sorted(set(maps[b].flatten().tolist()) - {IGNORE})
        points = torch.rand(1, POINTS, 2)[0].numpy() if not focal else None
        cost = np.zeros((Q, len(present)))
        for q in range(Q):
            for k, c in enumerate(present):
                if focal:
                    cells = maps[b, ::2, ::2]
                    mask, dice = mask_and_dice(logits[b, q], 1.0 * (cells == c), cells != IGNORE, True)
                else:
                    counts = at_points(1.0 * (maps[b] == IGNORE), points) == 0
                    mask, dice = mask_and_dice(
                        at_points(logits[b, q], points),
                        at_points(1.0 * (maps[b] == c), points),
                        counts,
                        False,
                    )
                cost[q, k] = -weights[0] * probabilities[b, q, c] + weights[1] * mask + weights[2] * dice
        pairs += [(b, q, present[k]) for q, k in best_pairs(cost)]
    uncertain = POINTS * 3 // 4
    candidates = rest = np.zeros((len(pairs), 0, 2))
    if not focal:
        candidates = torch.rand(len(pairs), 3 * POINTS, 2).numpy()
        rest = torch.rand(len(pairs), POINTS - uncertain, 2).numpy()
    masks, dices = [], []
    for number, (b, q, c) in enumerate(pairs):
        if focal:
            full = F.interpolate(
                answers.mask_logits[b : b + 1, q : q + 1].double(), labels.shape[1:], mode="bilinear"
            )
            values = full[0, 0].numpy(), 1.0 * (maps[b] == c), maps[b] != IGNORE
        else:
            void = 1.0 * (maps[b] == IGNORE)
            doubt = np.abs(at_points(logits[b, q], candidates[number]))
            doubt[at_points(void, candidates[number]) > 0] = np.inf
            points = np.concatenate([candidates[number][np.argsort(doubt)[:uncertain]], rest[number]])
            values = (
                at_points(logits[b, q], points),
                at_points(1.0 * (maps[b] == c), points),
                at_points(void, points) == 0,
            )
        mask, dice = mask_and_dice(*values, focal)
        masks.append(mask)
        dices.append(dice)
    wanted = {(b, q): c for b, q, c in pairs}
    total = share = 0.0
    for b in range(B):
        for q in range(Q):
            weight = 1.0 if (b, q) in wanted else 0.1
            total -= weight * np.log(probabilities[b, q, wanted.get((b, q), CLASSES)])
            share += weight
    count = sum(len(set(label.flatten().tolist()) - {IGNORE}) for label in maps)  # matched or not
    return {"classification": total / share, "mask": sum(masks) / count, "dice": sum(dices) / count}


@pytest.mark.parametrize("queries", [5, 2])
@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_against_a_slow_formula(family, void, queries):
    """Two queries are fewer than the classes of each image."""
    labels = blocks([[0, 1, 1, 4], [0, 3, 3, 4], [0, 3, 1, 1]], [[5, 5, 5, 5], [5, 2, 2, 2], [0] * 4], cell=4)
    if void:
        labels[0, 2:7, 3:9] = IGNORE
        labels[1, 5] = IGNORE
        labels[1, :, 0] = IGNORE
    prediction = random_prediction(labels, 2, queries=queries)
    losses = losses_of(head_of(family, queries=queries), prediction, labels)
    torch.manual_seed(3)
    for answers, prefix in ((Answers(*prediction[:2]), ""), (prediction.auxiliary[0], "auxiliary_")):
        for name, expected in slow_losses(family, answers, labels).items():
            assert losses[prefix + name].item() == pytest.approx(expected, rel=1e-5), prefix + name


@pytest.mark.parametrize("family", FAMILIES)
def test_void_pixels_never_count(family):
    """What is predicted there changes no loss, bit for bit, and has no gradient; elsewhere it does."""
    labels = blocks(
        [[0, IGNORE, 1, 1], [0, 3, IGNORE, 1]], [[IGNORE, IGNORE, 5, 5], [5, 5, 5, IGNORE]], cell=8
    )
    labels[0, 3, :] = IGNORE
    void = (labels == IGNORE)[:, None]
    head = head_of(family)
    prediction = random_prediction(labels)
    maps = [prediction.mask_logits, prediction.auxiliary[0].mask_logits]
    for map in maps:
        map.requires_grad_()
    losses = losses_of(head, prediction, labels)
    weighted_sum(losses, head.loss_weights).backward()
    for map in maps:
        assert map.grad is not None
        assert not map.grad.masked_fill(~void, 0).any()
        assert map.grad.any()

    def changed(where: Tensor) -> dict[str, Tensor]:
        noise = torch.randn(maps[0].shape, generator=torch.Generator().manual_seed(9))
        first, second = (map.detach() + 50 * noise * where for map in maps)
        auxiliary = [Answers(prediction.auxiliary[0].class_logits, second)]
        return losses_of(head, QueryPrediction(prediction.class_logits, first, auxiliary), labels)

    for name, value in changed(void).items():
        assert torch.equal(value, losses[name]), name
    for name, value in changed(~void).items():
        assert value != losses[name], name


@pytest.mark.parametrize("family", FAMILIES)
def test_coarse_cells_amid_void_have_no_gradient(family):
    labels = blocks([[0, 0, 1, 1], [IGNORE] * 4, [IGNORE] * 4, [3, 3, 3, 0]], cell=8)
    prediction = random_prediction(labels, 4)  # two rows of cells a block
    prediction.mask_logits.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    (losses["mask"] + losses["dice"]).backward()
    gradient = prediction.mask_logits.grad
    assert gradient is not None
    assert not gradient[:, :, 3:5].any()  # rows 2 and 5 touch labelled pixels by interpolation
    assert gradient[:, :, :3].any()
    assert gradient[:, :, 5:].any()


def test_points_sought_in_doubt_are_not_spent_on_void():
    """Constant logits, and one class in a frame of void: by hand from the number n of the points that count."""
    labels = torch.full((1, 40, 40), IGNORE, dtype=torch.uint8)
    labels[0, 8:32, 8:32] = 4
    head = head_of("mask2former")
    prediction = QueryPrediction(
        torch.zeros(1, QUERIES, CLASSES + 1), torch.full((1, QUERIES, 10, 10), 0.5), []
    )
    losses = losses_of(head, prediction, labels)
    p = 1 / (1 + np.exp(-0.5))
    n = losses["mask"].item() * POINTS / -np.log(p)
    assert n == pytest.approx(round(n), abs=1e-4)
    assert POINTS * 3 // 4 <= round(n) < POINTS
    assert losses["dice"].item() == pytest.approx(1 - (2 * n * p + 1) / (n * p + n + 1), rel=1e-4)


# Targets


def test_targets_by_hand():
    found = target(torch.tensor([[3, 3, 255], [0, 5, 255]], dtype=torch.uint8))
    assert found.classes.tolist() == [0, 3, 5]
    assert found.masks.tolist() == [
        [[0, 0, 0], [1, 0, 0]],
        [[1, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0]],
    ]
    assert found.void.tolist() == [[False, False, True], [False, False, True]]


NONE = [[IGNORE] * 4] * 3
ONE = [[2] * 4] * 3
ALL = [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
CASES = {
    "none": [NONE, NONE],
    "one": [ONE, ONE],
    "all": [ALL, ALL],
    "mixed": [NONE, ALL],
    "ragged": [ONE, ALL],
}


@pytest.mark.parametrize("queries", [QUERIES, 2])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_any_number_of_classes_gives_finite_losses_and_gradients(family, case, queries):
    """With two queries, two of the six classes are matched."""
    labels = blocks(*CASES[case], cell=8)
    head = head_of(family, queries=queries)
    features = [torch.randn(2, c, 24 // s, 32 // s) for c, s in zip(CHANNELS, (2, 4, 8, 8), strict=True)]
    losses = losses_of(head, head(features), labels)
    assert list(losses) == list(head.loss_weights)
    assert all(value.shape == () and bool(value.isfinite()) for value in losses.values())
    weighted_sum(losses, head.loss_weights).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    answers = Answers(*head(features)[:2])
    pairs = [min(queries, len({c for row in rows for c in row} - {IGNORE})) for rows in CASES[case]]
    matches = head.match(answers, [target(label) for label in labels])
    assert [len(chosen) for chosen, _ in matches] == [len(of) for _, of in matches] == pairs
    assert all(len(set(part.tolist())) == len(part) for match in matches for part in match)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_labelled_asks_for_no_object_alone(family):
    labels = blocks(NONE, NONE)
    prediction = random_prediction(labels, 4)
    for part in prediction[:2]:
        part.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    expected = -prediction.class_logits.double().log_softmax(-1)[..., -1].mean()
    assert losses["classification"].item() == pytest.approx(expected.item(), rel=1e-6)
    for name in ("mask", "dice", "auxiliary_mask", "auxiliary_dice"):
        assert losses[name] == 0
    sum(losses.values()).backward()
    assert prediction.mask_logits.grad is not None and not prediction.mask_logits.grad.any()
    assert prediction.class_logits.grad is not None
    assert (
        prediction.class_logits.grad[..., -1] < 0
    ).all()  # down the gradient "no object" rises, all else falls
    assert (prediction.class_logits.grad[..., :-1] > 0).all()


def test_empty_image_beside_others_changes_no_mask_loss():
    """MaskFormer's; Mask2Former draws other points. The classification is a mean over the queries of both."""
    head, labels = head_of("maskformer"), blocks(NONE, ALL)
    both = random_prediction(labels, 4)
    single = QueryPrediction(both[0][1:], both[1][1:], [Answers(*(part[1:] for part in both.auxiliary[0]))])
    together, alone = head.losses(both, labels), head.losses(single, labels[1:])
    for name in ("mask", "dice", "auxiliary_mask", "auxiliary_dice"):
        assert torch.equal(together[name], alone[name])
    null = -both.class_logits[0].log_softmax(-1)[:, -1].sum() * 0.1
    weight = CLASSES + (QUERIES - CLASSES) * 0.1  # of the queries of the image with all classes
    expected = (alone["classification"] * weight + null) / (weight + QUERIES * 0.1)
    torch.testing.assert_close(together["classification"], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pixel_of_a_class_is_a_mask(family):
    labels = torch.full((1, 24, 32), IGNORE, dtype=torch.uint8)
    labels[0, 11, 17] = 3
    prediction = random_prediction(labels, 4)
    prediction.mask_logits.requires_grad_()
    losses = losses_of(head_of(family), prediction, labels)
    assert all(bool(value.isfinite()) for value in losses.values())
    sum(losses.values()).backward()
    gradient = prediction.mask_logits.grad
    assert gradient is not None
    if family == "maskformer":  # no sampled point of Mask2Former need hit it
        queries = gradient[0].flatten(1).any(1)
        assert queries.sum() == 1  # the matched one, which is asked for more there
        assert (gradient[0, queries, 2:4, 3:5] <= 0).all()


# The networks


def network_of(
    family: str, unit: str = "plain", stride: int = 8, classes: int = 11, **changed: int
) -> Network:
    """Under seed 0, over the tiny ResNet."""
    torch.manual_seed(0)
    sizes = SIZES | ({"points": POINTS} if family == "mask2former" else {}) | changed
    return build(
        family=family,
        backbone="tiny_resnet",
        stride=stride,
        head=sizes,
        unit=None if unit == "plain" else {"kind": "sgr", "K": 8, "D": 16, "heads": 2},
        classes=classes,
        concept_loss=None if unit == "plain" else {"L": 4, "rho": 1.0, "gamma": 1.0},
    )


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("unit", ["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_network_takes_any_size(family, unit, stride):
    network = network_of(family, unit, stride)
    for size in [(32, 40), (37, 45), (33, 8), (5, 3), (1, 1), (16, 100)]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 11, (2, *size), dtype=torch.uint8, generator=generator)
        labels[:, size[0] // 2 :] = IGNORE  # as where a small image is padded to the crop
        output = network(images)
        losses = network.losses(output, labels, torch.zeros_like(labels))
        assert all(bool(value.isfinite()) for value in losses.values())
        cells = (-(-size[0] // 4), -(-size[1] // 4))
        scores = network.scores(output, size)
        assert scores.shape == (2, 11, *size)
        assert (scores >= 0).all()
        assert output.prediction.mask_logits.shape == (2, QUERIES, *cells)
        if unit == "plain":
            regions = network.regions(output)
            assert regions.shape == (2, QUERIES, *cells)
            assert ((regions >= 0) & (regions <= 1)).all()


# The queries are zero before MaskFormer's first self-attention: its values are the bias alone, alike for all queries,
# so that nothing depends on the weights of attention.
ALIKE = r"transformer\.decoder\.layers\.0\.self_attn\.([qk]_proj\.|v_proj\.weight)"
# A bias of the keys adds the same to all logits of one softmax: a gradient of rounding errors, or none.
KEYS = r"k_proj\.bias"


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_every_parameter(family):
    head, (_, labels) = head_of(family), example()
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    features = [torch.randn(3, c, 64 // s, 96 // s) for c, s in zip(CHANNELS, (4, 8, 16, 16), strict=True)]
    for step in range(2):  # what is zero at the start, biases of values and the like, moves in the first step
        optimizer.zero_grad()
        weighted_sum(losses_of(head, head(features), labels), head.loss_weights).backward()
        assert all(parameter.grad is not None for parameter in head.parameters())
        optimizer.step()
        if step == 1:
            without = {n for n, p in head.named_parameters() if p.grad is not None and not p.grad.any()}
            allowed = rf"{ALIKE}|{KEYS}" if family == "maskformer" else KEYS
            assert not {name for name in without if not re.search(allowed, name)}


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_gives_the_same_bits(family):
    images, labels = example()
    weights = []
    for _ in range(2):
        network = network_of(family, classes=CLASSES)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            losses = network.losses(network(images), labels, labels)
            weighted_sum(losses, network.head.loss_weights).backward()
            optimizer.step()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert torch.equal(*weights)
    assert weights[0].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_trains_with_losses_in_float32(family):
    network = network_of(family, classes=CLASSES)
    images, labels = example()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
        assert output.prediction.mask_logits.dtype == torch.bfloat16
        losses = network.losses(output, labels, labels)
        scores = network.scores(output, (64, 96))
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert scores.dtype == torch.float32
    weighted_sum(losses, network.head.loss_weights).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.head.parameters())


def published_deviation(name: str, weight: Tensor) -> float | None:
    """Of the weights of MaskFormer that are not drawn as the library does: Xavier, PyTorch's own, or Kaiming."""
    fan_out, fan_in = len(weight), weight[0].numel()
    deviations = {
        r"transformer\.queries_embedder": 1.0,
        r"transformer\.decoder\..*(proj|fc\d)\.weight": (2 / (fan_in + fan_out)) ** 0.5,
        r"(class_predictor|mask_embedder\.\d\.\d)\.weight": (3 * fan_in) ** -0.5,
        r"pixel_decoder\.mask_projection\.weight": fan_in**-0.5,
    }
    return next((value for pattern, value in deviations.items() if re.match(pattern, name)), None)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_start_as_the_library_draws_them(family):
    """But for MaskFormer's queries, decoder and predictors, which start as published: the library's do not learn."""
    torch.manual_seed(0)
    stock: Any = stock_model(family, "resnet")
    stock.apply(lambda module: setattr(module, "_is_hf_initialized", False))
    stock.initialize_weights()
    drawn = with_weights_of(stock, family).state_dict()
    torch.manual_seed(4)
    head = head_of(family)
    for name, ours in head.named_parameters():
        published = published_deviation(name, ours) if family == "maskformer" else None
        if published is not None:
            assert ours.std().item() == pytest.approx(published, rel=0.15), name
            assert not torch.isclose(ours.std(), drawn[name].std(), rtol=0.15), name
        elif ours.numel() >= 1000:
            torch.testing.assert_close(ours.std(), drawn[name].std(), rtol=0.1, atol=0, msg=name)
        elif not re.match("(class_predictor|mask_embedder).*bias", name):
            assert (ours.std() > 0) == (drawn[name].std() > 0), name
    torch.manual_seed(4)
    assert all(
        torch.equal(*pair) for pair in zip(head.parameters(), head_of(family).parameters(), strict=True)
    )


# MaskFormer's Table 1 and Mask2Former's Tables 1 and 5 (ADE20K, 150 classes), in millions
PUBLISHED = [
    ("maskformer", "resnet101", 6, 60),
    ("mask2former", "resnet101", 9, 63),
    ("mask2former", "swin_t", 9, 47),
]


@pytest.mark.parametrize("family, backbone, layers, millions", PUBLISHED)
def test_network_has_the_published_number_of_parameters(family, backbone, layers, millions):
    head = {"width": 256, "queries": 100, "layers": layers, "heads": 8}
    if family == "mask2former":
        head["points"] = 12544
    with torch.device("meta"):
        network = build(family=family, backbone=backbone, stride=32, head=head, unit=None, classes=150)
    assert round(parameter_count(network) / 1e6) == millions


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"queries": 0}, "queries of the head must be at least 1, not 0"),
        ({"layers": -1}, "layers of the head must be at least 1, not -1"),
        ({"width": 48}, "width of the head must be a multiple of 32, not 48"),
        ({"heads": 5}, "width of the head must be a multiple of its 5 heads, not 32"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_that_cannot_be_built_are_refused(family, changed, message):
    with pytest.raises(UserError, match=message):
        head_of(family, **changed)


def test_one_layer_of_maskformer_has_no_auxiliary_losses():
    head, (_, labels) = head_of("maskformer", layers=1), example()
    prediction = random_prediction(labels, 4, layers=0)
    assert list(head.losses(prediction, labels)) == list(head.loss_weights) == list(TERMS)


# Learning


@pytest.mark.parametrize("unit", ["plain", "sgr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_overfits_four_images(family, unit):
    network = network_of(family, unit, width=64, queries=12, layers=2, **_points(family))
    concepts = {f"concept_{name}": 0.1 for name in ("focal", "dice", "cosine")}
    weights = network.head.loss_weights | (concepts if unit == "sgr" else {})
    rates = {"optimizer": "adamw", "learning_rate": 0.001, "head_multiplier": 2, "gradient_clip": 0.01}
    iterations = {"maskformer": 120, "mask2former": 130}[family]
    assert miou_by_heart(network, weights, **rates, iterations=iterations) > 90


def _points(family: str) -> dict[str, int]:
    return {"points": 256} if family == "mask2former" else {}
