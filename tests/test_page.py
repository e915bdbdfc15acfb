"""What the page of a profile is made of: its bytes, its size, its tables, curves and tokens, and what is missing."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sgr.errors import UserError
from tests import a_page


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    a_page.write(root)
    return root


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return (root / "results/mini/index.html").read_text("utf-8")


def data(root: Path, name: str) -> Any:
    """What a data script assigns."""
    text = (root / f"results/mini/page/data/{name}.js").read_text("utf-8")
    return json.loads(re.fullmatch(r"SGR\.data\[.*?\] = (.*);\n", text, re.DOTALL)[1])  # type: ignore[index]


def picture(url: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def pages(folder: Path) -> dict[str, bytes]:
    found = [folder / "index.html", *sorted((folder / "page").rglob("*"))]
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def test_the_same_results_give_the_same_bytes(tmp_path: Path, root: Path) -> None:
    assert pages(a_page.write(tmp_path)) == pages(root / "results/mini")


def test_it_names_nothing_outside_its_folder(root: Path, html: str) -> None:
    folder = root / "results/mini"
    asked = re.findall(r'(?:src|href)="([^"#][^"]*)"', html)
    assert all(one == "data:," or (folder / one).is_file() for one in asked) and len(asked) > 8
    own = [text.decode() for name, text in pages(folder).items() if name.endswith((".css", ".html", ".js"))]
    assert not any(re.search(r"""(?:src=|href=|url\(|fetch\(|import )["']?https?:""", text) for text in own)


def test_a_profile_weighs_less_than_2_MB(root: Path) -> None:
    assert sum(map(len, pages(root / "results/mini").values())) < 2_000_000


def test_tables_hold_every_line_of_their_files(root: Path, html: str) -> None:
    lines = {path.name: len(pd.read_csv(path)) for path in sorted((root / "results/mini").glob("table*.csv"))}
    assert len(lines) == 5 and html.count("<tr") - html.count("<thead>") - len(
        a_page.CLAIMS["claims"]
    ) == sum(lines.values())


def test_cells_are_rounded_and_sorted_by_every_digit(root: Path, html: str) -> None:
    frame = pd.read_csv(root / "results/mini/table1.csv").set_index("row")
    value = frame.loc["ade20k-fcn-sgr", "miou_ss_ours"]
    assert f'<td class="ours" data-value="{value}">{value:.2f} †</td>' in html
    gain = frame.loc["cityscapes-deeplabv3-sgr", "miou_ss_gain_ours"]
    assert gain < 0 and f'data-value="{gain}">−{-gain:.2f}</td>' in html


def test_claims_stand_with_their_verdicts(html: str) -> None:
    assert '<span class="verdict holds">holds</span></td>' in html
    assert '<span class="verdict open">not tested</span> <span class="quiet">generated images</span>' in html
    assert "<div>−0.31 [−0.42, −0.20], n = 8</div>" in html and a_page.CLAIMS["rule"] in html


def test_curves_are_those_of_every_row(root: Path) -> None:
    curves = data(root, "curves")
    assert {row["row"] for of in curves.values() for row in of["rows"]} == {
        path.stem for path in (root / "results/mini/curves").rglob("*.csv")
    }
    (sgr,) = [row for row in curves["camvid"]["rows"] if row["row"] == "camvid-fcn-sgr"]
    assert sgr["method"] == "Dil-FCN + SGR" and "concept_cosine" in sgr["terms"]
    frame = pd.read_csv(root / "results/mini/curves/camvid/camvid-fcn-sgr.csv")
    np.testing.assert_allclose(sgr["seeds"][0]["segmentation"], frame["segmentation"], rtol=1e-4)


def test_tokens_are_those_of_the_networks(root: Path) -> None:
    found = data(root, f"tokens-{a_page.DATASET}")
    assert [row["row"] for row in found["rows"]] == list(a_page.ROWS)
    assert [row["unit"] for row in found["rows"]] == ["GloRe", "SGR", "the head's queries"]
    assert found["classes"][:3] == ["wall", "building", "sky"] and len(found["colours"]) == a_page.CLASSES
    label = picture(found["images"][0]["label"]["url"])
    assert label.shape == a_page.SIZE and (label[:, :16] == 0).all() and (label[:, 16:] == 2).all()
    first = found["rows"][0]["images"][0]
    maps = picture(first["regions"]).reshape(a_page.TOKENS, *a_page.CELLS)
    assert [int(one.argmax()) for one in maps] == list(range(a_page.TOKENS))
    assert first["votes"][0][:2] == [[0, 0.75], [2, 0.25]]
    assert (first["semantics"], first["diversity"]) == (0.25, 0.5)
    assert found["rows"][1]["images"][0]["diversity"] is None


def test_large_photographs_are_made_smaller(tmp_path: Path) -> None:
    from sgr.report.explorer import SIDE, _grey, _photo

    noise = np.random.default_rng(0).integers(0, 256, (700, 1400, 3), dtype=np.uint8)
    assert _photo(noise).startswith("data:image/jpeg") and picture(_photo(noise)).shape == (256, SIDE, 3)
    classes = noise[..., 0] // 200
    assert picture(_grey(classes)).shape == (256, SIDE) and {*np.unique(picture(_grey(classes)))} == {0, 1}


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    folder = a_page.write(tmp_path, tokens=False)
    for name in ("claims.json", "table2.csv"):
        (folder / name).unlink()
    a_page.again(tmp_path)
    html = (folder / "index.html").read_text("utf-8")
    assert "have not been tested in this profile" in html and "Table 1." in html and "Table 2." not in html
    assert "which this page was made without" in html
    assert not list((folder / "page" / "data").glob("tokens-*"))


def test_a_profile_without_results_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*results/mini: run `dvc repro`"):
        a_page.again(tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("results/mini/table1.csv", b"a,b\n1,2\n", r"table1\.csv is not the table 'Table 1\. Semantic segm"),
        ("work/mini/explain/ade20k/ade20k-fcn-sgr.npz", b"PK", r"ade20k-fcn-sgr\.npz does not hold what"),
        (
            "results/mini/curves/camvid/camvid-fcn.csv",
            b"seed\n0\n",
            r"camvid-fcn\.csv is not a training curve",
        ),
        ("results/mini/claims.json", b"[", r"claims\.json is not valid JSON"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(
    tmp_path: Path, path: str, content: bytes, said: str
) -> None:
    a_page.write(tmp_path)
    (tmp_path / path).write_bytes(content)
    with pytest.raises(UserError, match=said):
        a_page.again(tmp_path)


def test_maps_of_another_image_are_refused(tmp_path: Path) -> None:
    a_page.write(tmp_path)
    path = tmp_path / "work/mini/explain/ade20k/ade20k-fcn-sgr.npz"
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, "prediction_1": np.zeros((5, 5), dtype=np.uint8)})
    with pytest.raises(UserError, match=r"ade20k-fcn-sgr\.npz .*image 1 is of \(5, 5\) pixels"):
        a_page.again(tmp_path)
