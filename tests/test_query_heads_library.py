"""MaskFormer and Mask2Former against the library: the same logits, losses, gradients, and weights at the start."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerImageProcessor,
    MaskFormerConfig,
    MaskFormerImageProcessor,
)

from sgr.data.files import IGNORE
from sgr.models.network import Network, weighted_sum
from tests.query_heads import (
    CLASSES,
    FAMILIES,
    LAYERS,
    QUERIES,
    TERMS,
    example,
    head_of,
    stock_model,
    with_weights_of,
)

pytestmark = pytest.mark.usefixtures("deterministic")


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
    of_the_papers = {
        "maskformer": {"classification": 1, "mask": 20, "dice": 1},
        "mask2former": {"classification": 2, "mask": 5, "dice": 5},
    }
    assert weights == of_the_papers[family]
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
