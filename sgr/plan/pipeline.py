"""The pipeline files, which follow from the parameters and stages/template.yaml.

The dvc.yaml at the top holds the plan and what is made of all results; each dataset, backbone and row has one of its
own below stages/, and with it a lock. DVC rewrites a whole lock after every stage: so its cost does not grow with the
rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sgr.datasets import describe
from sgr.errors import UserError
from sgr.files import write_bytes
from sgr.plan.params import Params
from sgr.report.tables import splits_of, tables

COMMAND = "python -m sgr pipeline"
STAGES = Path("stages")
TEMPLATE = STAGES / "template.yaml"
HEADER = f"# Written by `{COMMAND}` from params/rows.yaml and {TEMPLATE}: do not edit.\n"
BY_PROFILE = '    matrix: { profile: ["${profile}"] }\n'


class Part(NamedTuple):
    """Stages of the template with the values of their variables, and the folder whose dvc.yaml holds them.

    of: what they are the stages of, as an error says it.
    """

    folder: Path
    of: str
    stages: tuple[str, ...]
    values: dict[str, str]


def expected(params: Params, root: Path) -> dict[Path, str]:
    """The pipeline files of the parameters: text by path relative to `root`, the project's folder."""
    template = _template(root)
    found: dict[Path, str] = {}
    for part in _parts(params, root):
        up = "/".join([".."] * len(part.folder.parts))
        path = part.folder / "dvc.yaml"
        if path not in found:
            found[path] = HEADER + (f"vars:\n  - {up}/params.yaml:profile\n" if up else "") + "stages:\n"
        for name in part.stages:
            first, rest = template[name].split("\n", 1)
            text = f"{first}\n{BY_PROFILE}" + (f"    wdir: {up}\n" if up else "") + rest
            for variable, value in part.values.items():
                text = text.replace(f"${{{variable}}}", value)
            found[path] += text
    return found


def write(params: Params, root: Path) -> list[Path]:
    """Write the files that are missing or differ; remove those of what is no longer in the parameters, lock and all.

    Returns:
        The paths that changed, relative to `root`.
    """
    wanted, there = expected(params, root), _on_disk(root)
    changed = [path for path, text in wanted.items() if there.get(path) != text]
    for path in changed:
        write_bytes(root / path, wanted[path].encode())
    gone = sorted(there.keys() - wanted.keys(), reverse=True)
    for path in gone:
        (root / path).unlink()
        (root / path).with_suffix(".lock").unlink(missing_ok=True)
        if not any((root / path).parent.iterdir()):
            (root / path).parent.rmdir()
    return changed + gone


def check(params: Params, root: Path) -> None:
    """Raises UserError if the files are not those of the parameters: names the row, and the command that mends it."""
    wanted, there = expected(params, root), _on_disk(root)
    for part in _parts(params, root):
        path = part.folder / "dvc.yaml"
        if there.get(path) != wanted[path]:
            how = "differs from" if path in there else "is missing:"
            raise UserError(f"{path} {how} the stages of {part.of}: run `{COMMAND}`")
    for path in there.keys() - wanted.keys():
        raise UserError(f"{path} holds stages of nothing in params/rows.yaml: run `{COMMAND}`")


def _parts(params: Params, root: Path) -> Iterator[Part]:
    top, detection = Path(), params.detection.dataset
    scripts = sorted(path.relative_to(root).as_posix() for path in (root / STAGES).glob("*.py"))
    plan = {"scripts": "\n      - ".join(scripts), "template": TEMPLATE.as_posix()}
    yield Part(top, "the plan and the tables", ("plan", "table1", "table2", "table3", "table4"), plan)
    own_tables = tables(splits_of(params))
    for name in params.datasets:
        rows = [row for row in params.rows.values() if row.dataset == name]
        stages = [
            *(["table_${dataset}"] if rows and f"table_{name}" in own_tables else []),
            *(["figures_${dataset}"] if any(row.has_regions for row in rows) else []),
            *(["component_statistics_${dataset}"] if describe(name).things else []),
        ]
        yield Part(top, f"dataset {name}", tuple(stages), {"dataset": name})
    sweep = params.rows[params.sweep.row]
    of_sweep = {"dataset": sweep.dataset, "backbone": sweep.backbone}
    yield Part(top, "the sweep", ("sweep", "overhead"), of_sweep)
    yield Part(top, "the claims", ("claims",), {"evidence": "\n      - ".join(_evidence(params))})

    for name in params.datasets:
        yield Part(STAGES / name, f"dataset {name}", ("download", "components"), {"dataset": name})
    yield Part(STAGES / detection, f"dataset {detection}", ("download",), {"dataset": detection})
    for name in sorted({row.backbone for row in params.rows.values()}):
        yield Part(STAGES / "weights" / name, f"backbone {name}", ("weights",), {"backbone": name})
    for name, row in params.rows.items():
        stages = ["train", "evaluate"]
        if row.has_regions:
            stages.append("semantics")
        if row.instances:
            stages.append("instance_semantics")
        values = {"row": name, "dataset": row.dataset, "backbone": row.backbone, "detection": detection}
        yield Part(STAGES / row.dataset / name, f"row {name}", tuple(stages), values)
    for name, transfer in params.transfer.items():
        values = {"row": name, "dataset": detection, "start": transfer.start}
        yield Part(STAGES / detection / name, f"row {name}", ("transfer", "detect"), values)


def _evidence(params: Params) -> list[str]:
    """What the paper's claims are judged by: every row's results, components and instances, and the overhead."""
    rows = {row.dataset for row in params.rows.values()}
    results = [name for name in params.datasets if name in rows]
    results += [params.detection.dataset] if params.transfer else []
    results += [f"component_statistics_{name}.csv" for name in params.datasets if describe(name).things]
    return [*(f"results/${{profile}}/{name}" for name in results), "results/overhead/${profile}.csv"]


def _template(root: Path) -> dict[str, str]:
    """The template's stages by name, indented as under `stages:`."""
    text = "".join(
        f"  {line}\n" for line in (root / TEMPLATE).read_text().splitlines() if line and line[0] != "#"
    )
    return {
        stage.partition(":")[0].strip(): stage for stage in re.split(r"^(?=  \S)", text, flags=re.M) if stage
    }


def _on_disk(root: Path) -> dict[Path, str]:
    """The pipeline files of the project: text by path relative to `root`."""
    paths = [*root.glob("dvc.yaml"), *sorted((root / STAGES).rglob("dvc.yaml"))]
    return {path.relative_to(root): path.read_text() for path in paths}
