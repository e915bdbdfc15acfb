"""The pipeline files that follow from params.yaml: a dvc.yaml for each dataset, backbone, row and row of Table 3.

Each has its own dvc.lock, so what DVC reads and writes after a stage does not grow with the number of rows. The stages
stand in stages/template.yaml; a file names those that its row has, and the values of their variables. The rest of the
pipeline, which does not follow from the rows, is the dvc.yaml at the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from sgr.errors import UserError
from sgr.files import write_bytes
from sgr.plan.params import Params, load

FOLDER = Path("stages")
TEMPLATE = FOLDER / "template.yaml"
COMMAND = "sgr pipeline"
HEADER = f"# Written by `{COMMAND}` from params.yaml and {TEMPLATE}: do not edit.\n"


def expected(params: Params, root: Path) -> dict[Path, str]:
    """The pipeline files of the parameters: text by path relative to `root`, the project's folder."""
    template = _stages((root / TEMPLATE).read_text())
    found: dict[Path, str] = {}

    def add(folder: Path, names: Iterable[str], **variables: str) -> None:
        up = "/".join([".."] * len(folder.parts))
        values = "".join(f"    {name}: {value}\n" for name, value in variables.items())
        stages = "\n".join(template[name] for name in names)
        found[folder / "dvc.yaml"] = (
            f"{HEADER}vars:\n  - {up}/params.yaml:profile\n  - root: {up}\n{values}stages:\n{stages}"
        )

    instances = params.detection.dataset
    for name in params.datasets:
        add(FOLDER / name, ("download", "components"), dataset=name)
    add(FOLDER / instances, ("download",), dataset=instances)
    for name in sorted({row.backbone for row in params.rows.values()}):
        add(FOLDER / "weights" / name, ("weights",), backbone=name)
    for name, row in params.rows.items():
        stages = ["train", "evaluate"]
        variables = {"row": name, "dataset": row.dataset, "backbone": row.backbone}
        if row.has_regions:
            stages.append("semantics")
        if row.instances:
            stages.append("instance_semantics")
            variables["instances"] = instances
        add(FOLDER / row.dataset / name, stages, **variables)
    for name, transfer in params.transfer.items():
        variables = {"row": name, "dataset": instances, "start": transfer.start}
        add(FOLDER / instances / name, ("transfer", "detect"), **variables)
    return found


def write(params: Params, root: Path) -> list[Path]:
    """Write the files that are missing or differ, remove those of what is no longer in params.yaml, lock and all.

    Returns:
        The paths that changed, relative to `root`.
    """
    wanted, there = expected(params, root), _on_disk(root)
    changed = [path for path, text in wanted.items() if there.get(path) != text]
    for path in changed:
        write_bytes(root / path, wanted[path].encode())
    gone = [path for path in there if path not in wanted]
    for path in sorted(gone, reverse=True):
        (root / path).unlink()
        (root / path).with_suffix(".lock").unlink(missing_ok=True)
        if not any((root / path).parent.iterdir()):
            (root / path).parent.rmdir()
    return changed + gone


def check(params: Params, root: Path) -> None:
    """Raises UserError, naming the row and the command that mends it, if the files are not those of the parameters."""
    wanted, there = expected(params, root), _on_disk(root)
    for path in [*wanted, *there]:
        if wanted.get(path) == there.get(path):
            continue
        wrong = "differs from" if path in wanted and path in there else "is missing, of"
        if path not in wanted:
            wrong = "is of nothing in"
        raise UserError(f"{path}: {path.parent.name} {wrong} params.yaml: run `{COMMAND}`")


def _stages(template: str) -> dict[str, str]:
    """The template's stages by name, indented as under `stages:`."""
    _, *parts = re.split(r"^(?=\w+:$)", template, flags=re.MULTILINE)
    found = {}
    for part in parts:
        lines = [line for line in part.splitlines() if line and not line.startswith("#")]
        found[part.partition(":")[0]] = "".join(f"  {line}\n" for line in lines)
    return found


def _on_disk(root: Path) -> dict[Path, str]:
    """The pipeline files below `stages/`: text by path relative to `root`."""
    return {path.relative_to(root): path.read_text() for path in sorted((root / FOLDER).rglob("dvc.yaml"))}


def main() -> None:
    """Write the pipeline files of params.yaml here, and say which changed."""
    for path in write(load(Path("params.yaml")), Path.cwd()):
        print(path)


if __name__ == "__main__":
    main()
