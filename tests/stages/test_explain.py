"""Explain: why each message was or was not sent, judged by the rules that a claim asks, with numbers to compute it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import iso
from daemon.dispatch.judge import Judgement, Judging
from daemon.dispatch.work import PlanBook
from daemon.errors import NotFoundError
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import DAY, HOUR, MINUTE, REASONS, SECOND, Decision, Reason, Verdict
from daemon.policy.rules import compile_rules
from daemon.policy.tz import utc_text
from daemon.reports.explain import Explaining, render_text
from daemon.reports.sentences import Teller
from daemon.store.claim import claim_due, decision_json
from daemon.store.feedback import Report, hear
from daemon.store.flight import Flights, Kind, Result, Step
from daemon.store.jobs import pause_job, resume_job
from daemon.store.operate import set_campaign_status, set_queue_paused
from daemon.store.recover import begin
from daemon.store.unsubscribe import unsubscribe
from daemon.store.writer import Lane
from tests.stages.intake_world import CONFIG, NOW, IntakeWorld, job, people, version

CAPPED = CONFIG + """
[[cap]]
name = "weekly-email"
limit = 1
rolling = "2d"
channels = ["email"]
"""
DELIVERY_KEYS = {
    "id", "step", "channel", "provider", "state", "decision", "reason", "next_possible_at", "expires_at", "decided_at", "rule", "facts",
    "checks", "history", "text",
}  # fmt: skip


class ExplainWorld:
    """Intake, claims and outcomes by hand, and the explainer over the same rules."""

    def __init__(self, inner: IntakeWorld) -> None:
        self.inner = inner
        self.rules = compile_rules(inner.config)
        self.judging = Judging(self.rules, {"email": "email"}, {})
        self.gate: dict[str, str] = {}
        self.flights = Flights(lambda: inner.clock.wall, lambda now, highest: bool(self.gate))
        self.explainer = Explaining(
            store=inner.store, clock=inner.clock, bind=lambda now: self.bind(PlanBook({}), now), rules=lambda: self.rules, gate=lambda: self.gate
        )

    def bind(self, plans: PlanBook, now: int) -> Judgement:
        return self.judging.bind(plans, {"email": "relay"}, {"email"}, now)

    async def drop(self, *rows: dict[str, Any], id: str = "j", **more: Any) -> None:
        await self.inner.drop(job(0, id=id, recipients=list(rows), **more))
        await self.inner.settle()

    async def claim(self) -> Any:
        judge = self.bind(PlanBook({}), self.inner.clock.wall)
        return await self.inner.store.write(
            Lane.CLAIM, claim_due, now=self.inner.clock.wall, owner=1, epoch=1, horizon=judge.horizon, judge=judge, contest=True,
            share=lambda lanes: [(lane.id, 100) for lane in lanes], prepare=judge.prepare,
        )  # fmt: skip

    async def send(self, kind: Kind | None, *, unasked: bool = False, **more: Any) -> None:
        """Claim, hand over (unless `unasked`), and (unless None) record this outcome."""
        claimed = (await self.claim()).claimed
        step = Step(grants=[] if unasked else [(one.row.delivery, one.epoch) for one in claimed])
        await self.inner.store.join(Lane.HANDOVER, self.flights.step, step)
        if kind is not None:
            outcomes = [Result(delivery=one.row.delivery, epoch=one.epoch, kind=kind, **more) for one in claimed]
            await self.inner.store.join(Lane.HANDOVER, self.flights.step, Step(outcomes=outcomes))

    async def one(self, recipient: str, campaign: str | None = None) -> dict[str, Any]:
        """The newest delivery of the first walk."""
        answer = await self.explainer.explain(recipient, campaign)
        return dict(answer["enrolments"][0]["deliveries"][0])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExplainWorld]:
    inner = await IntakeWorld.open(tmp_path, CAPPED)
    await inner.store.write(Lane.BULK, begin, NOW, "node", "nonce")
    yield ExplainWorld(inner)
    await inner.close()


def person(name: str = "c-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "email": f"{name}@example.com", "zone": "Asia/Jakarta", **more}


@pytest.mark.promise("P7")
async def test_the_answer_has_the_shape_of_the_contract(world: ExplainWorld) -> None:
    """Every key of contract §5, and the zone with what says so."""
    await world.drop(person())
    answer = await world.explainer.explain("c-1")
    assert set(answer) == {"recipient", "at", "zone", "enrolments", "not_enrolled"}
    assert (answer["recipient"], answer["at"], answer["zone"]) == ("c-1", iso(NOW, digits=0), {"names": ["Asia/Jakarta"], "source": "explicit"})
    [walk] = answer["enrolments"]
    assert set(walk) == {"campaign", "version", "occurrence", "state", "arms", "deliveries"}
    assert (walk["campaign"], walk["version"], walk["occurrence"], walk["state"]) == ("winback", 1, 1, "open")
    [delivery] = walk["deliveries"]
    assert set(delivery) == DELIVERY_KEYS
    assert (delivery["state"], delivery["decision"], delivery["reason"]) == ("due", "send", None)
    assert len(delivery["id"]) == 13
    assert delivery["checks"][0] == ["permission", "pass"]


async def test_a_shut_window_names_its_opening(world: ExplainWorld) -> None:
    """At 03:40 UTC it is 22:40 of the day before in New York: the rule, its hours, and the exact next instant."""
    await world.drop(person(zone="America/New_York"))
    found = await world.one("c-1")
    assert (found["state"], found["decision"], found["reason"]) == ("due", "defer", "window_closed")
    assert found["rule"] == {"name": "window", "version": world.rules.version}
    assert found["facts"]["hours"] == ["09:00-21:00"]
    assert found["next_possible_at"] >= "2026-11-22T14:00:00"
    assert found["checks"][-1] == ["window", "defer"]
    assert "09:00-21:00" in found["text"]
    assert "New York time" in found["text"]


async def test_the_window_that_is_named_is_the_one_that_is_waited_for(world: ExplainWorld) -> None:
    """Where the campaign narrows the general one: its own hours, though both are shut."""
    await world.inner.load(version("second", window={"hours": ["mon-fri 10:00-12:00"]}))
    await world.drop(person(zone="America/New_York"), campaign="second")
    found = await world.one("c-1")
    assert (found["rule"]["name"], found["facts"]["hours"]) == ("campaign.window", ["mon-fri 10:00-12:00"])
    assert "the send window (mon-fri 10:00-12:00) is shut now; it opens on Mon 23 Nov 10:" in found["text"]


@pytest.mark.promise("P7")
async def test_a_full_cap_says_what_is_used_and_when_it_frees(world: ExplainWorld) -> None:
    """The contract's own example: limit, used, oldest, and the instant at which the oldest ages out."""
    await world.inner.load(version("second"))
    await world.drop(person())
    await world.send(Kind.ACCEPTED)
    world.inner.clock.wall += HOUR
    await world.drop(person(), id="k", campaign="second")
    await world.claim()
    found = await world.one("c-1", "second")
    assert (found["state"], found["decision"], found["reason"]) == ("due", "defer", "cap_reached")
    assert found["rule"]["name"] == "cap.weekly-email"
    assert found["facts"] | {"limit": 1, "rolling": "2d", "used": 1} == found["facts"]
    assert found["next_possible_at"] == iso(NOW + 2 * DAY, digits=6)
    assert found["history"] == [
        {"reason": "cap_reached", "first": iso(world.inner.clock.wall, digits=0), "last": iso(world.inner.clock.wall, digits=0), "count": 1}
    ]
    assert found["text"].startswith("Waits: 1 of 1 e-mails in 2 days are used; the oldest ages out on Tue 24 Nov 11:40 Jakarta")
    assert found["decided_at"] == iso(world.inner.clock.wall, digits=0)


