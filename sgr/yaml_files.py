"""The project's YAML files, read as DVC reads them: by YAML 1.2, where `010` is ten, `yes` a word, `1e-3` a number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sgr.errors import UserError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# What pydantic says of Python's types, of YAML's.
WORDS = {
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "path_type": "must be a path",
    "model_type": "must hold keys and their values",
    "dict_type": "must hold keys and their values",
}


def read(path: Path, name: str = "") -> dict[str, Any]:
    """The keys of a file and their values; none of an empty one. Errors call the file by `name`, or by its path.

    Raises:
        UserError: the file cannot be read, is no YAML, has a key twice, or holds anything but keys and values.
    """
    name = name or str(path)
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{name}: no such file; run in the project's folder") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        raise UserError(f"{name}: line {line}: {_key(error)} stands there twice; keep one of them") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{name}: not valid YAML: {_told(error)}") from None
    if not isinstance({} if content is None else content, dict):
        raise UserError(f"{name}: must hold keys and their values")
    return content or {}


def parse(text: str) -> Any:
    """The value of a text in YAML."""
    # pure: libyaml reads the same values, but not `{time: 24:00:00}`
    return YAML(typ="safe", pure=True).load(text)


def complaint(error: ErrorDetails) -> str:
    """What is wrong with a value, of one of the errors that pydantic lists."""
    return WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))


def _key(error: DuplicateKeyError) -> str:
    """As ruamel quotes it: `found duplicate key "K" with value …`."""
    return str(error.problem).removeprefix("found duplicate key ").partition(" with value ")[0]


def _told(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        about = " ".join(filter(None, [error.context, error.problem]))
        return f"line {error.problem_mark.line + 1}: {about}"
    return " ".join(str(error).split())
