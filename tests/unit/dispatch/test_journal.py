"""The send journal tells what was handed over, also after a crash in the middle of a line."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from daemon.disk import SystemDisk, SystemFile
from daemon.dispatch.journal import KEPT, Journal, Tail
from daemon.errors import StoreBrokenError, StoreUnavailableError
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


def test_half_a_line_that_cannot_be_cut_off_ends_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line would run into it, and the next start would read a commit that never was."""
    journal, write = Journal(tmp_path / "journal"), os.write
    journal.open("n1", 0)
    journal.append([done(1, 10)])
    room = [4]

    def cut_off(fd: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "no space left")
        return write(fd, data[: room.pop()])

    def stuck(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", cut_off)
        patch.setattr(os, "ftruncate", stuck)
        with pytest.raises(StoreBrokenError, match="half a line"):
            journal.append([done(2, 20)])
    with pytest.raises(StoreBrokenError):
        journal.append([done(3, 30)])
    assert journal.tail().commit == 1


class _Cramped(SystemDisk):
    """Has no room for a new file while `full`."""

    __slots__ = ("full",)

    def create(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left")
        return super().create(path, mode=mode)


def test_a_full_journal_that_finds_no_room_for_the_next_file_goes_on_when_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused meanwhile is not there, and the new file says from which commit on it reaches."""
    monkeypatch.setattr("daemon.dispatch.journal.ROTATE_BYTES", 30)
    disk = _Cramped()
    disk.full = False
    journal = Journal(tmp_path / "journal", disk)
    journal.open("n1", 0)
    disk.full = True
    for commit in (1, 2):
        with pytest.raises(StoreUnavailableError, match="make room"):
            journal.append([done(commit, commit * 10 + 1_000_000_000)])
    disk.full = False
    journal.append([done(3, 30)])
    assert list(journal.since(0)) == [{1_000_000_010: 1001, 30: 1003}]
    journal.close()
    assert (tmp_path / "journal").read_bytes().startswith(b"homing-journal n1 1\n")


class _Killed(BaseException):
    """The process ends here."""


class _Dying(SystemDisk):
    """Everything that changes a name or opens a file is counted; the one with the number `last` is not done any more."""

    __slots__ = ("last",)

    def _step(self) -> None:
        self.last -= 1
        if not self.last:
            raise _Killed

    def create(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        self._step()
        return super().create(path, mode=mode)

    def append(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        self._step()
        return super().append(path, mode=mode)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)


@pytest.mark.promise("F40", "P11")
@pytest.mark.parametrize("last", range(1, 20))
def test_a_rotation_that_is_killed_at_any_step_is_not_taken_for_a_lost_journal(tmp_path: Path, last: int) -> None:
    """Else each such start would be held as `restored` until an operator accepts it: the next one finds nonce, commit and all lines."""
    disk = _Dying()
    disk.last = 0
    journal = Journal(tmp_path / "journal", disk)
    journal.open("n1", 0)
    for commit in (1, 2, 3):
        journal.append([done(commit, commit * 10)])
        disk.last = last if commit == 3 else 0
        try:
            journal.restart("n1", commit)
        except _Killed:
            break
    else:
        assert last > 10  # so many steps there are not
    again = Journal(tmp_path / "journal")
    assert (again.tail().nonce, again.tail().commit) == ("n1", 3)
    again.open("n1", 3)
    again.append([done(4, 40)])
    assert list(again.since(0)) == [{10: 1001, 20: 1002, 30: 1003, 40: 1004}]
    assert again.reaches(0)
    again.close()
    assert not (tmp_path / "journal.next").exists()


class _Slow(SystemDisk):
    """Its files are synced only once somebody has tried to close them, or a while has gone by."""

    __slots__ = ("closing", "syncing")

    def append(self, path: Path, *, mode: int = 0o600) -> SystemFile:
        return _SlowFile(self, super().append(path, mode=mode))


class _SlowFile(SystemFile):
    __slots__ = ("disk",)

    def __init__(self, disk: _Slow, file: SystemFile) -> None:
        super().__init__(file._descriptor)
        self.disk = disk

    def sync(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.disk.syncing.set()
            self.disk.closing.wait(0.2)
        super().sync()

    def close(self) -> None:
        self.disk.closing.set()
        super().close()


def test_a_file_is_not_moved_on_while_it_is_synced(tmp_path: Path) -> None:
    """The writer's thread turns to a new file just when another one syncs the old: neither fails, and the old is on the disk."""
    disk = _Slow()
    disk.closing, disk.syncing = threading.Event(), threading.Event()
    journal, failures = Journal(tmp_path / "journal", disk), []
    journal.open("n1", 0)
    journal.append([done(1, 10)])

    def sync() -> None:
        try:
            journal.sync()
        except StoreBrokenError as error:
            failures.append(error)

    other = threading.Thread(target=sync)
    other.start()
    assert disk.syncing.wait(10)
    disk.closing.clear()
    journal.restart("n1", 1)
    other.join()
    assert failures == []
    journal.close()


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
