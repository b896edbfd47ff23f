"""The door: what is accepted is on disk, once; what is refused leaves nothing (contract §3; P1; B2, B4-B7, B13-B16, F22)."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import IntakeError
from daemon.intake import accept
from daemon.intake.accept import Arrival
from daemon.intake.parse import Format
from daemon.model.campaign import CampaignStatus
from daemon.model.job import JobState
from daemon.store.receipts import receipt_json
from tests.stages.intake_world import NOW, IntakeWorld, job, people, version


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IntakeWorld]:
    opened = await IntakeWorld.open(tmp_path / "state")
    yield opened
    await opened.close()


async def refused(world: IntakeWorld, body: Any, **arrival: Any) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        await world.drop(body, **arrival)
    assert await world.sql("SELECT count(*) FROM job") == [(0,)]
    assert leftovers(world) == []
    return caught.value


def leftovers(world: IntakeWorld) -> list[str]:
    folder = world.folder / "jobs"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_job_is_received_with_its_receipt(world: IntakeWorld) -> None:
    """The receipt of contract §3, before anything is expanded."""
    receipt = await world.drop(job(2, expected_count=2))
    assert (receipt.job, receipt.queue, receipt.campaign, receipt.version) == ("lapsed-45-2026-11-22", "lapsed-45", "winback", 1)
    assert (receipt.source, receipt.received_at, receipt.state, receipt.expected) == ("http", NOW, JobState.RECEIVING, 2)
    assert receipt.digest.startswith("sha256:")
    [name] = leftovers(world)
    assert json.loads((world.folder / "jobs" / name).read_text())["id"] == "lapsed-45-2026-11-22"


@pytest.mark.promise("B13", "B34")
async def test_the_same_id_with_the_same_content_gives_the_first_receipt(world: IntakeWorld) -> None:
    """Also later, from another door, when the first is expanded, and when its campaign takes no more jobs."""
    first = await world.drop(job(2))
    assert await world.drop(job(2)) == first
    await world.settle()
    await world.load(version(status=CampaignStatus.ARCHIVED))
    world.clock.wall += 10**12
    again = await world.drop(job(2), source="cli", queue="lapsed-45")
    assert (again.received_at, again.source, again.accepted, again.state) == (NOW, "http", 2, JobState.ACCEPTED)
    await world.settle()
    assert await world.sql("SELECT count(*) FROM delivery") == [(2,)]


@pytest.mark.promise("B34")
async def test_the_same_id_with_other_content_is_a_conflict(world: IntakeWorld) -> None:
    """Other rows, the same rows in another order, or another queue: 409, and the first job is untouched."""
    await world.drop(job(3))
    other = job(3)
    other["recipients"].reverse()
    for body, arrival in ((job(4), {}), (other, {}), (job(3), {"queue": "other"})):
        with pytest.raises(IntakeError) as caught:
            await world.drop(body, **arrival)
        assert caught.value.type == "job-conflict"
    await world.settle()
    assert (await world.job("lapsed-45-2026-11-22")).receipt.accepted == 3
    assert len(leftovers(world)) == 0


@pytest.mark.promise("B34")
async def test_b34_of_many_at_one_moment_one_makes_the_job_and_the_others_leave_nothing(world: IntakeWorld) -> None:
    """Same id and content: one receipt for all. Same id, other content: one is taken, the other is a conflict. No body stays."""
    receipts = await asyncio.gather(*(world.drop(job(2)) for _ in range(5)))
    assert len({json.dumps(receipt_json(receipt)) for receipt in receipts}) == 1
    assert len(leftovers(world)) == 1
    answers = await asyncio.gather(*(world.drop(job(count, id="other")) for count in (2, 3, 4)), return_exceptions=True)
    assert sorted(getattr(answer, "type", "taken") for answer in answers) == ["job-conflict", "job-conflict", "taken"]
    assert len(leftovers(world)) == 2
    await world.settle()
    assert leftovers(world) == []


@pytest.mark.promise("B13")
async def test_b13_the_same_people_under_another_id_are_enrolled_no_second_time(world: IntakeWorld) -> None:
    """A file re-dropped under another name, in another order: all its rows are duplicates, and the receipt says so."""
    await world.drop(job(20))
    await world.settle()
    again = job(20, id="again")
    again["recipients"].reverse()
    await world.drop(again)
    await world.settle()
    receipt = (await world.job("again")).receipt
    assert (receipt.rows, receipt.accepted, receipt.duplicate, receipt.rejected) == (20, 0, 20, 0)
    assert await world.sql("SELECT count(*) FROM delivery") == [(20,)]


@pytest.mark.parametrize("format", list(Format))
async def test_all_formats_say_the_same(world: IntakeWorld, format: Format) -> None:
    """JSON, NDJSON and CSV of the same people give the same deliveries."""
    rows = people(7, locale="id", vars={"last_product": "shoes"})
    head = {"id": "j", "queue": "lapsed-45", "expected_count": 7}
    body = {
        Format.JSON: json.dumps({**head, "recipients": rows}),
        Format.NDJSON: "\n".join(json.dumps(line) for line in [head, *rows]),
        Format.CSV: "id,email,zone,locale,vars.last_product\n" + "\n".join(f"{r['id']},{r['email']},{r['zone']},id,shoes" for r in rows) + "\n",
    }[format]
    await world.drop(body, format=format, head=head if format is Format.CSV else {})
    await world.settle()
    view = await world.job("j")
    assert (view.receipt.rows, view.receipt.accepted, view.receipt.state) == (7, 7, JobState.ACCEPTED)
    assert await world.sql("SELECT DISTINCT locale, vars FROM delivery JOIN recipient r ON r.id = person") == [("id", '{"last_product":"shoes"}')]


async def test_what_is_known_from_outside_fills_the_head_and_the_folder_s_queue_wins(world: IntakeWorld) -> None:
    """Spool habits: the default id, and the queue over the body's own."""
    receipt = await world.drop({"queue": "lapsed-45", "recipients": people(1)}, queue="other", default_id="from-the-name")
    assert (receipt.job, receipt.queue) == ("from-the-name", "other")


