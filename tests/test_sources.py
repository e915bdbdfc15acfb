"""A source file's hash is that of its meaning; the code of a job is the closure of its modules and their libraries."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import grimp
import pytest

from sgr.errors import UserError
from sgr.plan.meaning import meaning
from sgr.plan.sources import DISTRIBUTIONS, WITHOUT_EFFECT, Sources
from tests.rewrites import unparsed, with_comments, with_other_docstrings
from tests.scratch import ROOT

EVERY_SYNTAX = ROOT / "tests/every_syntax.txt"
EVERY_SYNTAX_MEANS = "747e99fb4fb44b2b"
FILES = [EVERY_SYNTAX, *sorted(ROOT.glob("sgr/**/*.py")), *sorted(ROOT.glob("stages/*.py"))]

IN_ANOTHER_PYTHON = """
import json, pathlib, sys
from sgr.plan.meaning import meaning
print(json.dumps([meaning(pathlib.Path(path).read_bytes()) for path in sys.argv[1:]]))
"""


def pythons() -> list[Path]:
    """An interpreter of each version from 3.11 on that this machine has, the running one first."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    candidates = [Path(path) for minor in range(11, 20) if (path := shutil.which(f"python3.{minor}"))]
    candidates += sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))
    for candidate in candidates:
        asked = [str(candidate), "-c", "import sys; print(*sys.version_info[:2])"]
        answer = subprocess.run(asked, capture_output=True, text=True)
        version = tuple(map(int, answer.stdout.split()))  # empty for a shim without an interpreter behind it
        if version >= (3, 11):
            found.setdefault(version, candidate)
    return list(found.values())


def test_every_version_of_python_finds_the_same_meaning() -> None:
    here = [meaning(path.read_bytes()) for path in FILES]
    for python in pythons():
        command = [str(python), "-ESB", "-c", IN_ANOTHER_PYTHON, *map(str, FILES)]  # -S: no installed library
        answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert answer.returncode == 0, answer.stderr
        other = json.loads(answer.stdout)
        assert [path for path, a, b in zip(FILES, here, other, strict=True) if a != b] == [], python


