"""The kinds of jobs of this project. Whatever lists, plans, runs or counts jobs reads them here."""

from __future__ import annotations

from sgr.jobs.job import Kind

_OF_TRAINING = ("model.safetensors", "curve.csv", "fingerprint.json")

TRAIN = Kind(
    "train",
    "sgr.training.segmentation:train",
    _OF_TRAINING,
    "sgr.training.settings:TrainSettings",
    ranks=True,
)
EVALUATE = Kind(
    "evaluate",
    "sgr.evaluation.evaluate:evaluate",
    ("metrics.json",),
    "sgr.evaluation.settings:EvaluateSettings",
)
SEMANTICS = Kind(
    "semantics",
    "sgr.evaluation.semantics:semantics",
    ("semantics.json", "tokens.npz"),
    "sgr.evaluation.settings:SemanticsSettings",
)
INSTANCE_SEMANTICS = Kind(
    "instance_semantics",
    "sgr.evaluation.instances:instance_semantics",
    ("instance_semantics.json",),
    "sgr.evaluation.settings:InstanceSemanticsSettings",
)
TRANSFER = Kind(
    "transfer",
    "sgr.detection.transfer:transfer",
    _OF_TRAINING,
    "sgr.detection.settings:TransferSettings",
    ranks=True,
)
DETECT = Kind(
    "detect",
    "sgr.detection.evaluate:evaluate",
    ("metrics.json",),
    "sgr.detection.settings:DetectSettings",
)
OVERHEAD = Kind(
    "overhead",
    "sgr.cost.overhead:overhead",
    ("overhead.json",),
    "sgr.cost.settings:OverheadSettings",
    measures_time=True,
)

KINDS = {
    kind.name: kind for kind in (TRAIN, EVALUATE, SEMANTICS, INSTANCE_SEMANTICS, TRANSFER, DETECT, OVERHEAD)
}
# What a kind of job starts from, by the kind that makes it.
TRAINED_BY = {"evaluate": TRAIN, "semantics": TRAIN, "instance_semantics": TRAIN, "detect": TRANSFER}
