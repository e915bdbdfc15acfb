"""Resolve params.yaml to one plain JSON entry for every stage of every row, dataset and backbone.

An entry holds the whole configuration of its stage, the hash of each source file that the stage's work imports, and
the pinned versions of the libraries behind them. DVC reruns a stage when its entry changes, and for nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import grimp

from sgr.config import GloReSettings, Params, Row, Section, SGRSettings, Training
from sgr.errors import UserError
from sgr.files import sha256_file

Entry = dict[str, Any]

# Packages whose version can change a number or an image.
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "connected-components-3d",
    "safetensors",
)

# Of the section sgr, what `sgr.SGR` takes; the rest belongs to the loss.
COMPONENT_ARGUMENTS = (
    *("K", "D", "heads", "layers", "reasoning"),
    *("xy_embedding", "centroid_embedding", "token_normalization", "concept_prior"),
)

# What a stage's work starts from; modules that are looked up by name at run time are added for each entry.
ROOTS = {
    "download": ["sgr.data.manifest"],
    "components": ["sgr.data.extract"],
    "weights": ["sgr.weights"],
    "train": ["sgr.training.job"],
    "evaluate": ["sgr.evaluation.evaluate"],
    "semantics": ["sgr.evaluation.semantics"],
}


def entries(params: Params, root: Path) -> dict[str, Entry]:
    """All plan entries by `<stage>/<key>`, for the chosen profile.

    Args:
        params: checked parameters.
        root: the project's folder, which holds `sgr/` and requirements.txt.

    Raises:
        UserError: for a row whose resolved settings contradict each other (L > K, heads that do not divide D, ...).
    """
    code = Sources(root)
    libraries = pinned(root / "requirements.txt")
    found: dict[str, Entry] = {}

    def add(stage: str, key: str, modules: list[str], **settings: Any) -> None:
        found[f"{stage}/{key}"] = {
            **settings,
            "code": code.hashes(ROOTS[stage] + modules),
            "libraries": libraries,
        }

    profile = params.chosen
    for name, dataset in params.datasets.items():
        module = f"sgr.data.{name}"
        generated = (
            profile.generated.model_dump(mode="json")
            if profile.data == "generated" and profile.generated
            else None
        )
        splits = sorted({dataset.train, *dataset.evaluate, dataset.semantics})
        made_by = [module, "sgr.data.generate"] if generated else [module]
        source = {"dataset": name, "data": profile.data}
        add("download", name, made_by, **source, splits=splits, generated=generated)
        add(
            "components",
            name,
            [module],
            **source,
            split=dataset.train,
            **params.components.model_dump(mode="json"),
        )
    for name in sorted({row.backbone for row in params.rows.values()}):
        add("weights", name, [], backbone=profile.backbones.get(name, name), pretrained=profile.pretrained)
    for name, row in params.rows.items():
        network = resolve_network(params, name)
        dataset = params.datasets[row.dataset]
        parts = [f"sgr.data.{row.dataset}", f"sgr.models.{row.family}", *_component_modules(network)]
        common = {
            "row": name,
            "dataset": row.dataset,
            "data": profile.data,
            "network": network,
            "threads": profile.threads,
            "seeds": list(row.seeds or profile.seeds),
        }
        training = resolve_training(params, name)
        concept_loss = resolve_concept_loss(params, name)
        add(
            "train",
            name,
            [*parts, "sgr.losses"] if concept_loss else parts,
            **common,
            split=dataset.train,
            jitter=dataset.jitter,
            augmentation=params.augmentation.model_dump(mode="json"),
            concept_loss=concept_loss,
            training=training,
            pretrained=profile.pretrained,
            weights=row.backbone,
        )
        seen = {"resize": training["resize"], "channels_last": training["channels_last"]}
        inference = params.inference.model_dump(mode="json")
        add("evaluate", name, parts, **common, **seen, splits=list(dataset.evaluate), inference=inference)
        if row.component != "none":
            add(
                "semantics", name, parts, **common, **seen, split=dataset.semantics, examples=profile.examples
            )
    return found


def resolve_network(params: Params, name: str) -> Entry:
    """The network of a row, as the arguments of `sgr.models.build`."""
    row, profile = params.rows[name], params.chosen
    component: Entry | None = None
    if row.component == "glore":
        settings = _layered(GloReSettings, profile.glore, params.glore, row.glore, name=name, section="glore")
        component = {"kind": "glore", **settings}
    if row.component == "sgr":
        settings = _sgr(params, row, name)
        component = {"kind": "sgr", **{key: settings[key] for key in COMPONENT_ARGUMENTS}}
    return {
        "family": row.family,
        "backbone": profile.backbones.get(row.backbone, row.backbone),
        "stride": profile.stride,
        "head_width": profile.head_width,
        "atrous_rates": list(profile.atrous_rates),
        "component": component,
    }


def resolve_concept_loss(params: Params, name: str) -> Entry | None:
    """Arguments of `ConceptLoss` and beta, or None for a row whose tokens are not supervised."""
    row = params.rows[name]
    if row.component != "sgr":
        return None
    settings = _sgr(params, row, name)
    if settings["beta"] == 0:
        return None
    return {key: value for key, value in settings.items() if key not in COMPONENT_ARGUMENTS}


def resolve_training(params: Params, name: str) -> Entry:
    """Training settings of a row: the profile's, over them its dataset's, over them the row's own."""
    row, profile = params.rows[name], params.chosen
    of_dataset = profile.datasets.get(row.dataset, Training())
    training = _layered(Training, profile.training, of_dataset, row.training, name=name, section="training")
    if training["batch_size"] % training["accumulate"]:
        raise UserError(
            f"params.yaml: row {name}: batch_size = {training['batch_size']} must be a multiple of "
            f"accumulate = {training['accumulate']}"
        )
    return training


