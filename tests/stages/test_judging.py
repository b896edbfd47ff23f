"""What the claim adds to the rules: who serves the channel, and the turn at the destination's domain."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from daemon.content.campaigns import inline_version
from daemon.dispatch.judge import Judging
from daemon.dispatch.work import PlanBook
from daemon.model.delivery import HOUR, SECOND, Reason, State, Verdict
from daemon.model.job import InlineMessage
from daemon.pacing.bucket import Bucket
from daemon.pacing.destinations import Destinations
from daemon.pacing.limits import Limits
from daemon.pacing.warmup import Curve, Ration
from daemon.policy.caps import Cap
from daemon.policy.hours import WindowRule, parse_window
from daemon.policy.rules import Rules
from daemon.store.claim import Judged
from daemon.store.facts import DueRow, Known, SuppressionRow

NOW = 1_795_322_411 * SECOND
OPEN: WindowRule = parse_window({"start": "00:00", "end": "24:00"})


def due(
    delivery: int, *, email: str = "a@gmail.com", channel: str = "email", reason: str | None = None, traits: str | None = None
) -> DueRow:
    return DueRow(
        delivery=delivery, lane=1, not_before=NOW, expires_at=NOW + 86_400 * SECOND, attempts=0, doubted=False, reason=reason,
        wave=1, campaign=1, campaign_name="job:j", version=1, newest=1, variant=None, step="message", channel=channel, job=1, job_key="j",
        queue="q", priority=50, job_window=None, person=delivery, recipient=f"c-{delivery}", email=email, phone="+62811111111",
        zone="Asia/Jakarta", locale=None, country=None, traits=traits, vars=None, email_hash=b"e", phone_hash=b"p", erased=False,
        person_guard=0, campaign_guard=0, job_guard=0, queue_guard=0,
    )  # fmt: skip


def judge(
    rows: list[DueRow],
    *,
    buckets: Mapping[str, Bucket] | None = None,
    providers: Mapping[str, str] | None = None,
    known: Known | None = None,
    rules: Rules | None = None,
    crowd: Destinations | None = None,
) -> list[Judged]:
    crowds = {"relay": crowd} if crowd else {}
    judging = Judging(rules or Rules(window=OPEN), {"email": "email"}, {"relay": Limits(buckets)}, crowds)
    plans = PlanBook({})
    body = inline_version("j", InlineMessage(channel="email", purpose="marketing", subject="s", text="t")).to_json()
    judgement = judging.bind(plans, {"email": "relay"} if providers is None else providers, {"email"}, NOW)
    judgement.prepare(frozenset({(1, 1)}), lambda campaign, version: body)
    empty = Known([])
    return judgement(rows, {row.person: known or empty for row in rows}, frozenset())


@pytest.mark.promise("P10")
def test_rows_over_a_domains_rate_get_its_next_free_turns_once() -> None:
    """2/s for gmail.com: the burst goes now, the others each get an instant of their own; another domain is not touched."""
    buckets = {"gmail.com": Bucket(rate=2.0)}
    first = judge([due(i) for i in range(6)] + [due(9, email="a@other.example")], buckets=buckets)
    waiting = [item.decision for item in first if item.decision.verdict is Verdict.DEFER]
    assert [item.row.delivery for item in first if item.decision.verdict is Verdict.SEND][-1] == 9
    assert {decision.reason for decision in waiting} == {Reason.RATE_LIMITED}
    turns = [decision.until for decision in waiting if decision.until is not None]
    assert len(set(turns)) == len(turns) >= 3
    assert all(turn > NOW for turn in turns)
    again = judge([due(5, reason=Reason.RATE_LIMITED.value)], buckets=buckets)
    assert again[0].decision.verdict is Verdict.SEND  # its turn has come: it is not moved a second time


def test_who_waits_for_a_slow_destination_takes_a_turn_at_its_rate_once() -> None:
    """Put off on whole seconds, so that many ask again in one claim, and not before its turn at the domain's rate."""
    crowd, buckets = Destinations(2), {"gmail.com": Bucket(rate=0.001)}
    crowd.waits("gmail.com", 60.0, 0.0)
    items = [item.decision for item in judge([due(i) for i in range(8)], buckets=buckets, crowd=crowd)]
    waits = [decision.until for decision in items if decision.rule is not None and decision.rule[0] == "slow.relay.gmail.com"]
    assert len(waits) >= 5
    assert all(until is not None and until >= NOW + 60 * SECOND for until in waits)
    assert waits == sorted(waits)
    assert crowd.freed_all(NOW) == []  # none of them may come before its turn at the domain's rate


