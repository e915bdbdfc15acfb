"""The page of a profile: results/<profile>/index.html, which opens from a disk with what lies beside it in page/."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from sgr.datasets import describe
from sgr.files import read_json, write_bytes

from .about import About
from .curves import KNOWN, read_curve
from .explorer import explorer
from .grid import grids
from .labels import Network
from .notice import notice
from .results import load, profile_folder
from .specification import Splits
from .tables import tables

# What stands beside the page as it is, in the order in which it loads.
SCRIPTS = (
    "page.js",
    "tables.js",
    "uplot/uPlot.iife.min.js",
    "curves.js",
    "pixels.js",
    "tokens.js",
    "explorer.js",
)
BESIDE = ("uplot/uPlot.min.css", "uplot/LICENSE", "page.css", *SCRIPTS)


def write_page(
    profile: str,
    rows: Mapping[str, Network],
    datasets: Mapping[str, Splits],
    results: Path = Path("results"),
    work: Path = Path("work"),
) -> None:
    """Write results/<profile>/index.html and page/ of what is there: a table or a dataset that is not is left out.

    Args:
        rows: of params.yaml by name.
        datasets: the splits of each dataset.

    Raises:
        UserError: no folder of results, or a file in it that is not what its name says.
    """
    from jinja2 import Environment, StrictUndefined

    folder = profile_folder(results, profile)
    titles = {name: describe(name).title for name in dict.fromkeys(row.dataset for row in rows.values())}
    data = {"curves": {name: found for name in titles if (found := _curves(folder, name, rows))}}
    for name in titles:
        if found := explorer(work / profile, name, rows):
            data[f"tokens-{name}"] = found
    shutil.rmtree(folder / "page", ignore_errors=True)
    for name, content in data.items():
        # A script, since a page that lies on a disk may not fetch.
        text = f"SGR.data[{json.dumps(name)}] = {json.dumps(content, ensure_ascii=False, separators=(',', ':'))};\n"
        write_bytes(folder / "page" / "data" / f"{name}.js", text.encode())
    for name in BESIDE:
        write_bytes(folder / "page" / name, _package().joinpath(name).read_bytes())
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    page = environment.from_string(_package().joinpath("index.html").read_text("utf-8")).render(
        profile=profile,
        notice=notice(list(_abouts(folder, rows))),
        claims=read_json(claims) if (claims := folder / "claims.json").exists() else None,
        tables=list(_tables(folder, datasets)),
        curves=bool(data["curves"]),
        explored={name: titles[name] for name in titles if f"tokens-{name}" in data},
        scripts=SCRIPTS,
    )
    write_bytes(folder / "index.html", page.encode())


def _package() -> Traversable:
    return files("sgr.report") / "page"


def _abouts(folder: Path, rows: Mapping[str, Network]) -> Iterator[About]:
    for row, network in rows.items():
        if result := load(folder, network.dataset, row):
            yield result.about


def _tables(folder: Path, datasets: Mapping[str, Splits]) -> Iterator[dict[str, Any]]:
    for name, specified in tables(datasets).items():
        path, table = folder / f"{name}.csv", specified()
        if path.exists():
            found, reasons = grids(path, table)
            yield {
                "name": name,
                "title": table.title,
                "grids": found,
                "reasons": reasons,
            }


def _curves(folder: Path, dataset: str, rows: Mapping[str, Network]) -> dict[str, Any] | None:
    """What curves.js reads of a dataset: of each row the iterations and terms of each seed, to five digits."""
    found = []
    own = sorted((row for row in rows if rows[row].dataset == dataset), key=lambda row: rows[row].order)
    for row in own:
        path = folder / "curves" / dataset / f"{row}.csv"
        if not path.exists():
            continue
        frame = read_curve(path)
        terms = [name for name in frame.columns if name not in KNOWN]
        seeds = [
            {
                "seed": int(of_seed["seed"].iloc[0]),
                "iteration": of_seed["iteration"].astype(int).tolist(),
                **{term: [_digits(value) for value in of_seed[term]] for term in ("loss", *terms)},
            }
            for _, of_seed in frame.groupby("seed")
        ]
        found.append({"row": row, "method": rows[row].method, "terms": ["loss", *terms], "seeds": seeds})
    return {"title": describe(dataset).title, "rows": found} if found else None


def _digits(value: float) -> float | None:
    return float(f"{value:.5g}") if value == value and abs(value) != float("inf") else None
