"""Eq. 6 against sums over components, cells and ordered pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sgr.connected import connected_components
from sgr.losses import ConceptLoss, component_masks
from tests import reference

UNIONS: Any = pytest.mark.parametrize("union", ["sum", "probabilistic"])


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(B: int, H: int, W: int, count: int, seed: int = 1) -> Tensor:
    """(B,H,W) components: random numbers 0..count over blocks of 3x3 pixels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, count + 1, (B, -(-H // 3), -(-W // 3)), generator=generator)
    return coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :H, :W]


def agrees(x: Tensor, components: Tensor, L: int, atol: float = 1e-8, **settings: Any) -> None:
    """Every term equals the reference, and the loss is their weighted sum."""
    loss = ConceptLoss(
        L,
        rho=settings.get("rho", 1.0),
        gamma=0.5,
        focal_alpha=settings.get("alpha", 0.25),
        focal_gamma=settings.get("gamma", 2.0),
        union=settings.get("union", "sum"),
    )
    terms = loss.terms(x, components)
    expected = reference.concept_terms(x.double().numpy(), components.numpy(), L, **settings)
    assert list(terms) == ["focal", "dice", "cosine"]
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name], rel=atol, abs=atol), name
    whole = terms["focal"] + settings.get("rho", 1.0) * terms["dice"] + 0.5 * terms["cosine"]
    assert loss(x, components).item() == pytest.approx(whole.item())


CASES = {
    "plain": (logits(2, 6, 4, 5), blocks(2, 16, 20, 3), 5),
    "no multiple of the features": (logits(2, 6, 4, 5), blocks(2, 13, 17, 3), 6),
    "features larger than the labels": (logits(1, 5, 7, 6), blocks(1, 6, 5, 3), 4),
    "one row": (logits(2, 5, 1, 8), blocks(2, 4, 32, 3), 4),
    "one column": (logits(1, 5, 8, 1), blocks(1, 32, 4, 3), 4),
    "one cell": (logits(1, 3, 1, 1), torch.ones(1, 4, 4, dtype=torch.int64), 2),
    "one component": (logits(2, 5, 3, 3), torch.ones(2, 6, 6, dtype=torch.int64), 4),
    "K = L": (logits(1, 5, 4, 4), blocks(1, 12, 12, 3), 5),
    "L = C": (logits(1, 5, 4, 4), blocks(1, 12, 12, 3), 3),
    "more components than L": (logits(2, 4, 6, 6), blocks(2, 18, 18, 6), 3),
    "L = 1": (logits(2, 3, 4, 4), blocks(2, 12, 12, 3), 1),
    "no component in one image": (
        logits(3, 5, 4, 4),
        torch.cat([blocks(1, 12, 12, 3), torch.zeros(1, 12, 12, dtype=torch.int64), blocks(1, 12, 12, 2)]),
        4,
    ),
    "numbers with gaps": (logits(1, 5, 4, 4), blocks(1, 12, 12, 3) * 7, 4),
    "saturated union": (logits(1, 6, 4, 4).abs() + 2, blocks(1, 12, 12, 2), 6),
    "regions nearly zero": (logits(1, 5, 4, 4) - 9, blocks(1, 12, 12, 2), 5),
}


@UNIONS
@pytest.mark.parametrize("case", CASES)
def test_equation_6(case: str, union: str) -> None:
    x, components, L = CASES[case]
    agrees(x, components, L, union=union)
    # float32 knows 1 - p of a nearly saturated sum to a few digits only
    agrees(x.float(), components.to(torch.int32), L, 2e-3 if union == "sum" else 1e-5, union=union)


def test_equation_6_in_float32() -> None:
    agrees(logits(2, 6, 4, 5, scale=0.5).float() - 2, blocks(2, 13, 17, 3), 6, 1e-5)


@UNIONS
@pytest.mark.parametrize("rho, alpha, gamma", [(0.0, 0.25, 2.0), (2.0, 0.6, 1.0), (1.0, 0.5, 0.0)])
def test_equation_6_weights(rho: float, alpha: float, gamma: float, union: str) -> None:
    x, components, L = CASES["no multiple of the features"]
    agrees(x, components, L, rho=rho, alpha=alpha, gamma=gamma, union=union)