async def test_what_was_sent_is_told_with_the_provider_s_answer(world: ExplainWorld) -> None:
    """Accepted: when and by whom; the walk has ended."""
    await world.drop(person())
    await world.send(Kind.ACCEPTED, provider_id="abc")
    answer = await world.explainer.explain("c-1")
    [delivery] = answer["enrolments"][0]["deliveries"]
    assert (answer["enrolments"][0]["state"], delivery["state"], delivery["provider"]) == ("ended", "accepted", "relay")
    assert delivery["facts"]["provider_id"] == "abc"
    assert delivery["next_possible_at"] is None
    assert delivery["text"] == "Sent: relay accepted it on Sun 22 Nov 11:40 Jakarta time."


async def test_what_the_provider_reported_since_is_told(world: ExplainWorld) -> None:
    """In the history with its times, in the facts with the provider's words, and for eyes."""
    await world.drop(person())
    await world.send(Kind.ACCEPTED, provider_id="abc")
    [row] = await world.inner.sql("SELECT id FROM delivery")
    reports = [
        Report("relay", "email", "delivered", NOW + SECOND, row[0]),
        Report("relay", "email", "opened", NOW + 2 * SECOND, row[0], event="1"),
        Report("relay", "email", "opened", NOW + 3 * SECOND, row[0], event="2"),
        Report("relay", "email", "complained", NOW + 4 * SECOND, row[0], code="fbl", detail="spam"),
    ]
    await world.inner.store.write(Lane.EXIT, hear, reports, channels=("email",), now=NOW + HOUR)
    answer = await world.explainer.explain("c-1")
    [delivery] = answer["enrolments"][0]["deliveries"]
    assert [(item["reason"], item["first"], item["last"], item["count"]) for item in delivery["history"]] == [
        ("delivered", iso(NOW + SECOND, digits=0), iso(NOW + SECOND, digits=0), 1),
        ("opened", iso(NOW + 2 * SECOND, digits=0), iso(NOW + 3 * SECOND, digits=0), 2),
        ("complained", iso(NOW + 4 * SECOND, digits=0), iso(NOW + 4 * SECOND, digits=0), 1),
    ]
    assert delivery["facts"]["delivered_at"] == iso(NOW + SECOND, digits=0)
    assert delivery["facts"]["reported"]["code"] == "fbl"
    assert delivery["text"].endswith("Jakarta time. It arrived on Sun 22 Nov 11:40 Jakarta time. Later it was reported as complained (fbl: spam).")
    assert "    reported: opened 2x" in render_text(answer)


