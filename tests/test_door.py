"""What a borrower meets at `import sgr`: names, types and parameters as behind the door, and sentences for mistakes."""

from __future__ import annotations

import ast
import inspect
import pickle
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sgr
from sgr import connected, glore, losses, matching, semantics, unit
from sgr.errors import UserError
from sgr.jobs.job import Code, Job, Kind
from sgr.jobs.snapshot import check_code
from sgr.plan.sources import Sources
from sgr.project import PROJECT
from tests.scratch import ROOT

INNER: dict[str, Any] = {
    "SGR": unit.SGR,
    "GloRe": glore.GloRe,
    "ConceptLoss": losses.ConceptLoss,
    "connected_components": connected.connected_components,
    "match_concepts": matching.match_concepts,
    "token_semantics": semantics.token_semantics,
}
X = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 255], [2, 2, 0, 0], [2, 2, 0, 0]]).repeat(2, 1, 1)


def small(kind: type[nn.Module]) -> nn.Module:
    """A unit of 8 channels that is no longer the identity."""
    torch.manual_seed(0)
    heads = {"heads": 2} if issubclass(kind, unit.SGR) else {}
    module = kind(8, 4, 6, **heads).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def test_names_version_and_types_are_there_before_anything_loads() -> None:
    code = (
        "import sys, sgr; assert set(sgr.__all__) <= set(dir(sgr)); assert sgr.__version__; "
        "sys.exit(bool({'torch', 'numpy', 'cc3d', 'scipy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert set(sgr.__all__) == set(INNER)
    assert (ROOT / "sgr/py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'GLORE'"):
        sgr.GLORE  # noqa: B018


def test_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "sgr.__version__"}
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["sgr"]


@pytest.mark.parametrize("name", INNER)
def test_signature_and_docstring_are_those_behind_the_door(name: str) -> None:
    ours, behind = getattr(sgr, name), INNER[name]
    assert ours is not behind
    assert inspect.signature(ours) == inspect.signature(behind)
    assert inspect.getdoc(ours) == inspect.getdoc(behind)
    assert pickle.loads(pickle.dumps(ours)) is ours


@pytest.mark.parametrize("name", ["SGR", "GloRe"])
def test_units_have_the_parameters_and_bits_of_those_behind_the_door(name: str) -> None:
    ours, behind = small(getattr(sgr, name)), small(INNER[name])
    assert isinstance(ours, INNER[name])
    behind.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(behind.state_dict())
    again = pickle.loads(pickle.dumps(ours))
    for one, other, third in zip(ours(X), behind(X), again(X), strict=True):
        assert torch.equal(one, other) and torch.equal(one, third)
    assert repr(ours) == repr(behind)


def test_loss_and_functions_give_the_bits_of_those_behind_the_door() -> None:
    logits = small(sgr.SGR)(X).concept_logits
    components = sgr.connected_components(LABELS, opening=0)
    assert torch.equal(components, connected.connected_components(LABELS, opening=0))
    assert torch.equal(sgr.ConceptLoss(L=4)(logits, components), losses.ConceptLoss(L=4)(logits, components))
    cost = torch.rand(2, 5, 3)
    assert torch.equal(sgr.match_concepts(cost, 4), matching.match_concepts(cost, 4))
    ours = sgr.token_semantics(logits.sigmoid(), LABELS, 3)
    assert torch.equal(ours.semantics, semantics.token_semantics(logits.sigmoid(), LABELS, 3).semantics)


