"""What the demo prints: receipts, what became of everyone by place and by reason, the judgement, and one explanation of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from daemon.cli import screen
from daemon.cli.context import Cli
from daemon.clock import to_datetime
from daemon.model.delivery import REASONS, Reason
from daemon.sandbox.stage import Stage
from daemon.sandbox.verify import Arrival, Judgement, Ranges, arrivals_in, judge, judge_members, parse_ranges
from daemon.sandbox.vips import WINDOWS
from daemon.sandbox.world import NEWS_SUBJECT, WINDOW, Person, SampleJob
from daemon.store.engine import open_reader
from daemon.store.operate import DeliveryLine, delivery_lines

SHOWN_ERRORS = 4
WAITS = "waits"
RETRY = "told to come later"
TURN = "its turn"
SAYINGS: Mapping[str, str] = {
    RETRY: "the provider asked for patience; tried again by itself",
    TURN: "ends by itself when the recipient's own window opens, or a little later: not all go at that instant",
    "in_doubt": "the provider failed after the message: never sent again; `homing doubt list`",
    "accepted": "the provider took it",
}
"""What to say where no reason of the rules stands."""
CHANNELS: Mapping[str, str] = {"email": "mails", "sms": "SMS", "push": "pushes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that the report is made of. `audiences`: (platform, name, members), `strangers`: who must not be
    there · `explained`: what each shows -> (person, the JSON of explain)."""

    now: datetime
    receipts: Sequence[Mapping[str, Any]]
    people: Mapping[str, Person]
    lines: Sequence[DeliveryLine]
    log: Sequence[Arrival]
    audiences: Sequence[tuple[str, str, int]]
    strangers: Sequence[str]
    judgement: Judgement
    explained: Mapping[str, tuple[Person, Mapping[str, Any]]]


async def collect(stage: Stage, people: Sequence[Person], jobs: Sequence[SampleJob]) -> Outcome:
    """Ask the daemon, read its store, judge the logs of the local providers."""
    engine = open_reader(stage.state / "homing.db")
    with engine.begin() as conn:
        lines = delivery_lines(conn)
    engine.dispose()
    log = arrivals_in(stage.sandbox.folder)
    config_windows = [f"{WINDOW[0]}-{WINDOW[1]}"]
    campaigns = {name: await stage.command("campaigns", "show", name) for name in ("winback", "vip")}
    own = {name: (found["window"] or {}).get("hours", []) for name, found in campaigns.items()}

    def windows(arrival: Arrival) -> Sequence[Ranges]:
        channel = WINDOWS.get(arrival.channel)
        campaign = "" if arrival.title == NEWS_SUBJECT else "winback" if arrival.channel == "email" else "vip"
        hours = [config_windows, [f"{channel[0]}-{channel[1]}"] if channel else [], own.get(campaign, [])]
        return [parse_ranges(each) for each in hours if each]

    by_id = {person.id: person for person in people}
    explained = {}
    for what, line in one_of_each(lines, by_id).items():
        name = {"campaign": line.campaign}
        explained[what] = (by_id[line.recipient], await stage.get(f"/v1/recipients/{line.recipient}/explain", name))
    members = stage.sandbox.members()
    stage.sandbox.write_members()
    receipts = [await stage.get(f"/v1/jobs/{job.id}") for job in jobs]
    return Outcome(
        now=stage.clock.now(), receipts=receipts, audiences=[(*key, len(rows)) for key, rows in members.items()],
        strangers=judge_members(members, people),
        people=by_id, lines=lines, log=log,
        judgement=judge(log, people, windows), explained=explained,
    )  # fmt: skip


def what_became(line: DeliveryLine) -> tuple[str, str]:
    """(column, reason) of one delivery in the tables."""
    if line.state == "due":
        return WAITS, line.reason or (RETRY if line.attempts else TURN)
    return line.state, line.reason or ""