@UNIONS
@pytest.mark.parametrize("logit", [-20.0, 30.0])
def test_regions_all_zero_or_all_one(logit: float, union: str) -> None:
    agrees(torch.full((1, 4, 3, 3), logit).double(), blocks(1, 9, 9, 2), 4, 1e-5, union=union)


@UNIONS
@pytest.mark.parametrize("logit", [-1000.0, -100.0, 100.0, 1000.0])
def test_extreme_logits_stay_finite(logit: float, union: Any) -> None:
    x = torch.full((2, 4, 3, 3), logit).requires_grad_()
    loss = ConceptLoss(4, union=union)(x, blocks(2, 9, 9, 2))
    loss.backward()
    assert loss.isfinite() and x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1000.0, -60.0, -35.0])
def test_cosine_of_vanished_regions(logit: float, dtype: torch.dtype) -> None:
    """A region that vanished has cosine 0 with the others, or what its shape gives, and never less than 0."""
    x = logits(1, 4, 3, 3).to(dtype)
    x[:, 0] = logit
    components = torch.ones(1, 9, 9, dtype=torch.int64)
    cosine = ConceptLoss(4).terms(x, components)["cosine"].item()
    regions = x[0].flatten(1).double().sigmoid().numpy()
    alive = [reference.cosine(regions[i], regions[k]) for i in range(1, 4) for k in range(1, 4) if i != k]
    whole = [reference.cosine(regions[i], regions[k]) for i in range(4) for k in range(4) if i != k]
    assert sum(alive) / 12 - 1e-5 <= cosine <= sum(whole) / 12 + 1e-5


def test_cosine_by_hand() -> None:
    """Equal regions have cosine 1, disjoint ones 0."""
    components = torch.ones(1, 2, 2, dtype=torch.int64)
    same = torch.tensor([[[[9.0, -40], [-40, -40]], [[9, -40], [-40, -40]]]])
    apart = torch.tensor([[[[9.0, -40], [-40, -40]], [[-40, -40], [-40, 9]]]])
    assert ConceptLoss(2).terms(same, components)["cosine"].item() == pytest.approx(1, abs=1e-6)
    assert ConceptLoss(2).terms(apart, components)["cosine"].item() == pytest.approx(0, abs=1e-6)


def test_union_that_is_the_component_costs_nothing() -> None:
    """Two halves of one component: each alone is wrong, their union is right."""
    components = torch.tensor([[[1, 1, 0]]])
    halves = torch.tensor([[[[40.0, -40, -40]], [[-40, 40, -40]]]])
    unions: list[Any] = ["sum", "probabilistic"]
    for union in unions:
        terms = ConceptLoss(2, union=union).terms(halves, components)
        for name, value in terms.items():
            assert value.item() == pytest.approx(0, abs=1e-5), name


@UNIONS
@pytest.mark.parametrize("labels", [255, 0])
def test_label_map_ignored_or_of_one_class(labels: int, union: Any) -> None:
    components = connected_components(torch.full((2, 12, 12), labels))
    x = logits(2, 5, 3, 3).requires_grad_()
    loss = ConceptLoss(4, union=union)(x, components)
    loss.backward()
    assert x.grad is not None and x.grad.isfinite().all()
    if labels == 255:
        assert loss.item() == 0 and not x.grad.any()
    else:
        assert loss.item() > 0 and x.grad.any()
    agrees(x.detach(), components, 4, union=union)


@UNIONS
def test_gradients(union: Any) -> None:
    """Away from the clip of the sum and from a change of the matching."""
    x = logits(2, 4, 3, 3, scale=0.5) - 2.5
    components = torch.cat([blocks(1, 9, 9, 2), torch.zeros(1, 9, 9, dtype=torch.int64)])
    loss = ConceptLoss(4, rho=0.7, gamma=1.3, union=union)
    assert torch.autograd.gradcheck(lambda x: loss(x, components), x.requires_grad_())


def test_concepts_outside_the_active_ones_have_no_gradient() -> None:
    x = logits(1, 6, 4, 4).requires_grad_()
    ConceptLoss(3)(x, blocks(1, 12, 12, 2)).backward()
    assert x.grad is not None
    assert (x.grad.flatten(2).abs().amax(-1) > 0).sum() == 3


