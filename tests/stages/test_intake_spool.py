"""The spool: whole files of trusted owners, once; everything else ends in `failed` with its reason (contract §3; B1-B5, F41)."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.disk import SystemDisk
from daemon.errors import ConfigError, IntakeError
from daemon.intake.spool_folders import Refused, read_name
from daemon.model.job import JobState
from tests.stages.intake_world import CONFIG, NOW, IntakeWorld, job, people


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IntakeWorld]:
    opened = await IntakeWorld.open(tmp_path / "state")
    opened.spool.configure(opened.config)
    yield opened
    await opened.close()


def folder(world: IntakeWorld, queue: str = "lapsed-45") -> Path:
    return world.folder / "spool" / queue


def put(world: IntakeWorld, name: str, body: bytes | str | dict[str, Any], *, queue: str = "lapsed-45") -> Path:
    """As a writer does: into tmp, then a rename."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    path = folder(world, queue) / "tmp" / name
    path.write_bytes(data)
    os.utime(path, (NOW / 10**6, NOW / 10**6))
    return path.rename(folder(world, queue) / "new" / name)


def listing(world: IntakeWorld, part: str, queue: str = "lapsed-45") -> list[str]:
    return sorted(path.name for path in (folder(world, queue) / part).iterdir())


def reason(world: IntakeWorld, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder(world) / "failed" / f"{name}.reason.json").read_text())
    return found


async def settle(world: IntakeWorld) -> None:
    await world.spool.look()
    await world.settle()
    await world.spool.look()


async def test_a_dropped_file_ends_in_done_with_its_receipt(world: IntakeWorld) -> None:
    """`done/x`, `done/x.receipt.json`, `done/x.errors.ndjson` with all bad rows; nothing stays in `new`."""
    rows = [*people(3), {"id": "c-9", "email": "a@b@c"}, {"id": "c-1"}]
    put(world, "night.json", {"recipients": rows, "expected_count": 5})
    await settle(world)
    assert listing(world, "new") == []
    assert listing(world, "done") == ["night.json", "night.json.errors.ndjson", "night.json.receipt.json"]
    receipt = json.loads((folder(world) / "done" / "night.json.receipt.json").read_text())
    assert (receipt["job"], receipt["queue"], receipt["source"], receipt["state"]) == ("night", "lapsed-45", "spool", "accepted")
    assert (receipt["rows"], receipt["accepted"], receipt["duplicate"], receipt["rejected"], receipt["errors_omitted"]) == (5, 3, 1, 1, 0)
    assert {"line": 4, "recipient": "c-9", "field": "email", "code": "address_invalid", "detail": "two @ signs"} in receipt["errors"]
    errors = [json.loads(line) for line in (folder(world) / "done" / "night.json.errors.ndjson").read_text().splitlines()]
    assert {error["line"] for error in errors} == {4, 5}


async def test_the_file_stays_in_new_until_its_rows_are_planned(world: IntakeWorld) -> None:
    """So that a crash at any point only means that it is taken again."""
    put(world, "night.json", {"recipients": people(3)})
    await world.spool.look()
    assert listing(world, "new") == ["night.json"]
    assert (await world.job("night")).receipt.state is JobState.RECEIVING


@pytest.mark.promise("P1", "B13")
async def test_a_file_taken_twice_after_a_crash_gives_the_first_receipt(tmp_path: Path) -> None:
    """Killed after the job was accepted, or after the receipt was written: the same receipt, one job."""
    first = await IntakeWorld.open(tmp_path / "state")
    first.spool.configure(first.config)
    put(first, "night.json", {"recipients": people(3)})
    await first.spool.look()
    await first.close()
    second = await IntakeWorld.open(tmp_path / "state")
    second.clock.wall += 10**9
    second.spool.configure(second.config)
    await settle(second)
    receipt = json.loads((folder(second) / "done" / "night.json.receipt.json").read_text())
    assert receipt["received_at"] == "2026-11-22T04:40:11.120Z"
    (folder(second) / "done" / "night.json").rename(folder(second) / "new" / "night.json")
    await settle(second)
    assert json.loads((folder(second) / "done" / "night.json.receipt.json").read_text()) == receipt
    assert await second.sql("SELECT count(*) FROM job") == [(1,)]
    await second.close()


@pytest.mark.promise("B13")
async def test_a_file_dropped_again_is_a_no_op_and_other_content_is_refused(world: IntakeWorld) -> None:
    """Same name, same bytes: done again with the first receipt. Same name, other bytes: failed, job-conflict."""
    put(world, "night.json", {"recipients": people(3)})
    await settle(world)
    put(world, "night.json", {"recipients": people(3)})
    await settle(world)
    assert listing(world, "failed") == []
    put(world, "night.json", {"recipients": people(4)})
    await settle(world)
    assert listing(world, "failed") == ["night.json", "night.json.reason.json"]
    assert reason(world, "night.json")["type"] == "job-conflict"
    assert await world.sql("SELECT count(*) FROM delivery") == [(3,)]


