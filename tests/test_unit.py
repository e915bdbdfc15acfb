"""SGR against the equations of the paper, one pixel at a time, and its behaviour as a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.speed import LiteralSGR
from sgr.positional import cells, sinusoid
from sgr.unit import SGR
from tests import reference

SHAPES = [(1, 3, 4, 5), (2, 4, 3, 2), (1, 2, 1, 6), (1, 2, 5, 1), (1, 1, 1, 1)]
SWITCHES: list[dict[str, Any]] = [
    {},
    {"token_normalization": "none"},
    {"reasoning": "graph"},
    {"reasoning": "graph", "token_normalization": "none", "layers": 1},
    {"xy_embedding": False},
    {"centroid_embedding": False},
    {"xy_embedding": False, "centroid_embedding": False},
    {"layers": 1, "heads": 2},
    {"concept_prior": 0.1},
]


def unit(
    channels: int, K: int = 5, D: int = 8, *, seed: int = 0, kind: type[SGR] = SGR, **switches: Any
) -> SGR:
    """A unit in float64 whose last convolution and norms are no longer what they are at the start."""
    torch.manual_seed(seed)
    module = kind(channels, K, D, **{"heads": 4, **switches}).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def features(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bias(module: SGR) -> Tensor:
    assert module.concepts.bias is not None
    return module.concepts.bias


def parameters(module: nn.Module) -> dict[str, Any]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def agrees(module: SGR, x: Tensor, atol: float = 1e-8, **switches: Any) -> None:
    """The module equals the loops of the reference on every image, tokens and logits included."""
    output = module(x)
    for b in range(len(x)):
        expected = reference.sgr(x[b].numpy(), parameters(module), **{"heads": 4, **switches})
        for ours, theirs in zip(output, expected, strict=True):
            np.testing.assert_allclose(ours[b].detach().numpy(), theirs, rtol=atol, atol=atol)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_equations_1_to_4(shape: tuple[int, ...], switches: dict[str, Any]) -> None:
    known = {name: value for name, value in switches.items() if name != "concept_prior"}
    agrees(unit(shape[1], **switches), features(*shape), **known)


@pytest.mark.parametrize("K, D", [(1, 8), (5, 9), (7, 4)])
def test_other_widths(K: int, D: int) -> None:
    heads = 3 if D == 9 else 4
    agrees(unit(3, K, D, heads=heads), features(1, 3, 2, 3), heads=heads)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_literal_concatenation_and_convolutions(switches: dict[str, Any]) -> None:
    """conv(X') of a built X' of 2C channels, in the float32 that a network runs in, gradients included."""
    results = []
    for kind in (SGR, LiteralSGR):
        module = unit(6, kind=kind, **switches).float()
        x = features(2, 6, 5, 7).float().requires_grad_()
        output = module(x)
        (
            output.features.square().sum() + output.concept_logits.sum() + output.tokens.square().sum()
        ).backward()
        results.append([*output, x.grad, *(p.grad for p in module.parameters())])
    for ours, theirs in zip(*results, strict=True):
        scale = theirs.abs().max().clamp_min(1).item()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-5 * scale)


@pytest.mark.parametrize("normalization", ["area", "none"])
@pytest.mark.parametrize("logit", [-700.0, -30.0, 30.0, 700.0])
def test_regions_all_zero_or_all_one(logit: float, normalization: str) -> None:
    module = unit(2, token_normalization=normalization)
    with torch.no_grad():
        module.concepts.weight.zero_()
        bias(module).fill_(logit)
    agrees(module, features(1, 2, 3, 4), token_normalization=normalization)


@pytest.mark.parametrize("normalization", ["area", "none"])
def test_one_region_vanishes(normalization: str) -> None:
    module = unit(2, token_normalization=normalization)
    with torch.no_grad():
        bias(module)[0] = -900.0
    agrees(module, features(2, 2, 3, 4), token_normalization=normalization)


def test_position_embedding() -> None:
    positions = torch.tensor([0.0, 1.0, 2.5, 97.25], dtype=torch.float64)
    for width in (1, 2, 5, 8):
        expected = [reference.position_embedding(p, width) for p in positions.tolist()]
        np.testing.assert_allclose(sinusoid(positions, width).numpy(), np.array(expected), atol=1e-12)


def test_positions_keep_their_precision_in_bfloat16() -> None:
    assert cells(300, torch.zeros(1, dtype=torch.bfloat16)).tolist() == list(range(1, 301))
    assert cells(2, torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("reasoning", ["transformer", "graph"])
@pytest.mark.parametrize("normalization", ["area", "none"])
def test_fresh_unit_is_the_identity(reasoning: Any, normalization: Any) -> None:
    module = SGR(6, 5, 8, reasoning=reasoning, token_normalization=normalization)
    x = features(2, 6, 5, 4).float() * 100
    for mode in (True, False):
        assert torch.equal(module.train(mode)(x).features, x)


def test_prior_of_the_concept_regions() -> None:
    module = SGR(4, 3, 8, concept_prior=0.02)
    x = torch.zeros(1, 4, 2, 2)
    with torch.no_grad():
        module.concepts.weight.zero_()
    torch.testing.assert_close(module(x).concept_logits.sigmoid(), torch.full((1, 3, 2, 2), 0.02))


@pytest.mark.parametrize("switches", SWITCHES[:4], ids=str)
def test_gradients(switches: dict[str, Any]) -> None:
    """Of the input and of every parameter, the last convolution being off its zero start."""
    module = unit(2, 3, 4, **{"layers": 1, "heads": 2, **switches})
    names = [name for name, _ in module.named_parameters()]
    inputs = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def forward(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return tuple(functional_call(module, dict(zip(names, values, strict=True)), (x,)))

    # every entry of the Jacobian of the input, and a random projection of the one of all parameters
    assert torch.autograd.gradcheck(module, (features(1, 2, 2, 3).requires_grad_(),))
    x = features(2, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(forward, (x, *inputs), fast_mode=True)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_batched_equals_one_by_one(switches: dict[str, Any]) -> None:
    module, x = unit(3, **switches), features(3, 3, 4, 5)
    together = module(x)
    for b in range(3):
        for ours, alone in zip(together, module(x[b : b + 1]), strict=True):
            torch.testing.assert_close(ours[b : b + 1], alone, rtol=1e-10, atol=1e-10)


def test_inference_equals_training() -> None:
    """The transformer's fused inference path included."""
    module, x = unit(3), features(2, 3, 4, 5)
    trained = module.train()(x)
    with torch.inference_mode():
        inferred = module.eval()(x)
    for ours, theirs in zip(inferred, trained, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_channels_last_input() -> None:
    module, x = unit(4), features(2, 4, 5, 3)
    for ours, theirs in zip(module(x.to(memory_format=torch.channels_last)), module(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_order_of_the_concepts_is_free() -> None:
    """The transformer does not know the tokens by number, so the features do not depend on their order."""
    module, x = unit(3), features(1, 3, 4, 5)
    before, order = module(x), torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        module.concepts.weight.copy_(module.concepts.weight[order])
        bias(module).copy_(bias(module)[order])
    after = module(x)
    torch.testing.assert_close(after.features, before.features)
    torch.testing.assert_close(after.concept_logits, before.concept_logits[:, order])
    torch.testing.assert_close(after.tokens, before.tokens[:, order])


def test_without_embeddings_position_does_not_matter() -> None:
    module, x = unit(3, xy_embedding=False, centroid_embedding=False), features(1, 3, 4, 5)
    shuffle = torch.randperm(20, generator=torch.Generator().manual_seed(0))

    def shuffled(t: Tensor) -> Tensor:
        return t.flatten(2)[:, :, shuffle].reshape(t.shape)

    torch.testing.assert_close(module(shuffled(x)).features, shuffled(module(x).features))
    for module in (unit(3, xy_embedding=False), unit(3, centroid_embedding=False)):
        assert not torch.allclose(module(shuffled(x)).features, shuffled(module(x).features))


def test_transposed_image() -> None:
    """x and y exchange their roles: with the halves of the kernels exchanged the result is transposed."""
    module, x = unit(3, centroid_embedding=False), features(1, 3, 4, 5)
    before = module(x)
    with torch.no_grad():
        for conv in (module.concepts, module.reduce):
            conv.weight.copy_(conv.weight.roll(3, dims=1))
    after = module(x.transpose(2, 3))
    torch.testing.assert_close(after.features, before.features.transpose(2, 3))
    torch.testing.assert_close(after.concept_logits, before.concept_logits.transpose(2, 3))


def test_constant_region_has_its_centroid_in_the_middle() -> None:
    module = unit(2, 1, 8)
    module.reason = nn.Identity()
    with torch.no_grad():
        for parameter in (*module.concepts.parameters(), *module.reduce.parameters()):
            parameter.zero_()
    token = module(features(1, 2, 3, 7)).tokens[0, 0].detach().numpy()
    middle = [reference.position_embedding(4, 4), reference.position_embedding(2, 4)]
    np.testing.assert_allclose(token, np.concatenate(middle), atol=1e-12)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_bfloat16_autocast(switches: dict[str, Any]) -> None:
    module, x = unit(6, **switches).float(), features(2, 6, 9, 11).float()
    exact = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = module(x)
    assert rounded.features.dtype == torch.bfloat16  # as a convolution's would be
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.isfinite().all()
        assert (ours - theirs).abs().max() < 0.05 * theirs.abs().max()
    rounded.features.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("how", ["autocast", "module"])
def test_centroids_in_bfloat16(how: str) -> None:
    """A centroid near cell 200 must not be rounded to bfloat16, which knows whole cells there."""
    module = unit(1, 1, 8, xy_embedding=False).float()
    module.reason = nn.Identity()
    with torch.no_grad():
        for parameter in (*module.concepts.parameters(), *module.reduce.parameters()):
            parameter.zero_()
        module.concepts.weight.fill_(1.0)
    x = torch.full((1, 1, 3, 256), -20.0)
    x[..., 190:221] = 0.0  # logits 0 around cell 206 of x, which counts from 1
    if how == "module":
        token = module.bfloat16()(x.bfloat16()).tokens
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            token = module(x).tokens
    expected = np.concatenate([reference.position_embedding(206, 4), reference.position_embedding(2, 4)])
    np.testing.assert_allclose(token[0, 0].detach().float().numpy(), expected, atol=2**-8)


@pytest.mark.parametrize("name", ["channels", "K", "D", "layers", "heads"])
def test_sizes_below_one(name: str) -> None:
    sizes: dict[str, Any] = {"channels": 4, "K": 3, "D": 8, name: 0}
    with pytest.raises(ValueError, match=name):
        SGR(**sizes)


@pytest.mark.parametrize(
    "name, value",
    [
        ("heads", 3),
        ("reasoning", "mlp"),
        ("token_normalization", "mean"),
        ("concept_prior", 0.0),
        ("concept_prior", 1.0),
    ],
)
def test_wrong_choices(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        SGR(4, 3, 8, **{name: value})


@pytest.mark.parametrize("reasoning", ["transformer", "graph"])
def test_state_round_trip(reasoning: Any) -> None:
    module, fresh = unit(3, reasoning=reasoning), unit(3, seed=9, reasoning=reasoning)
    fresh.load_state_dict(module.state_dict(), strict=True)
    x = features(1, 3, 2, 2)
    assert torch.equal(fresh(x).features, module(x).features)


def test_number_of_parameters() -> None:
    """The paper's size on a ResNet: two convolutions of 2C, one back, two layers of the encoder."""
    C, K, D = 2048, 512, 512
    with torch.device("meta"):
        module = SGR(C, K, D)
    encoder = 2 * (4 * D * D + 4 * D + 8 * D * D + 5 * D + 4 * D)
    assert sum(p.numel() for p in module.parameters()) == 2 * C * (K + D) + K + D + D * C + encoder


def test_pinned_output() -> None:
    """Fixed weights, fixed input: the numbers may only change on purpose."""
    module = SGR(4, 3, 8, heads=2).double()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            ramp = torch.linspace(-0.5, 0.5, parameter.numel(), dtype=torch.float64).sin()
            parameter.copy_((ramp + 0.01 * i).view_as(parameter))
    output = module(torch.linspace(-1, 1, 24, dtype=torch.float64).view(1, 4, 2, 3))
    pinned = torch.tensor(PINNED, dtype=torch.float64)
    measured = torch.stack([t.square().sum() for t in output])
    torch.testing.assert_close(measured, pinned, rtol=1e-9, atol=0)


PINNED = [152.33438653934078, 33.29462224994968, 18.21954685950348]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("switches", SWITCHES[:4], ids=str)
def test_cuda_equals_cpu(switches: dict[str, Any]) -> None:
    module, x = unit(6, **switches), features(2, 6, 5, 4)
    expected = module(x)
    for ours, theirs in zip(module.cuda()(x.cuda()), expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)