async def test_a_used_up_day_says_what_it_cost_and_when_the_next_one_begins(world: ExplainWorld) -> None:
    """No rule knows of prices: the stored decision is told until its midnight has come, and then the rules again."""
    await world.drop(person())
    facts = {"limit": 5.0, "spent": 4.9, "price": 0.2, "currency": "EUR"}
    decision = Decision(verdict=Verdict.DEFER, reason=Reason.SPEND_LIMIT, until=NOW + HOUR, facts=facts)
    await world.send(Kind.DEFERRED, reason=Reason.SPEND_LIMIT, again_at=NOW + HOUR, burnt=False, decision=decision_json(decision))
    found = await world.one("c-1")
    assert (found["state"], found["decision"], found["reason"], found["facts"]) == ("due", "defer", "spend_limit", facts)
    assert found["next_possible_at"] == iso(NOW + HOUR, digits=6)
    assert found["text"].startswith("Waits: the daily spend is used")
    world.inner.clock.wall = NOW + HOUR
    assert (await world.one("c-1"))["decision"] == "send"


@pytest.mark.promise("P3", "P7")
async def test_a_doubt_shows_its_evidence_and_what_to_do(world: ExplainWorld) -> None:
    """In doubt: the phase's code and words, and that it is not sent again."""
    await world.drop(person())
    await world.send(Kind.UNKNOWN, code="timeout", detail="no answer after the dot")
    found = await world.one("c-1")
    assert (found["state"], found["decision"]) == ("in_doubt", "send")
    assert (found["facts"]["code"], found["facts"]["detail"]) == ("timeout", "no answer after the dot")
    assert "homing doubt resolve" in found["text"]


async def test_a_refusal_shows_the_provider_s_words(world: ExplainWorld) -> None:
    """Rejected: the reply is in the facts and in the sentence."""
    await world.drop(person())
    await world.send(Kind.REJECTED, scope="address", code="550", detail="5.1.1 no such user")
    found = await world.one("c-1")
    assert (found["state"], found["reason"]) == ("rejected", "rejected_by_provider")
    assert found["text"] == "Not sent: relay refused it for good: 550 5.1.1 no such user."


async def test_a_refusal_before_anything_left_is_not_laid_at_the_provider_s_door(world: ExplainWorld) -> None:
    """The channel's own rules refused it: no handover was asked for."""
    await world.drop(person())
    await world.send(Kind.REJECTED, scope="message", code="country_blocked", detail="FR is not among the provider's countries (ID)", unasked=True)
    found = await world.one("c-1")
    assert (found["state"], found["facts"]["refused_by"]) == ("rejected", "homing")
    what = "country_blocked: FR is not among the provider's countries (ID)"
    assert found["text"] == f"Not sent: Homing refused it by its own rules for relay, before anything left: {what}."


