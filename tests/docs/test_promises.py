"""The page of promises: its marks are read as they stand in the sources, and nothing is shown that nobody tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import docs_promises
from tools.docs_promises import problems, promises_page, read_tests

CATALOGUE = """
[F1]
what = "a crash"
answer = "sent | once"
[B2]
what = "a name"
answer = "refused"
[P1]
what = "never lost"
answer = "synced"
[F17]
what = "SMS"
answer = "asked"
note = "comes with SMS"
"""

MODULE = """
import pytest
from hypothesis.stateful import RuleBasedStateMachine

pytestmark = [pytest.mark.slow, pytest.mark.promise("P1")]
CASES = [pytest.param(1, marks=pytest.mark.promise("B2")), 2]


@pytest.mark.parametrize("case", CASES)
def test_cases(case): ...


@pytest.mark.promise("F1", "B2")
async def test_both(): ...


def helper(): ...


class TestGroup:
    @pytest.mark.parametrize("n", [pytest.param(1, marks=[pytest.mark.promise("F1")])])
    def test_inside(self, n): ...


class Machine(RuleBasedStateMachine): ...


TestMachine = Machine.TestCase
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "promises.toml").write_text(CATALOGUE)
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "unit" / "test_it.py").write_text(MODULE)
    return tmp_path


def test_marks_are_found_wherever_they_stand(tree: Path):
    """On a function, a class's method, a case, a named list of cases, the module, a state machine."""
    where = "tests/unit/test_it.py::"
    assert {(test.where.removeprefix(where), test.ids) for test in read_tests(tree)} == {
        ("test_cases", ("P1", "B2")),
        ("test_both", ("P1", "F1", "B2")),
        ("TestGroup::test_inside", ("P1", "F1")),
        ("TestMachine", ("P1",)),
    }
    assert list(problems(tree)) == []


def test_an_entry_without_a_test_is_a_problem_unless_it_says_what_it_waits_for(tree: Path):
    """F17 has a note, F1 has none."""
    (tree / "tests" / "unit" / "test_it.py").write_text('import pytest\n\n\n@pytest.mark.promise("P1", "B2")\ndef test_x(): ...\n')
    assert list(problems(tree)) == ["tools/promises.toml: no test shows F1 (a crash); mark one, or say in `note` what it waits for"]


def test_a_mark_that_names_no_entry_is_a_problem(tree: Path):
    """With the file and line of the test; so is an id that is not written as text."""
    path = tree / "tests" / "unit" / "test_more.py"
    path.write_text('import pytest\n\nID = "F1"\n\n\n@pytest.mark.promise("F99")\ndef test_x(): ...\n\n\n@pytest.mark.promise(ID)\ndef test_y(): ...\n')
    first, second = problems(tree)
    assert first == "tests/unit/test_more.py:7: tools/promises.toml has no F99"
    assert second.startswith("tests/unit/test_more.py:11: the ids of a promise mark are written as text")


def test_the_page_has_each_entry_with_its_tests(tree: Path):
    """Promises first; what stands in a cell cannot break the table."""
    lines = promises_page(tree).splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| id")]
    assert [row.split(" | ")[0] for row in rows] == ["| P1", "| F1", "| F17", "| B2"]
    assert "| F1 | a crash | sent \\| once | `tests/unit/test_it.py::test_both`<br>`tests/unit/test_it.py::TestGroup::test_inside` |" in rows
    assert "| F17 | SMS | asked | *comes with SMS* |" in rows
    assert "1 of 2 have tests" in "\n".join(lines)


def test_this_tree_has_no_such_problem():
    """Each mark names an entry, each entry has a test."""
    assert list(problems()) == []
    assert len(docs_promises.read_catalogue()) == 11 + 46 + 62