@pytest.mark.promise("F41")
async def test_what_is_in_tmp_or_hidden_is_not_read(world: IntakeWorld) -> None:
    """Half-written files have no business in `new`, and dot files are others'."""
    (folder(world) / "tmp" / "half.json").write_text('{"recipients": [')
    (folder(world) / "new" / ".night.json.swp").write_text("x")
    await settle(world)
    assert await world.sql("SELECT count(*) FROM job") == [(0,)]
    assert (listing(world, "tmp"), listing(world, "new"), listing(world, "failed")) == (["half.json"], [".night.json.swp"], [])


@pytest.mark.promise("F41")
async def test_f41_a_half_written_file_fails_whole(world: IntakeWorld) -> None:
    """JSON cut off at the door, NDJSON in expansion: `failed`, with a reason that says what to do."""
    put(world, "a.json", '{"recipients": [{"id": "c-1", "email": "a@b.co"}, {"id": "c-2"')
    put(world, "b.ndjson", '{"queue": "lapsed-45"}\n{"id": "c-1", "email": "a@b.co"}\n{"id": "c-2", "ema')
    put(world, "c.csv", 'id,email\nc-1,a@b.co\nc-2,"b@b')
    await settle(world)
    await settle(world)
    assert listing(world, "failed") == sorted([f"{name}{end}" for name in ("a.json", "b.ndjson", "c.csv") for end in ("", ".reason.json")])
    assert (reason(world, "a.json")["type"], reason(world, "b.ndjson")["code"], reason(world, "c.csv")["code"]) == (
        "invalid-json", "cut_off", "cut_off",
    )  # fmt: skip
    assert "breaks off" in reason(world, "b.ndjson")["detail"]
    assert await world.sql("SELECT (SELECT count(*) FROM delivery), (SELECT count(*) FROM due)") == [(0, 0)]


async def test_csv_says_id_and_count_by_its_name(world: IntakeWorld) -> None:
    """`ID.EXPECTED.csv`; the campaign is the queue's."""
    put(world, "lapsed.2.csv", "id,email\nc-1,a@b.co\nc-2,b@b.co\n")
    put(world, "short.3.csv", "id,email\nc-3,c@b.co\nc-4,d@b.co\n")
    await settle(world)
    assert ((await world.job("lapsed")).receipt.state, (await world.job("lapsed")).receipt.expected) == (JobState.ACCEPTED, 2)
    assert ((await world.job("short")).receipt.state, (await world.job("short")).receipt.reason) == (JobState.HELD, "count_mismatch")


@pytest.mark.parametrize("packed", [False, True])
async def test_csv_may_have_its_head_beside_it(world: IntakeWorld, packed: bool) -> None:
    """`ID.head.json` is no job of its own, and goes where its file goes."""
    put(world, "lapsed.head.json", {"priority": 90, "expected_count": 1})
    await settle(world)
    assert listing(world, "new") == ["lapsed.head.json"]
    text = b"id,email\nc-1,a@b.co\n"
    put(world, "lapsed.csv.gz" if packed else "lapsed.csv", gzip.compress(text) if packed else text)
    await settle(world)
    assert (await world.job("lapsed")).receipt.expected == 1
    assert await world.sql("SELECT priority FROM job") == [(90,)]
    assert listing(world, "new") == []
    assert "lapsed.head.json" in listing(world, "done")
    put(world, "bad.head.json", "[]")
    put(world, "bad.csv", "id\nc-1\n")
    await settle(world)
    assert reason(world, "bad.csv")["code"] == "head"


async def test_packed_and_unnamed_files_are_read(world: IntakeWorld) -> None:
    """`.gz` of each format; without a known ending the content tells."""
    put(world, "a.json.gz", gzip.compress(json.dumps({"recipients": people(1)}).encode()))
    put(world, "b", {"recipients": people(1, first=2)})
    put(world, "c", '{"queue": "lapsed-45"}\n' + json.dumps(people(1, first=3)[0]) + "\n")
    put(world, "d", "id,email\n1,a@b.co\n")
    await settle(world)
    assert [(await world.job(key)).receipt.accepted for key in "abc"] == [1, 1, 1]
    assert reason(world, "d")["type"] == "unsupported-media-type"