@pytest.mark.parametrize(("code", "detail"), [("550 5.1.1", "RCPT: no such user"), ("too_large", "RCPT: 552 is all that it says")])
async def test_a_relay_that_refuses_the_recipient_is_named_as_the_one(world: ExplainWorld, code: str, detail: str) -> None:
    """Nothing was handed over, and yet it was the relay that said no."""
    await world.drop(person())
    await world.send(Kind.REJECTED, scope="address", code=code, detail=detail, unasked=True)
    found = await world.one("c-1")
    assert "refused_by" not in found["facts"]
    assert found["text"].startswith(f"Not sent: relay refused it for good: {code}")


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (10 * MINUTE, "it opens on {turn}."),
        (75 * HOUR, "it opens on {opens}, and this message's own turn is on {turn}."),
    ],
)
def test_a_turn_days_after_the_opening_is_not_called_the_opening(until: int, words: str) -> None:
    """Preferred hours may let a message pass over several open windows."""
    teller = Teller("Asia/Jakarta", NOW)
    opens = NOW + HOUR
    facts = {"hours": ["09:00-21:00"], "opens": iso(opens, digits=0)}
    said = teller.waits(Reason.WINDOW_CLOSED.value, facts, opens + until, channel="email", what="its campaign")
    told = words.format(opens=teller.when(opens), turn=teller.when(opens + until))
    assert said == f"Waits: the send window (09:00-21:00) is shut now; {told}"


async def test_who_waits_for_a_window_is_told_what_stops_it_besides(world: ExplainWorld) -> None:
    """A shut window does not hide that everything is stopped; what opens by itself does not let it go."""
    await world.drop(person(zone="America/New_York"))
    before = await world.one("c-1")
    assert (before["decision"], "Besides" in before["text"]) == ("defer", False)
    world.gate["kill_switch"] = "stop lies in the state folder"
    assert (await world.one("c-1"))["text"] == before["text"] + " Besides, all sending is stopped (kill_switch): see `homing status`."
    await world.inner.store.write(Lane.EXIT, set_queue_paused, "lapsed-45", NOW, paused=True)
    assert (await world.one("c-1"))["text"] == before["text"] + " Besides, the queue lapsed-45 is paused."


async def _pause(world: ExplainWorld, kind: str, paused: bool) -> None:
    now, write = world.inner.clock.wall, world.inner.store.write
    match kind:
        case "campaign":
            await write(Lane.EXIT, set_campaign_status, "winback", CampaignStatus.PAUSED if paused else CampaignStatus.ACTIVE, now)
        case "queue":
            await write(Lane.EXIT, set_queue_paused, "lapsed-45", now, paused=paused)
        case _:
            await write(Lane.EXIT, pause_job if paused else resume_job, "j", now)


@pytest.mark.parametrize(("kind", "name"), [("campaign", "winback"), ("queue", "lapsed-45"), ("job", "j")])
async def test_what_a_pause_made_late_says_so(world: ExplainWorld, kind: str, name: str) -> None:
    """While it lasts, and after the claim that ended it: which pause, and from when to when."""
    await world.drop(person())
    clock, teller = world.inner.clock, Teller("Asia/Jakarta", NOW)
    clock.wall = began = NOW + HOUR
    await _pause(world, kind, True)
    await _pause(world, kind, True)
    clock.wall = NOW + 10 * DAY
    found = await world.one("c-1")
    assert found["text"].startswith(f"Will not be sent: the {kind} {name} is paused since {teller.when(began)}, and its end on ")
    await _pause(world, kind, False)
    went_on = clock.wall
    clock.wall += HOUR
    await world.claim()
    found = await world.one("c-1")
    assert (found["state"], found["reason"], found["facts"]["resumed_at"]) == ("expired", "late", utc_text(went_on))
    assert found["text"].startswith(f"Not sent: the {kind} {name} was paused from {teller.when(began)} to {teller.when(went_on)}, and its end")


async def test_what_is_late_beside_a_pause_is_not_laid_to_it(world: ExplainWorld) -> None:
    """Its end came after the campaign had gone on again: something else was too slow."""
    await world.drop(person())
    for paused in (True, False):
        await _pause(world, "campaign", paused)
        world.inner.clock.wall += HOUR
    world.inner.clock.wall = NOW + 10 * DAY
    await world.claim()
    found = await world.one("c-1")
    assert (found["reason"], "paused_at" in found["facts"]) == ("late", False)
    assert found["text"].startswith("Not sent: it could not go before its end on ")


