"""`homing campaigns lint | preview | move | archive`: what marketers ask of a folder, and of walks that are under way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert, select

from daemon.cli.context import Cli
from daemon.config import load_for_client
from daemon.store.schema import campaign, delivery, recipient, wave
from daemon.store.schema_walks import walk
from tests.system.cli_world import CliWorld, row, write_world

SEQUENCE = """\
status = "active"
topic = "winback"
[goal]
event = "Order Completed"
[enrol]
jobs = true
[offers.back15]
kind = "percent"
value = 15
valid = "7d"
codes = { generate = "WB-########" }
[[step]]
name = "reminder"
day = 45
channels = ["email"]
[[step]]
name = "offer"
day = 60
channels = ["email", "sms"]
offer = "back15"
"""
OFFER = """\
---
subject: {{ offer.text }} for you
---
<p>Hello {{ recipient.first_name }}, you bought {{ recipient.last_product.name }} {{ recipient.last_order_at | relative }}: {{ offer.code }}</p>
"""
EVENT = {
    "recipient": "anna", "event": "Order Completed", "at": "2026-03-01T10:00:00Z", "id": "o-1",
    "properties": {"order_id": "o-1", "revenue": 600, "products": [{"name": "shoes"}]},
}  # fmt: skip


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path)
    return CliWorld(tmp_path, capsys)


def write_sequence(homing: CliWorld, toml: str = SEQUENCE, **files: str) -> Path:
    """The campaign `winback` as a sequence of two steps."""
    folder = homing.folder / "campaigns" / "winback"
    (folder / "campaign.toml").write_text(toml)
    (folder / "offer.email.liquid").write_text(OFFER)
    (folder / "offer.sms.liquid").write_text("{{ offer.text }}: {{ offer.code }}. STOP")
    for name, text in files.items():
        (folder / f"{name}.email.liquid").write_text(text)
    return folder


def anna(homing: CliWorld) -> None:
    """One recipient who has bought once."""
    (homing.folder / "people.ndjson").write_text(json.dumps(row("anna")) + "\n")
    (homing.folder / "events.ndjson").write_text(json.dumps(EVENT) + "\n")
    homing.ok("recipients", "import", str(homing.folder / "people.ndjson"))
    homing.ok("events", "import", str(homing.folder / "events.ndjson"))


def test_lint_says_what_and_what_to_do_and_fails_on_errors(homing: CliWorld) -> None:
    """Without a daemon, without a store; each finding with file and line."""
    folder = write_sequence(homing)
    said = homing("campaigns", "lint")
    assert said.code == 1
    assert f"{folder}/campaign.toml:1: error: no-exit: no event ends a walk" in said.out
    assert f"{folder}/campaign.toml:3: warning: no-holdout: nobody is held out" in said.out
    assert said.out.splitlines()[-1].startswith("1 campaign looked over: 1 error, ")
    write_sequence(homing, SEQUENCE + '[exit]\nevents = ["Order Completed"]\n')
    said = homing("--json", "campaigns", "lint", "winback")
    assert said.code == 0
    assert {finding["level"] for finding in said.json} == {"warning"}
    assert {"level", "rule", "file", "line", "what"} == set(said.json[0])


def test_lint_tells_of_files_that_cannot_be_loaded_too(homing: CliWorld) -> None:
    """They are errors; a name that is no campaign is another."""
    write_sequence(homing, SEQUENCE.replace("value = 15", "valeu = 15"))
    said = homing("campaigns", "lint")
    assert said.code == 1
    assert "error: offers.back15.valeu: unknown key; did you mean" in said.out
    assert 'did you mean "winback"?' in homing("campaigns", "lint", "winbakc").err


def test_lint_knows_the_traits_of_the_store(homing: CliWorld) -> None:
    """A variable that no recipient has is an error, once there are recipients."""
    write_sequence(homing, reminder=OFFER.replace("first_name", "fist_name").replace("offer.text", "vars.x").replace("offer.code", "vars.y"))
    assert "variable-nobody-has" not in homing("campaigns", "lint").out
    anna(homing)
    assert "no recipient has recipient.fist_name" in homing("campaigns", "lint").out


def test_lint_counts_people_by_an_option(homing: CliWorld) -> None:
    """Arms of few people decide nothing."""
    arms = "[step.experiment]\n[[step.experiment.variant]]\nname = 'a'\nshare = 0.5\n[[step.experiment.variant]]\nname = 'b'\nshare = 0.5\nsubject = 'x'\n"
    write_sequence(homing, SEQUENCE + arms)
    assert "arms-too-small" not in homing("campaigns", "lint", "--audience", "5000").out
    assert "the variant a gets some 400 of 800 people" in homing("campaigns", "lint", "--audience", "800").out


def test_preview_writes_what_a_recipient_would_get(homing: CliWorld) -> None:
    """Over each channel, with the words of its profile and of the offer; nothing is sent."""
    write_sequence(homing)
    anna(homing)
    out = homing.folder / "out"
    answer = homing.ok("campaigns", "preview", "winback", "offer", "anna", "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == ["winback.offer.email.anna.html", "winback.offer.email.anna.txt", "winback.offer.sms.anna.txt"]
    assert answer["messages"][0]["subject"] == "15% off for you"
    html = (out / "winback.offer.email.anna.html").read_text()
    assert "Hello Anna, you bought shoes" in html
    assert "days ago: PREVIEW-1234" in html
    assert (out / "winback.offer.sms.anna.txt").read_text() == "15% off: PREVIEW-1234. STOP\n"
    assert (out / "winback.offer.email.anna.txt").read_text().startswith("Subject: 15% off for you\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("winbakc", "offer", "anna"), 'did you mean "winback"?'),
        (("winback", "ofer", "anna"), 'the campaign winback has no message "ofer"; did you mean "offer"?'),
        (("winback", "offer", "nobody"), 'no recipient has the id "nobody"'),
        (("winback", "offer", "anna", "--variant", "x"), 'the step offer has no variant "x" (it has none)'),
        (("winback", "offer", "anna", "--var", "x"), "--var needs KEY=VALUE"),
    ],
)
def test_preview_says_what_it_does_not_know(homing: CliWorld, words: tuple[str, ...], what: str) -> None:
    """With the nearest name."""
    write_sequence(homing)
    anna(homing)
    said = homing("campaigns", "preview", *words)
    assert said.code in (1, 2)
    assert what in said.err


def test_preview_of_a_missing_variable_is_an_error(homing: CliWorld) -> None:
    """As it would hold the message."""
    write_sequence(homing, offer=OFFER.replace("recipient.first_name", "recipient.fist_name"))
    anna(homing)
    said = homing("campaigns", "preview", "winback", "offer", "anna")
    assert said.code == 1
    assert "recipient.fist_name is missing" in said.err


def test_archive_ends_a_paused_campaign(homing: CliWorld) -> None:
    """Not one that still sends."""
    assert homing("campaigns", "archive", "winback").code == 77
    homing.ok("campaigns", "pause", "winback")
    assert homing.ok("campaigns", "archive", "winback")["status"] == "archived"
    assert homing("campaigns", "start", "winback").code == 77


@contextmanager
def store(homing: CliWorld) -> Iterator[Connection]:
    """The store itself, while no command runs."""
    config = load_for_client(Cli(config_path=homing.folder / "config.toml").config_path, {})
    engine = create_engine(f"sqlite:///{config.homing.database}")
    with engine.begin() as conn:
        yield conn
    engine.dispose()


def test_open_walks_move_to_the_newest_version(homing: CliWorld) -> None:
    """Where their step is gone they stand at the one before it; what is unsent goes along; closed ones stay."""
    write_sequence(homing, SEQUENCE + '[[step]]\nname = "last"\nday = 90\nchannels = ["email"]\n', last=OFFER)
    anna(homing)
    with store(homing) as conn:
        who, what = conn.execute(select(recipient.c.id)).scalar_one(), conn.execute(select(campaign.c.id)).scalar_one()
        common: dict[str, Any] = {"campaign": what, "person": who, "version": 1, "entered_at": 1, "since_at": 1, "anchor_at": 1}
        conn.execute(insert(walk), [
            {**common, "id": 1, "occurrence": 1, "state": "open", "step": "offer"}, {**common, "id": 2, "occurrence": 2, "state": "open", "step": "reminder"},
            {**common, "id": 3, "occurrence": 3, "state": "finished", "step": "offer"},
        ])  # fmt: skip
    with store(homing) as conn:
        conn.execute(insert(wave), [{"id": n, "campaign": what, "step": step, "occurrence": 1, "channel": "email"} for n, step in ((1, "last"), (2, "offer"))])
        for index, number in enumerate(conn.execute(select(wave.c.id).order_by(wave.c.step)).scalars()):
            conn.execute(insert(delivery), {
                "id": number, "wave": number, "person": who, "job": 0, "version": 1, "state": "due" if index == 0 else "accepted", "lane": 0, "not_before": 0,
                "expires_at": 0,
            })  # fmt: skip
    changed = SEQUENCE.replace('name = "offer"\nday = 60', 'name = "later"\nday = 65').replace("value = 15", "value = 20")
    folder = write_sequence(homing, changed + '[[step]]\nname = "last"\nday = 90\nchannels = ["email"]\n')
    (folder / "offer.email.liquid").rename(folder / "later.email.liquid")
    (folder / "offer.sms.liquid").rename(folder / "later.sms.liquid")
    assert homing("campaigns", "move", "winback").code == 2
    said = homing("campaigns", "move", "winback", "--to-latest", "--dry-run")
    assert said.code == 0, said.err
    for line in ("2 open walks of version 1; to version 2:", "  - step offer", "  + step later", "  ~ offer back15: parts", "nothing was moved: a dry run"):
        assert line in said.out
    assert homing.ok("campaigns", "move", "winback", "--to-latest")["moved"] == 2
    with store(homing) as conn:
        rows = conn.execute(select(walk.c.version, walk.c.state, walk.c.step).order_by(walk.c.occurrence)).all()
        sent = conn.execute(select(wave.c.step, delivery.c.version).join(wave, wave.c.id == delivery.c.wave).order_by(wave.c.step)).all()
    assert [tuple(each) for each in rows] == [(2, "open", "reminder"), (2, "open", "reminder"), (1, "finished", "offer")]
    assert [tuple(each) for each in sent] == [("last", 2), ("offer", 1)]
    assert "go by its newest version (2) already" in homing("campaigns", "move", "winback", "--to-latest").out


def test_show_says_who_enters_and_when_steps_fall_due(homing: CliWorld) -> None:
    """Days, delays, offers, acts; what ends a walk, and what success is."""
    more = '[exit]\nevents = ["Order Completed"]\n[[step]]\nname = "mark"\ndelay = "2d"\nset = { tags = ["late"] }\n'
    write_sequence(homing, SEQUENCE + more)
    shown = homing("campaigns", "show", "winback").out
    for line in (
        "enrols     jobs", "goal       Order Completed", "exits      Order Completed", "holdout    0%",
        "reminder (day 45, email, 72 h); offer (day 60, email, else sms, 72 h, offer back15); mark (2 d later, set)",
    ):  # fmt: skip
        assert line in shown
    steps = homing.ok("campaigns", "show", "winback")["steps"]
    assert [step.get("day") for step in steps] == [45, 60, None]
    assert steps[2] == {"step": "mark", "channels": [], "valid_seconds": 259200, "delay_seconds": 172800, "act": "set"}