@pytest.mark.parametrize("kind", [sgr.SGR, sgr.GloRe], ids=lambda kind: kind.__name__)
def test_units_are_exported_with_sizes_left_open(kind: type[nn.Module]) -> None:
    module = small(kind)
    size = {2: torch.export.Dim("h", min=2, max=64), 3: torch.export.Dim("w", min=2, max=64)}
    exported = torch.export.export(module, (X,), dynamic_shapes={"x": size}).module()
    other = torch.randn(2, 8, 9, 4)
    for ours, theirs in zip(exported(other), module(other), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_unit_compiles_without_a_break_and_still_refuses() -> None:
    module = small(sgr.SGR)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    for ours, theirs in zip(compiled(X), module(X), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert list(compiled.state_dict()) == [f"_orig_mod.{name}" for name in module.state_dict()]
    with pytest.raises(Exception, match="takes features"):
        torch.compile(module, backend="eager")(X[:, :4])


LOGITS = torch.zeros(2, 4, 4, 4)
COMPONENTS = connected.connected_components(LABELS, opening=0)

MISTAKES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "wrong channels": (
        lambda: small(sgr.SGR)(X[:, :4]),
        ValueError,
        "has 4 channels: or make it by channels=4",
    ),
    "channels last": (lambda: small(sgr.GloRe)(X.permute(0, 2, 3, 1)), ValueError, r"permute\(0, 3, 1, 2\)"),
    "one image": (lambda: small(sgr.SGR)(X[0]), ValueError, r"a single image is x\[None\]"),
    "a row of tokens": (
        lambda: small(sgr.SGR)(X.flatten(2).transpose(1, 2)),
        ValueError,
        r"three dimensions: transpose\(1, 2\).unflatten\(2, \(h, w\)\)",
    ),
    "whole output of a backbone": (lambda: small(sgr.SGR)({"out": X}), TypeError, "not dict"),
    "integer features": (lambda: small(sgr.SGR)(X.long()), TypeError, "floating point, not torch.int64"),
    "whole output of the unit": (
        lambda: sgr.ConceptLoss(L=4)(small(sgr.SGR)(X), COMPONENTS),
        TypeError,
        r"unit\(features\).concept_logits, not SGROutput",
    ),
    "labels with 255 for components": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, LABELS),
        ValueError,
        r"components hold 255, as labels do: give sgr.connected_components\(labels\)",
    ),
    "labels with -100 for components": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, LABELS.where(LABELS != 255, -100)),
        ValueError,
        "components hold -100",
    ),
    "one map of components for two images": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, COMPONENTS[:1]),
        ValueError,
        "a map for each of 2 images, not 1 maps",
    ),
    "components without a batch": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, COMPONENTS[0]),
        ValueError,
        r"\(B, H, W\), not of shape \(4, 4\): a single map is map\[None\]",
    ),
    "components of floats": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, COMPONENTS.float()),
        TypeError,
        r"integers, not torch.float32: give components.long\(\)",
    ),
    "components of numpy": (
        lambda: sgr.ConceptLoss(L=4)(LOGITS, COMPONENTS.numpy()),
        TypeError,
        "not ndarray",
    ),
    "more active concepts than there are": (
        lambda: sgr.ConceptLoss()(LOGITS, COMPONENTS),
        ValueError,
        "L = 64 concepts cannot be active when there are only K = 4",
    ),
    "logits for regions": (
        lambda: sgr.token_semantics(X, LABELS, 3),
        ValueError,
        r"not logits: give concept_logits.sigmoid\(\)",
    ),
    "one label map for the regions of two images": (
        lambda: sgr.token_semantics(LOGITS, LABELS[:1], 3),
        ValueError,
        "labels is a map for each of 2 images, not 1 maps",
    ),
    "float labels for the metrics": (
        lambda: sgr.token_semantics(LOGITS, LABELS.float(), 3),
        TypeError,
        "torch.float32",
    ),
    "labels with a channel for the metrics": (
        lambda: sgr.token_semantics(LOGITS, LABELS[:, None], 3),
        ValueError,
        r"squeeze\(1\)",
    ),
    "regions without a batch": (
        lambda: sgr.token_semantics(LOGITS[0], LABELS[:1], 3),
        ValueError,
        r"\(B, K, h, w\)",
    ),
    "float labels": (lambda: sgr.connected_components(LABELS.float()), ValueError, "integers, not float32"),
    "labels in a list": (lambda: sgr.connected_components(LABELS.tolist()), TypeError, "not list"),
    "labels with a channel": (lambda: sgr.connected_components(LABELS[:, None]), ValueError, "squeeze"),
    "colours for labels": (
        lambda: sgr.connected_components(np.zeros((32, 48, 3), np.uint8)),
        ValueError,
        "colours of an image",
    ),
    "a cost of one concept": (lambda: sgr.match_concepts(torch.zeros(3), 1), ValueError, r"\(B, K, C\)"),
    "counts of other images": (
        lambda: sgr.match_concepts(torch.zeros(2, 4, 3), 3, torch.tensor([3])),
        ValueError,
        r"each of 2 images, not \(1,\)",
    ),
    "no active concept": (lambda: sgr.match_concepts(torch.zeros(2, 4, 3), 0), ValueError, "at least 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_in_a_sentence(mistake: str) -> None:
    make, error, sentence = MISTAKES[mistake]
    with pytest.raises(error, match=sentence):
        make()


def discs(radius: float, number: int, images: int = 3) -> Tensor:
    """Maps of 96 x 96: background 0 and discs of one class, as nuclei under a microscope."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    maps = torch.zeros(images, 96, 96, dtype=torch.int64)
    for one in maps:
        for cy, cx in (8 + 80 * torch.rand(number, 2, generator=generator)).tolist():
            one[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 1
    return maps


def test_small_objects_that_are_dropped_are_told_once_and_kept_with_a_smaller_share() -> None:
    labels = discs(3, 8)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(2):
            components = sgr.connected_components(labels)
    assert [str(one.message)[:48] for one in told] == ["most images of this batch keep one component alo"]
    assert "min_share=0.001" in str(told[0].message) and told[0].filename == __file__
    assert components.amax() == 1 and (components[labels == 1] == 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = sgr.connected_components(labels, min_share=0.001)
    assert (kept[labels == 1] > 0).float().mean() > 0.9


@pytest.mark.parametrize(
    "labels",
    [
        discs(20, 2),
        torch.zeros(3, 32, 32, dtype=torch.int64),
        torch.full((3, 32, 32), 255),
        torch.cat([discs(3, 8, 1), discs(20, 2, 2)]),
    ],
    ids=["large objects", "one class alone", "nothing labelled", "one image of three"],
)
def test_other_images_are_not_told(labels: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sgr.connected_components(labels)
        sgr.connected_components(labels.numpy().astype(np.uint8))


def test_labels_without_an_ignored_pixel_for_components_are_told_at_the_first_batch() -> None:
    loss, labels = sgr.ConceptLoss(L=4), discs(6, 5) + 1
    labels[:, :40] = 3 - labels[:, :40]
    with pytest.warns(UserWarning, match="components look like labels"):
        loss(torch.zeros(3, 4, 24, 24), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(torch.zeros(3, 4, 24, 24), labels)  # once
        components = sgr.connected_components(labels, min_share=0.001)
        for part in (components, components[:, 20:70, 30:90], components[:, ::4, ::4]):
            sgr.ConceptLoss(L=40)(torch.zeros(3, 40, 24, 24), part)


def test_no_job_passes_the_door_or_takes_a_name_from_the_root() -> None:
    """So the root's own meaning need not stand in any key."""
    assert "sgr/__init__.py" not in Sources(ROOT).code(["sgr.unit"]).sources
    files = [*ROOT.glob("sgr/**/*.py"), *ROOT.glob("stages/**/*.py")]
    assert len(files) > 100
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            named = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            if isinstance(node, ast.Import):
                assert "sgr" not in named, path
            if isinstance(node, ast.ImportFrom) and node.module == "sgr":
                assert not set(named) & {*INNER, "door", "checks", "__version__"}, path
            if isinstance(node, ast.ImportFrom) and node.module == "sgr.door":
                assert path == ROOT / "sgr/__init__.py"


def test_an_edit_of_the_root_stops_no_job_that_was_planned_before(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sgr", tmp_path / "sgr", ignore=shutil.ignore_patterns("__pycache__"))
    root = tmp_path / "sgr/__init__.py"
    root.write_text(root.read_text().replace("0.1.0", "0.2.0"))
    sources = Sources(ROOT).code(["sgr.unit"]).sources
    kind = Kind("door", "sgr.unit:SGR", ())
    check_code([Job(kind, {}, code=Code(sources))], PROJECT, tmp_path)
    (tmp_path / "sgr/unit.py").write_text("K = 1\n")
    with pytest.raises(UserError, match=r"sgr/unit.py changed since the plan was made"):
        check_code([Job(kind, {}, code=Code(sources))], PROJECT, tmp_path)


def test_root_does_nothing_when_a_job_imports_it() -> None:
    tree = ast.parse((ROOT / "sgr/__init__.py").read_text())
    done = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)]
    assert {type(node) for node in done} == {ast.Expr, ast.If, ast.Assign}  # docstring, types, names
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "importlib", "typing"}
