"""The layers of tests, and one run of one of them in a process of its own with a bug planted (or none).

The process is a fork of one that has imported what is not ours: importing that again for each bug would cost more than the tests.

First by rote: what is written down, of a property its examples only. What catches a bug so catches it anywhere and next year too. Only
if nothing did, by chance: what Hypothesis draws, and seeds of the simulation. Those move with any line of the code, since Hypothesis draws
constants from its text: they find what nobody thought of, and no record can rest on them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.planted.plant import Bug, Uprooted, plant

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 300
"""A run that takes longer hangs: that is a way of catching a bug, too."""
SEEDS = 12
"""Of the simulation."""
MACHINE = "test_the_store_does_what_its_model_says"
"""It draws, and is no property with examples."""
LAYERS: dict[str, tuple[str, ...]] = {
    "rules": ("tests/unit/policy", "tests/unit/dispatch"),
    "store": tuple(
        f"tests/store/test_{name}.py"
        for name in ("journal_order", "flight", "slots", "second_copy", "promises", "unsubscribe", "jobs", "recipients", "feedback", "feedback_order")
    ),
    "machine": ("tests/store/test_machine.py",),
    "smtp": ("tests/channels/smtp",),
    "sms": ("tests/channels/sms_twilio",),
    "push": (
        *(f"tests/channels/webpush/test_{name}.py" for name in ("hosts", "encrypt", "vapid", "sending")), "tests/store/test_push.py",
    ),
    "stages": tuple(f"tests/stages/test_{name}.py" for name in ("sending", "judging", "intake_expand", "intake_accept", "several_channels", "spending", "reconcile")),
    "people": ("tests/unit/journey", *(f"tests/{name}.py" for name in ("store/test_events", "store/test_merge", "stages/test_merging", "stages/test_web_track", "stages/test_web_recipients"))),
    "segments": ("tests/store/test_segment_sql.py", "tests/stages/test_segmenting.py", "tests/stages/test_intake_segment.py"),
    "offers": (
        "tests/unit/journey/test_offer.py", "tests/unit/policy/test_offer_check.py", "tests/store/test_offers.py",
        "tests/unit/journey/test_arms.py", *(f"tests/stages/test_{name}.py" for name in ("offers_sent", "walk_hours", "experiments")),
        "tests/unit/journey/test_trial.py",
    ),
    "audiences": ("tests/store/test_audiences.py", "tests/stages/test_audiences.py"),
    "walks": ("tests/unit/journey/test_sequence.py", "tests/stages/test_walks.py", "tests/stages/test_walk_odds.py"),
    "keeping": ("tests/store/test_retention.py", "tests/stages/test_forgetting.py"),
    "playbook": tuple(f"tests/stages/test_{name}.py" for name in ("referrals", "playbook_lapse", "countdown")),
    "notices": ("tests/stages/test_notices.py",),
    "simulation": (),
}
"""Layer -> what pytest is given; the cheapest first."""
_PLAIN = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--tb=line", "--hypothesis-seed=1", "-W", "ignore")
_OTHERS = ("sqlalchemy.dialects.sqlite", "hypothesis.stateful", "alembic", "aiohttp", "aiosmtplib", "aiosmtpd.smtp", "liquid",
           "prometheus_client", "structlog", "phonenumbers", "cryptography.hazmat.primitives.ciphers.aead", "pydantic")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one run said. `by`: the first test or seed that failed, with how soon; None: nothing failed. `chance`: it had been drawn."""

    by: str | None
    how: str = ""
    chance: bool = False
    uprooted: str | None = None


class _Watch:
    """A pytest plugin: remembers the first failure; by chance, only the tests that draw are run, by rote all but the machine at large."""

    def __init__(self, *, chance: bool) -> None:
        self.by: str | None = None
        self.how = ""
        self._chance = chance

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        at_large = [item for item in items if item.name == MACHINE]
        drawing = [item for item in items if getattr(item.obj, "is_hypothesis_test", False)]
        items[:] = [*drawing, *at_large] if self._chance else [item for item in items if item not in at_large]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.by is None:
            self.by, self.how = report.nodeid, getattr(getattr(report.longrepr, "reprcrash", None), "message", "").split("\n")[0][:200]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.by is None:
            self.by, self.how = report.nodeid or "collection", str(report.longrepr)[-400:]


