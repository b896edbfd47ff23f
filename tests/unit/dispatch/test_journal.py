"""The send journal tells what was handed over, also after a crash in the middle of a line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.dispatch.journal import KEPT, Journal, Tail
from daemon.errors import StoreUnavailableError
from daemon.store.flight import StepDone


def done(commit: int, *ids: int) -> StepDone:
    return StepDone(granted=frozenset(ids), commit=commit, at=1000 + commit)


def test_the_tail_is_the_last_whole_line(tmp_path: Path) -> None:
    """A torn last line is ignored, and the next line does not run into it."""
    journal = Journal(tmp_path / "journal")
    assert journal.tail() == Tail(nonce=None, commit=0, at=0)
    journal.open("n1", 0)
    journal.append([done(7, 3, 4)])
    journal.append([done(8)])  # nothing granted: no line
    journal.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(b"9 1009 5")
    assert Journal(tmp_path / "journal").tail() == Tail(nonce="n1", commit=7, at=1007)
    again = Journal(tmp_path / "journal")
    again.open("n1", 7)
    again.append([done(10, 6)])
    again.close()
    assert again.tail() == Tail(nonce="n1", commit=10, at=1010)
    assert list(again.since(7)) == [{6: 1010}]


def test_a_line_that_the_disk_cut_off_does_not_swallow_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for a moment: the refused handover is not in the journal, the next one is, whole."""
    journal, write = Journal(tmp_path / "journal"), os.write
    journal.open("n1", 0)
    room = [4]

    def cut_off(fd: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "no space left")
        return write(fd, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", cut_off)
        with pytest.raises(StoreUnavailableError):
            journal.append([done(1, 10)])
    journal.append([done(2, 20)])
    assert list(journal.since(0)) == [{20: 1002}]


def test_a_new_journal_keeps_the_last_commit_of_the_store(tmp_path: Path) -> None:
    """An empty journal of an installation that has already sent is not taken for one that is behind."""
    journal = Journal(tmp_path / "journal")
    journal.open("n1", 41)
    assert journal.tail() == Tail(nonce="n1", commit=41, at=0)


@pytest.mark.promise("F40", "P11")
def test_what_was_sent_since_a_commit_is_found_again(tmp_path: Path) -> None:
    """`since` gives the deliveries of later lines with their instants: what a restored store does not know."""
    journal = Journal(tmp_path / "journal")
    journal.open("n1", 0)
    for commit in range(1, 5):
        journal.append([done(commit, commit * 10, commit * 10 + 1)])
    assert list(journal.since(2)) == [{30: 1003, 31: 1003, 40: 1004, 41: 1004}]
    journal.restart("n2", 4)
    assert journal.tail() == Tail(nonce="n2", commit=4, at=0)
    assert list(journal.since(3)) == [{40: 1004, 41: 1004}]  # the old file stays beside it
    journal.close()


@pytest.mark.promise("F40")
def test_full_files_are_kept_in_order_and_the_oldest_says_how_far_back_they_reach(tmp_path: Path) -> None:
    """A backup from before the oldest kept file is known as such: what was sent since is not all there any more."""
    journal = Journal(tmp_path / "journal")
    journal.open("n1", 0)
    assert journal.reaches(0)
    for commit in range(1, KEPT + 4):
        journal.append([done(commit, commit * 10)])
        journal.restart("n1", commit)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["journal", *(f"journal.{n}" for n in range(1, KEPT + 1))])
    assert [ids for batch in journal.since(KEPT) for ids in batch] == [(KEPT + 1) * 10, (KEPT + 2) * 10, (KEPT + 3) * 10]
    assert journal.reaches(KEPT)
    assert not journal.reaches(0)
    journal.close()


def lines_after(journal: Journal, at: int, limit: int = 100) -> list[tuple[int, list[int]]]:
    return journal.after(at, limit)


def test_what_was_sent_after_an_instant_is_found_in_long_and_in_moved_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line once, in order, from any instant on, over torn lines, moved files, and commits that begin anew after a restore."""
    monkeypatch.setattr("daemon.dispatch.journal.ROTATE_BYTES", 40_000)
    journal = Journal(tmp_path / "journal")
    assert lines_after(journal, 0) == []
    journal.open("n1", 0)
    sent = [(1000 + n, [n * 10, n * 10 + 1]) for n in range(1, 4000)]
    for n in range(1, 4000):
        journal.append([done(n, n * 10, n * 10 + 1)])
        if n == 2500:
            journal.close()
            with (tmp_path / "journal").open("ab") as file:
                file.write(b"2501 35")
            journal.open("n1", n)
    journal.restart("n2", 7)
    journal.append([StepDone(granted=frozenset([5]), commit=8, at=9000)])
    assert journal.newest == 9000
    assert len(list(tmp_path.iterdir())) > 3
    found, at = [], 0
    while batch := lines_after(journal, at, 150):
        assert sum(len(ids) for _, ids in batch) <= 151
        found += [(moment, sorted(ids)) for moment, ids in batch]
        at = batch[-1][0]
    assert found == [*sent, (9000, [5])]
    for start in (0, 1, 1999, 2500, 3998, 3999):
        assert [(moment, sorted(ids)) for moment, ids in lines_after(journal, 1000 + start, 1)] == [(*sent, (9000, [5]))[start]]
    journal.close()