def test_who_waits_for_a_slow_destination_is_remembered_as_it_stands_in_the_queue() -> None:
    """So that it can be made due when the destination is well again."""
    crowd = Destinations(2)
    crowd.waits("gmail.com", 60.0, 0.0)
    judged = judge([due(i) for i in range(8)], crowd=crowd)
    waits = [(item.row.lane, item.decision.until, item.row.delivery) for item in judged if item.decision.verdict is Verdict.DEFER]
    assert len(waits) == 6
    assert crowd.freed_all(NOW) == waits


def test_a_turn_at_a_slow_destination_takes_no_second_one_at_its_rate() -> None:
    """The turn at the domain's rate is taken when a row is first put off."""
    crowd, buckets = Destinations(2), {"gmail.com": Bucket(rate=0.001)}
    crowd.waits("gmail.com", 60.0, 0.0)
    judge([due(i) for i in range(8)], buckets=buckets, crowd=crowd)
    before = buckets["gmail.com"].to_state()
    again = [judge([due(5, reason=Reason.RATE_LIMITED.value)], buckets=buckets, crowd=crowd) for _ in range(3)]
    assert {item.decision.verdict for [item] in again} <= {Verdict.SEND, Verdict.DEFER}
    assert buckets["gmail.com"].to_state() == before


@pytest.mark.promise("P5")
@pytest.mark.parametrize("attempts", [0, 1, 4])
def test_every_try_is_judged_by_the_window(attempts: int) -> None:
    """At 11:40 in Jakarta, and the window opens at 13:00: however often it was tried, it waits until then."""
    rules = Rules(window=parse_window({"start": "13:00", "end": "21:00"}))
    [item] = judge([due(1)._replace(attempts=attempts)], rules=rules)
    assert (item.decision.reason, item.decision.until) == (Reason.WINDOW_CLOSED, NOW - NOW % HOUR + 2 * HOUR)


@pytest.mark.promise("B16")
def test_a_channel_that_nobody_serves_is_held_with_its_key() -> None:
    """Not an endless wait: an operator sees it, and a provider that comes later frees it."""
    [held] = judge([due(1, channel="fax")])
    assert (held.decision.verdict, held.decision.reason) in {(Verdict.HOLD, Reason.CHANNEL_UNAVAILABLE), (Verdict.DROP, Reason.NO_ADDRESS)}


def test_a_channel_whose_providers_all_fail_waits() -> None:
    """Breakers open: the row is deferred, not sent to a provider that is not there."""
    [item] = judge([due(1)], providers={})
    assert (item.decision.verdict, item.decision.reason, item.state) == (Verdict.DEFER, Reason.BREAKER_OPEN, State.DUE)


@pytest.mark.parametrize(
    ("channel", "scope", "reason", "expected"),
    [
        ("email", "marketing", "suppressed", Reason.SUPPRESSED),
        ("*", "all", "complained", Reason.COMPLAINED),
        ("email", "all", "bounced", Reason.BOUNCED),
        ("sms", "marketing", "suppressed", None),
    ],
)
def test_a_suppression_stops_the_channels_it_names(channel: str, scope: str, reason: str, expected: Reason | None) -> None:
    """Of the address's kind, or all of them; another channel's suppression does not concern this one."""
    known = Known([], suppressions=[("email", SuppressionRow(channel=channel, scope=scope, reason=reason))])
    [item] = judge([due(1)], known=known)
    assert item.decision.reason is expected


def test_a_suppressed_phone_does_not_stop_mail() -> None:
    """The hash belongs to one address; `*` of a phone row still means all channels."""
    known = Known(
        touches=[], consents={}, suppressions=[("phone", SuppressionRow(channel="email", scope="marketing", reason="suppressed"))]
    )
    assert judge([due(1)], known=known)[0].decision.verdict is Verdict.SEND


def test_quiet_hours_are_the_recipients_own() -> None:
    """The trait narrows: at 11:40 in Jakarta, quiet from 11 to 13, it waits until 13:00."""
    [item] = judge([due(1)._replace(traits='{"quiet_hours": ["11:00-13:00"]}')])
    assert item.decision.reason is Reason.QUIET_HOURS
    assert item.decision.until == NOW - NOW % (3600 * SECOND) + 2 * 3600 * SECOND