def one_of_each(lines: Sequence[DeliveryLine], people: Mapping[str, Person]) -> dict[str, DeliveryLine]:
    """The first delivery of each fate."""
    found: dict[str, DeliveryLine] = {}
    for line in lines:
        state, reason = what_became(line)
        place = f", {people[line.recipient].place}" if (state, reason) == (WAITS, TURN) else ""
        found.setdefault(f"{state}{': ' if reason else ''}{reason}{place}", line)
    return dict(sorted(found.items()))


def report(cli: Cli, outcome: Outcome) -> None:
    """Print it all, or answer with it as JSON."""
    if cli.json:
        cli.answer(as_json(outcome), lambda: None)
        return
    _receipts(outcome)
    _places(outcome)
    _reasons(outcome)
    _judgement(outcome)
    _audiences(outcome)
    _explained(outcome)
    _next_steps()


def as_json(outcome: Outcome) -> dict[str, Any]:
    by_fate = Counter(what_became(line) for line in outcome.lines)
    verdict = outcome.judgement
    return {
        "at": outcome.now.isoformat(),
        "receipts": list(outcome.receipts),
        "deliveries": [{"state": state, "reason": reason or None, "count": n} for (state, reason), n in sorted(by_fate.items())],
        "log": len(outcome.log),
        "judgement": {
            "judged": verdict.judged, "channels": dict(verdict.channels), "by": verdict.by,
            "findings": [*(finding.what for finding in verdict.findings), *outcome.strangers],
        },
        "audiences": [{"platform": network, "name": name, "members": count} for network, name, count in outcome.audiences],
        "explained": {what: found for what, (_, found) in outcome.explained.items()},
    }  # fmt: skip


def _title(text: str) -> None:
    screen.say()
    screen.say(text)
    screen.say("-" * screen.width(text))


def _receipts(outcome: Outcome) -> None:
    _title("Jobs and their receipts")
    keys = ("job", "source", "state", "rows", "accepted", "duplicate", "rejected")
    screen.table(keys, [[receipt[key] for key in keys] for receipt in outcome.receipts])
    errors = [(receipt["job"], error) for receipt in outcome.receipts for error in receipt["errors"]]
    for job, error in errors[:SHOWN_ERRORS]:
        field = f"{error['field']}: " if error["field"] else ""
        screen.say(screen.clean(f"  {job}, line {error['line']}: {field}{error['detail']}"))
    if len(errors) > SHOWN_ERRORS:
        screen.say(f"  and {len(errors) - SHOWN_ERRORS} more, rejected or twice in the file")


def _places(outcome: Outcome) -> None:
    _title("Everyone, by where they live")
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    until: dict[str, int] = {}
    for line in outcome.lines:
        place = outcome.people[line.recipient].place
        state, reason = what_became(line)
        column = {"accepted": "sent", WAITS: "waiting"}.get(state, state if state in ("held", "in_doubt") else "not sent")
        tallies[place][column] += 1
        if reason in (TURN, "window_closed"):
            until[place] = min(until.get(place, line.not_before), line.not_before)
    rows: list[Sequence[screen.Cell]] = []
    for place in sorted(tallies, key=lambda name: (name.startswith("unknown"), name)):
        zones = next(person.zones for person in outcome.people.values() if person.place == place)
        tally = tallies[place]
        counts = [tally[column] for column in ("sent", "waiting", "held", "in_doubt", "not sent")]
        rows.append((place, _local(outcome.now, zones), *counts, _opening(until.get(place), zones)))
    screen.table(("place", "local time", "sent", "waiting", "held", "in doubt", "not sent", "next window"), rows)
    screen.say("The window is 09:00 to 21:00 in the recipient's own time; the campaign narrows it. Where the zone is not known, it must be")
    screen.say("open in every zone that is possible.")


def _local(now: datetime, zones: Sequence[str]) -> str:
    times = sorted({f"{now.astimezone(ZoneInfo(zone)):%a %H:%M}" for zone in zones}, key=lambda text: text)
    if len(times) == 1:
        return times[0]
    walls = sorted(now.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for zone in zones)
    return f"{walls[0]:%a %H:%M} to {walls[-1]:%a %H:%M}"


