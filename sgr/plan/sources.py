"""The code that a result depends on: what its modules import, by the meaning of the files, and the libraries behind.

Nothing is imported to find out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp
from grimp.application.config import settings as grimp_settings
from grimp.application.ports.filesystem import AbstractFileSystem
from grimp.application.ports.packagefinder import AbstractPackageFinder
from grimp.exceptions import SourceSyntaxError

from sgr.errors import UserError
from sgr.jobs.job import Code
from sgr.plan.meaning import meaning

PACKAGES = ("sgr", "stages")

# What a stage imports to make jobs of its entry: their content keys hold all that decides.
FROM_ENTRIES_TO_JOBS = ("sgr.jobs.", "sgr.plan.", "sgr.machine", "sgr.project", "sgr.kinds")

# Libraries that closures import, but whose version cannot change a result; every other one must be pinned.
WITHOUT_EFFECT = {
    "tqdm": "shows progress",
    "rich": "writes to the terminal",
    "dvclive": "logs curves",
    "requests": "fetches files whose bytes are checked",
    "urllib3": "fetches files whose bytes are checked",
    "appdirs": "finds the user's folders",
    "submitit": "starts jobs",
    "pydantic": "checks settings, whose values decide by themselves",
}

# What is imported under another name than it is installed by.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cc3d": "connected-components-3d",
    "ruamel": "ruamel.yaml",
    "yaml": "PyYAML",
}


class Sources:
    """The import graph of the project below `root`, which holds the packages and requirements.txt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        graph = _graph(root)
        external = {name for name in graph.modules if graph.is_module_squashed(name)}
        own = graph.modules - external
        self._imports = {name: graph.find_modules_directly_imported_by(name) & own for name in own}
        outside = external - set(sys.stdlib_module_names) - WITHOUT_EFFECT.keys()
        self._libraries = {name: graph.find_modules_directly_imported_by(name) & outside for name in own}
        self._pins = _pins(root / "requirements.txt")

    def code(self, modules: Iterable[str]) -> Code:
        """What the closure of the modules depends on.

        Args:
            modules: where the work starts, and what it imports by name at run time.

        Raises:
            UserError: for a module that does not exist, a file that is not Python, or a library without a pin.
        """
        closure = self.closure(modules)
        libraries = dict(self._pin(library, name) for name in closure for library in self._libraries[name])
        return Code(
            {path: self._meaning(path) for path in sorted(map(self._path, closure))},
            dict(sorted(libraries.items())),
        )

    def scripts(self, stage: str, drawing: Iterable[str] = ()) -> dict[str, str]:
        """The meaning of a stage's script, of the scripts that it imports, and of what draws its tables and figures.

        drawing: modules that these import by name at run time.
        """
        found = self.closure([f"stages.{stage}"], apart=FROM_ENTRIES_TO_JOBS)
        drawn_by = self.closure([*drawing, *(name for name in found if name.startswith("sgr.report."))])
        scripts = {name for name in found if name.startswith("stages.")}
        return {path: self._meaning(path) for path in sorted(map(self._path, scripts | drawn_by))}

    def closure(self, modules: Iterable[str], apart: tuple[str, ...] = ()) -> set[str]:
        """The modules, all they import directly or not, and the packages around each of them.

        Of such a package only `__init__.py` counts, not what its functions import when somebody calls them. The one at
        the top only exports names to other projects: no module here takes one of them.
        """
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            if name in found or name.startswith(apart):
                continue
            if name not in self._imports:
                raise UserError(f"params.yaml: there is no module {name} for what it names")
            found.add(name)
            waiting += self._imports[name]
        parts = [name.split(".") for name in found]
        return found | {".".join(of[:depth]) for of in parts for depth in range(2, len(of))}

    def _pin(self, library: str, importer: str) -> tuple[str, str]:
        """Name and version of a library in requirements.txt."""
        distribution = DISTRIBUTIONS.get(library, library)
        if (key := _normal(distribution)) not in self._pins:
            raise UserError(
                f"requirements.txt: {distribution}, which {self._path(importer)} imports, must be pinned with ==, "
                "since its version can change results"
            )
        return self._pins[key]

    def _path(self, module: str) -> str:
        base = Path(*module.split("."))
        package = base / "__init__.py"
        return (package if (self.root / package).exists() else base.with_suffix(".py")).as_posix()

    def _meaning(self, path: str) -> str:
        try:
            return meaning((self.root / path).read_bytes())
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno}: this is not Python: {error.msg}") from None


def _graph(root: Path) -> grimp.ImportGraph:
    """The imports of the packages below `root`, libraries as one module each, without those for type checkers."""
    # By itself grimp looks where Python would import from, which need not be `root`.
    usual = grimp_settings.PACKAGE_FINDER
    grimp_settings.configure(PACKAGE_FINDER=_Below(root))
    try:
        return grimp.build_graph(
            *(name for name in PACKAGES if (root / name).is_dir()),
            include_external_packages=True,
            exclude_type_checking_imports=True,
            cache_dir=None,
        )
    except SourceSyntaxError as error:
        path = Path(error.filename).relative_to(root).as_posix()
        raise UserError(
            f"{path}, line {error.lineno}: this is not Python: {(error.text or '').strip()}"
        ) from None
    finally:
        grimp_settings.configure(PACKAGE_FINDER=usual)


class _Below(AbstractPackageFinder):
    def __init__(self, root: Path) -> None:
        self.root = root

    def determine_package_directories(self, package_name: str, file_system: AbstractFileSystem) -> set[str]:
        return {str(self.root / package_name)}


def _pins(requirements: Path) -> dict[str, tuple[str, str]]:
    """Normal name -> name and version of each library that is pinned with ==."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", requirements.read_text(), flags=re.MULTILINE)
    return {_normal(name): (name, version) for name, version in found}


def _normal(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
