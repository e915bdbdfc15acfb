"""Rewrites of a source file that leave its meaning as it is."""

from __future__ import annotations

import ast


def unparsed(source: str) -> str:
    """Python's own layout, without comments."""
    return ast.unparse(ast.parse(source))


def with_comments(source: str) -> str:
    """A comment and a blank line in front of each statement of the module."""
    lines = source.splitlines(keepends=True)
    for statement in reversed(ast.parse(source).body):
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in (statement, *decorators)) - 1
        if not lines[first][: statement.col_offset].strip():
            lines.insert(first, "# a comment\n\n")
    return "".join(lines)


def with_other_docstrings(source: str) -> str:
    """A new docstring for the module, each class and each function, those without one included."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            with_docstring = ast.get_docstring(node) is not None
            node.body[:with_docstring] = [ast.Expr(ast.Constant("Other, {with}\n\n    two lines.\n    "))]
    return ast.unparse(ast.fix_missing_locations(tree))