@UNIONS
def test_batch_is_the_mean_over_its_components_and_pairs(union: Any) -> None:
    x, components = logits(3, 6, 4, 5), blocks(3, 13, 17, 3)
    components[1] = 0
    components[2] = 1
    loss = ConceptLoss(5, union=union)
    counts = component_masks(components, (4, 5), 5)[1]
    assert counts.tolist() == [3, 0, 1]
    together = loss.terms(x, components)
    alone = [loss.terms(x[b : b + 1], components[b : b + 1]) for b in range(3)]
    for name in ("focal", "dice"):
        mean = sum(c * terms[name] for c, terms in zip(counts, alone, strict=True)) / counts.sum()
        torch.testing.assert_close(together[name], mean, rtol=1e-10, atol=1e-10)


def test_order_of_concepts_and_numbers_of_components_are_free() -> None:
    x, components = logits(1, 6, 4, 5), blocks(1, 12, 15, 3)
    loss = ConceptLoss(5)
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    renumbered = torch.tensor([0, 3, 1, 2])[components]
    torch.testing.assert_close(loss(x[:, order], renumbered), loss(x, components), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axis", [2, 3])
def test_mirrored_images(axis: int) -> None:
    x, components = logits(2, 6, 4, 5), blocks(2, 16, 20, 3)
    # mirroring moves the pixel under a centre of 4 by one: components that fill their cells do not care
    cells = components[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2)
    mirrored = ConceptLoss(5)(x.flip(axis), cells.flip(axis - 1))
    torch.testing.assert_close(mirrored, ConceptLoss(5)(x, cells), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_component_masks(dtype: torch.dtype) -> None:
    components = blocks(3, 13, 17, 5)
    components[1] = 0
    masks, counts = component_masks(components.to(dtype), (4, 5), 4)
    assert masks.dtype == torch.bool and masks.shape == (3, int(counts.max()), 20)
    for b in range(3):
        expected = reference.components_at(components[b].numpy(), 4, 5, 4)
        np.testing.assert_array_equal(masks[b, : counts[b]].numpy(), expected)
        assert not masks[b, counts[b] :].any()


@UNIONS
def test_bfloat16_autocast(union: Any) -> None:
    """The loss of rounded logits is computed in float32, autocast or not."""
    rounded, components = logits(2, 6, 4, 5).bfloat16().requires_grad_(), blocks(2, 16, 20, 3)
    loss = ConceptLoss(5, union=union)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms, value = loss.terms(rounded, components), loss(rounded, components)
    assert value.dtype == torch.float32 and all(term.dtype == torch.float32 for term in terms.values())
    torch.testing.assert_close(value, loss(rounded.float(), components))
    value.backward()
    assert rounded.grad is not None and rounded.grad.isfinite().all()


@pytest.mark.parametrize("name, value", [("L", 0), ("union", "max")])
def test_wrong_arguments(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        ConceptLoss(**{"L": 4, name: value})


def test_more_active_concepts_than_concepts() -> None:
    with pytest.raises(ValueError, match="L = 9"):
        ConceptLoss(9)(logits(1, 5, 3, 3), blocks(1, 9, 9, 2))


def test_logits_that_are_not_finite() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        ConceptLoss(3)(torch.full((1, 4, 3, 3), float("nan")), blocks(1, 9, 9, 2))


@UNIONS
def test_pinned_output(union: Any) -> None:
    """Fixed logits, fixed components: the numbers may only change on purpose."""
    x = torch.linspace(-6, 6, 5 * 16, dtype=torch.float64).mul(3).sin().mul(3).view(1, 5, 4, 4)
    components = torch.zeros(1, 8, 8, dtype=torch.int64)
    components[:, :4, :5], components[:, 5:, 3:] = 1, 2
    terms = ConceptLoss(4, union=union).terms(x, components)
    torch.testing.assert_close(
        torch.stack([*terms.values()]), torch.tensor(PINNED[union]).double(), rtol=1e-7, atol=0
    )


PINNED = {
    "sum": [1.9927442328206126, 0.433148606459419, 0.7045863038685786],
    "probabilistic": [0.7586902378922882, 0.42803052380714546, 0.7045863038685786],
}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@UNIONS
def test_cuda_equals_cpu(union: Any) -> None:
    x, components = logits(2, 6, 4, 5), blocks(2, 16, 20, 3)
    loss = ConceptLoss(5, union=union)
    torch.testing.assert_close(loss(x.cuda(), components.cuda()).cpu(), loss(x, components))