def _sgr(params: Params, row: Row, name: str) -> Entry:
    settings = _layered(SGRSettings, params.chosen.sgr, params.sgr, row.sgr, name=name, section="sgr")
    if settings["L"] > settings["K"]:
        raise UserError(
            f"params.yaml: row {name}: sgr.L = {settings['L']} must not exceed sgr.K = {settings['K']}"
        )
    if settings["reasoning"] == "transformer" and settings["D"] % settings["heads"]:
        raise UserError(
            f"params.yaml: row {name}: sgr.heads = {settings['heads']} must divide sgr.D = {settings['D']}"
        )
    return settings


def _layered(kind: type[Section], *layers: Section, name: str, section: str) -> Entry:
    """Later layers win; null means "not said here". All keys must be said somewhere."""
    merged: Entry = dict.fromkeys(kind.model_fields)
    for layer in layers:
        merged |= {key: value for key, value in layer.model_dump(mode="json").items() if value is not None}
    missing = [key for key, value in merged.items() if value is None]
    if missing:
        raise UserError(
            f"params.yaml: row {name}: {section}.{missing[0]} is set neither by the row nor by the profile"
        )
    return merged


def _component_modules(network: Entry) -> list[str]:
    kind = network["component"] and network["component"]["kind"]
    return {None: [], "sgr": ["sgr.component"], "glore": ["sgr.glore"]}[kind]


class Sources:
    """Which source files a module needs, by the import graph (nothing is imported to find out)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.graph = grimp.build_graph("sgr", cache_dir=None, exclude_type_checking_imports=True)
        self._digests: dict[str, str] = {}

    def closure(self, modules: list[str]) -> set[str]:
        """The modules, all they import directly or not, and the packages around them."""
        found: set[str] = set()
        for module in modules:
            if module not in self.graph.modules:
                raise UserError(f"params.yaml: there is no module {module} for what it names")
            found |= {module, *self.graph.find_upstream_modules(module)}
        for module in list(found):
            parts = module.split(".")
            found |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
        return found

    def hashes(self, modules: list[str]) -> dict[str, str]:
        """{path relative to the root: first 16 hex of SHA-256} of the closure."""
        return {path: self._digest(path) for path in sorted(map(self._path, self.closure(modules)))}

    def _path(self, module: str) -> str:
        base = Path(*module.split("."))
        package = base / "__init__.py"
        return (package if (self.root / package).exists() else base.with_suffix(".py")).as_posix()

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            self._digests[path] = sha256_file(self.root / path)[:16]
        return self._digests[path]


def pinned(requirements: Path) -> dict[str, str]:
    """Versions of `LIBRARIES` from requirements.txt."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", requirements.read_text(), flags=re.MULTILINE))
    missing = [name for name in LIBRARIES if name not in pins]
    if missing:
        raise UserError(
            f"{requirements.name}: {missing[0]} must be pinned with ==, since its version changes results"
        )
    return {name: pins[name] for name in LIBRARIES}