async def test_a_recipients_pause_past_the_end_is_named(world: ExplainWorld) -> None:
    """The recipient asked for it: the sentence says who, and until when."""
    await world.drop(person())
    until = NOW + 30 * DAY
    await world.inner.do(f"UPDATE recipient SET paused_until = {until}")
    await world.claim()
    found = await world.one("c-1")
    assert (found["state"], found["reason"], found["facts"]["waited_for"]) == ("expired", "late", "paused_by_recipient")
    asked = Teller("Asia/Jakarta", NOW).when(until)
    assert found["text"].startswith(f"Not sent: the recipient asked for a pause until {asked}, which is after its end on ")


async def test_an_unsubscribe_shows_at_once_and_after_the_drop(world: ExplainWorld) -> None:
    """Before the next claim: what it will say; after it: what it said. The reason is the same."""
    await world.drop(person(zone="America/New_York"))
    [(number,)] = await world.inner.sql("SELECT id FROM delivery")
    await world.inner.store.write(Lane.EXIT, unsubscribe, number, now=NOW, how="one_click")
    before = await world.one("c-1")
    assert (before["state"], before["decision"], before["reason"]) == ("due", "drop", "suppressed")
    assert before["text"].startswith("Will not be sent: ")
    await world.claim()
    after = await world.one("c-1")
    assert (after["state"], after["decision"], after["reason"]) == ("dropped", "drop", "suppressed")
    assert after["text"] == "Not sent: the address asked not to be contacted."
    assert after["rule"] == before["rule"]
    assert after["facts"] == before["facts"]


async def test_a_guard_stands_last_in_the_checks(world: ExplainWorld) -> None:
    """Paused queue, paused job, shut gate: what passes the rules is stopped as a whole, and named so."""
    await world.drop(person())
    await world.inner.do("INSERT INTO queue (name, paused, guard) VALUES ('lapsed-45', 1, 1)")
    found = await world.one("c-1")
    assert (found["decision"], found["reason"], found["checks"][-1]) == ("defer", "campaign_paused", ["guard", "defer"])
    assert found["text"] == "Waits: the queue lapsed-45 is paused; resume it to let it go on."
    await world.inner.do("UPDATE queue SET paused = 0")
    world.gate["kill_switch"] = "stopped by hand"
    found = await world.one("c-1")
    assert (found["decision"], found["reason"], found["next_possible_at"]) == ("defer", "kill_switch", None)
    world.gate.clear()
    world.gate["clock_untrusted"] = "an hour behind"
    found = await world.one("c-1")
    assert (found["decision"], found["reason"]) == ("hold", "clock_untrusted")
    assert found["text"].startswith("Will be held (clock_untrusted): an hour behind.")


async def test_a_draft_campaign_says_how_to_start_it(world: ExplainWorld) -> None:
    """A job for a campaign that is not started waits, and the sentence names the command."""
    await world.drop(person())
    await world.inner.do("UPDATE campaign SET status = 'draft'")
    found = await world.one("c-1")
    assert (found["reason"], found["decision"]) == ("campaign_not_started", "defer")
    assert "homing campaigns start winback" in found["text"]


async def test_a_held_job_holds_its_planned_deliveries(world: ExplainWorld) -> None:
    """A count mismatch holds the job; each of its people is told so, with the remedy."""
    await world.drop(person(), expected_count=5)
    found = await world.one("c-1")
    assert (found["state"], found["decision"], found["reason"]) == ("planned", "hold", "count_mismatch")
    assert "--expect N" in found["text"]


async def test_no_address_and_no_consent_are_told_by_their_rule(world: ExplainWorld) -> None:
    """Permission decides first: the checks end there."""
    await world.drop(person("nobody", email=None, phone="+62811111111"), person("said-no"), person("left"))
    await world.inner.do("INSERT INTO consent SELECT id, 'email', '*', 'withdrawn', 1, 'form', NULL FROM recipient WHERE key = 'left'")
    await world.inner.do("INSERT INTO consent SELECT id, 'email', 'winback', 'withdrawn', 1, 'form', NULL FROM recipient WHERE key = 'said-no'")
    nobody, said_no = await world.one("nobody"), await world.one("said-no")
    assert (nobody["reason"], nobody["checks"]) == ("no_address", [["permission", "drop"]])
    assert (said_no["reason"], said_no["facts"]["topic"]) == ("topic_off", "winback")
    assert (await world.one("left"))["text"] == "Will not be sent: there is no consent for email: it was withdrawn."


