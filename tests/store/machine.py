"""The store machine: any order of the store's acts, crashes between and in the middle of them, against the model.

Hypothesis draws the rules; each runs an act on the driver's store and the same act on the model, and after each the rows must be
what the model says. What was granted is kept apart in a ledger that no crash and no restored copy takes back: whoever was handed
over is never handed over again, unless that try surely failed, an operator said so, or the campaign asks for one second copy.
"""

from __future__ import annotations

import copy
import functools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.dispatch.gate import Gate
from daemon.model.delivery import DAY, HOUR, MINUTE, SECOND, TRANSITIONS, Reason, State
from daemon.policy.caps import Cap
from daemon.store.campaigns import register
from daemon.store.care import check_rows
from daemon.store.claim import Claimed, Judged, claim_due
from daemon.store.facts import DueRow, Known
from daemon.store.flight import Flights, Kind, Result, Step
from daemon.store.follow import Then
from daemon.store.lanes import DueLane
from daemon.store.recover import accept_clock, begin, heartbeat, mark_journaled, prune_touches
from tests.store.machine_driver import Driver, Rows, SqliteDriver
from tests.store.machine_model import SURELY_FAILED, Delivery, Model
from tests.store.machine_world import (
    CAMPAIGNS,
    EMAILS,
    ROLLING,
    SCRIPT,
    START,
    Policy,
    Script,
    counted,
    elsewhere,
    hash_of,
    is_open,
    loaded,
    may_go,
    new_model,
)

PICK = st.integers(0, 11)
OUTCOMES: Mapping[str, Mapping[str, Any]] = {
    "accepted": {"kind": Kind.ACCEPTED, "provider_id": "250 ok"},
    "rejected": {"kind": Kind.REJECTED, "scope": "message", "code": "554"},
    "accepted, more to come": {"kind": Kind.ACCEPTED, "provider_id": "250 ok"},
    "address rejected": {"kind": Kind.REJECTED, "scope": "address", "code": "550"},
    "address rejected, another channel": {"kind": Kind.REJECTED, "scope": "address", "code": "550"},
    "deferred": {"kind": Kind.DEFERRED, "scope": "message", "code": "451", "again_at": HOUR},
    "throttled": {"kind": Kind.DEFERRED, "scope": "provider", "code": "421", "again_at": 30 * SECOND, "burnt": False},
    "nothing sent": {"kind": Kind.DEFERRED, "again_at": 0, "burnt": False},
    "exhausted": {"kind": Kind.DEFERRED, "scope": "message", "code": "451", "again_at": HOUR, "exhausted": True},
    "unknown": {"kind": Kind.UNKNOWN, "code": "timeout"},
    "held": {"kind": Kind.HELD, "reason": Reason.RENDER_ERROR, "burnt": False},
}
ASK = "ask"
NOTHING = ("nothing", 0)
PASSES = (1, SECOND, 10 * MINUTE, HOUR, 8 * HOUR, DAY, 7 * DAY)


class Crashed(Exception):
    """The act's connection was lost before its commit."""


def survives(function: Callable[..., Any]) -> Callable[..., Any]:
    """Its act may be the one that crashes: then nothing of it may be seen."""

    @functools.wraps(function)
    def run(self: Machine, *drawn: Any, **named: Any) -> None:
        try:
            function(self, *drawn, **named)
        except Crashed:
            self.restart()

    return run


