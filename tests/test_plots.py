"""`dvc plots show`: rows of a dataset in one chart, seeds apart, without a network; and curves while it trains."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgr.plan.pipeline import write as write_pipeline
from tests.scratch import ROOT, checked, commit, copy_checkout, environment, parameters, run

CHROMIUM = Path("/usr/bin/chromium")
ROWS = ("camvid-fcn", "camvid-fcn-sgr")
STAGE = "stages/camvid/camvid-fcn/dvc.yaml:train@mini"
# of images so small that an iteration takes some hundredths of a second
SMALL = {
    "profile": "mini",
    "profiles.mini.seeds": [0],
    "profiles.mini.generated": {"images": {"train": 4, "test": 2}, "size": [48, 56], "seed": 0},
    "profiles.mini.training.iterations": 300,
    "profiles.mini.training.batch_size": 2,
    "profiles.mini.training.crop": [32, 32],
}


def write_curves(root: Path) -> None:
    """Curves of two rows and two seeds."""
    for number, row in enumerate(ROWS, 1):
        path = root / f"results/mini/curves/camvid/{row}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["seed", "iteration", "learning_rate", "loss", "segmentation"])
            for seed in (0, 1):
                for iteration in (10, 20, 30):
                    loss = (10 * number + seed) / iteration
                    writer.writerow([seed, iteration, 0.1, loss, loss])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What `dvc plots show` writes in a copy with some curves, and the specification of each chart in it."""
    root = copy_checkout(tmp_path_factory.mktemp("plots") / "copy")
    write_curves(root)
    commit(root)
    done = run(root, "dvc", "plots", "show", "loss_camvid")
    assert done.returncode == 0, done.stderr
    html = root / "dvc_plots" / "index.html"
    specifications = [
        json.loads(line.strip().removeprefix("var spec = ").removesuffix(";"))
        for line in html.read_text().splitlines()
        if line.strip().startswith("var spec = ")
    ]
    return html, specifications


def test_rows_of_a_dataset_are_one_chart(page: tuple[Path, list[dict[str, Any]]]) -> None:
    (chart,) = page[1]
    assert chart["title"]["text"] == "Training on CamVid"
    points = [(point["filename"], point["seed"]) for point in chart["data"]["values"]]
    assert {point: points.count(point) for point in points} == {
        (f"{row}.csv", seed): 3 for row in ROWS for seed in ("0", "1")
    }


def test_every_dataset_has_its_chart_with_all_its_rows() -> None:
    top = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    charts = {name: chart for entry in top["plots"] for name, chart in entry.items() if "y" in chart}
    drawn = [Path(path).stem for chart in charts.values() for path in chart["y"]]
    known = parameters()
    assert sorted(drawn) == sorted([*known["rows"], *known["transfer"]])
    assert charts.keys() == {f"loss_{name}" for name in (*known["datasets"], known["detection"]["dataset"])}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_the_page_opens_without_a_network(page: tuple[Path, list[dict[str, Any]]], chromium: Any) -> None:
    opened = chromium.new_page()
    asked, complaints = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.goto(page[0].as_uri())
    opened.wait_for_selector("canvas.marks")
    assert (asked, complaints) == ([page[0].as_uri()], [])
    # again as SVG, in which text and lines can be asked for
    opened.evaluate("vegaEmbed(document.body, spec, {renderer: 'svg'}).then(() => null)")
    opened.wait_for_selector("svg.marks")
    assert {*ROWS, "0", "1", "row", "seed"} <= set(opened.locator("svg.marks text").all_text_contents())
    lines = opened.locator("svg.marks .mark-line path").all()
    seen = [(line.get_attribute("stroke"), line.get_attribute("stroke-dasharray")) for line in lines]
    assert len(lines) == 4 == len(set(seen))  # a colour for each row, a dash for each seed
    assert len({colour for colour, _ in seen}) == 2 == len({dash for _, dash in seen})
    opened.close()


@pytest.mark.dag
def test_curves_grow_while_a_stage_trains_and_its_job_has_the_key_it_has_unwatched(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    write_pipeline(checked(root, SMALL), root)
    commit(root)
    loss = root / "dvclive/plots/metrics/loss/camvid.tsv"
    grown = set[int]()
    with open(tmp_path / "log", "w") as log:
        repro = subprocess.Popen(
            ["dvc", "repro", STAGE],
            cwd=root,
            env=environment(root, SGR_WATCH_IMAGES="0"),
            stdout=log,
            stderr=log,
        )
        while repro.poll() is None:
            if loss.exists() and not list(root.glob("jobs/*/done.json")):
                grown.add(loss.read_text().count("\n"))
            time.sleep(0.2)
    assert repro.returncode == 0, (tmp_path / "log").read_text()
    assert len(grown) > 2, f"lines while it trained: {grown}"
    assert loss.read_text().splitlines()[-1].startswith("camvid-fcn\t0\t300\t")
    assert not (root / "dvclive/metrics.json").exists()
    assert run(root, "git", "status", "--porcelain", "--", "dvclive").stdout == ""

    (attempts,) = root.glob("jobs/*/attempts.txt")
    again = run(root, sys.executable, "-m", "stages.train", "mini", "camvid-fcn")
    assert again.returncode == 0, again.stderr
    assert [*root.glob("jobs/*/attempts.txt")] == [attempts] and attempts.read_text().count("\n") == 1