@pytest.mark.promise("B9")
@pytest.mark.parametrize("quiet", ['["00:00-24:00"]', '["nonsense"]', "[7]", '"x"'])
def test_one_persons_odd_trait_holds_that_person_only(quiet: str) -> None:
    """Whatever stands in a trait, the claim goes on for the others."""
    odd, fine = judge([due(1)._replace(traits=f'{{"quiet_hours": {quiet}}}'), due(2)])
    assert (odd.decision.verdict, odd.state) == (Verdict.HOLD, State.HELD)
    assert fine.decision.verdict is Verdict.SEND


def test_a_version_that_this_release_cannot_read_holds_its_deliveries() -> None:
    """A stored campaign of another form never stops the loop."""
    plans = PlanBook({})
    judgement = Judging(Rules(window=OPEN), {"email": "email"}, {}).bind(plans, {"email": "relay"}, {"email"}, NOW)
    judgement.prepare(frozenset({(1, 1)}), lambda campaign, version: '{"form": 99}')
    [held] = judgement([due(1)], {1: Known([])}, frozenset())
    assert (held.state, held.decision.reason) == (State.HELD, Reason.RENDER_ERROR)


def test_what_nobody_could_send_now_takes_no_slot_from_another_channel() -> None:
    """The text message of higher priority is held, since no provider serves its channel: the e-mail has the slot."""
    cap = Cap(name="day", limit=1, rolling=86_400 * SECOND)
    rows = [due(1, channel="sms")._replace(person=9, priority=90), due(2)._replace(person=9, priority=10)]
    judged = judge(rows, rules=Rules(window=OPEN, caps=(cap,), consent={"email": "implied", "sms": "implied"}))
    verdicts = {item.row.delivery: item.decision.verdict for item in judged}
    assert verdicts == {1: Verdict.HOLD, 2: Verdict.SEND}


def test_the_plans_of_inline_jobs_do_not_pile_up_and_a_claim_has_all_it_needs() -> None:
    """A plan book keeps a few; a claim over more of them than that still finds each."""
    body = inline_version("j", InlineMessage(channel="email", purpose="marketing", subject="s", text="t")).to_json()
    plans, many = PlanBook({}), frozenset((number, 1) for number in range(PlanBook.LIMIT + 50))
    judgement = Judging(Rules(window=OPEN), {"email": "email"}, {}).bind(plans, {"email": "relay"}, {"email"}, NOW)
    judgement.prepare(many, lambda campaign, version: body)
    assert all(plans.peek(*key) is not None for key in many)
    judgement.prepare(frozenset({(9999, 1)}), lambda campaign, version: body)
    assert sum(plans.peek(*key) is not None for key in many) == PlanBook.LIMIT - 1


def test_a_warm_up_that_is_used_up_puts_the_rest_off_to_the_next_day() -> None:
    """Two a day: the claim's third waits until midnight of the zone, with the numbers; one that ends before that ends now."""
    curve = Curve(start=0, first_day=2, growth=1.0, until=100)
    ration = Ration({"": curve}, lambda now: (10, NOW - HOUR, NOW + HOUR))
    rows = [due(i, email=f"a@d{i}.example") for i in range(4)]
    rows[3] = rows[3]._replace(expires_at=NOW + HOUR)
    judging = Judging(Rules(window=OPEN), {"email": "email"}, {"relay": Limits()}, {}, {"relay": ration})
    body = inline_version("j", InlineMessage(channel="email", purpose="marketing", subject="s", text="t")).to_json()
    judgement = judging.bind(PlanBook({}), {"email": "relay"}, {"email"}, NOW)
    judgement.prepare(frozenset({(1, 1)}), lambda campaign, version: body)
    found = judgement(rows, {row.person: Known([]) for row in rows}, frozenset())
    assert [item.decision.verdict for item in found] == [Verdict.SEND, Verdict.SEND, Verdict.DEFER, Verdict.DROP]
    later, ended = found[2].decision, found[3].decision
    assert (later.reason, later.until, later.rule and later.rule[0]) == (Reason.RATE_LIMITED, NOW + HOUR, "warm_up.relay")
    assert (later.facts["ceiling"], later.facts["sent"]) == (2, 0)
    assert (ended.reason, found[3].state, ended.facts["waited_for"]) == (Reason.LATE, State.EXPIRED, "rate_limited")
