"""The hash of what a source file means: its syntax tree without docstrings, comments and layout.

`ast.dump` would not do: what it writes changes with the version of Python, and a result must not become stale by
that. So the tree is written in a form of our own, in which the parsers of Python 3.11 and later agree.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache

# Python leaves these out of what it runs, or they follow from where a node stands.
UNWRITTEN = {"ctx", "kind", "type_comment", "type_ignores"}

# The package's root exports names to those who borrow the unit, and jobs take none of them (tests/test_door.py). Keys
# hold what it meant before it checked what it is given, so that it may change without a result becoming stale.
SETTLED = {"sgr/__init__.py": "8f410b983213aee8"}


@cache
def meaning(source: str | bytes) -> str:
    """First 16 hex digits of the SHA-256 of a source file's canonical text.

    Docstrings (and other strings that stand alone as a statement), comments, layout, quotes and the spelling of a
    literal do not count. Names, annotations, operators, constants with their type and the order of statements do.

    Raises:
        SyntaxError: if it is not Python; `lineno` says where.
    """
    return hashlib.sha256(canonical(ast.parse(source)).encode("ascii")).hexdigest()[:16]


def canonical(value: object) -> str:
    """A syntax tree, a field of one or a constant as ASCII text: `(BinOp left (Name id str 'x') op (Add) …)`."""
    if isinstance(value, ast.Constant):
        return _constant(value.value)
    if isinstance(value, ast.JoinedStr):
        return _f_string(value)
    if isinstance(value, ast.AST):
        # Absent and empty fields stay out, since newer versions of Python add fields (3.12: type_params).
        fields = [(name, getattr(value, name, None)) for name in _written(value._fields)]
        said = [f" {name} {canonical(field)}" for name, field in fields if field is not None and field != []]
        return f"({type(value).__name__}{''.join(said)})"
    if isinstance(value, list):
        items = [item for item in value if not _is_note(item)] or [ast.Pass()]
        return f"[{' '.join(map(canonical, items))}]"
    return _constant(value)


@cache
def _written(fields: tuple[str, ...]) -> list[str]:
    return sorted(set(fields) - UNWRITTEN)


def _is_note(node: object) -> bool:
    """Whether a statement is a docstring, or another string that nothing uses."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _constant(value: object) -> str:
    """Value with its type. `repr` of text would change with Python's version of Unicode, of long integers fails."""
    match value:
        case bool() | None:
            text = str(value)
        case int():
            text = hex(value)
        case float():
            text = value.hex()
        case complex():
            text = f"{value.real.hex()} {value.imag.hex()}"
        case str():
            text = ascii(value)
        case bytes():
            text = value.hex()
        case _:
            text = ""  # the ellipsis
    return f"{type(value).__name__} {text}"


def _f_string(node: ast.JoinedStr) -> str:
    """An f-string; one without placeholders is its text. Where literal parts are cut differs between versions."""
    parts: list[str] = []
    literal = ""
    for part in _parts(node):
        if isinstance(part, ast.Constant):
            literal += str(part.value)
            continue
        if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
            empty = canonical(part.format_spec) == _constant("")  # f"{x:}" is f"{x}"
            part = ast.FormattedValue(part.value, part.conversion) if empty else part
        parts += [_constant(literal)] * bool(literal) + [canonical(part)]
        literal = ""
    if not parts:
        return _constant(literal)
    parts += [_constant(literal)] * bool(literal)
    return f"(JoinedStr {' '.join(parts)})"


def _parts(node: ast.JoinedStr) -> list[ast.expr]:
    """Its literals and placeholders, those of f-strings directly in it included."""
    nested = (_parts(part) if isinstance(part, ast.JoinedStr) else [part] for part in node.values)
    return [part for parts in nested for part in parts]