@pytest.mark.promise("B16")
@pytest.mark.parametrize(
    ("body", "type", "word"),
    [
        ({"queue": "lapsed-45", "recipients": []}, "invalid-job", "id"),
        ({"id": "j", "recipients": []}, "invalid-job", "queue"),
        ({"id": "../j", "queue": "lapsed-45", "recipients": []}, "invalid-job", "id"),
        ({"id": "j", "queue": "nowhere", "recipients": []}, "unknown-queue", "nowhere"),
        ({"id": "j", "queue": "lapsed-45", "campaign": "nothing", "recipients": []}, "unknown-campaign", "nothing"),
        ({"id": "j", "queue": "bare", "recipients": []}, "invalid-job", "campaign"),
        ({"id": "j", "queue": "lapsed-45", "segment": "lapsed"}, "invalid-job", "not taken here"),
        ({"id": "j", "queue": "lapsed-45"}, "invalid-job", "recipients"),
        ({"id": "j", "queue": "lapsed-45", "recipients": [], "prio": 5}, "invalid-job", "priority"),
        ('{"id": "j", "queue": "lapsed-45", "recipients": [{"id": "c-1"}', "invalid-json", "breaks off"),
        ("[1, 2]", "invalid-json", "object"),
        ("id,email\n", "unsupported-media-type", "CSV"),
        (b"\xff\xfe{\0", "unsupported-media-type", "neither"),
    ],
)
async def test_b16_a_job_that_cannot_be_taken_leaves_nothing(world: IntakeWorld, body: Any, type: str, word: str) -> None:
    """The problem type of the contract, with what to do; no row, no file."""
    error = await refused(world, body)
    assert error.type == type
    assert word in error.detail


@pytest.mark.promise("B16")
async def test_b16_an_archived_campaign_takes_no_jobs_and_a_draft_waits(world: IntakeWorld) -> None:
    """Archived is refused; a draft's job is planned and waits for its start."""
    await world.load(version("old", status=CampaignStatus.ARCHIVED))
    assert "archived" in (await refused(world, job(1, campaign="old"))).detail
    await world.load(version("new", status=CampaignStatus.DRAFT))
    await world.drop(job(1, campaign="new"))
    await world.settle()
    assert (await world.job("lapsed-45-2026-11-22")).deliveries == {"due": 1}


async def test_a_job_may_bring_its_own_message(world: IntakeWorld) -> None:
    """It becomes the campaign `job:ID` with one version; its own duplicates only."""
    message = {"channel": "email", "purpose": "marketing", "topic": "news", "subject": "Hi {{ vars.name }}", "html": "<p>Hi</p>"}
    body = {"id": "news-1", "queue": "bare", "message": message, "recipients": people(2)}
    receipt = await world.drop(body)
    assert (receipt.campaign, receipt.version) == ("job:news-1", 1)
    assert (await world.drop(body)).campaign == "job:news-1"
    await world.settle()
    assert (await world.job("news-1")).deliveries == {"due": 2}
    await world.drop({**body, "id": "news-2"})
    await world.settle()
    assert (await world.job("news-2")).deliveries == {"due": 2}