def _opening(instant: int | None, zones: Sequence[str]) -> str:
    if instant is None:
        return ""
    at = to_datetime(instant)
    return f"{at:%a %H:%M} UTC = {_local(at, zones)}"


def _reasons(outcome: Outcome) -> None:
    _title("What became of it, and why")
    counted: Counter[tuple[str, str]] = Counter(what_became(line) for line in outcome.lines)
    first: dict[tuple[str, str], int] = {}
    for line in outcome.lines:
        key = what_became(line)
        first[key] = min(first.get(key, line.not_before), line.not_before)
    rows = []
    for (state, reason), n in sorted(counted.items(), key=lambda item: (item[0][0] != "accepted", item[0][0] != WAITS, item[0])):
        until = f"from {to_datetime(first[state, reason]):%a %d %b %H:%M} UTC" if state == WAITS else ""
        remedy = REASONS[Reason(reason)].remedy if reason in set(Reason) else SAYINGS.get(reason or state, "")
        rows.append((state, reason or "-", n, until, remedy))
    screen.table(("what", "why", "count", "goes on", "what to do"), rows)
    accepted = sum(receipt["accepted"] for receipt in outcome.receipts)
    screen.say(f"{len(outcome.lines):,} messages for {accepted:,} accepted rows: whom one channel cannot reach gets one on the next.")


def _judgement(outcome: Outcome) -> None:
    verdict = outcome.judgement
    _title("Judged by the providers' own logs")
    shares = ", ".join(f"{count} {CHANNELS[channel]}" for channel, count in verdict.channels.items()) or "no message"
    screen.say(f"{shares} to {verdict.people} people, each receive time against the person's own window by {verdict.by}:")
    accepted = sum(line.state == "accepted" for line in outcome.lines)
    doubts = sum(line.state == "in_doubt" for line in outcome.lines)
    screen.say(f"  the daemon counts {accepted} accepted and {doubts} in doubt; the logs have {verdict.judged}")
    for finding in verdict.findings:
        screen.say(f"  WRONG: {finding.arrival.at} {finding.arrival.delivery}: {finding.what}")
    well = "  all inside their windows, none twice, nobody over the cap, nobody who must not be written to"
    screen.say(f"  {len(verdict.findings)} findings" if verdict.findings else well)
    if verdict.judged == 0:
        screen.say("  (at this hour nobody may be written to: that is the right answer)")
    screen.say("Judge for yourself: --keep DIR leaves DIR/people.csv and the logs in DIR/sandbox. For example:")
    example = next(iter(outcome.log), None)
    if example is not None:
        person = next(person for person in outcome.people.values() if example.to in person.addresses())
        screen.say(f"  TZ={person.zones[0]} date -d {example.at}")


def _audiences(outcome: Outcome) -> None:
    if outcome.audiences:
        _title("Audiences at the advertising platforms, by their own count")
        screen.table(("platform", "audience", "members"), outcome.audiences)
        wrong = "\n".join(f"  WRONG: {what}" for what in outcome.strangers)
        screen.say(wrong or "  all of them people who agreed, by the hashes of their numbers")


def _explained(outcome: Outcome) -> None:
    _title("One of each, explained (homing explain RECIPIENT CAMPAIGN)")
    for what, (person, found) in outcome.explained.items():
        screen.say(f"{what}: {person.id}, {person.place}")
        for enrolment in found["enrolments"]:
            for delivery in enrolment["deliveries"]:
                text = delivery.get("text") or delivery["state"]
                screen.say(screen.clean(f"  {text}"))


def _next_steps() -> None:
    _title("Next")
    screen.say("homing demo --stay           leaves daemon and inbox running, to look at the messages and to unsubscribe from one")
    screen.say("homing demo --at TIME        the same at another hour of the day, as 2026-11-24T18:30Z")
    screen.say("homing demo --keep DIR       keeps config, campaign, jobs, store and logs")
    screen.say("README.md                    a first campaign of your own, step by step")
