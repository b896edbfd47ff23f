"""The short way of judging gives the verdicts of the long way."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.content.version import CampaignVersion
from daemon.dispatch import judge as judging_module
from daemon.dispatch.judge import Judgement, Judging
from daemon.dispatch.work import PlanBook
from daemon.model.campaign import Campaign, CampaignStatus, Purpose, Step
from daemon.model.delivery import DAY, HOUR, SECOND, Verdict
from daemon.policy.caps import Cap, Touch
from daemon.policy.hours import parse_window
from daemon.policy.periods import Calendar
from daemon.policy.rules import Rules
from daemon.store.claim import Judged
from daemon.store.facts import DueRow, Known, SuppressionRow
from daemon.store.push import PushAddress

NOW = 1_795_322_411 * SECOND
"""11:40 in Jakarta."""
RULES = (
    Rules(
        window=parse_window({"start": "09:00", "end": "21:00"}), channel_windows={"sms": parse_window({"start": "10:00", "end": "20:00"})},
        caps=(
            Cap(name="weekly", limit=2, rolling=7 * DAY, channels=frozenset({"email"})), Cap(name="daily", limit=1, calendar=Calendar.DAY),
            Cap(name="news", limit=1, rolling=DAY, campaign="news"),
        ),
    ),
    Rules(country_windows={"ID": parse_window({"start": "13:00", "end": "20:00"})}, default_zone="Asia/Tokyo", unknown_zone="default"),
    Rules(home_countries=("ID", "MY"), consent={"email": "explicit"}, caps=(Cap(name="one", limit=1, rolling=DAY),)),
)  # fmt: skip
CHANNELS = ("email", "sms", "push", "webhook")
STEPS = tuple(Step(name=channel, channels=(channel,)) for channel in CHANNELS)
BODIES = {
    1: Campaign(name="news", status=CampaignStatus.ACTIVE, purpose=Purpose.MARKETING, topic="news", steps=STEPS),
    2: Campaign(name="bill", status=CampaignStatus.ACTIVE, purpose=Purpose.TRANSACTIONAL, topic="bill", steps=STEPS, window={"hours": ["mon-sun 11:00-12:00"]}),
}  # fmt: skip

touches = st.builds(
    Touch, st.sampled_from([NOW - HOUR, NOW - 30 * HOUR, NOW - 6 * DAY, NOW - 8 * DAY]), st.sampled_from(CHANNELS), st.sampled_from(["news", "bill"]),
    st.none(), st.sampled_from(["Asia/Jakarta", None]),
)  # fmt: skip


@st.composite
def people(draw: st.DrawFn, number: int) -> tuple[list[DueRow], Known]:
    """Somebody with one delivery due, or with two."""
    maybe: Any = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    zone, phone = maybe("Asia/Jakarta", "Asia/Jakarta", "America/New_York", None, "Nowhere/Land"), maybe("+62811100200", "+12125550100", None)
    campaign = maybe(1, 1, 2)
    rows = [
        DueRow(
            delivery=2 * number + turn, lane=1, not_before=NOW, expires_at=NOW + maybe(DAY, DAY, 3 * HOUR, 0, -5), attempts=0, doubted=False,
            reason=None, wave=CHANNELS.index(channel) + 10 * campaign, campaign=campaign, campaign_name=BODIES[campaign].name, version=1, newest=1,
            variant=None, step=channel, channel=channel, job=1, job_key="j", queue="q", priority=50,
            job_window=maybe(None, None, '{"hours": ["mon-sun 12:00-18:00"]}'), person=number, recipient=f"c-{number}",
            email=maybe("a@example.com", "b@example.com", None), phone=phone, zone=zone, locale=None, country=maybe("ID", "US", None),
            traits=maybe(None, None, "{}", '{"quiet_hours": ["11:00-13:00"]}', '{"quiet_hours": [7]}'), vars=None, email_hash=b"e",
            phone_hash=b"p", erased=maybe(0, 0, 0, 1), person_guard=0, campaign_guard=0, job_guard=0, queue_guard=0,
            walk=(walk := maybe(None, None, 5)), walk_state=maybe("open", "open", "finished", "exited", "converted") if walk else None,
            held_out=maybe(0, 0, 1) if walk else None, paused_until=maybe(None, None, NOW + HOUR), weekly=maybe(0, 0, 1),
        )
        for turn, channel in enumerate(draw(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=2, unique=True)))
    ]  # fmt: skip
    channel = rows[0].channel
    known = Known(
        draw(st.lists(touches, max_size=3)), maybe({}, {}, {(channel, "*"): "granted"}, {(channel, "news"): "withdrawn"}),
        maybe((), (), (("email", SuppressionRow(channel="email", scope="marketing", reason="suppressed")),)),
        maybe((), (), ((NOW - 2 * DAY, None, "news"),)),
    )  # fmt: skip
    known.push = maybe((), (PushAddress(b"h", "{}"),))
    return rows, known


def judge(crowd: list[tuple[list[DueRow], Known]], rules: Rules, *, alike: bool) -> list[Judged]:
    judging = Judging(rules, {"email": "email", "sms": "phone", "push": "push", "webhook": "recipient"})
    plans = PlanBook({})
    providers = {"email": "relay", "sms": "texts", "push": "browsers"}
    judgement = Judgement(judging, plans, providers, {*CHANNELS}, NOW, {})
    judgement.prepare(frozenset({(1, 1), (2, 1)}), lambda campaign, _: CampaignVersion.of(BODIES[campaign], {}).to_json())
    if not alike:
        judgement._alike.judge = lambda row, known: None  # type: ignore[method-assign]
    known = {}
    for rows, one in crowd:
        known[rows[0].person] = Known(list(one.touches), one.consents, one.suppressions, one.stays)
        known[rows[0].person].push = one.push
    found = judgement([row for rows, _ in crowd for row in rows], known, frozenset())
    # a claim ends at the nearer of the two, so a decision need not know of the delivery's own end
    return [
        item._replace(decision=item.decision._replace(closes=min(item.decision.closes or item.row.expires_at, item.row.expires_at)))
        if item.decision.verdict is Verdict.SEND else item
        for item in found
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(RULES))
def test_whoever_is_alike_gets_the_verdict_that_the_rules_give_him(data: st.DataObject, rules: Rules) -> None:
    """Any crowd, whatever the first of a kind was like: zones, consents, touches, hours, walks, addresses."""
    crowd = [data.draw(people(number)) for number in range(data.draw(st.integers(2, 8)))]
    assert judge(crowd, rules, alike=True) == judge(crowd, rules, alike=False)


def test_most_are_judged_the_short_way(monkeypatch: Any) -> None:
    """A hundred people in two zones, half of them with an earlier touch: the rules decide three times: twice for all, and for him who has no slot."""
    [row] = [
        DueRow(
            delivery=1, lane=1, not_before=NOW, expires_at=NOW + DAY, attempts=0, doubted=False, reason=None, wave=10, campaign=1,
            campaign_name="news", version=1, newest=1, variant=None, step="email", channel="email", job=1, job_key="j", queue="q", priority=50,
            job_window=None, person=1, recipient="c", email="a@example.com", phone=None, zone="Asia/Jakarta", locale=None, country=None,
            traits=None, vars=None, email_hash=b"e", phone_hash=None, erased=False, person_guard=0, campaign_guard=0, job_guard=0, queue_guard=0,
        )
    ]  # fmt: skip
    old = Touch(NOW - 6 * DAY, "email", "bill", None, None)
    crowd = [
        ([row._replace(delivery=n, person=n, expires_at=NOW + DAY + n, zone=("Asia/Jakarta", "Asia/Tokyo")[n % 2])], Known([old] * (n % 2)))
        for n in range(100)
    ]
    crowd[7][1].touches.append(Touch(NOW - HOUR, "email", "bill", None, "Asia/Jakarta"))
    slow = []
    monkeypatch.setattr(judging_module, "decide_all", lambda *args: slow.append(args) or [])
    assert len(judge(crowd, RULES[0], alike=True)) == 99
    assert [served[0].id for served, *_ in slow] == [7]
