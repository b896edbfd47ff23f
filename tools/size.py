"""Checks what ruff does not: files under 400 lines, functions under 60, and a docstring at the head of each module.

Reads the tracked and new Python files of the three packages, `tools` and `tests`; prints `file:line: what` and exits 1 for each
that is too long. A function's docstring and decorators count: a long one is long to read. `python tools/size.py`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("daemon", "channels", "plugins")
OTHERS = ("tools", "tests")
FILE_LINES = 400
FUNCTION_LINES = 60
TYPICAL_LINES = 30
"""What nine in ten functions should stay under."""


def problems(root: Path) -> Iterator[str]:
    """All that is too long, or says nothing about itself."""
    for path in files(root, PACKAGES + OTHERS):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root)
        shipped = name.parts[0] in PACKAGES
        lines = text.count("\n")
        if shipped and lines >= FILE_LINES:
            yield f"{name}:{lines}: the file has {lines} lines (< {FILE_LINES}): split it where it changes its subject"
        tree = ast.parse(text)
        if text.strip() and ast.get_docstring(tree) is None and shipped:
            yield f"{name}:1: no docstring says what this module is for"
        for function, length in functions(tree):
            if shipped and length >= FUNCTION_LINES:
                yield f"{name}:{function.lineno}: {function.name} has {length} lines (< {FUNCTION_LINES})"


def files(root: Path, folders: tuple[str, ...]) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Each function with its lines, decorators included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node, (node.end_lineno or node.lineno) - first + 1


def spread(root: Path) -> tuple[int, int, int]:
    """(functions, median length, 90th percentile) of the packages."""
    lengths = sorted(length for path in files(root, PACKAGES) for _, length in functions(ast.parse(path.read_text(encoding="utf-8"))))
    return (len(lengths), lengths[len(lengths) // 2], lengths[len(lengths) * 9 // 10]) if lengths else (0, 0, 0)


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    found = list(problems(root))
    print("\n".join(found), file=sys.stderr)
    count, median, ninth = spread(root)
    print(f"{count} functions, median {median} lines, 90th percentile {ninth} (aim: <= {TYPICAL_LINES}); {len(found)} too long or silent")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
