"""Draws docs/promises.md: each promise, fault and bad input with the product's answer and the tests that show it.

The catalogue is `tools/promises.toml`; tests name its ids with `@pytest.mark.promise("F7")`. The sources are read with `ast`, never
imported, so that a test that cannot be collected is seen all the same. `problems` says what is wrong: an unknown id, an id that is
no text, an entry without a test. Pure but for reading the tree.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = Path("tools/promises.toml")
KINDS = {"P": "Promises", "F": "Faults", "B": "Bad inputs"}

INTRODUCTION = """\
# What Homing promises, and what shows it

Each promise, each fault that it was built for and each bad input that it was given, with its answer and the tests that show the
answer. A test says so itself (`@pytest.mark.promise("F7")`); an entry without a test fails the check, and so does a test that names
no entry. Run those of one entry by their names, as `.venv/bin/python -m pytest tests/channels/smtp/test_phases.py`.

The limits, as plainly: exactly-once over SMTP is impossible; that a relay accepted a mail does not mean that it reached an inbox; a
relay that loses what it accepted cannot be seen from here; and who is in doubt may have got nothing, which for win-back is the
cheaper error.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the catalogue. `note`: why no test is asked for: what it belongs to is not there yet."""

    id: str
    what: str
    answer: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A test and the ids that it names. `where`: `tests/x/test_y.py::test_z`."""

    where: str
    line: int
    ids: tuple[str, ...]
    wrong: bool = False
    """An id is not written as text, so it cannot be read."""


def read_catalogue(root: Path = ROOT) -> list[Entry]:
    """In the order of ids: promises, faults, bad inputs."""
    rows = tomllib.loads((root / CATALOGUE).read_text(encoding="utf-8"))
    found = [Entry(id=key, **fields) for key, fields in rows.items()]
    return sorted(found, key=lambda entry: (list(KINDS).index(entry.id[0]), int(entry.id[1:])))


def read_tests(root: Path = ROOT) -> list[Shown]:
    """All tests that carry the marker, in the order of their files and lines."""
    found: list[Shown] = []
    for path in sorted((root / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if ".promise(" in text:
            found += _of_module(ast.parse(text), path.relative_to(root).as_posix())
    return found


def problems(root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the catalogue or with the tests' marks."""
    entries = {entry.id: entry for entry in read_catalogue(root)}
    shown: set[str] = set()
    for test in read_tests(root):
        place = f"{test.where.partition('::')[0]}:{test.line}"
        if test.wrong:
            yield f'{place}: the ids of a promise mark are written as text, as @pytest.mark.promise("F7")'
        for id in test.ids:
            if id not in entries:
                yield f"{place}: {CATALOGUE} has no {id}"
            shown.add(id)
    for entry in entries.values():
        if entry.id not in shown and not entry.note:
            yield f"{CATALOGUE}: no test shows {entry.id} ({entry.what}); mark one, or say in `note` what it waits for"


def promises_page(root: Path = ROOT) -> str:
    """The page."""
    entries, tests = read_catalogue(root), read_tests(root)
    names: dict[str, list[str]] = {}
    for test in tests:
        for id in test.ids:
            names.setdefault(id, []).append(test.where)
    parts = [INTRODUCTION]
    for letter, title in KINDS.items():
        of_kind = [entry for entry in entries if entry.id[0] == letter]
        with_tests = sum(entry.id in names for entry in of_kind)
        parts.append(f"\n## {title}\n\n{with_tests} of {len(of_kind)} have tests; the others name what they come with.\n\n")
        parts.append("| id | what | answer | tests |\n|---|---|---|---|\n")
        parts += [_row(entry, names) for entry in of_kind]
    return "".join(parts)


def _row(entry: Entry, names: Mapping[str, Sequence[str]]) -> str:
    tests = [f"`{name}`" for name in dict.fromkeys(names.get(entry.id, ()))]
    if entry.note:
        tests.append(f"*{_cell(entry.note)}*")
    return f"| {entry.id} | {_cell(entry.what)} | {_cell(entry.answer)} | {'<br>'.join(tests)} |\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


# -- reading one module

Named = Mapping[str, Sequence[ast.Call]]
"""Marks that stand in a module's constants, by the constant's name."""


def _of_module(tree: ast.Module, path: str) -> Iterator[Shown]:
    """Tests with marks of their own, of their class, of the module, or of the cases they are given by name."""
    constants: dict[str, list[ast.Call]] = {}
    of_all: list[ast.Call] = []
    for node in tree.body:
        for name in _assigned(node):
            if name == "pytestmark":
                of_all += _marks(node)
            else:
                constants[name] = _marks(node)
    yield from _of_body(tree.body, path, of_all, constants)


def _of_body(body: Sequence[ast.stmt], path: str, outer: Sequence[ast.Call], constants: Named) -> Iterator[Shown]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _of_body(node.body, f"{path}::{node.name}", [*outer, *_of_decorators(node, constants)], constants)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from _shown(f"{path}::{node.name}", node.lineno, [*outer, *_of_decorators(node, constants)])
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and node.value.attr == "TestCase":
            # a Hypothesis machine made into a test: `TestStore = Machine.TestCase`
            yield from _shown(f"{path}::{_assigned(node)[0]}", node.lineno, list(outer))


def _shown(where: str, line: int, marks: Sequence[ast.Call]) -> Iterator[Shown]:
    arguments = [argument for mark in marks for argument in mark.args]
    ids = [argument.value for argument in arguments if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    if arguments:
        yield Shown(where=where, line=line, ids=tuple(dict.fromkeys(ids)), wrong=len(ids) < len(arguments))


def _of_decorators(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, constants: Named) -> list[ast.Call]:
    """Marks in the decorators, in the cases of a parametrize too, and in module constants that they name."""
    found: list[ast.Call] = []
    for decorator in node.decorator_list:
        found += _marks(decorator)
        for inner in ast.walk(decorator):
            if isinstance(inner, ast.Name):
                found += constants.get(inner.id, ())
    return found


def _marks(node: ast.AST) -> list[ast.Call]:
    return [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr == "promise"
        and isinstance(inner.func.value, ast.Attribute)
        and inner.func.value.attr == "mark"
    ]


def _assigned(node: ast.stmt) -> list[str]:
    """Names that a module-level statement gives a value."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