def test_meaning_of_every_syntax_is_as_it_was() -> None:
    """Another value here makes every result of every user stale."""
    found = {type(node) for node in ast.walk(ast.parse(EVERY_SYNTAX.read_text()))}
    groups = (ast.stmt, ast.expr, ast.pattern, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
    missing = {kind.__name__ for group in groups for kind in group.__subclasses__()} - {
        k.__name__ for k in found
    }
    assert missing <= {"TypeAlias", "TemplateStr", "Interpolation"}  # later than Python 3.11
    assert meaning(EVERY_SYNTAX.read_text()) == EVERY_SYNTAX_MEANS


def test_layout_comments_and_docstrings_mean_nothing(tmp_path: Path) -> None:
    for number, path in enumerate(FILES):
        source = path.read_text()
        for changed in (unparsed(source), with_comments(source), with_other_docstrings(source)):
            assert changed != source or not source.strip()
            assert meaning(changed) == meaning(source), path
        (tmp_path / f"{number}.py").write_text(source)
    style = "line-length = 60\nformat.quote-style = 'single'\nformat.skip-magic-trailing-comma = true"
    (tmp_path / "ruff.toml").write_text(style)
    subprocess.run([Path(sys.executable).with_name("ruff"), "format", "-q", tmp_path], check=True)
    formatted = [(tmp_path / f"{number}.py").read_text() for number in range(len(FILES))]
    assert sum(text != path.read_text() for text, path in zip(formatted, FILES, strict=True)) > len(FILES) / 2
    assert [
        path
        for text, path in zip(formatted, FILES, strict=True)
        if meaning(text) != meaning(path.read_text())
    ] == []


def test_operators_constants_names_order_and_defaults_mean_something() -> None:
    seen = dict.fromkeys(("operator", "constant", "name", "order", "default"), 0)
    for path in FILES:
        source = path.read_text()
        for kind, changed in changes(source):
            assert meaning(changed) != meaning(source), (path, kind)
            seen[kind] += 1
    assert min(seen.values()) > 40, seen


def changes(source: str) -> Iterator[tuple[str, str]]:
    """A source after one change of each kind that it has a place for."""
    for kind in ("operator", "constant", "name", "order", "default"):
        tree = ast.parse(source)
        if any(change(kind, node) for node in ast.walk(tree)):
            yield kind, ast.unparse(tree)


def change(kind: str, node: ast.AST) -> bool:
    """Change a node if it is of the kind."""
    match kind, node:
        case "operator", ast.BinOp():
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        case "operator", ast.Compare():
            node.ops[0] = ast.NotEq() if isinstance(node.ops[0], ast.Eq) else ast.Eq()
        case "constant", ast.Constant(value=int() | float()):
            node.value += 1
        case "name", ast.Name():
            node.id += "_"
        case "order", ast.Module(body=[_, *_, one, other]) if ast.dump(one) != ast.dump(other):
            node.body[-2:] = [other, one]
        case "default", ast.arguments(defaults=[_, *_]):
            node.defaults[0] = ast.Constant("another default")
        case _:
            return False
    return True


@pytest.mark.parametrize(
    "one, other",
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 1", "x = '1'"),
        ("x = '1'", "x = b'1'"),
        ("x = 0.1", "x = 0.10000000000000002"),
        ("x = 2.0", "x = 2j"),
        ("x = ...", "x = None"),
        ("x = ...", "x = Ellipsis"),
        ("x = f'{a}b'", "x = f'{a}' 'c'"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = f'{a}'", "x = f'{a:5}'"),
        ("x = f'{a}'", "x = '{a}'"),
        ("x: int = 1", "x: float = 1"),
        ("def f(a, b): pass", "def f(a, *, b): pass"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("{'a': 1, **b}", "{**b, 'a': 1}"),
        ("def f(): return 'text'", "def f(): 'text'"),
        ("f(a, b)", "f(a, b=b)"),
        ("match x:\n case None: pass", "match x:\n case True: pass"),
        ("for x in y: pass\nelse: z()", "for x in y: pass\nz()"),
    ],
)
def test_means_something_else(one: str, other: str) -> None:
    assert meaning(one) != meaning(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("x = 255", "x = 0xF_F"),
        ("x = 1e3", "x = 1000.0"),
        ("x = 'ab'", "x = 'a' u\"b\""),
        ("x = 'abc'", "x = f'a' 'bc'"),
        ("x = f'{a}'", "x = '' f'{a:}' ''"),
        ("def f(): pass", "def f(): 'docstring'"),
        ("async def f(): pass", "async def f():\n  '''docstring'''  # and comment"),
        ("class A:\n x = 1", "class A:\n 'docstring'\n x = 1\n 'about x'"),
        ("x = 1", "'''docstring'''\nx = (1)\r\n"),
        ("f(a, b)", "f(\n  a,\n  b,\n)"),
        ("if a: b()\nelif c: d()", "if a:\n b()\nelse:\n if c:\n  d()"),
    ],
)
def test_means_the_same(one: str, other: str) -> None:
    assert meaning(one) == meaning(other)


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources(ROOT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what is hashed, free to be edited."""
    for package in ("sgr", "stages"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    return tmp_path


def test_closure_is_what_the_unit_imports(sources: Sources) -> None:
    assert sources.closure(["sgr.unit"]) == {"sgr.unit", "sgr.reasoning", "sgr.positional"}
    code = sources.code(["sgr.unit"])
    assert code.sources["sgr/unit.py"] == meaning((ROOT / "sgr/unit.py").read_bytes())
    assert list(code.sources) == ["sgr/positional.py", "sgr/reasoning.py", "sgr/unit.py"]
    assert list(code.libraries) == ["torch"]


def test_closure_leaves_out_what_only_type_checkers_import(project: Path) -> None:
    assert "TYPE_CHECKING" in (project / "sgr/__init__.py").read_text()
    unit = project / "sgr/unit.py"
    unit.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sgr.glore\n" + unit.read_text()
    )
    assert "sgr.glore" not in Sources(project).closure(["sgr.unit"])
    unit.write_text("import sgr.glore\n" + unit.read_text())
    assert "sgr.glore" in Sources(project).closure(["sgr.unit"])


def test_closures_miss_nothing_that_packages_import(sources: Sources) -> None:
    """Of the packages around a module only __init__.py is hashed: what that imports, each module in it imports too."""
    for path in ROOT.glob("sgr/**/__init__.py"):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        for node in ast.parse(path.read_text()).body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported = {name for name in names if name.startswith("sgr")} - {"sgr.errors"}
            for name in modules() if imported else []:
                if name.startswith(f"{package}."):
                    assert imported <= sources.closure([name]), (name, imported)


def test_a_stage_script_may_be_a_root(sources: Sources) -> None:
    assert {"stages.train", "sgr.errors"} <= sources.closure(["stages.train"])


def test_a_new_module_counts_where_it_is_and_touches_no_other(project: Path) -> None:
    before = Sources(project).code(["sgr.losses"])
    (project / "sgr/new.py").write_text("import sgr.losses\nimport PIL\n")
    code = Sources(project)
    assert code.code(["sgr.losses"]) == before
    new = code.code(["sgr.new"])
    assert new.sources.keys() - before.sources.keys() == {"sgr/new.py"}
    assert new.libraries.keys() - before.libraries.keys() == {"pillow"}


def test_where_grimp_looks_by_itself_stays(project: Path) -> None:
    """Another graph in the same process, of a package that Python imports, is built as ever."""
    Sources(project)
    (project / "sgr").rename(project / "elsewhere")
    assert "sgr.jobs" in grimp.build_graph("sgr", cache_dir=None).modules


def test_libraries_are_those_that_the_closure_imports(sources: Sources) -> None:
    libraries = sources.code(["sgr.losses"]).libraries
    assert libraries.keys() == {"torch", "scipy", "numpy"}
    assert f"torch=={libraries['torch']}\n" in (ROOT / "requirements.txt").read_text()
    assert "timm" in sources.code(["sgr.models.backbones.convolutional"]).libraries
    assert "connected-components-3d" in sources.code(["sgr.connected"]).libraries
    assert "faster-coco-eval" in sources.code(["sgr.detection.evaluate"]).libraries
    assert not WITHOUT_EFFECT.keys() & sources.code(["sgr.training.loop"]).libraries.keys()


def test_every_library_of_the_project_is_pinned_under_its_own_name(sources: Sources) -> None:
    libraries = sources.code([name for name in modules() if not name.startswith("sgr.cli")]).libraries
    installed = {name for names in metadata.packages_distributions().values() for name in names}
    assert libraries.keys() <= installed
    for module, distribution in DISTRIBUTIONS.items():
        assert distribution in metadata.packages_distributions()[module]


@cache
def modules() -> list[str]:
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES[1:]
    ]


def test_a_library_without_a_pin_is_refused(project: Path) -> None:
    pins = project / "requirements.txt"
    pins.write_text(pins.read_text().replace("\nscipy==", "\nscipy>="))
    with pytest.raises(
        UserError, match=r"^requirements\.txt: scipy, which sgr/matching\.py imports, must be pinned"
    ):
        Sources(project).code(["sgr.losses"])
    Sources(project).code(["sgr.unit"])


@pytest.mark.parametrize("name", ["sgr.data.nosuch", "torch", "os"])
def test_a_module_that_is_not_there_is_refused(sources: Sources, name: str) -> None:
    with pytest.raises(UserError, match=rf"^params\.yaml: there is no module {name} for what it names$"):
        sources.code([name])


def test_a_file_that_is_not_python_is_named_with_its_line(project: Path) -> None:
    (project / "sgr/losses.py").write_text("a = 1\nb = (\n")
    with pytest.raises(UserError, match=r"^sgr/losses\.py, line \d: this is not Python: "):
        Sources(project).code(["sgr.losses"])
