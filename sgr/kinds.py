"""The kinds of jobs of this project. Whatever lists, plans, runs or counts jobs reads them here."""

from __future__ import annotations

from sgr.jobs.job import Kind

TRAIN = Kind(
    "train",
    "sgr.training.segmentation:train",
    ("model.safetensors", "curve.csv", "fingerprint.json"),
    ranks=True,
)
EVALUATE = Kind("evaluate", "sgr.evaluation.evaluate:evaluate", ("metrics.json",))
SEMANTICS = Kind("semantics", "sgr.evaluation.semantics:semantics", ("semantics.json", "tokens.npz"))
INSTANCE_SEMANTICS = Kind(
    "instance_semantics", "sgr.evaluation.instances:instance_semantics", ("instance_semantics.json",)
)
TRANSFER = Kind(
    "transfer",
    "sgr.detection.transfer:transfer",
    ("model.safetensors", "curve.csv", "fingerprint.json"),
    ranks=True,
)
DETECT = Kind("detect", "sgr.detection.evaluate:evaluate", ("metrics.json",))
OVERHEAD = Kind("overhead", "sgr.cost.overhead:overhead", ("overhead.json",), measures_time=True)

KINDS = {
    kind.name: kind for kind in (TRAIN, EVALUATE, SEMANTICS, INSTANCE_SEMANTICS, TRANSFER, DETECT, OVERHEAD)
}
# What a kind of job starts from, by the kind that makes it.
TRAINED_BY = {"evaluate": TRAIN, "semantics": TRAIN, "instance_semantics": TRAIN, "detect": TRANSFER}