@pytest.mark.promise("B4")
async def test_b4_an_empty_file_is_a_job_without_rows(world: IntakeWorld) -> None:
    """0 bytes of any kind, a header alone: accepted, zero rows."""
    for name, body in (("a.json", ""), ("b.ndjson", ""), ("c.csv", ""), ("d.csv", "id,email\n"), ("e", "")):
        put(world, name, body)
    await settle(world)
    assert listing(world, "failed") == []
    assert set(await world.sql("SELECT rows, state FROM job")) == {(0, "finished")}


def make_odd(kind: str, path: Path) -> None:
    target = path.parents[1] / "tmp" / "target"
    target.write_text(json.dumps({"recipients": people(1)}))
    match kind:
        case "symlink":
            path.symlink_to(target)
        case "dangling":
            path.symlink_to("/nonexistent")
        case "hard link":
            os.link(target, path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                os.chdir(path.parent)
                listener.bind(path.name)


@pytest.mark.promise("B1")
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "pipe", "folder", "socket"])
async def test_b1_what_is_no_plain_file_is_never_read(world: IntakeWorld, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Links, pipes, sockets, folders: `not_regular`, moved away, and the daemon does not hang on them."""
    monkeypatch.chdir(tmp_path)
    make_odd(kind, folder(world) / "new" / "x.json")
    await settle(world)
    assert listing(world, "new") == []
    assert reason(world, "x.json")["code"] == "not_regular"
    assert await world.sql("SELECT count(*) FROM job") == [(0,)]
    put(world, "y.json", {"recipients": people(1)})
    await settle(world)
    assert "y.json" in listing(world, "done")


@pytest.mark.promise("B2")
async def test_b2_odd_names_are_refused_and_escaped(world: IntakeWorld) -> None:
    """Leading hyphens, spaces, line breaks, bytes that are not UTF-8: moved away, shown escaped."""
    new = os.fsencode(folder(world) / "new")
    names = [b"-rf.json", b"a b.json", b"a\nb.json", b"caf\xe9.json", b"x" * 250 + b".json", b"%00.json"]
    for name in names:
        with open(os.path.join(new, name), "w") as file:
            file.write("{}")
    await settle(world)
    assert os.listdir(new) == []
    told = [fields["file"] for event, fields in world.log.events if event == "spool_failed"]
    assert all(text.isascii() and text.isprintable() for text in told)
    assert {"a\\nb.json", "caf\\udce9.json"} <= set(told)
    reasons = [json.loads(path.read_text()) for path in (folder(world) / "failed").glob("*.reason.json")]
    assert {item["code"] for item in reasons} == {"name"}


@pytest.mark.promise("B2")
@pytest.mark.parametrize("name", ["../../etc/x", "..", ".", "", "a/b.json", "-x.csv"])
def test_b2_a_name_that_could_be_a_path_is_no_name(name: str) -> None:
    """Whatever a listing may bring."""
    with pytest.raises(Refused):
        read_name(name)


@pytest.mark.promise("B3")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_b3_a_file_of_another_owner_is_refused_unless_named(world: IntakeWorld, tmp_path: Path) -> None:
    """`untrusted_owner`; [spool] owners lists who may drop."""
    path = put(world, "x.json", {"recipients": people(1)})
    os.chown(path, 1, -1)
    await settle(world)
    assert reason(world, "x.json")["code"] == "untrusted_owner"
    other = await IntakeWorld.open(tmp_path / "other", CONFIG + '[spool]\nowners = ["daemon"]\n')
    other.spool.configure(other.config)
    path = put(other, "x.json", {"recipients": people(1)})
    os.chown(path, 1, -1)
    await settle(other)
    assert "x.json" in listing(other, "done")
    await other.close()


@pytest.mark.promise("B3")
async def test_b3_a_folder_that_anyone_may_write_stops_the_start(world: IntakeWorld) -> None:
    """ConfigError names the folder; so does a link in a folder's place."""
    (folder(world) / "new").chmod(0o2777)
    with pytest.raises(ConfigError, match="everyone may write"):
        world.spool.configure(world.config)
    (folder(world) / "new").rmdir()
    (folder(world) / "new").symlink_to("/tmp")
    with pytest.raises(ConfigError, match="no folder"):
        world.spool.configure(world.config)


async def test_folders_of_all_queues_are_made_with_their_mode(world: IntakeWorld) -> None:
    """2770 whatever the umask, at start and again at reload."""
    for queue in ("lapsed-45", "other", "bare", "small"):
        for part in ("tmp", "new", "done", "failed"):
            assert stat.S_IMODE((world.folder / "spool" / queue / part).stat().st_mode) == 0o2770
    (folder(world) / "done").rmdir()
    world.spool.configure(world.config)
    assert (folder(world) / "done").is_dir()


@pytest.mark.promise("F41")
async def test_a_file_that_takes_anothers_name_is_looked_at_by_itself(world: IntakeWorld) -> None:
    """Overwritten while its job is expanded: the first keeps its receipt, the new one is judged (here: a conflict)."""
    put(world, "night.json", {"recipients": people(3)})
    await world.spool.look()
    put(world, "night.json", {"recipients": people(4)})
    await settle(world)
    await settle(world)
    assert json.loads((folder(world) / "done" / "night.json.receipt.json").read_text())["rows"] == 3
    assert reason(world, "night.json")["type"] == "job-conflict"


async def test_a_refused_head_is_told_with_its_errors(world: IntakeWorld) -> None:
    """`failed/x.reason.json` names every field."""
    put(world, "x.json", {"recipients": people(1), "priority": 500, "foo": 1})
    await settle(world)
    assert [error["field"] for error in reason(world, "x.json")["errors"]] == ["foo", "priority"]


@pytest.mark.promise("F22")
async def test_f22_when_nothing_can_be_taken_now_files_wait(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no fault of the file: it stays in `new` and is taken later; it is said once."""
    accept = world.intake.accept

    async def full(*args: Any) -> Any:
        raise IntakeError("not-ready", "full")

    monkeypatch.setattr(world.intake, "accept", full)
    put(world, "x.json", {"recipients": people(1)})
    await settle(world)
    await settle(world)
    assert listing(world, "new") == ["x.json"]
    assert [event for event, _ in world.log.events].count("spool_put_off") == 1
    monkeypatch.setattr(world.intake, "accept", accept)
    await settle(world)
    assert listing(world, "new") == []


@pytest.mark.promise("F22", "B1")
@pytest.mark.parametrize("part", ["done", "failed"])
async def test_f22_a_file_that_cannot_be_moved_on_waits(world: IntakeWorld, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under the receipt or the reason, or a folder that somebody took away, costs nothing but the wait."""
    put(world, "good.json", {"recipients": people(1)})
    put(world, "bad.json", "{")
    real = SystemDisk.write_atomic

    def full(self: SystemDisk, path: Path, data: bytes, *, mode: int = 0o600) -> None:
        if path.parent.name == part:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(self, path, data, mode=mode)

    monkeypatch.setattr(SystemDisk, "write_atomic", full)
    await settle(world)
    await settle(world)
    waits = "good.json" if part == "done" else "bad.json"
    assert listing(world, "new") == [waits]
    monkeypatch.setattr(SystemDisk, "write_atomic", real)
    for path in (folder(world) / part).iterdir():
        path.unlink()
    (folder(world) / part).rmdir()
    await settle(world)
    await settle(world)
    assert listing(world, "new") == [waits]
    assert [fields["file"] for event, fields in world.log.events if event == "spool_put_off"] == [waits]
    world.spool.configure(world.config)
    await settle(world)
    assert (listing(world, "new"), waits in listing(world, part)) == ([], True)
    assert await world.sql("SELECT count(*) FROM job") == [(1,)]


@pytest.mark.promise("B17", "F35")
async def test_a_job_that_waited_while_the_daemon_was_down_is_judged_by_the_time_it_was_dropped(world: IntakeWorld) -> None:
    """Its `not_before` was ahead then."""
    put(world, "x.json", {"recipients": people(1), "not_before": "2026-11-22T05:00:00Z"})
    world.clock.wall += 5 * 3600 * 10**6
    await settle(world)
    assert listing(world, "failed") == []


async def test_the_service_takes_what_is_there_and_what_comes(world: IntakeWorld) -> None:
    """Started, poked, stopped."""
    put(world, "a.json", {"recipients": people(1)})
    world.intake._accepted = world.expansion.poke
    world.expansion._expanded = world.spool.poke
    await world.expansion.start()
    await world.spool.start()
    await world.spool.ready()
    await world.signals.wait("spool_done", file="a.json", folder="done")
    put(world, "b.json", {"recipients": people(1, first=2)})
    world.spool.poke()
    await world.signals.wait("spool_done", file="b.json", folder="done")
    await world.spool.stop()
    await world.expansion.stop()


async def test_a_held_job_s_file_is_done_too(world: IntakeWorld) -> None:
    """Its receipt says `held` and why; releasing it is the operator's."""
    put(world, "x.json", job(3, id="x", expected_count=4))
    await settle(world)
    receipt = json.loads((folder(world) / "done" / "x.json.receipt.json").read_text())
    assert (receipt["state"], receipt["reason"]) == ("held", "count_mismatch")
