"""Room on the disks: the ballast is given up once, and a disk that answers with errors ends nobody."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from daemon.disk import SystemDisk
from daemon.room import Room


class _Failing(SystemDisk):
    """`how`: which of its calls find no descriptor left."""

    __slots__ = ("how",)

    def names(self, folder: Path) -> list[str]:
        if self.how == "names":
            raise OSError(errno.EMFILE, "too many open files")
        return super().names(folder)

    def remove(self, path: Path) -> None:
        if self.how == "remove":
            raise OSError(errno.EMFILE, "too many open files")
        super().remove(path)


@pytest.mark.promise("F22", "F26")
@pytest.mark.parametrize("how", ["names", "remove"])
def test_giving_up_the_ballast_raises_nothing(tmp_path: Path, how: str) -> None:
    """It is called by the store's writer, which would end without a word; the full disk is said all the same."""
    disk = _Failing()
    disk.how = how
    (tmp_path / "ballast").write_bytes(b"x")
    room = Room(disk, (tmp_path,))
    assert room.give_up() is False
    assert room.scarce is not None
    disk.how = ""
    assert room.give_up() is True
    assert room.give_up() is False


def test_a_folder_that_is_gone_begins_nothing_new_until_it_is_back(tmp_path: Path) -> None:
    """Its disk may come back; what is on its way may still be recorded elsewhere."""
    place = tmp_path / "journal"
    place.mkdir()
    room = Room(SystemDisk(), (tmp_path, place), reserve=0, ballast=1)
    room.look()
    assert room.scarce is None and room.free is not None
    place.rmdir()
    room.look()
    assert room.scarce is not None and f"{place} cannot be looked at" in room.scarce
    place.mkdir()
    room.look()
    assert room.scarce is None


class _Quota(SystemDisk):
    """Has room, and takes no file for this reason."""

    __slots__ = ("reason",)

    def allocate(self, path: Path, size: int, *, mode: int = 0o600) -> None:
        super().allocate(path, 1, mode=mode)
        if self.reason:
            raise OSError(self.reason, "refused")


@pytest.mark.promise("F22", "F24")
@pytest.mark.parametrize(
    ("reason", "refused"), [(errno.EDQUOT, True), (errno.ENOSPC, True), (errno.EIO, False), (errno.EMFILE, False), (0, False)]
)
def test_a_quota_that_is_used_up_shows_when_a_file_is_tried(tmp_path: Path, reason: int, refused: bool) -> None:
    """The disk says that it has room; a disk with errors is no full one. Nothing is left behind."""
    disk = _Quota()
    disk.reason = reason
    assert Room(disk, (tmp_path,)).refused() is refused
    assert list(tmp_path.iterdir()) == []
