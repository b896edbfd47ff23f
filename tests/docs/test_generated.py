"""Docs that quote code are drawn from it, and links lead somewhere."""

from pathlib import Path

import pytest

from daemon.errors import HomingError
from daemon.model.delivery import REASONS, TRANSITIONS
from tools import docs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", docs.PAGES)
def test_generated_page_is_what_the_code_says(name: str):
    """If not: `make docs`."""
    text = docs.PAGES[name]()
    assert (ROOT / name).read_text(encoding="utf-8").endswith(text)


def test_generated_blocks_of_other_pages_are_up_to_date():
    """`<!-- generated: states -->` and its like."""
    for path in docs.written_by_hand(ROOT):
        text = path.read_text(encoding="utf-8")
        assert docs._BLOCK.sub(lambda found: docs.block(found["name"]), text) == text, path


def test_no_relative_link_leads_nowhere():
    """In all pages."""
    wrong = [dead for path in (ROOT / "docs").rglob("*.md") for dead in docs.dead_links(path, path.read_text(encoding="utf-8"))]
    if (ROOT / "README.md").exists():
        wrong += docs.dead_links(ROOT / "README.md", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert wrong == []


def test_blocks_name_every_state_reason_and_exit_code():
    """Nothing is left out of the drawings."""
    assert all(f"`{state}`" in docs.states() for state in TRANSITIONS)
    assert all(f"`{reason}`" in docs.reasons() for reason in REASONS)
    assert f"| {HomingError.exit_code} |" in docs.exit_codes()
    assert "store" in docs.floors()


def test_an_unknown_block_is_an_error():
    """A misspelt name must not stay as it is for ever."""
    with pytest.raises(SystemExit, match="states"):
        docs.block("sates")


def test_a_dead_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """But not in code, nor to the outside."""
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    (tmp_path / "here.md").write_text("x")
    text = "[a](here.md) [b](gone.md#x) [c](https://x.example) `[d](no.md)` [e](#part)\n```\n[f](no.md)\n```\n"
    assert list(docs.dead_links(tmp_path / "page.md", text)) == ["page.md: the link to gone.md leads nowhere"]