@pytest.mark.promise("B26")
@pytest.mark.parametrize(
    "parts", [{"subject": "Hi\nBcc: x@y.z", "text": "a"}, {"subject": "Hi", "text": "{{ broken"}, {"subject": "Hi", "html": "{% include 'x' %}"}]
)
async def test_b26_a_message_that_cannot_be_used_is_refused_at_the_door(world: IntakeWorld, parts: dict[str, str]) -> None:
    """Not held a million times later."""
    message = {"channel": "email", "purpose": "marketing", **parts}
    error = await refused(world, {"id": "j", "queue": "bare", "message": message, "recipients": people(1)})
    assert error.type == "invalid-job"
    assert error.errors


@pytest.mark.promise("B26", "B30")
@pytest.mark.parametrize("html", [f"<a href='{'x' * 50_000}:y'>z</a>", "<a href='java\u202escript:x'>y</a>", "{{ a | no\u202esuch }}"])
async def test_b30_a_mistake_in_a_message_is_quoted_short_and_printable(world: IntakeWorld, html: str) -> None:
    """It goes to logs and answers."""
    message = {"channel": "email", "purpose": "marketing", "subject": "Hi", "html": html}
    error = await refused(world, {"id": "j", "queue": "bare", "message": message, "recipients": people(1)})
    assert all(len(detail) < 500 and detail.isprintable() for detail in (error.detail, *(str(each.detail) for each in error.errors)))


@pytest.mark.promise("B5")
async def test_b5_a_body_over_the_limit_is_refused_while_it_comes(world: IntakeWorld) -> None:
    """`too-large`, before the rest is read."""
    world.intake._limit = 1000
    assert (await refused(world, job(100))).type == "too-large"


@pytest.mark.promise("B15")
async def test_b15_more_recipients_than_intake_allows_are_refused(world: IntakeWorld) -> None:
    """By the declared count, or by the document's own."""
    table = world.config.intake.model_copy(update={"max_recipients": 5})
    world.intake.config = world.expansion._config = type(world.config)(**{**_fields(world.config), "intake": table})
    assert (await refused(world, job(6))).type == "too-large"
    assert (await refused(world, job(1, expected_count=6))).type == "too-large"
    await world.drop(job(5))


def _fields(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.promise("F22")
async def test_f22_a_full_disk_refuses_new_jobs_and_says_so(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """`not-ready` (503): the sender tries again; what is left of the disk belongs to the store."""
    monkeypatch.setattr(accept, "RESERVE_BYTES", 1 << 62)
    assert (await refused(world, job(1))).type == "not-ready"


@pytest.mark.promise("F22")
async def test_f22_a_disk_that_fills_while_a_body_comes_leaves_nothing(world: IntakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC in the middle is the same answer."""
    from daemon.disk import SystemFile

    def full(self: SystemFile, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SystemFile, "write", full)
    assert (await refused(world, job(1))).type == "not-ready"


@pytest.mark.promise("F41", "P1")
async def test_f41_a_connection_that_breaks_leaves_nothing(world: IntakeWorld) -> None:
    """The sender's error passes through; no job, no file."""

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"id": "j", "queue": "lapsed-45", "recipients": ['
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await world.intake.accept(broken(), Arrival(source="http"))
    assert leftovers(world) == []


async def test_a_packed_body_is_unpacked_and_its_digest_is_that_of_the_content(world: IntakeWorld) -> None:
    """Packed and unpacked are the same job."""
    plain = json.dumps(job(50)).encode()
    first = await world.drop(gzip.compress(plain), packed=True, pieces=100)
    assert await world.drop(plain) == first


@pytest.mark.promise("B6", "B7")
@pytest.mark.parametrize(
    ("body", "type"),
    [
        (gzip.compress(b'{"id": "j"' + b" " * 40_000_000 + b"}"), "too-large"),
        (gzip.compress(json.dumps(job(5)).encode())[:-9], "invalid-json"),
        (gzip.compress(json.dumps(job(5)).encode()) + b"garbage", "invalid-json"),
        (gzip.compress(b"{}") + gzip.compress(b"{}"), "invalid-json"),
        (zlib.compress(b"{}"), "invalid-json"),
        (b"{}", "invalid-json"),
    ],
    ids=["bomb", "truncated", "garbage behind", "two", "zlib", "not packed"],
)
async def test_b6_b7_a_packed_body_that_is_not_whole_is_refused(world: IntakeWorld, body: bytes, type: str) -> None:
    """A bomb is stopped at its ratio; truncated, or more than one packed body: refused whole."""
    assert (await refused(world, body, packed=True)).type == type


@pytest.mark.promise("P1")
async def test_what_a_crash_left_half_received_is_thrown_away(world: IntakeWorld) -> None:
    """Files in tmp, and bodies that no job names; those of open jobs stay."""
    await world.drop(job(1))
    [mine] = leftovers(world)
    (world.folder / "jobs" / "tmp" / "half").write_bytes(b"x")
    (world.folder / "jobs" / "orphan.0123.body").write_bytes(b"x")
    await world.intake.prepare()
    assert leftovers(world) == [mine]
