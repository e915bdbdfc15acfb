"""The command line: help without heavy imports, mistakes in one sentence, targets as people type them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sgr.cli import graph, main, repro
from sgr.errors import UserError
from tests.scratch import ROOT, copy_checkout

COMMANDS = (
    *("submit", "repro", "jobs", "watch", "cancel", "clean-jobs", "dry-run", "data-check", "pipeline"),
    *("adopt", "predict", "export"),
)
HEAVY = ("torch", "dvc", "pandas", "numpy", "rich")


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = f"""
import sys
from sgr.cli.main import app
for name in {COMMANDS}:
    app([name, "--help"], standalone_mode=False)
print("imported:", *(name for name in {HEAVY} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("imported:\n")
    assert done.stdout.count("Usage: ") == len(COMMANDS)


@pytest.mark.parametrize("module", ["sgr", "sgr.cli"])
def test_help_lists_every_command_with_its_first_sentence(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True)
    _, listed = done.stdout.split("Commands:\n")
    assert [line.split()[0] for line in listed.splitlines()] == sorted(COMMANDS, key=listed.index)
    assert set(COMMANDS) == {line.split()[0] for line in listed.splitlines()}
    assert all(line.endswith(".") and not line.endswith("...") for line in listed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sbmit"], "No such command 'sbmit'. Did you mean 'submit'?"),
        (["submit", "--hree"], "No such option: --hree"),
        (["cancel"], "Missing argument 'ROW'."),
        (["dry-run", "--tflops", "fast"], "Invalid value for '--tflops': "),
        (["data-check", "camvit"], "there is no dataset 'camvit': "),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["sgr", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == ""
    assert told.err.startswith(f"error: {sentence}") and told.err.count("\n") == 1


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which nothing has run, as a repository of DVC."""
    root = copy_checkout(tmp_path_factory.mktemp("cli") / "copy")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def test_targets_are_short_names(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    row, of_dataset = "stages/camvid/camvid-fcn-sgr/dvc.yaml", "stages/camvid/dvc.yaml"
    named = {
        "table_camvid": ["table_camvid@mini"],
        "train@camvid-fcn": ["stages/camvid/camvid-fcn/dvc.yaml:train@mini"],
        f"{row}:evaluate@mini": [f"{row}:evaluate@mini"],
        # each once
        "camvid-fcn-sgr": [f"{row}:{kind}@mini" for kind in ("train", "semantics")],
        of_dataset: [f"{of_dataset}:{kind}@mini" for kind in ("download", "components")],
        "camvid": [],
    }
    assert graph.asked(list(named)).addresses == [address for found in named.values() for address in found]
    semantics = graph.asked(["semantics"]).addresses
    assert f"{row}:semantics@mini" in semantics
    assert all(":semantics@" in address for address in semantics)


def test_what_a_target_needs_is_counted_and_ordered(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    # plan, download, components, weights and the row's own two
    assert graph.asked(["evaluate@camvid-fcn"]).needed == 6
    found = [(stage.kind, stage.key) for stage in graph.needed(["detect@coco-glore"])]
    glore = ("train", "cocostuff10k-fcn-glore")
    assert found == [glore, ("transfer", "coco-glore"), ("detect", "coco-glore")]
    every = {stage.kind for stage in graph.needed([])}
    assert every == graph.WITH_JOBS


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("camvid-fnc", "there is no stage, row or dataset 'camvid-fnc': did you mean camvid-fcn, "),
        (
            "train@camvid-fcm",
            "there is no stage, row or dataset 'train@camvid-fcm': did you mean train@camvid-fcn",
        ),
        (
            "zzz",
            "there is no stage, row or dataset 'zzz': name one such as table1 or a row of params/rows.yaml",
        ),
        ("work/nothing.json", "Stage 'work/nothing.json' not found inside 'dvc.yaml' file"),
    ],
)
def test_unknown_target_is_one_sentence(
    target: str, sentence: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    with pytest.raises(UserError) as error:
        graph.asked([target])
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


@pytest.fixture
def fake_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `dvc` that tells its arguments, names two stages and ends with $STATUS, else 3."""
    script = tmp_path / "dvc"
    script.write_text(
        '#!/bin/sh\necho "$@"\necho "Stage \'plan@mini\' didn\'t change, skipping"\n'
        "echo \"Running stage 'a/dvc.yaml:train@mini':\"\nexit ${STATUS:-3}\n"
    )
    script.chmod(0o755)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repro, "DVC", [str(script)])
    monkeypatch.setattr(
        repro, "asked", lambda targets: graph.Asked([f"a:{one}" for one in targets], 7, ["results/a.md"])
    )


@pytest.mark.usefixtures("fake_dvc")
def test_repro_numbers_stages_and_hands_on_the_status(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert repro.main(["x", "y"], force=True) == 3
    assert repro.main([]) == 3
    sys.stdout.flush()
    told = capfdbinary.readouterr().out.decode().splitlines()
    stages = [
        "[1/7] Stage 'plan@mini' didn't change, skipping",
        "[2/7] Running stage 'a/dvc.yaml:train@mini':",
    ]
    assert told == ["repro --force a:x a:y", *stages, "repro", *stages]


@pytest.mark.usefixtures("fake_dvc")
def test_repro_names_the_pages_that_are_there(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("STATUS", "0")
    assert repro.main(["x"]) == 0
    assert capfdbinary.readouterr().out.decode().splitlines()[-1] == "results/a.md is there"


def test_pages_are_of_the_named_stages_alone(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    assert graph.asked(["table_camvid", "figures_camvid"]).pages == ["results/mini/table_camvid.md"]
    assert {"results/mini/table1.md", "results/overhead/mini.md"} <= {*graph.asked([]).pages}