def warm_up() -> None:
    """Import what is not ours."""
    for name in _OTHERS:
        importlib.import_module(name)
    if ours := [name for name in sys.modules if name.split(".")[0] in ("daemon", "channels", "plugins")]:
        raise Uprooted(f"imported before any bug is planted: {ours}")


def run(layer: str, bug: Bug | None, only: str | None = None) -> Seen:
    """One layer, or by rote one test of it (`only`: as `Seen.by`), with the bug."""
    seen = Seen(by=None) if layer == "simulation" else _forked(layer, bug, only, chance=False)
    if seen.by is None and seen.uprooted is None and only is None:
        return _forked(layer, bug, None, chance=True)
    return seen


def _forked(layer: str, bug: Bug | None, only: str | None, *, chance: bool) -> Seen:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        code = 1
        with contextlib.suppress(BaseException):
            seen = _in_child(layer, bug, only, chance=chance)
            with os.fdopen(writes, "w") as pipe:
                json.dump(asdict(seen), pipe)
            code = 0
        os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status == signal.SIGALRM:
        return Seen(by=f"{layer} (hangs)", how=f"no end after {SECONDS} s", chance=True)
    if not answer:
        raise RuntimeError(f"{layer} with {bug.name if bug else 'no bug'}: the test process died with status {status}")
    return Seen(**json.loads(answer))


def _in_child(layer: str, bug: Bug | None, only: str | None, *, chance: bool) -> Seen:
    signal.alarm(SECONDS)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with tempfile.TemporaryDirectory(prefix="homing-planted-") as folder:
        tempfile.tempdir = folder  # this process ends without tidying up
        os.environ |= {"HYPOTHESIS_STORAGE_DIRECTORY": folder, "HOMING_MACHINE": "120x40", "HOMING_MACHINE_RAW": "1"}
        try:
            if bug is not None:
                plant(bug)
            seen = _simulate() if layer == "simulation" else _pytest(layer, only, chance=chance)
            if bug is not None and bug.modules.isdisjoint(sys.modules):
                return Seen(by=None, how="never imported")
        except Uprooted as error:
            return Seen(by=None, uprooted=str(error))
    return seen


def _pytest(layer: str, only: str | None, *, chance: bool) -> Seen:
    os.chdir(ROOT)
    watch = _Watch(chance=chance)
    wanted: Sequence[str] = LAYERS[layer] if only is None else (only,)
    code = pytest.main([*_PLAIN, f"--hypothesis-profile={'homing' if chance else 'rote'}", *wanted], plugins=[watch])
    if "Uprooted" in watch.how:
        raise Uprooted(watch.how)
    if only is not None and code == pytest.ExitCode.USAGE_ERROR:
        raise Uprooted(f"there is no such test any more; run `make planted ARGS=--write`: {only}")
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED) and watch.by is None:
        return Seen(by=f"{layer} (pytest ends with {int(code)})")
    machine = sys.modules.get("tests.store.machine")
    if watch.by is not None and watch.by.endswith(MACHINE) and machine is not None:
        return Seen(by=watch.by, how=f"example {machine.Machine.played}: {watch.how}", chance=chance)
    return Seen(by=watch.by, how=watch.how, chance=chance and watch.by is not None)


def _simulate() -> Seen:
    """Whole histories of the daemon, one a seed."""
    try:
        simulation = importlib.import_module("tests.simulation.run")
    except ModuleNotFoundError as error:
        return Seen(by=None, how=f"there is no simulation: {error}")
    for seed in range(SEEDS):
        try:
            broken = simulation.run_seed(seed).problems
        except Exception as error:  # a daemon that ends by itself has not kept its promise either
            broken = (f"{type(error).__name__}: {error}",)
        if broken:
            return Seen(by=f"seed {seed}", how=str(broken[0])[:200], chance=True)
    return Seen(by=None)
