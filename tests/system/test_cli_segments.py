"""`homing segments` beside no daemon: list, count, preview, evaluate, import, churn, and a job for a segment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.cli_world import CliWorld, write_world

SEGMENTS = """
[lapsed]
where = "days_since_order >= 30"
exclude = ["partners"]
[partners]
imported = true
"""


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    """Three who bought long ago."""
    write_world(tmp_path)
    (tmp_path / "segments.toml").write_text(SEGMENTS)
    world = CliWorld(tmp_path, capsys)
    rows = [
        {"recipient": f"c-{n}", "event": "Order Completed", "id": f"m-{n}", "at": "2020-01-01T10:00:00Z", "properties": {"revenue": 600}} for n in range(3)
    ]
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    world.ok("events", "import", str(tmp_path / "events.ndjson"))
    return world


def test_look_evaluate_and_import(homing: CliWorld) -> None:
    """Counting looks at what matches now; evaluating is what fills; an imported list excludes."""
    assert homing("segments", "count", "lapsed").out == "3\n"
    preview = homing("segments", "preview", "lapsed", "--limit", "1")
    assert "lapsed: 3 match now; never evaluated" in preview.out
    assert len(homing.ok("segments", "preview", "lapsed", "--limit", "2")["sample"]) == 2
    assert homing.ok("segments", "evaluate") == {"lapsed": 3}
    path = homing.folder / "partners.csv"
    path.write_text("name,id\nAnn,c-1\nBo,c-9\n")
    said = homing("segments", "import", "partners", str(path))
    assert (said.code, "2 ids: 1 entered, 0 were in it, 0 left" in said.out, "no recipient c-9" in said.out) == (1, True, True)
    path.write_text("c-2\n")
    assert homing.ok("segments", "import", "partners", str(path), "--replace") == {
        "segment": "partners", "rows": 1, "kept": 1, "known": 0, "left": 1, "unknown": 0, "unknown_ids": [],
    }  # fmt: skip
    assert homing.ok("segments", "evaluate", "lapsed") == {"lapsed": 2}
    listed = {row["segment"]: row["members"] for row in homing.ok("segments", "list")}
    assert listed == {"lapsed": 2, "partners": 1}
    assert "days_since_order >= 30 - partners" in homing("segments", "list").out


def test_refusals(homing: CliWorld) -> None:
    """With the nearest name, and by the exit codes of the contract."""
    said = homing("segments", "evaluate", "lapsd")
    assert (said.code, 'did you mean "lapsed"?' in said.err) == (1, True)
    listed = homing.folder / "ids.ndjson"
    for content, told in (
        (b'{"id": "c-1"}\n', "has a condition"),
        (b'{"id": "c-1"}\n{"recipient": "c-2"}\n', "ids.ndjson: line 2: names no id"),
        (b'"c-1"\nnull\n\xe9\n', "ids.ndjson: line 3: not UTF-8"),
    ):
        listed.write_bytes(content)
        said = homing("segments", "import", "lapsed", str(listed))
        assert (said.code, told in said.err) == (2, True), said.err
    said = homing("segments", "churn")
    assert (said.code, "too little to learn from: 3 people" in said.err) == (1, True)
    (homing.folder / "segments.toml").write_text('[lapsed]\nwhere = "ordrs > 1"\n')
    said = homing("check")
    assert (said.code, "segments.toml:2: lapsed.where: unknown column" in said.err, 'did you mean "orders"?' in said.err) == (78, True, True)


def test_a_job_for_a_segment(homing: CliWorld) -> None:
    """Whoever is in it."""
    job = homing.folder / "night.json"
    job.write_text(json.dumps({"id": "night", "queue": "lapsed-45", "segment": "lapsed", "expected_count": 3}))
    receipt = homing.ok("enqueue", "lapsed-45", str(job))
    assert (receipt["rows"], receipt["accepted"], receipt["state"]) == (3, 3, "accepted")
