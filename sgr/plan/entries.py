"""Resolve params.yaml to one plain JSON entry for every stage of every row, dataset and backbone.

An entry holds the whole configuration of its stage, the hash of each source file that the stage's work imports, and
the pinned versions of the libraries behind them. DVC reruns a stage when its entry changes, and for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grimp

from sgr.data import WITHOUT_LABEL_MAPS
from sgr.errors import UserError
from sgr.files import sha256_file
from sgr.models.recipes import recipe
from sgr.plan.params import (
    Families,
    Family,
    GloReSettings,
    Params,
    Profile,
    Row,
    Section,
    SGRSettings,
    Training,
)

Entry = dict[str, Any]

# Packages whose version can change a number or an image.
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "numpy",
    "scipy",
    "pillow",
    "connected-components-3d",
    "safetensors",
)
# and those that can change a mask or a box of MS-COCO, or what it counts for
COCO_LIBRARIES = ("pycocotools", "contourpy", "faster-coco-eval")

# Of the section sgr, what `sgr.SGR` takes; the rest belongs to the loss.
SGR_ARGUMENTS = (
    *("K", "D", "heads", "layers", "reasoning"),
    *("xy_embedding", "centroid_embedding", "token_normalization", "concept_prior"),
)

# What the overhead is measured with: few classes, so that the loss at image size does not hide the networks.
OVERHEAD_DATASET = "cityscapes"

# What a stage's work starts from; modules that are looked up by name at run time are added for each entry.
ROOTS = {
    "download": ["sgr.data.manifest"],
    "components": ["sgr.data.component_extraction"],
    "weights": ["sgr.models.weights"],
    "train": ["sgr.training.segmentation"],
    "evaluate": ["sgr.evaluation.evaluate"],
    "semantics": ["sgr.evaluation.semantics"],
    "instance_semantics": ["sgr.evaluation.instances"],
    "transfer": ["sgr.detection.transfer"],
    "detect": ["sgr.detection.evaluate"],
    "overhead": ["sgr.cost.overhead", "sgr.losses"],
    "component_statistics": ["sgr.evaluation.component_statistics"],
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
    libraries, of_coco = (pinned(root / "requirements.txt", names) for names in (LIBRARIES, COCO_LIBRARIES))
    found: dict[str, Entry] = {}

    def entry(stage: str, modules: list[str], **settings: Any) -> Entry:
        hashes = code.hashes(ROOTS[stage] + modules)
        behind = libraries | of_coco if "sgr/data/coco.py" in hashes else libraries
        return {**settings, "code": hashes, "libraries": behind}

    profile = params.chosen
    for name, dataset in params.datasets.items():
        module = f"sgr.data.{name}"
        source = {"dataset": name, "data": profile.data}
        splits = {dataset.train, *dataset.evaluate, dataset.semantics}
        found[f"download/{name}"] = download_entry(profile, name, dataset.train, splits, entry)
        found[f"components/{name}"] = entry(
            "components",
            [module],
            **source,
            split=dataset.train,
            **params.components.model_dump(mode="json"),
        )
        if name in params.component_statistics.datasets:
            found[f"component_statistics/{name}"] = entry(
                "component_statistics",
                [module],
                **source,
                split=dataset.train,
                L=params.sgr.L or profile.sgr.L,
                **params.components.model_dump(mode="json"),
            )
    detection = params.detection
    splits = {detection.train, detection.evaluate}
    found[f"download/{detection.dataset}"] = download_entry(
        profile, detection.dataset, detection.train, splits, entry
    )
    for name in sorted({row.backbone for row in params.rows.values()}):
        used = profile.backbones.get(name, name)
        made_by = [f"sgr.models.backbones.{recipe(used).module}"] if profile.pretrained else []
        found[f"weights/{name}"] = entry("weights", made_by, backbone=used, pretrained=profile.pretrained)
    for name in params.rows:
        found |= {f"{stage}/{name}": made for stage, made in row_entries(params, name, entry).items()}
    for name in params.transfer:
        found |= {f"{stage}/{name}": made for stage, made in transfer_entries(params, name, entry).items()}
    found[f"sweep/{params.sweep.dataset}"] = sweep_entry(params, entry)
    found["overhead/all"] = overhead_entry(params, entry)
    return found


def download_entry(
    profile: Profile, name: str, train: str, splits: set[str], entry: Callable[..., Entry]
) -> Entry:
    """The entry of a dataset, with how many images of its splits are generated where the profile's data is."""
    settings: Entry = {"dataset": name, "data": profile.data, "train": train, "splits": sorted(splits)}
    modules, generated = [f"sgr.data.{name}"], None
    if profile.data == "generated" and profile.generated:
        modules.append("sgr.generated.generate")
        generated = profile.generated.model_dump(mode="json", exclude={"detection"})
        if name in WITHOUT_LABEL_MAPS and profile.generated.detection:
            generated["images"] = profile.generated.detection.model_dump(mode="json")
    return entry("download", modules, **settings, generated=generated)


