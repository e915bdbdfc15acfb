"""`python -m sgr predict`: what a trained row sees in photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgr.cli.console import relative
from sgr.cli.trained import network, trained
from sgr.errors import UserError


def main(
    row: str,
    images: Sequence[str],
    out: Path | None,
    seed: int | None,
    profile: str | None,
    longest: int,
    cpu: bool,
) -> None:
    """Write a folder for each photograph below predictions/<row>, or below `out`; print its largest classes."""
    found = trained(row, seed, profile)
    from sgr.use.photographs import photographs, read

    paths = photographs(images)
    import torch
    from tqdm import tqdm

    from sgr.device import memory_format, reproducible
    from sgr.use.predict import predict, shares, write

    seen = found.entry.settings.seen
    device = reproducible(found.seed, seen.threads)
    device = torch.device("cpu") if cpu else device
    made = network(found).to(device).to(memory_format=memory_format(seen.channels_last))
    folder = (out or Path("predictions", row)).absolute()
    for path in (progress := tqdm(paths, desc=row, unit="image", mininterval=1, disable=len(paths) == 1)):
        photo = read(path)
        try:
            prediction = predict(made, photo, longest)
        except RuntimeError as error:  # of a CPU torch has no exception of its own
            if "memory" not in str(error):
                raise
            raise UserError(
                f"{path}: no memory for it at {longest} pixels: set a smaller --longest"
            ) from None
        about = {"image": path.name, "network": found.about}
        write(folder / path.stem, photo, prediction, made, about)
        largest = list(shares(prediction.labels, made.classes).items())[:3]
        told = ", ".join(f"{name} {share:.0%}" for name, share in largest)
        progress.write(f"{relative(folder / path.stem)}: {told}")