class Machine(RuleBasedStateMachine):
    """What all rules stand on: the driver, the model, the clock, the claims in hand, the ledger."""

    driver: ClassVar[Driver | None] = None
    played: ClassVar[int] = 0
    """Examples so far: how soon a bug was seen."""

    def __init__(self) -> None:
        super().__init__()
        Machine.played += 1
        if type(self).driver is None:
            type(self).driver = SqliteDriver()
        self.store: Driver = type(self).driver  # type: ignore[assignment]
        self.store.fresh()
        self.model: Model = new_model()
        self.now = START
        self.crash_next = False
        self.owner, self.claim_number = 0, 0
        self.claims: list[Claimed] = []
        self.folder = tempfile.TemporaryDirectory(prefix="homing-gate-")
        self.stop_file = Path(self.folder.name) / "stop"
        self.gate = Gate(self.stop_file)
        self.distrusted = False
        self.flights = Flights(lambda: self.now, lambda now, highest: self.gate.shut(now, highest))
        self.policy: Policy | None = None
        self.maybe_sent: dict[int, int] = defaultdict(int)
        """By `Delivery.born`."""
        self.granted: set[int] = set()
        """The same of all that was ever handed over with leave."""
        self.journal: list[tuple[int, int, frozenset[int]]] = []
        self.copies: list[tuple[object, Model]] = []
        self.turned_back = False
        """A copy was put back, or an operator took back a doubt: touches of several pasts lie side by side."""
        self.before: Rows | None = None
        self.sound = False
        """All that was done was also compared: an example that has failed is not played to its end."""

    def teardown(self) -> None:
        try:
            if self.sound:
                self.end_well()
        finally:
            self.folder.cleanup()

    @rule(how=st.tuples(st.integers(0, 12), PICK))
    def disturb(self, how: tuple[int, int]) -> None:
        """Crashes, clocks, switches, copies."""
        what, pick = how
        (
            self.die_and_start_again, self.die_and_start_again, self.crash_in_the_next_act, self.crash_in_the_next_act,
            lambda: self.clock_goes_back((1, SECOND, 3 * SECOND, HOUR)[pick % 4]), lambda: self.clock_goes_back(1), self.accept_the_clock,
            lambda: self.kill_switch(on=True), lambda: self.kill_switch(on=False), self.keep_a_copy, lambda: self.put_a_copy_back(pick),
            lambda: self.forget_old_touches((ROLLING, 30 * DAY)[pick % 2]), self.beat,
        )[what]()  # fmt: skip

    # -- acts

    def do(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One act of the store; or, if the example says so, a crash in the middle of it."""
        self.sound = False
        if self.crash_next:
            self.crash_next = False
            self.store.crash_in(act, *args, **kwargs)
            raise Crashed
        return self.store.act(act, *args, **kwargs)

    def restart(self) -> None:
        """A new incarnation settles what the last one left."""
        returned, doubts = self.model.begin(self.now)
        began = self.store.act(begin, self.now, "node", "nonce")
        assert (began.returned, sorted(began.doubts)) == (returned, doubts)
        assert (began.commit, began.highest) == self.model.commit
        self.owner, self.claim_number = began.id, 0
        self.gate, self.distrusted = Gate(self.stop_file), False

    def set_up(self, caps: tuple[Cap, ...] | None) -> None:
        """`caps`: judge by the real policy with these; None: by the script."""
        self.policy = None if caps is None else Policy(caps)
        self.store.act(begin, self.now, "node", "nonce")
        self.owner = 1
        self.store.act(register, [loaded(name, 1) for name, _, _ in CAMPAIGNS], {}, self.now)
        self.settled()

    def crash_in_the_next_act(self) -> None:
        self.crash_next = True

    def die_and_start_again(self) -> None:
        self.crash_next = False
        self.restart()

    @survives
    def beat(self) -> None:
        assert self.do(heartbeat, self.owner, self.now)

    # -- time

    @rule(how=st.tuples(st.integers(0, 11), st.integers(0, 40), st.sampled_from((-1, 0, 0, 1))))
    def later(self, how: tuple[int, int, int]) -> None:
        by, pick, off = how
        if by < len(PASSES):
            self.time_passes(PASSES[by])
        else:
            self.time_comes(pick, off)

    def time_passes(self, by: int) -> None:
        self.now += by

    def time_comes(self, pick: int, off: int) -> None:
        """The clock stands at, or a microsecond beside, an instant at which something changes."""
        model = self.model
        instants = {d.not_before for d in model.deliveries.values()} | {at + ROLLING for _, at, _ in model.touches}
        instants |= {d.flight.closes for d in model.deliveries.values() if d.flight} | {model.commit[1]}
        instants |= {self.now // DAY * DAY + day * DAY + hour * HOUR for day in (0, 1) for hour in (0, 2, 12, 14, 15, 17)}
        coming = sorted(at for at in instants if at > self.now)
        if coming:
            self.now = coming[pick % len(coming)] + off

    def clock_goes_back(self, by: int) -> None:
        self.now = max(self.now - by, START - DAY)

    @survives
    def accept_the_clock(self) -> None:
        self.do(accept_clock, self.now)
        self.gate.open(Reason.CLOCK_UNTRUSTED)
        self.distrusted = False
        self.model.raise_guard(d.person for d in self.model.deliveries.values() if d.state == "claimed")
        self.model.commit = (self.model.commit[0], self.now)

    def kill_switch(self, on: bool) -> None:
        if on:
            self.stop_file.touch()
        else:
            self.stop_file.unlink(missing_ok=True)

    # -- claim

    @rule(how=st.tuples(st.lists(st.sampled_from((*SCRIPT, *["send"] * 6)), min_size=1, max_size=4), st.integers(1, 6), st.integers(0, 2)))
    def claim_some(self, how: tuple[list[str], int, int]) -> None:
        self.claim(*how)

    @survives
    def claim(self, script: list[str], n: int, lanes: int) -> None:
        """Some rows of some lanes; with a real policy the script is not asked."""
        model, now = self.model, self.now
        eligible = model.eligible(now)
        offered: list[DueLane] = []

        def share(found: Sequence[DueLane]) -> list[tuple[int, int]]:
            offered.extend(found)
            return [(lane.id, n) for lane in found if not lanes or lane.id % lanes == 0]

        bound: Any = Script(script, now) if self.policy is None else self.policy.bind(now)
        told: list[Judged] = []

        def judge(rows: Sequence[DueRow], known: Mapping[int, Known], rivals: frozenset[int]) -> Sequence[Judged]:
            self.check_facts(rows, known, rivals, eligible, len(offered), bound.horizon)
            self.check_taken([row for row in rows if row.delivery not in rivals], eligible, n)
            told.extend(bound(rows, known, rivals))
            return list(told)

        epoch = (self.owner << 32) + self.claim_number + 1
        result = self.do(
            claim_due, now=now, owner=self.owner, epoch=epoch, horizon=bound.horizon, share=share, judge=judge, contest=True,
            prepare=bound.prepare,
        )  # fmt: skip
        self.claim_number += 1
        heads: dict[tuple[int, str], int] = {}
        for d in eligible:
            heads[d.job, d.channel] = min(heads.get((d.job, d.channel), d.not_before), d.not_before)
        assert sorted((lane.queue, lane.channel, lane.head) for lane in offered) == sorted(
            (model.jobs[job].queue, channel, at) for (job, channel), at in heads.items()
        )
        if self.policy is not None:
            self.policy.check(model, told, now)
        uncapped = {item.row.person for item in told if item.uncapped and item.decision.verdict.value == "send"}
        model.raise_guard(person for person in uncapped if model.reserved(person))  # who was counted without these is judged anew
        for item in told:
            d, decision = model.deliveries[item.row.delivery], item.decision
            at = decision.closes if decision.verdict.value == "send" else decision.until
            reason = decision.reason.value if decision.reason else None
            model.judge(d, decision.verdict.value, item.state.value, reason, at, item.address_hash, now, epoch, item.then)
        self.number_what_follows()
        assert sorted(one.row.delivery for one in result.claimed) == sorted(i.row.delivery for i in told if i.decision.verdict.value == "send")
        assert (result.taken, bool(result.taken)) == (len(told), bool(told))
        self.claims += result.claimed

    def check_taken(self, rows: Sequence[DueRow], eligible: Sequence[Delivery], n: int) -> None:
        """Of each lane that was picked, the first rows and as many as were asked for."""
        taken = {row.delivery for row in rows}
        assert taken <= {d.id for d in eligible}, "a claim took what may not run, or is not due"
        for lane in {(row.job, row.channel) for row in rows}:
            mine = [d for d in eligible if (d.job, d.channel) == lane]
            chosen, left = [d for d in mine if d.id in taken], [d for d in mine if d.id not in taken]
            assert len(chosen) == min(n, len(mine))
            assert not left or max(d.not_before for d in chosen) <= min(d.not_before for d in left)

    def check_facts(self, rows: Sequence[DueRow], known: Mapping[int, Known], rivals: frozenset[int], eligible: Sequence[Delivery],
                    lanes: int, horizon: int) -> None:  # fmt: skip
        """What the rules are shown is what is."""
        model = self.model
        persons = {row.person for row in rows if row.delivery not in rivals}
        mine = {row.delivery for row in rows} - rivals
        contesting = {d.id for d in eligible if d.person in persons and d.id not in mine}
        assert rivals == (contesting if lanes > 1 else frozenset())
        for row in rows:
            d = model.deliveries[row.delivery]
            assert (row.attempts, row.doubted, row.reason, row.not_before) == (d.attempts, d.doubted, d.reason, d.not_before)
            assert (row.person_guard, row.campaign_guard, row.job_guard, row.queue_guard) == model.guards(d)
            assert (row.email, row.zone or "") == (model.persons[d.person].email, model.persons[d.person].zone)
        for number, facts in known.items():
            person = model.persons[number]
            touches = [at for who, at, _ in model.touches if who == number and at > horizon] + model.reserved(number)
            assert sorted(touch.at for touch in facts.touches) == sorted(touches)
            assert {channel for channel, _ in facts.consents} == {channel for who, channel in model.withdrawn if who == number}
            mine_suppressed = {(c, *value) for (address, c), value in model.suppressions.items() if address == person.hash}
            assert {(item.channel, item.scope, item.reason) for _, item in facts.suppressions} == mine_suppressed

    # -- handover and record

    @rule(how=st.tuples(st.lists(st.tuples(PICK, st.sampled_from((*[ASK] * 9, *OUTCOMES)), st.integers(0, 3)), min_size=1, max_size=5), st.booleans()))
    def connections_turn(self, how: tuple[list[tuple[int, str, int]], bool]) -> None:
        self.step(*how)

    @survives
    def step(self, picks: list[tuple[int, str, int]], apart: bool) -> None:
        """Connections report and ask; one time in four with a claim that is no longer theirs."""
        flying = {d.id: d.flight.epoch for d in self.model.deliveries.values() if d.flight}
        mine = [one for one in self.claims if flying.get(one.row.delivery) == one.epoch]
        lost = [one for one in self.claims if flying.get(one.row.delivery) != one.epoch]
        lost.sort(key=lambda one: one.row.delivery not in flying)  # first those that another claim now has
        steps: list[Step] = []
        for pick, what, whose in picks:
            if ones := (lost or mine) if whose == 3 else (mine or lost):
                steps.append(self.turn(ones[pick % len(ones)], what))
        if not apart:
            steps = [Step(outcomes=[o for x in steps for o in x.outcomes], grants=[g for x in steps for g in x.grants])]
        if steps:
            self.play(steps)

    @survives
    def send(self, n: int, fates: list[str | None], pauses: Sequence[tuple[str, int]] = ()) -> None:
        """Claim, handover and outcome, one after the other, with something else in between (`pauses`). Fate None: no outcome yet."""
        old = len(self.claims)
        self.claim(["send"], n, 0)
        fresh = self.claims[old:]
        asks: list[str | None] = [ASK]
        for whats, pause in zip((asks, fates), (*pauses, NOTHING, NOTHING), strict=False):
            self.settled()
            if fresh:
                self.meanwhile(*pause, fresh)
                self.settled()
            turns = [(one, whats[i % len(whats)]) for i, one in enumerate(fresh) if one.row.delivery in self.model.deliveries]
            if steps := [self.turn(one, what) for one, what in turns if what is not None]:
                self.play(steps)

    def meanwhile(self, what: str, pick: int, claims: Sequence[Claimed]) -> None:
        """What happens between two steps of a sender."""
        match what:
            case "crash":
                self.die_and_start_again()
                self.settled()
                self.claim(["send"], 5, 0)
            case "ask again":
                self.play([self.turn(one, ASK) for one in claims])
            case "clock":
                self.clock_goes_back((1, SECOND)[pick % 2])
            case "switch":
                self.kill_switch(on=True)
            case "time":
                self.time_comes(pick, 0)

    def turn(self, one: Claimed, what: str) -> Step:
        if what == ASK:
            return Step(grants=[(one.row.delivery, one.epoch)])
        return Step(outcomes=[self.outcome(one, what)])

    def play(self, steps: list[Step]) -> None:
        """The steps, joined into one transaction."""
        model = self.model
        handed_over = {d.id: (d.flight.epoch, d.state) for d in model.deliveries.values() if d.flight}
        shut = self.shut_now()
        done = self.do(self.flights.step, steps)
        self.distrusted = self.distrusted or self.now < model.commit[1] - 2 * SECOND
        expected = model.step(steps, self.now, shut=shut)
        self.number_what_follows()
        assert [each.granted for each in done] == expected
        assert {(each.commit, each.at) for each in done} == {model.commit}
        granted = frozenset().union(*expected)
        if granted:
            self.journal.append((*model.commit, granted))
        self.enter(steps, handed_over)
        for delivery in granted:
            self.check_grant(model.deliveries[delivery], model.commit[1])

    def number_what_follows(self) -> None:
        """The store numbers what it has planned on another channel."""
        fresh = self.store.rows().deliveries.keys() - self.model.deliveries.keys()
        self.model.followed(sorted(fresh))

    def outcome(self, one: Claimed, what: str) -> Result:
        if what == "held" and self.model.deliveries[one.row.delivery].state == "handed_over":
            what = "nothing sent"  # what is held never came to the channel
        made = dict(OUTCOMES[what])
        if "again_at" in made:
            made["again_at"] += self.now
        if what == "accepted, more to come":
            made["then"] = Then((("sms", self.now + DAY),), DAY, escalates=True)
        if what == "address rejected, another channel":
            made["then"] = elsewhere(self.now)
        if what == "unknown":
            made["resend"] = self.model.campaigns[one.row.campaign_name].transactional and not one.row.doubted
        return Result(delivery=one.row.delivery, epoch=one.epoch, **made)

    def shut_now(self) -> bool:
        return self.stop_file.exists() or self.distrusted or self.now < self.model.commit[1] - 2 * SECOND

    def enter(self, steps: Sequence[Step], before: Mapping[int, tuple[int, str]]) -> None:
        """The ledger learns what surely failed, and what went out without leave."""
        for delivery, result in {result.delivery: result for step in steps for result in step.outcomes}.items():
            epoch, state = before.get(delivery, (None, ""))
            if epoch != result.epoch:
                continue
            failed, handed_over = result.kind in SURELY_FAILED, state == "handed_over"
            born = self.model.deliveries[delivery].born
            self.maybe_sent[born] += -1 if failed and handed_over else 1 if not failed and not handed_over else 0

    def check_grant(self, d: Delivery, at: int) -> None:
        """Never twice, never outside the window, never over a cap, never against somebody's word."""
        sent, transactional = self.maybe_sent[d.born], self.model.campaigns[d.campaign].transactional
        assert sent == 0 or (sent == 1 and transactional and d.doubted), f"delivery {d.id} was handed over {sent} times before"
        if d.follows is not None and d.escalates != d.follows:
            former = self.model.deliveries[d.follows].born
            assert not self.maybe_sent[former], f"delivery {d.id} takes the place of {d.follows}, which may have been sent"
        self.maybe_sent[d.born] += 1
        self.granted.add(d.born)
        assert self.model.may_run(d), "handed over though its job, campaign or queue is stopped"
        assert not self.stop_file.exists(), "handed over under the kill switch"
        if self.policy is None:
            return
        person = self.model.persons[d.person]
        assert is_open(person.zone, at), f"delivery {d.id} was handed over outside the window"
        assert may_go(self.model, person, transactional=transactional), f"delivery {d.id}: {person.key} may not be written to"
        if not transactional and not self.turned_back:
            touches = [then for who, then, _ in self.model.touches if who == person.id and then <= at]
            for cap in self.policy.caps:
                used = counted(cap, touches, at, person.zone)
                assert used <= cap.limit, f"delivery {d.id} is number {used} of {person.key} in the cap {cap.name} of {cap.limit}"

    # -- copies and journal

    def keep_a_copy(self) -> None:
        """A backup."""
        if len(self.copies) < 3:
            self.copies.append((self.store.keep(), copy.deepcopy(self.model)))

    def put_a_copy_back(self, pick: int) -> None:
        """A restore that the operator accepts: what the journal knows to be handed over since is in doubt."""
        if not self.copies:
            return
        self.crash_next = False
        kept, model = self.copies[pick % len(self.copies)]
        self.store.put_back(kept)
        self.model, self.claims, self.before, self.turned_back = copy.deepcopy(model), [], None, True
        self.restart()
        self.settled()
        sent = {delivery: at for number, at, granted in self.journal if number > self.model.commit[0] for delivery in granted}
        for born in self.maybe_sent.keys() - self.granted:  # sent by a plugin without leave: no journal has it
            self.maybe_sent[born] = 0
        marked = self.model.journaled(sent)
        assert self.store.act(mark_journaled, sent, self.now) == marked

    @survives
    def forget_old_touches(self, kept: int) -> None:
        cursor: int | None = -1
        while cursor is not None:
            cursor = self.do(prune_touches, self.now, kept, cursor)
        self.model.prune(min(self.now, self.model.commit[1]) - kept)

    # -- what must hold after each act

    @invariant()
    def settled(self) -> None:
        """The rows are the model's, no guard went back, no delivery took a way that it may not take."""
        self.sound = False
        is_now, should_be = self.store.rows(), self.model.rows()
        for name in Rows.__slots__:  # type: ignore[attr-defined]
            found, wanted = getattr(is_now, name), getattr(should_be, name)
            assert found == wanted, f"{name}: the tables say\n{_apart(found, wanted)}\nthe model says\n{_apart(wanted, found)}"
        if self.before is not None:
            for key, guard in self.before.guards.items():
                assert is_now.guards[key] >= guard, f"the guard of {key} went back"
            for id, row in self.before.deliveries.items():
                if id in is_now.deliveries:
                    old, new = State(row[4]), State(is_now.deliveries[id][4])
                    assert old is new or new in TRANSITIONS[old], f"delivery {id} went from {old} to {new}"
        self.before, self.sound = is_now, True

    def end_well(self) -> None:
        self.settled()
        found = self.store.act(check_rows)
        assert found == []


def _apart(one: Any, other: Any) -> Any:
    """What `one` has and `other` has not."""
    if isinstance(one, dict):
        return {key: value for key, value in one.items() if key not in other or other[key] != value}
    if isinstance(one, list | set):
        return [item for item in one if item not in other]
    return one


def suppressible(pick: int) -> bytes:
    """One of the addresses that people have."""
    address = hash_of(EMAILS[pick % 3])
    assert address is not None
    return address
