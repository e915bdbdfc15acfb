"""Resolve params.yaml to one plan entry for every stage of every row, dataset and backbone.

DVC runs a stage again when its entry or its data changes, and for nothing else. What a job computes with stands in its
entry; lists and registries, which do not change what it computes, are read here and by no job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from sgr import kinds
from sgr.cost.settings import Candidate, OverheadSettings
from sgr.datasets import describe
from sgr.detection.settings import STRIDE, DetectorSettings, DetectSettings, TransferSettings
from sgr.evaluation.settings import (
    EvaluateSettings,
    Inference,
    InstanceSemanticsSettings,
    Seen,
    SemanticsSettings,
)
from sgr.models.families import FAMILIES
from sgr.models.settings import Part
from sgr.plan import resolve
from sgr.plan.entry import Entry
from sgr.plan.params import Params
from sgr.plan.sections import Row
from sgr.plan.sources import Sources
from sgr.plan.stage_settings import (
    ComponentSettings,
    DownloadSettings,
    Explained,
    ExplainSettings,
    GeneratedImages,
    PredictionsSettings,
    StatisticsSettings,
    WeightsSettings,
)
from sgr.report import labels, published, shown
from sgr.report.settings import (
    ClaimsSettings,
    EntranceSettings,
    FiguresSettings,
    Pair,
    ReportSettings,
    SweepSettings,
    TableSettings,
)
from sgr.report.tables import splits_of, tables
from sgr.training.settings import TrainSettings

Entries = dict[str, Entry[Any]]

# What the overhead is measured with: few classes, so that the loss at image size does not hide the networks.
OVERHEAD_DATASET = "cityscapes"

# What the work of a stage without jobs starts from.
ROOTS = {
    "download": ("sgr.download.manifest",),
    "components": ("sgr.data.component_extraction",),
    "weights": ("sgr.models.weights",),
    "component_statistics": ("sgr.evaluation.component_statistics", "sgr.report.component_statistics"),
    "table": ("sgr.report.tables",),
    "claims": ("sgr.report.claims.writing",),
    "entrance": ("sgr.report.entrance",),
    "explain": ("sgr.evaluation.explain",),
    "report": ("sgr.report.html",),
    "predictions": ("sgr.evaluation.predictions",),
    "figures": (
        "sgr.report.tokens",
        "sgr.report.predictions",
        "sgr.report.class_iou",
        "sgr.report.curves",
    ),
    "detection_figures": ("sgr.report.average_precision", "sgr.report.curves"),
}


def entries(params: Params, root: Path) -> Entries:
    """All plan entries by `<stage>/<key>`, for the chosen profile.

    Args:
        params: checked parameters.
        root: the project's folder, which holds `sgr/`, `stages/` and requirements.txt.

    Raises:
        UserError: for a row whose resolved settings contradict each other (L > K, heads that do not divide D, ...).
    """
    return dict(_Planner(params, Sources(root)).all())


class _Planner:
    def __init__(self, params: Params, sources: Sources) -> None:
        self.params, self.profile, self.sources = params, params.chosen, sources
        self.generated = self.profile.data == "generated"

    def all(self) -> Iterator[tuple[str, Entry[Any]]]:
        params = self.params
        for name in (*params.datasets, params.detection.dataset):
            yield f"download/{name}", self.download(name)
        for name in params.datasets:
            yield f"components/{name}", self.components(name)
            yield f"figures/{name}", self.figures(name)
            if predicted := shown.predicted(params, name):
                yield f"predictions/{name}", self.predictions(predicted)
            if describe(name).things:
                yield f"component_statistics/{name}", self.component_statistics(name)
        for name in sorted({row.backbone for row in params.rows.values()}):
            yield f"weights/{name}", self.weights(name)
        for name in params.rows:
            for stage, entry in self.row(name).items():
                yield f"{stage}/{name}", entry
        for name in params.transfer:
            for stage, entry in self.transfer(name).items():
                yield f"{stage}/{name}", entry
        yield f"sweep/{params.rows[params.sweep.row].dataset}", self.sweep()
        yield "overhead/all", self.overhead()
        detection = params.detection
        yield (
            f"detection_figures/{detection.dataset}",
            self.figures(detection.dataset, detection.evaluate, "detection_figures"),
        )
        for table in tables(splits_of(params)):
            yield f"table/{table}", self.table(table)
        yield "claims/all", self.claims()
        yield "explain/all", self.explain()
        yield "report/all", self.report()
        yield "entrance/all", self.entrance()

    def row(self, name: str) -> Entries:
        """The entries of a row by stage."""
        params, profile = self.params, self.profile
        row = params.rows[name]
        dataset = params.datasets[row.dataset]
        network, training = resolve.network(params, name), resolve.training(params, name)
        loop, supervision = resolve.loop(training), resolve.supervision(params, name)
        assert training.power is not None and training.warmup is not None and training.resize is not None
        seen = Seen(row.dataset, network, training.resize, loop.channels_last, profile.threads)
        about = {
            "row": name,
            "seeds": row.seeds or profile.seeds,
            "results": row.dataset,
            "backbone": profile.backbones.get(row.backbone, row.backbone),
        }
        found = {
            "train": self.entry(
                "train",
                TrainSettings(
                    dataset=row.dataset,
                    split=dataset.train,
                    network=network,
                    pretrained=profile.pretrained,
                    concept_loss=supervision.loss,
                    beta=supervision.beta,
                    loop=loop,
                    optimizer=resolve.optimizer(training),
                    power=training.power,
                    warmup=training.warmup,
                    augmentation=resolve.augmentation(params, row, training),
                    threads=profile.threads,
                ),
                row.dataset,
                weights=row.backbone if profile.pretrained else None,
                training={
                    "dataset": row.dataset,
                    "split": dataset.train,
                    "backbone": about["backbone"],
                    "iterations": loop.iterations,
                    "batch_size": loop.batch_size,
                    "crop": training.crop,
                    "resize": training.resize,
                },
                **about,
            ),
            "evaluate": self.entry(
                "evaluate",
                EvaluateSettings(
                    seen,
                    describe(row.dataset).classes,
                    dataset.evaluate,
                    Inference(profile.inference.scales, profile.inference.flip),
                ),
                row.dataset,
                **about,
            ),
        }
        if row.has_regions:
            settings = SemanticsSettings(seen, dataset.semantics, profile.examples)
            found["semantics"] = self.entry("semantics", settings, row.dataset, **about)
        if row.instances:
            of_coco = Seen(
                params.detection.dataset, network, training.resize, loop.channels_last, profile.threads
            )
            found["instance_semantics"] = self.entry(
                "instance_semantics",
                InstanceSemanticsSettings(of_coco, params.detection.evaluate),
                params.detection.dataset,
                **about,
            )
        return found

    def transfer(self, name: str) -> Entries:
        """The entries of a row of Table 3: fine-tuning, and its evaluation."""
        params, profile, detection = self.params, self.profile, self.params.detection
        row, detector = params.transfer[name], profile.detection
        backbone = params.backbone(row)
        network = DetectorSettings(
            profile.backbone(backbone).settings(STRIDE),
            resolve.unit(params, row.trained) if row.trained else None,
            len(describe(detection.dataset).classes),
            detector.anchors,
            detector.proposals,
            detector.boxes,
        )
        seeds_of_start = (params.rows[row.trained].seeds if row.trained else None) or profile.seeds
        about = {
            "row": name,
            "seeds": row.seeds or profile.seeds,
            "results": detection.dataset,
            "backbone": profile.backbones.get(backbone, backbone),
        }
        training = detector.training
        return {
            "transfer": self.entry(
                "transfer",
                TransferSettings(
                    split=detection.train,
                    network=network,
                    min_sizes=detector.min_sizes,
                    max_size=detector.max_size,
                    flip=params.augmentation.flip,
                    # boxes decoded in bf16 would be whole pixels off
                    loop=resolve.loop(training, precision="fp32", compile=False),
                    optimizer=resolve.optimizer(training, optimizer="sgd"),
                    milestones=training.milestones,
                    warmup=training.warmup,
                    threads=profile.threads,
                ),
                detection.dataset,
                weights=backbone if profile.pretrained and not row.trained else None,
                start=row.trained,
                start_seed=seeds_of_start[0] if row.trained else None,
                training={
                    "dataset": detection.dataset,
                    "split": detection.train,
                    "backbone": about["backbone"],
                    "iterations": training.iterations,
                    "batch_size": training.batch_size,
                    "sides": detector.min_sizes,
                },
                **about,
            ),
            "detect": self.entry(
                "detect",
                DetectSettings(
                    detection.evaluate,
                    network,
                    detector.min_sizes[-1],
                    detector.max_size,
                    training.channels_last,
                    profile.threads,
                ),
                detection.dataset,
                **about,
            ),
        }

    def sweep(self) -> Entry[SweepSettings]:
        """The sweep's row with each pair L <= K: what trains and evaluates it as a row with these values."""
        params, name, grid = self.params, self.params.sweep.row, self.profile.sweep
        row = params.rows[name]
        pairs, made = [], Entries()
        for K, L in ((K, L) for K in grid.K for L in grid.L if L <= K):
            changed = row.model_copy(update={"sgr": row.sgr.model_copy(update={"K": K, "L": L})})
            made = _Planner(params.model_copy(update={"rows": {name: changed}}), self.sources).row(name)
            pairs.append(Pair(K, L, made["train"].settings, made["evaluate"].settings))
        settings = SweepSettings(
            labels.network(row),
            params.datasets[row.dataset].evaluate[0],
            grid.K,
            grid.L,
            tuple(pairs),
            made["train"].code,
            made["evaluate"].code,
        )
        return self.entry(
            "sweep",
            settings,
            row.dataset,
            ("sgr.report.sweep", f"sgr.datasets.{row.dataset}"),
            row=name,
            seeds=made["train"].seeds,
            weights=made["train"].weights,
            training=made["train"].training,
        )

    def overhead(self) -> Entry[OverheadSettings]:
        """Every framework of the rows on its backbones: plain, with GloRe and with SGR, or with prototypes."""
        params, profile = self.params, self.profile
        rows: dict[str, tuple[Row, str]] = {}
        for row in params.rows.values():
            plain = Row(dataset=OVERHEAD_DATASET, family=row.family, backbone=row.backbone)
            name = f"{row.family}-{profile.backbones.get(row.backbone, row.backbone)}"
            rows[name] = plain, ""
            if row.prototypes:
                rows[f"{name}-protoseg"] = plain.model_copy(update={"prototypes": True}), "protoseg"
                continue
            for unit in ("glore", "sgr"):
                rows[f"{name}-{unit}"] = plain.model_copy(update={"unit": unit}), unit
        alone = params.model_copy(update={"rows": {name: row for name, (row, _) in rows.items()}})
        families = list(FAMILIES)
        networks = [
            Candidate(
                name,
                row.family,
                profile.backbones.get(row.backbone, row.backbone),
                unit,
                resolve.network(alone, name),
                resolve.supervision(alone, name).loss,
            )
            for name, (row, unit) in sorted(
                rows.items(), key=lambda item: (families.index(item[1][0].family), item[0])
            )
        ]
        # the first row trains as every plain one of its dataset does
        training = resolve.training(alone, networks[0].name)
        loop = resolve.loop(training)
        assert training.crop
        settings = OverheadSettings(
            tuple(networks),
            OVERHEAD_DATASET,
            training.crop,
            loop.batch_size // loop.accumulate,
            profile.overhead_repeats,
            profile.threads,
            loop.channels_last,
            loop.precision,
        )
        drawing = (f"sgr.datasets.{OVERHEAD_DATASET}",)
        return self.entry("overhead", settings, roots=("sgr.losses",), drawing=drawing)

    def download(self, name: str) -> Entry[DownloadSettings]:
        params, images, subset, roots = self.params, None, None, [f"sgr.data.{name}"]
        if self.generated and (asked := self.profile.generated):
            detection = params.detection
            if name == detection.dataset:
                splits, train = {detection.train, detection.evaluate}, detection.train
                counts = asked.detection or asked.images
            else:
                dataset = params.datasets[name]
                splits, train = {dataset.train, *dataset.evaluate, dataset.semantics}, dataset.train
                counts = asked.images
            of_split = {split: counts.train if split == train else counts.test for split in sorted(splits)}
            images = GeneratedImages(of_split, asked.size, asked.seed)
            roots += ["sgr.generated.generate", f"sgr.datasets.{name}"]
        if most := self.profile.subset.get(name):
            subset = {split: min(of.images, most) for split, of in describe(name).splits.items()}
        return self.entry("download", DownloadSettings(name, images, subset), name, roots)

    def components(self, name: str) -> Entry[ComponentSettings]:
        settings = self._components(name)
        return self.entry("components", settings, name, [f"sgr.data.{name}"])

    def component_statistics(self, name: str) -> Entry[StatisticsSettings]:
        L = self.params.sgr.L or self.profile.sgr.L
        assert L
        settings = StatisticsSettings(self._components(name), L)
        roots = [f"sgr.data.{name}", f"sgr.datasets.{name}"]
        return self.entry("component_statistics", settings, name, roots)

    def _components(self, name: str) -> ComponentSettings:
        extraction = self.params.components
        split = self.params.datasets[name].train
        return ComponentSettings(name, split, extraction.opening, extraction.min_share)

    def weights(self, name: str) -> Entry[WeightsSettings]:
        used = self.profile.backbones.get(name, name)
        recipe = self.profile.backbone(name)
        # weights are of the body alone, and no body's depend on its stride
        settings = WeightsSettings(used, recipe.settings(32), self.profile.pretrained, recipe.weights)
        return self.entry("weights", settings)

    def table(self, name: str) -> Entry[TableSettings]:
        splits = splits_of(self.params)
        table = tables(splits)[name]()
        sections = table.sections
        rows = {
            row: network
            for row, network in labels.networks(self.params)
            if any(section.stands(network) for section in sections)
        }
        datasets = {network.dataset for network in rows.values()}
        titles = datasets | {section.dataset for section in sections if section.dataset}
        titles |= {line.network.dataset for line in published.load(table.paper)} if table.paper else set()
        own = {dataset: splits[dataset] for dataset in splits if dataset in datasets}
        roots = [f"sgr.datasets.{dataset}" for dataset in sorted(titles)]
        return self.entry("table", TableSettings(name, rows, own), roots=roots)

    def claims(self) -> Entry[ClaimsSettings]:
        """What the paper's claims are judged by: every row."""
        rows = dict(labels.networks(self.params))
        settings = ClaimsSettings(rows, splits_of(self.params), tuple(sorted(self.profile.subset)))
        roots = [f"sgr.datasets.{name}" for name in sorted({row.dataset for row in rows.values()})]
        return self.entry("claims", settings, roots=roots)

    def entrance(self) -> Entry[EntranceSettings]:
        profiles = self.params.profiles
        order = sorted(profiles, key=lambda name: (profiles[name].data == "generated", name))
        return self.entry("entrance", EntranceSettings(tuple(order)))

    def figures(self, name: str, split: str = "", stage: str = "figures") -> Entry[FiguresSettings]:
        """Of a dataset; its numbers are of `split`, or of the paper's, or of the first that it is evaluated on."""
        rows = {row: network for row, network in labels.networks(self.params) if network.dataset == name}
        split = split or published.splits().get(name) or self.params.datasets[name].evaluate[0]
        return self.entry(stage, FiguresSettings(name, split, rows), roots=[f"sgr.datasets.{name}"])

    def predictions(self, rows: list[str]) -> Entry[PredictionsSettings]:
        """Of the rows that a dataset's figures show; their example images are those of the first with regions."""
        made = {row: self.row(row) for row in rows}
        settings = PredictionsSettings(
            {row: entries["evaluate"].settings.seen for row, entries in made.items()},
            {row: entries["evaluate"].seeds[0] for row, entries in made.items()},
            next(row for row, entries in made.items() if "semantics" in entries),
        )
        return self.entry("predictions", settings)

    def explain(self) -> Entry[ExplainSettings]:
        semantics = {
            name: self.row(name)["semantics"] for name, row in self.params.rows.items() if row.has_regions
        }
        rows = {
            name: Explained(entry.dataset, entry.settings.seen, entry.seeds[0])
            for name, entry in semantics.items()
        }
        return self.entry("explain", ExplainSettings(rows))

    def report(self) -> Entry[ReportSettings]:
        rows, datasets = dict(labels.networks(self.params)), splits_of(self.params)
        roots = [f"sgr.datasets.{name}" for name in (*datasets, self.params.detection.dataset)]
        return self.entry("report", ReportSettings(rows, datasets), roots=roots)

    def entry(
        self, stage: str, settings: Any, dataset: str = "", roots: Any = (), drawing: Any = (), **about: Any
    ) -> Entry[Any]:
        """An entry with the code that its work imports: by the stage, the dataset that it reads, and its parts."""
        own = (kinds.KINDS[stage].module,) if stage in kinds.KINDS else ROOTS.get(stage, ())
        reads = [f"sgr.data.{dataset}"] if dataset and stage in kinds.KINDS else []
        named = sorted({part.made_by.partition(":")[0] for part in parts(settings)})
        return Entry(
            settings,
            self.sources.code([*own, *roots, *reads, *named]),
            self.sources.scripts(stage, drawing),
            dataset=dataset,
            generated=self.generated,
            official={split: of.images for split, of in describe(dataset).splits.items()} if dataset else {},
            **about,
        )


def parts(settings: Any) -> Iterator[Part]:
    """Every part that is imported by name, in dataclasses and in what they hold."""
    if isinstance(settings, Part):
        yield settings
    if is_dataclass(settings):
        for one in fields(settings):
            yield from parts(getattr(settings, one.name))
    elif isinstance(settings, Mapping):
        if settings.keys() == {"made_by", "arguments"}:
            yield Part(**settings)
        for value in settings.values():
            yield from parts(value)
    elif isinstance(settings, tuple | list):
        for value in settings:
            yield from parts(value)
