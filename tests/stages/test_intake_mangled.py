"""Mangled jobs: whatever bytes come, they end as a receipt or as a refusal in printable words, and leave nothing behind."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from daemon.errors import IntakeError
from daemon.intake.parse import Format
from tests.stages.intake_world import IntakeWorld

ROUNDS = 100
VALUES = (
    '"\\ud800"', '"\\u0000"', "1e400", "-0", "9" * 50, '{"a":' * 12 + "1" + "}" * 12, "[]", "{}", "null", "true", '"x"', '"+62811111111"', '"a@b.co"',
    '"a@b@c"', '"Asia/Jakarta"', '"2026-11-22T09:00:00Z"', '"' + "y" * 300 + '"', '["22:00-08:00"]', '{"quiet_hours": ["22:00-08:00"]}',
    '{"quiet_hours": ["\\ud800"]}', '{"sms": {"at": "2026-01-01T00:00:00Z", "source": "s"}}', '"ID"', "1.5", '"\\u202e"', '""', '" "', '"é"',
)  # fmt: skip
FIELDS = ("id", "email", "phone", "zone", "locale", "country", "traits", "vars", "consent", "nickname")
HEAD = ("campaign", "priority", "not_before", "expires_at", "window", "message", "expected_count", "segment", "x")
SPLINTERS = (b'"', b"{", b"}", b"[", b",", b"\\", b"\n", b"\xff", b"\0", b":", b"\xef\xbb\xbf", b"\r")


def row(rng: random.Random, number: str) -> str:
    """A person, perhaps with some odd fields."""
    fields = {"id": f'"f{number}"', "email": f'"f{number}@example.com"'}
    fields |= {rng.choice(FIELDS): rng.choice(VALUES) for _ in range(rng.randrange(3))}
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def body(rng: random.Random, number: int, form: Format) -> bytes:
    """A job of a few rows in one of the three forms."""
    rows = [row(rng, f"{number}-{i}") for i in range(rng.randrange(6))]
    queue = rng.choice(["lapsed-45", "bare", "small"])
    head = f'"id":"j{number}","queue":"{queue}"' + "".join(f',"{rng.choice(HEAD)}":{rng.choice(VALUES)}' for _ in range(rng.randrange(2)))
    if form is Format.JSON:
        return f'{{{head},"recipients":[{",".join(rows)}]}}'.encode()
    if form is Format.NDJSON:
        return "\n".join([f"{{{head}}}", *rows, ""]).encode()
    cells = [rng.choice(["x", '"a,b"', "", '"']) for _ in rows]
    return "".join(["id,email,vars.a\n", *(f"c{number}-{i},c{number}-{i}@example.com,{cell}\n" for i, cell in enumerate(cells))]).encode()


def mangle(rng: random.Random, data: bytes) -> bytes:
    """Bytes changed, put in, taken out, doubled; sometimes cut off."""
    for _ in range(rng.randrange(4)):
        at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        data = rng.choice([
            data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :], data[:at] + rng.choice(SPLINTERS) + data[at:],
            data[:at] + data[at + rng.randrange(20) :], data[:at] + data[other : other + rng.randrange(40)] + data[at:], data[:at],
        ])  # fmt: skip
    return data


@pytest.mark.promise("B7", "B8", "B9", "B10", "B11", "F41", "P1")
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_mangled_job_is_received_or_refused_in_words(tmp_path: Path, seed: int) -> None:
    """100 jobs a seed: no other error at the door or in expansion, the tables sound, no body left in the folder."""
    rng = random.Random(seed)
    world = await IntakeWorld.open(tmp_path / "state")
    taken, refusals = 0, list[str]()
    for number in range(ROUNDS):
        form = rng.choice(list(Format))
        data = body(rng, number, form)
        data = mangle(rng, data) if rng.random() < 0.7 else data
        packed = rng.random() < 0.1
        if packed:
            data = mangle(rng, gzip.compress(data, mtime=0))
        head = {"id": f"j{number}", "queue": "lapsed-45"} if form is Format.CSV else {}
        told = form if form is Format.CSV else rng.choice([None, form])
        try:
            await world.drop(data, pieces=rng.choice([1, 7, 50, 7000]), format=told, head=head, packed=packed)
            taken += 1
        except IntakeError as error:
            refusals.append(error.detail)
        if number % 20 == 0:
            await world.settle()
    await world.settle()
    await world.check()
    assert ROUNDS // 5 < taken < ROUNDS
    assert all(detail.isprintable() and len(detail) < 1000 for detail in refusals)
    assert [path for path in (world.folder / "jobs").rglob("*") if path.is_file() and not path.name.endswith(".errors.ndjson")] == []
    await world.close()
