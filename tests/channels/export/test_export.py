"""Lists: whole rows, once, that no spreadsheet computes; and what a crash or a full disk leaves."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from channels import export
from channels.export import BOM, Export, Settings, add_rows, safe_cell
from plugins import Accepted, Deferred, Doubt, Message, Outcome
from plugins.settings import SettingsRefusedError, read_settings
from plugins.testing.messages import make_message
from plugins.testing.world import START, KitClock, KitLog, make_context

NO_HTTP: Any = None


def letter(number: int, **changes: Any) -> Message:
    base = make_message(number, channel="letter", address=f"c-{number}", now=START)
    return replace(base, campaign="winback", step="card", head={"name": f"Aiko {number}", "street": "Jl. Sudirman 1"}, **changes)


@dataclass
class Line:
    """A session that grants all but `refused`."""

    closing: bool = False
    refused: frozenset[str] = frozenset()
    reports: dict[str, Outcome] = field(default_factory=dict)

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids) - self.refused

    def report(self, id: str, outcome: Outcome) -> None:
        self.reports[id] = outcome


async def started(folder: Path) -> Export:
    channel = Export()
    await channel.start(make_context(Settings(folder=folder), KitClock(), KitLog(), NO_HTTP, provider="post"))
    return channel


async def write(folder: Path, messages: Sequence[Message], **line: Any) -> Line:
    channel, session = await started(folder), Line(**line)
    await channel.send(messages, session)
    await channel.stop()
    return session


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


async def test_a_step_has_one_list_a_day_whose_columns_are_the_templates_head(tmp_path: Path) -> None:
    """Later batches are added to it; what was not granted is not in it."""
    line = await write(tmp_path / "lists", [letter(1), letter(2), letter(3)], refused=frozenset({letter(2).id}))
    assert line.reports == dict.fromkeys((letter(1).id, letter(3).id), Accepted(provider_id="winback.card.2027-03-01.csv"))
    await write(tmp_path / "lists", [letter(4, text_pieces=('Two\nlines, and a «quote» "so"',))])
    (path,) = (tmp_path / "lists").iterdir()
    assert path.read_bytes().startswith(BOM)
    assert path.stat().st_mode & 0o007 == 0
    rows = rows_of(path)
    assert [row["delivery"] for row in rows] == [letter(n).id for n in (1, 3, 4)]
    assert [(row["name"], row["street"], row["address"]) for row in rows[:1]] == [("Aiko 1", "Jl. Sudirman 1", "c-1")]
    assert rows[2]["text"] == 'Two\nlines, and a «quote» "so"'


async def test_other_columns_and_other_steps_begin_other_lists(tmp_path: Path) -> None:
    """A template that was changed in the middle of a day does not shift the columns of those who read the list."""
    await write(tmp_path, [letter(1), replace(letter(2), step="last"), replace(letter(3), head={"town": "Bandung"})])
    await write(tmp_path, [replace(letter(4), head={"town": "Medan"})])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "winback.card.2027-03-01-2.csv", "winback.card.2027-03-01.csv", "winback.last.2027-03-01.csv",
    ]  # fmt: skip
    assert [row["town"] for row in rows_of(tmp_path / "winback.card.2027-03-01-2.csv")] == ["Bandung", "Medan"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('=HYPERLINK("http://evil.example")', "'=HYPERLINK(\"http://evil.example\")"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3*cmd", "'-2+3*cmd"),
        ("  =1+1", "'  =1+1"),
        ("\t=1+1", "'\t=1+1"),
        ("\r=1+1", "'\n=1+1"),
        ("＝1+1", "'＝1+1"),  # full-width
        ("+62 811-1111", "+62 811-1111"),
        ("-15", "-15"),
        ("Aiko = kind", "Aiko = kind"),
    ],
)
def test_no_cell_is_a_formula(value: str, cell: str) -> None:
    """Names and traits come from people; numbers stay usable."""
    assert safe_cell(value) == cell


async def test_a_row_that_a_crash_cut_off_is_taken_out(tmp_path: Path) -> None:
    """The rows around it stay whole; the one cut off was never accepted."""
    await write(tmp_path, [letter(1)])
    path = tmp_path / "winback.card.2027-03-01.csv"
    whole = path.read_bytes()
    for cut in (1, 5, 40):
        path.write_bytes(whole + b'K1T0000000009,winback,card,,"a street\nof two'[:cut])
        assert add_rows(tmp_path, START.date(), [letter(2)]) == path.name
        assert [row["delivery"] for row in rows_of(path)] == [letter(1).id, letter(2).id]
    path.write_bytes(whole[:10])
    add_rows(tmp_path, START.date(), [letter(3)])
    assert [row["delivery"] for row in rows_of(path)] == [letter(3).id]


async def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """It has our name and other columns."""
    path = tmp_path / "winback.card.2027-03-01.csv"
    path.write_text("name;street\n")
    await write(tmp_path, [letter(1)])
    assert path.read_text() == "name;street\n"
    assert [row["delivery"] for row in rows_of(tmp_path / "winback.card.2027-03-01-2.csv")] == [letter(1).id]


async def test_a_full_disk_gives_the_batch_back_and_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the rows fit: they are taken out again."""
    await write(tmp_path, [letter(1)])
    path = tmp_path / "winback.card.2027-03-01.csv"
    before, real = path.read_bytes(), os.pwrite

    def full(file: int, data: Any, at: int) -> int:
        if at > len(before):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, bytes(data)[: len(data) // 2], at)

    monkeypatch.setattr(export.os, "pwrite", full)
    line = await write(tmp_path, [letter(2), letter(3)])
    outcome = line.reports[letter(2).id]
    assert isinstance(outcome, Deferred)
    assert (outcome.nothing_sent, outcome.scope) == (True, "provider")
    assert path.read_bytes() == before


async def test_a_folder_that_is_no_folder_gives_back(tmp_path: Path) -> None:
    """Removed under a running daemon, or read-only."""
    channel, line = await started(tmp_path / "lists"), Line()
    (tmp_path / "lists").rmdir()
    await channel.send([letter(1)], line)
    outcome = line.reports[letter(1).id]
    assert isinstance(outcome, Deferred)
    assert outcome.nothing_sent


async def test_doubts_are_settled_from_the_lists(tmp_path: Path) -> None:
    """A cell that looks like another's row proves nothing; what is nowhere stays in doubt, for lists are taken away."""
    await write(tmp_path, [letter(1), letter(2, text_pieces=(f"first\n{letter(7).id},winback",))])
    channel = await started(tmp_path)
    doubts = [Doubt(id=letter(n).id, address="c", handed_over_at=START) for n in (1, 2, 7)]
    assert await channel.reconcile(doubts) == dict.fromkeys((letter(1).id, letter(2).id), Accepted(provider_id="winback.card.2027-03-01.csv"))
    await channel.stop()
    assert await channel.reconcile(doubts) == {}


def test_a_channel_that_is_no_word_is_refused() -> None:
    """With its key."""
    with pytest.raises(SettingsRefusedError, match=r'providers.post.channel: "E-mail" is no channel'):
        read_settings(Settings, {"folder": "lists", "channel": "E-mail"}, path=("providers", "post"))