def row_entries(params: Params, name: str, entry: Callable[..., Entry]) -> dict[str, Entry]:
    """The entries of a row by stage, each made by `entry(stage, modules, **settings)`."""
    row, profile = params.rows[name], params.chosen
    network = resolve_network(params, name)
    dataset = params.datasets[row.dataset]
    parts = [f"sgr.data.{row.dataset}", *network_modules(network)]
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
    found = {
        "train": entry(
            "train",
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
    }
    seen = {"resize": training["resize"], "channels_last": training["channels_last"]}
    inference = profile.inference.model_dump(mode="json")
    splits = list(dataset.evaluate)
    found["evaluate"] = entry("evaluate", parts, **common, **seen, splits=splits, inference=inference)
    if row.has_regions:
        shown = {"split": dataset.semantics, "examples": profile.examples}
        found["semantics"] = entry("semantics", parts, **common, **seen, **shown)
    if row.instances:
        of_coco = {"dataset": params.detection.dataset, "split": params.detection.evaluate}
        settings = {**common, **seen, **of_coco, "trained_on": row.dataset}
        found["instance_semantics"] = entry("instance_semantics", parts, **settings)
    return found


def transfer_entries(params: Params, name: str, entry: Callable[..., Entry]) -> dict[str, Entry]:
    """The entries of a row of Table 3: fine-tuning, and its evaluation."""
    row, profile, detection = params.transfer[name], params.chosen, params.detection
    backbone = params.backbone(row)
    trained = resolve_network(params, row.trained) if row.trained else None
    network = {
        "backbone": profile.backbones.get(backbone, backbone),
        "unit": trained["unit"] if trained else None,
        **profile.detection.model_dump(mode="json", include={"anchors", "proposals", "boxes"}),
    }
    seeds_of_start = (params.rows[row.trained].seeds if row.trained else None) or profile.seeds
    common = {
        "row": name,
        "dataset": detection.dataset,
        "data": profile.data,
        "network": network,
        "threads": profile.threads,
        "seeds": list(row.seeds or profile.seeds),
        **profile.detection.model_dump(mode="json", include={"min_sizes", "max_size"}),
    }
    parts = [f"sgr.data.{detection.dataset}", *network_modules(network)]
    training = profile.detection.training.model_dump(mode="json")
    return {
        "transfer": entry(
            "transfer",
            parts,
            **common,
            split=detection.train,
            flip=params.augmentation.flip,
            start=row.start,
            start_seed=seeds_of_start[0] if row.trained else None,
            pretrained=profile.pretrained,
            training=training,
        ),
        "detect": entry(
            "detect", parts, **common, split=detection.evaluate, channels_last=training["channels_last"]
        ),
    }


def sweep_entry(params: Params, entry: Callable[..., Entry]) -> Entry:
    """The sweep's row with each pair L <= K: the train and evaluate entries that it has as a row with these values."""
    name, grid = params.sweep.row, params.chosen.sweep
    row = params.rows[name]
    pairs: list[Entry] = []
    for K, L in ((K, L) for K in grid.K for L in grid.L if L <= K):
        changed = row.model_copy(update={"sgr": row.sgr.model_copy(update={"K": K, "L": L})})
        made = row_entries(params.model_copy(update={"rows": {name: changed}}), name, entry)
        pairs.append({"K": K, "L": L, "train": made["train"], "evaluate": made["evaluate"]})
    both = pairs[0]["train"], pairs[0]["evaluate"]  # the code is the same for all pairs
    return {
        "row": name,
        "split": params.datasets[row.dataset].evaluate[0],
        "K": list(grid.K),
        "L": list(grid.L),
        "pairs": pairs,
        "code": both[0]["code"] | both[1]["code"],
        "libraries": both[0]["libraries"],
    }


def overhead_entry(params: Params, entry: Callable[..., Entry]) -> Entry:
    """Every framework of the rows on its backbones: plain, with GloRe and with SGR, or with prototypes."""
    profile, rows = params.chosen, {}
    for row in params.rows.values():
        backbone = profile.backbones.get(row.backbone, row.backbone)
        plain = Row(dataset=OVERHEAD_DATASET, family=row.family, backbone=row.backbone)
        rows[f"{row.family}-{backbone}"] = plain
        if row.prototypes:
            rows[f"{row.family}-{backbone}-protoseg"] = plain.model_copy(update={"prototypes": True})
            continue
        for unit in ("glore", "sgr"):
            rows[f"{row.family}-{backbone}-{unit}"] = plain.model_copy(update={"unit": unit})
    alone, families = params.model_copy(update={"rows": rows}), list(Families.model_fields)
    networks: list[Entry] = []
    modules: set[str] = set()
    for name in sorted(rows, key=lambda name: (families.index(rows[name].family), name)):
        network, concept_loss = resolve_network(alone, name), resolve_concept_loss(alone, name)
        if concept_loss:
            concept_loss = {key: value for key, value in concept_loss.items() if key != "beta"}
        networks.append({"name": name, "network": network, "concept_loss": concept_loss})
        modules |= set(network_modules(network))
    layers = (profile.training, profile.datasets.get(OVERHEAD_DATASET, Training()))
    training = _layered(Training, *layers, name="overhead", section="training")
    return entry(
        "overhead",
        [f"sgr.data.{OVERHEAD_DATASET}", *sorted(modules)],
        networks=networks,
        dataset=OVERHEAD_DATASET,
        crop=training["crop"],
        batch_size=training["batch_size"] // training["accumulate"],
        repeats=profile.overhead_repeats,
        threads=profile.threads,
        channels_last=training["channels_last"],
        precision=training["precision"],
    )


def resolve_network(params: Params, name: str) -> Entry:
    """The network of a row, as the arguments of `sgr.models.build`."""
    row, profile = params.rows[name], params.chosen
    unit: Entry | None = None
    if row.unit == "glore":
        settings = _layered(GloReSettings, profile.glore, params.glore, row.glore, name=name, section="glore")
        unit = {"kind": "glore", **settings}
    if row.unit == "sgr":
        settings = _sgr(params, row, name)
        unit = {"kind": "sgr", **{key: settings[key] for key in SGR_ARGUMENTS}}
    family: Family = getattr(profile.families, row.family)
    return {
        "family": row.family,
        "backbone": profile.backbones.get(row.backbone, row.backbone),
        "stride": family.stride,
        "head": family.head
        | ({"prototypes": params.protoseg.model_dump(mode="json")} if row.prototypes else {}),
        "unit": unit,
    }


def resolve_concept_loss(params: Params, name: str) -> Entry | None:
    """Arguments of `ConceptLoss` and beta, or None for a row whose tokens are not supervised."""
    row = params.rows[name]
    if row.unit != "sgr":
        return None
    settings = _sgr(params, row, name)
    if settings["beta"] == 0:
        return None
    return {key: value for key, value in settings.items() if key not in SGR_ARGUMENTS}


def resolve_training(params: Params, name: str) -> Entry:
    """Training settings of a row: the profile's, over them its dataset's, its family's, and the row's own."""
    row, profile = params.rows[name], params.chosen
    of_dataset = profile.datasets.get(row.dataset, Training())
    of_family: Training = getattr(profile.families, row.family).training
    layers = (profile.training, of_dataset, of_family, row.training)
    training = _layered(Training, *layers, name=name, section="training")
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


def network_modules(network: Entry) -> list[str]:
    """The modules that `sgr.models.build`, or `sgr.detection.network.build`, imports by name for this network."""
    modules = [f"sgr.models.backbones.{recipe(network['backbone']).module}"]
    if "family" in network:
        modules.append(f"sgr.models.heads.{network['family']}")
    if "prototypes" in network.get("head", {}):
        modules.append("sgr.models.heads.prototypes")
    if network["unit"]:
        modules.append({"sgr": "sgr.unit", "glore": "sgr.glore"}[network["unit"]["kind"]])
    return modules


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


def pinned(requirements: Path, libraries: tuple[str, ...]) -> dict[str, str]:
    """Versions of libraries from requirements.txt."""
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", requirements.read_text(), flags=re.MULTILINE))
    missing = [name for name in libraries if name not in pins]
    if missing:
        raise UserError(
            f"{requirements.name}: {missing[0]} must be pinned with ==, since its version changes results"
        )
    return {name: pins[name] for name in libraries}
