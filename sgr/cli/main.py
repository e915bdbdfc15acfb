"""The command line: one function a command, whose module is imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from sgr.errors import UserError
from sgr.jobs.failure import one_sentence
from sgr.jobs.startup import spare_collections

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="A stage (table1, train@camvid-fcn), all stages of a kind (semantics) or of a row (camvid-fcn); "
        "none means what `dvc repro` makes.",
    ),
]

Seed = Annotated[
    int | None, typer.Option(help="Of the row's seeds, instead of the first.", show_default=False)
]
Profile = Annotated[str | None, typer.Option(help="Instead of that of params.yaml.", show_default=False)]
TrainedRow = Annotated[
    str, typer.Argument(metavar="ROW", help="A trained row of params/rows.yaml: camvid-fcn-sgr.")
]


@app.callback()
def sgr() -> None:
    """The reproduction of SGR: run these in the repository's folder."""


@app.command()
def submit(
    targets: Targets = None,
    here: Annotated[bool, typer.Option("--here", help="Run the jobs on this machine, side by side.")] = False,
) -> None:
    """Submit every stale job of the targets to SLURM at once.

    What the jobs read is brought up to date first, and each evaluation waits for its own training. `repro` then takes
    the results, or waits for them.
    """
    from sgr.cli.submit import main

    main(targets or [], here)


@app.command()
def repro(
    targets: Targets = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run the stages even if nothing has changed.")
    ] = False,
    single: Annotated[bool, typer.Option("--single-item", help="Leave out what the targets need.")] = False,
) -> None:
    """Run `dvc repro` on the targets and number its stages."""
    from sgr.cli.repro import main

    sys.exit(main(targets or [], force, single))


@app.command()
def jobs(
    every: Annotated[bool, typer.Option("--all", help="List the finished ones too.")] = False,
) -> None:
    """List the jobs of this repository and how they stand.

    That is their row, kind, seed, state, age, id, node and log file.
    """
    from sgr.cli.jobs import main

    main(every)


@app.command()
def watch(
    rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROW", show_default=False, help="As in params/rows.yaml; none means all."),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            show_default=False, help="To measure on, instead of `watch_images` of cluster.yaml; 0 for none."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to measure: cpu, or cuda if one is free.")] = "cpu",
) -> None:
    """Show what trains, until Ctrl-C.

    That is its losses, and its mIoU on a part of the images at each checkpoint. They go to dvclive/, where
    `dvc plots show`, `dvc exp show` and editors look; no training notices.
    """
    from sgr.cli.watch import main

    main(rows or [], images, device)


@app.command()
def cancel(
    row: Annotated[str, typer.Argument(metavar="ROW", help="As in params/rows.yaml: camvid-fcn.")],
) -> None:
    """Cancel what is queued or runs of a row; run again, it resumes."""
    from sgr.cli.cancel import main

    main(row)


@app.command()
def clean_jobs(remove: Annotated[bool, typer.Option("--remove", help="Remove them.")] = False) -> None:
    """List the job folders that no plan of any profile refers to."""
    from sgr.cli.clean_jobs import main

    main(remove)


@app.command()
def dry_run(
    targets: Targets = None,
    profile: Annotated[str | None, typer.Option(help="Instead of that of params.yaml.")] = None,
    tflops: Annotated[float | None, typer.Option(help="What one GPU sustains, 10¹² FLOP/s.")] = None,
) -> None:
    """Tell what would be submitted, its GPU-hours and its disk.

    Nothing is submitted, and neither data nor weights nor a finished stage need be there.
    """
    from sgr.cli.dry_run import main

    main(targets or [], profile, tflops)


@app.command()
def adopt(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ROW", show_default=False, help="As in params/rows.yaml, or `sweep`; none means all."
        ),
    ] = None,
) -> None:
    """Adopt trainings whose numbers a refactoring did not change.

    The first iterations are run with the code of today; where every bit agrees with what the training recorded, its
    result is filed under the new key. The exit status is 1 if one is refused, and then nothing of it has changed.
    """
    from sgr.cli.adopt import main

    sys.exit(main(rows or []))


@app.command()
def predict(
    row: TrainedRow,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="JPEG or PNG files, folders of them, or 'patterns*'.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, instead of predictions/ROW.", show_default=False)
    ] = None,
    seed: Seed = None,
    profile: Profile = None,
    longest: Annotated[
        int,
        typer.Option(
            min=1, help="Pixels: the network sees a photograph whose longer side is above it smaller."
        ),
    ] = 2048,
    cpu: Annotated[bool, typer.Option("--cpu", help="Even where there is a GPU.")] = False,
) -> None:
    """Predict the classes of photographs with a trained row.

    Each gets a folder: labels.png in the dataset's colours, overlay.png, the shares of the classes in shares.json, and
    regions.png, the most active regions, of a row that has regions.
    """
    from sgr.cli.predict import main

    main(row, images, out, seed, profile, longest, cpu)


@app.command()
def export(
    row: TrainedRow,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, instead of exports/ROW.", show_default=False)
    ] = None,
    seed: Seed = None,
    profile: Profile = None,
) -> None:
    """Write a trained row as files for other programs.

    These are model.safetensors with config.json, which `sgr.use.TrainedNetwork.from_pretrained` reads, model.pt2 of
    torch.export, and model.onnx, for batches and images of any size.
    """
    from sgr.cli.export import main

    main(row, out, seed, profile)


@app.command()
def data_check(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATASET", show_default=False, help="None means those that are there."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every file, not a few of each folder.")
    ] = False,
) -> None:
    """Tell what the folders of the real datasets lack.

    The exit status is 1 if they lack anything.
    """
    from sgr.cli.data_check import main

    sys.exit(main(datasets or [], deep))


@app.command()
def pipeline() -> None:
    """Write the dvc.yaml files that follow from params.yaml.

    These are those of datasets, backbones and rows, below stages/; the files that changed are named.
    """
    from sgr.cli.pipeline import main

    main()


def main() -> None:
    """Run the command; a mistake is one sentence and status 2, Ctrl-C ends with 130."""
    spare_collections()
    with one_sentence():
        try:
            sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
        except TyperException as error:
            raise UserError(error.format_message()) from None