async def test_the_campaign_narrows_and_unknown_names_are_not_found(world: ExplainWorld) -> None:
    """Another campaign's walks are left out; an unknown recipient or campaign is 404."""
    await world.inner.load(version("second"))
    await world.drop(person())
    assert (await world.explainer.explain("c-1", "second"))["enrolments"] == []
    assert "No delivery" in render_text(await world.explainer.explain("c-1", "second"))
    for recipient, campaign in (("c-2", None), ("c-1", "third")):
        with pytest.raises(NotFoundError):
            await world.explainer.explain(recipient, campaign)


async def test_the_text_for_eyes_has_each_delivery_and_its_checks(world: ExplainWorld) -> None:
    """What the command line prints."""
    await world.drop(person(zone="America/New_York"))
    await world.inner.do("UPDATE due SET not_before = :now", now=NOW)
    await world.inner.do("UPDATE lane SET head = :now", now=NOW)
    await world.inner.do("UPDATE delivery SET not_before = :now", now=NOW)
    await world.claim()
    text = render_text(await world.explainer.explain("c-1"))
    assert "America/New_York (explicit)" in text
    assert "offer · email · due, window_closed" in text
    assert "checks: permission:pass" in text
    assert "before: window_closed 1x" in text


@pytest.mark.promise("P7")
async def test_explaining_changes_nothing_and_is_what_the_claim_does(world: ExplainWorld) -> None:
    """The verdict explained is the verdict given a moment later, person by person."""
    zones = ["Asia/Jakarta", "America/New_York", "Asia/Tehran", "Pacific/Auckland"]
    await world.drop(*[{**row, "zone": zones[n % 4]} for n, row in enumerate(people(12))])
    await world.inner.do("UPDATE due SET not_before = :now", now=NOW)
    await world.inner.do("UPDATE lane SET head = :now", now=NOW)
    await world.inner.do("UPDATE delivery SET not_before = :now", now=NOW)
    told = {f"c-{n}": await world.one(f"c-{n}") for n in range(1, 13)}
    assert await world.inner.sql("SELECT count(*) FROM flight") == [(0,)]
    claimed = {one.row.recipient for one in (await world.claim()).claimed}
    assert claimed == {key for key, delivery in told.items() if delivery["decision"] == "send"}
    for key, before in told.items():
        if before["decision"] == "defer":
            after = await world.one(key)
            assert [after[name] for name in ("reason", "next_possible_at", "rule", "facts")] == [
                before[name] for name in ("reason", "next_possible_at", "rule", "facts")
            ]


@pytest.mark.promise("P7")
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    """Whatever the facts are, a sentence comes out, without an open place but for what is not known."""
    teller = Teller("Asia/Jakarta", NOW)
    rule = REASONS[reason]
    if rule.verdict is Verdict.DEFER:
        text = teller.waits(reason, {}, NOW + DAY, channel="email", what="the job j")
    elif rule.verdict is Verdict.HOLD:
        text = teller.held(reason, {})
    else:
        text = teller.ended(reason, {}, NOW, channel="email")
    assert text.endswith(".")
    assert "{" not in text


def test_a_try_that_was_put_off_says_by_whom_and_why() -> None:
    """A later try is not the place in the window: the server's words are shown."""
    facts = {"outcome": "deferred", "provider": "relay", "code": "451", "detail": "greylisted"}
    text = Teller("Asia/Jakarta", NOW).going(NOW + HOUR, NOW, facts)
    assert text == "Is tried again on Sun 22 Nov 12:40 Jakarta time: the last try, over relay, was put off (451 greylisted)."


def test_times_are_told_in_the_recipient_s_zone() -> None:
    """With the place's name; UTC where no zone is known."""
    assert Teller("Asia/Jakarta", NOW).when(NOW) == "Sun 22 Nov 11:40 Jakarta time"
    assert Teller("America/New_York", NOW).when(NOW) == "Sat 21 Nov 23:40 New York time"
    assert Teller(None, NOW + 400 * DAY).when(NOW + MINUTE + SECOND) == "Sun 22 Nov 2026 04:41 UTC"
