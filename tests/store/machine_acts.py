"""The machine's other rules: jobs and their planning, what operators do, what recipients do."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from daemon.errors import GuardRefusedError, IntakeError, NotFoundError
from daemon.journey.profile import Shop
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import DAY, HOUR, Reason
from daemon.policy.caps import Cap
from daemon.store import jobs, operate
from daemon.store.campaigns import register
from daemon.store.claim import Claimed
from daemon.store.doubts import count_doubts, list_doubts, resolve_doubt
from daemon.store.expansion_end import Limits, end_expansion, fail_job
from daemon.store.held import HeldWhere, cancel_some_held, count_held, held_job_keys, release_held_jobs, release_some_held
from daemon.store.jobs import NewJob, accept_job
from daemon.store.merge import merge
from daemon.store.plan import Batch, Target, jobs_to_expand, plan_chunk
from daemon.store.recipients import upsert_recipients
from daemon.store.release import Timed, jobs_to_release, jobs_to_sweep, read_planned, release_chunk, sweep_some
from daemon.store.suppressions import SuppressionEntry, add_suppressions, remove_suppression
from daemon.store.unsubscribe import unsubscribe
from tests.store.machine import OUTCOMES, PICK, Machine, suppressible, survives
from tests.store.machine_model import Delivery, Job, Queue, hash_of
from tests.store.machine_world import CAMPAIGNS, CAPS, EMAILS, QUEUES, ZONES, loaded, new_person, plan_row

PEOPLE = st.lists(st.integers(0, 8), min_size=2, max_size=6, unique=True)
ALL = HeldWhere()
FATES = (*[None] * 4, *["accepted"] * 4, *OUTCOMES)
PAUSE = st.tuples(
    st.sampled_from(("nothing", "nothing", "nothing", "crash", "crash", "ask again", "clock", "switch", "time", "operator", "job", "recipient")), PICK
)


def _no_note(errors: object) -> None:
    """No row of the machine's is bad."""


class StoreMachine(Machine):
    """All rules. Run it by `tests/store/test_machine.py`."""

    jobs_made = 0

    # -- jobs

    @rule(how=st.tuples(st.integers(0, 2), st.integers(0, 1), PEOPLE, st.sampled_from((0, 0, 0, HOUR)), st.integers(0, 8)))
    def job_comes(self, how: tuple[int, int, list[int], int, int]) -> None:
        """A job on its way, perhaps only a part of it, or with a crash in it: in, planned, counted, released."""
        campaign, queue, people, wait, far = how
        self.new_job(campaign=campaign, queue=queue, expected=99 if far == 1 else None, twice=far == 2)
        for number, act in enumerate((
            lambda: self.plan(0, people), lambda: self.end_of_body(0), lambda: self.release(0, len(people), wait, never=False),
        )):  # fmt: skip
            if far != number:
                self.settled()
                self.crash_next = self.crash_next or far == 6 + number
                act()

    @rule(how=st.tuples(st.integers(1, 3), st.lists(st.sampled_from(FATES), min_size=1, max_size=5), st.lists(PAUSE, min_size=2, max_size=2)))
    def go(self, how: tuple[int, list[str | None], list[tuple[str, int]]]) -> None:
        self.send(*how)

    def meanwhile(self, what: str, pick: int, claims: Sequence[Claimed]) -> None:
        if what == "operator":
            self.operator_acts((3 + pick % 6, pick, True))
        elif what == "job":
            self.order_a_job(pick, ("pause", "cancel")[pick % 2])
        elif what == "recipient":
            self.unsubscribe(pick)
        else:
            super().meanwhile(what, pick, claims)

    @rule(how=st.tuples(st.integers(0, 7), PICK, PEOPLE))
    def jobs_go_on(self, how: tuple[int, int, list[int]]) -> None:
        what, pick, people = how
        (
            lambda: self.plan(pick, people), lambda: self.end_of_body(pick), lambda: self.release(pick, 1 + pick % 3, 0, never=pick == 7),
            lambda: self.release(pick, 5, 0, never=False), self.sweep, self.finish, lambda: self.body_breaks_off(pick),
            lambda: self.other_content_under_an_old_id(pick),
        )[what]()  # fmt: skip

    @rule(how=st.tuples(st.integers(0, 9), PICK, st.booleans()))
    def operator_acts(self, how: tuple[int, int, bool]) -> None:
        what, pick, flag = how
        (
            lambda: self.order_a_job(pick, "pause"), lambda: self.order_a_job(pick, "resume"), lambda: self.order_a_job(pick, "cancel"),
            lambda: self.order_a_queue(pick % 2, paused=flag), lambda: self.order_a_queue(pick % 2, paused=False),
            lambda: self.order_a_campaign(pick % 3, CampaignStatus.PAUSED if flag else CampaignStatus.ACTIVE),
            lambda: self.new_version_of_a_campaign(pick % 3), lambda: self.free_what_is_held(cancel=flag, n=1 + pick % 3, whole=pick > 8),
            lambda: self.resolve_a_doubt(pick, sent=flag), lambda: self.resolve_a_doubt(pick, sent=False),
        )[what]()  # fmt: skip

    @rule(how=st.tuples(st.integers(0, 5), PICK, st.booleans()))
    def recipient_acts(self, how: tuple[int, int, bool]) -> None:
        what, pick, flag = how
        (
            lambda: self.unsubscribe(pick), lambda: self.suppress(pick, everything=flag, channel="*" if pick > 8 else "email"),
            lambda: self.lift_a_suppression(pick), lambda: self.recipient_changes(pick, pick % 4, int(flag)),
            lambda: self.recipient_changes(pick, 0, int(flag)), lambda: self.become_one(pick, 1 + flag),
        )[what]()  # fmt: skip

    @initialize(caps=st.sampled_from((None, None, *CAPS)), campaign=st.integers(0, 2), people=PEOPLE)
    def begin_with_a_job(self, caps: tuple[Cap, ...] | None, campaign: int, people: list[int]) -> None:
        """An example wants something that is due."""
        self.set_up(caps)
        self.job_comes((campaign, 0, people, 0, 5))
        self.settled()
        self.job_comes(((campaign + 1) % 3, 1, people, 0, 5))  # the same people, so that they have something to contend for

    @survives
    def new_job(self, campaign: int, queue: int, expected: int | None, twice: bool) -> None:
        """A job comes in, perhaps twice; under its id nothing else comes in."""
        name, number = CAMPAIGNS[campaign][0], len(self.model.jobs) + 1
        self.jobs_made += 1
        new = NewJob(
            key=f"job-{self.jobs_made}", queue=QUEUES[queue], campaign=name, digest=f"d{self.jobs_made}", source="spool", received_at=self.now,
            head="{}", format="json", body="b", offset=0, line=0, expected=expected, priority=50 + 10 * campaign,
        )  # fmt: skip
        accepted = self.do(accept_job, new, self.now)
        assert accepted.fresh
        version = self.model.campaigns[name].version
        self.model.accept(Job(number, new.key, new.digest, new.queue, name, version, expected))
        if twice:
            again = self.do(accept_job, new, self.now)
            assert (again.fresh, again.receipt.job) == (False, new.key)

    @survives
    def other_content_under_an_old_id(self, pick: int) -> None:
        if not self.model.jobs:
            return
        old = self.some_job(pick)
        if old.state == "failed":
            return
        new = NewJob(
            key=old.key, queue=old.queue, campaign=old.campaign, digest="other", source="spool", received_at=self.now, head="{}",
            format="json", body="b", offset=0, line=0, expected=None, priority=50,
        )  # fmt: skip
        with pytest.raises(IntakeError, match="came before"):
            self.do(accept_job, new, self.now)

    def some_job(self, pick: int) -> Job:
        """The youngest first."""
        found = list(self.model.jobs.values())
        return found[-1 - pick % len(found)]

    @survives
    def plan(self, pick: int, people: list[int]) -> None:
        """Rows of a body, with the place in it: all or nothing of both."""
        open_jobs = [job for job in self.model.jobs.values() if job.state in ("receiving", "paused") and not job.expanded]
        work = self.store.act(jobs_to_expand)
        assert [item.id for item in work] == [job.id for job in open_jobs]
        if not open_jobs:
            return
        job, mine = open_jobs[pick % len(open_jobs)], work[pick % len(open_jobs)]
        known = self.model.persons
        persons = sorted((known.get((fresh := new_person(number)).id, fresh) for number in people), key=lambda person: person.id)
        target = Target(step="message", channels=("email",), again=self.model.campaigns[job.campaign].again, expires_at=self.now + 3 * DAY)
        rows = [
            plan_row(self.model.survivor(person), line)._replace(person=person.id, key=person.key) for line, person in enumerate(persons, 1)
        ]  # fmt: skip
        batch = Batch(rows=rows, doubles=(), progress=f"{mine.progress or ''}.", last=False)
        assert self.do(plan_chunk, mine, batch, target, self.now, len(self.model.deliveries) + 1, _no_note)
        ids = sorted(self.store.rows().deliveries.keys() - self.model.deliveries.keys())
        self.model.plan(job, persons, target.expires_at, self.now, ids)
        job.progress = batch.progress

    @survives
    def end_of_body(self, pick: int) -> None:
        job = self.some_job(pick) if self.model.jobs else None
        if job is None:
            return
        state = self.do(end_expansion, job.id, Limits(queue=1000, unexpected=1000))
        if job.state not in ("receiving", "paused") or job.expanded:
            assert state is None
            return
        self.model.end_expansion(job)
        assert state == job.state

    @survives
    def body_breaks_off(self, pick: int) -> None:
        """Nothing of the job is ever released; what it planned is forgotten."""
        open_jobs = [job for job in self.model.jobs.values() if job.state in ("receiving", "paused") and not job.expanded]
        if open_jobs:
            job = open_jobs[pick % len(open_jobs)]
            assert self.do(fail_job, job.id, "cut_off", "the body ends early", 3)
            job.state, job.reason, job.guard, job.progress = "failed", "cut_off", job.guard + 1, None

    @survives
    def release(self, pick: int, n: int, wait: int, never: bool) -> None:
        """Planned rows fall due behind the cursor."""
        waiting = [j for j in self.model.jobs.values() if j.state == "accepted" and j.expanded and not j.out and not j.finished]
        work = self.store.act(jobs_to_release)
        assert [item.id for item in work] == [job.id for job in waiting]
        if not waiting:
            return
        job, mine = waiting[pick % len(waiting)], work[pick % len(waiting)]
        planned = self.store.act(read_planned, job.id, mine.release_cursor or 0, job.last, n)
        first = self.now + wait
        ends = first + 3 * DAY
        timed = [Timed(p.delivery, p.lane, None if never and i == 0 else first, ends, "window_never_opens") for i, p in enumerate(planned)]
        cursor = planned[-1].delivery if len(planned) == n else job.last
        assert self.do(release_chunk, job.id, timed, cursor, self.now)
        self.model.release(job, [(t.delivery, t.not_before, t.expires_at) for t in timed], cursor, self.now)

    @survives
    def order_a_job(self, pick: int, how: str) -> None:
        if not self.model.jobs:
            return
        job = self.some_job(pick)
        act = {"pause": jobs.pause_job, "resume": jobs.resume_job, "cancel": jobs.cancel_job}[how]
        from_, to = {
            "pause": (("receiving", "accepted"), "paused"),
            "resume": (("paused",), "accepted" if job.expanded else "receiving"),
            "cancel": (("receiving", "accepted", "paused", "held"), "cancelled"),
        }[how]
        with contextlib.suppress(GuardRefusedError):
            self.do(act, job.key, *([] if how == "cancel" else [self.now]))
        if job.state in from_:
            job.state, job.guard = to, job.guard + 1
            if how == "cancel":
                job.reason, job.progress = "operator", None

    @survives
    def sweep(self) -> None:
        """Cancelled and failed jobs are cleared, a stretch at a time."""
        for job in self.store.act(jobs_to_sweep):
            cursor = 0
            while True:
                swept = self.do(sweep_some, job, cursor, self.now, 2)
                if not swept.ended:
                    break
                cursor = swept.cursor
            self.model.sweep(self.model.jobs[job.id], self.now)

    @survives
    def finish(self) -> None:
        finished = self.do(jobs.finish_jobs, self.now)
        assert sorted(finished) == sorted(self.model.finish())

    # -- operators

    @survives
    def order_a_queue(self, pick: int, paused: bool) -> None:
        self.do(operate.set_queue_paused, QUEUES[pick], self.now, paused=paused)
        queue = self.model.queues.setdefault(QUEUES[pick], Queue())
        queue.paused, queue.guard = paused, queue.guard + 1

    @survives
    def order_a_campaign(self, pick: int, status: CampaignStatus) -> None:
        campaign = self.model.campaigns[CAMPAIGNS[pick][0]]
        self.do(operate.set_campaign_status, campaign.name, status, self.now)
        if campaign.status != status.value:
            campaign.status, campaign.guard = status.value, campaign.guard + 1

    @survives
    def new_version_of_a_campaign(self, pick: int) -> None:
        campaign = self.model.campaigns[CAMPAIGNS[pick][0]]
        if campaign.version < 4:
            self.do(register, [loaded(campaign.name, campaign.version + 1)], {campaign.name: "active"}, self.now)
            campaign.version, campaign.guard = campaign.version + 1, campaign.guard + 1

    @survives
    def free_what_is_held(self, cancel: bool, n: int, whole: bool) -> None:
        """Whole jobs, or at most n deliveries."""
        model = self.model
        held_jobs = [job for job in model.jobs.values() if job.state == "held" and not job.finished]
        held = sorted((d for d in model.deliveries.values() if d.row_state == "held"), key=lambda d: (d.reason or "", d.id))
        waiting = sum(d.job == job.id and d.state in ("planned", "due", "claimed") for job in held_jobs for d in model.deliveries.values())
        assert self.store.act(count_held, ALL) == waiting + len(held)
        if whole:
            assert self.store.act(held_job_keys, ALL) == [job.key for job in held_jobs]
            assert self.do(release_held_jobs, ALL) == waiting
            for job in held_jobs:
                job.state, job.reason, job.guard = "accepted", None, job.guard + 1
            return
        act = cancel_some_held if cancel else release_some_held
        assert self.do(act, ALL, self.now, n) == min(n, len(held))
        for d in held[:n]:
            (model.cancel_held if cancel else model.free_held)(d, self.now)

    @survives
    def resolve_a_doubt(self, pick: int, sent: bool) -> None:
        """Listed with its evidence; closed by an operator's word."""
        doubts = [d for d in sorted(self.model.deliveries.values(), key=lambda d: d.id) if d.row_state == "in_doubt"]
        listed = self.store.act(list_doubts, 0, 100)
        assert [(x.delivery, x.handed_over_at, [a.outcome for a in x.attempts]) for x in listed] == [
            (d.id, d.handed_over_at, d.tries) for d in doubts
        ]
        assert self.store.act(count_doubts) == len(doubts)
        if not doubts:
            with pytest.raises(NotFoundError):
                self.store.act(resolve_doubt, 1, self.now, sent=sent)
            return
        d = doubts[pick % len(doubts)]
        assert d.handed_over_at is not None, f"delivery {d.id} is in doubt and nobody knows since when"
        self.do(resolve_doubt, d.id, self.now, sent=sent)
        self.model.resolve(d, self.now, sent=sent)
        if not sent:
            self.maybe_sent[d.born] = 0

    # -- recipients

    def some_delivery(self, pick: int) -> Delivery | None:
        found = sorted(self.model.deliveries.values(), key=lambda d: (d.flight is None, d.id))
        return found[pick % len(found)] if found else None

    @survives
    def unsubscribe(self, pick: int) -> None:
        d = self.some_delivery(pick)
        if d is None:
            return
        done = self.do(unsubscribe, d.id, now=self.now, how="page")
        assert done is not None
        assert done.changed == self.model.unsubscribe(d, self.now)

    @survives
    def suppress(self, pick: int, everything: bool, channel: str) -> None:
        address = suppressible(pick)
        scope, reason = ("all", Reason.COMPLAINED) if everything else ("marketing", Reason.SUPPRESSED)
        self.do(add_suppressions, [SuppressionEntry(address, channel, scope, reason.value, self.now, "test")])
        self.model.suppress(address, channel, scope, reason.value)

    @survives
    def lift_a_suppression(self, pick: int) -> None:
        address = suppressible(pick)
        gone = self.do(remove_suppression, address, None)
        mine = [key for key in self.model.suppressions if key[0] == address]
        assert len(gone) == len(mine)
        for key in mine:
            del self.model.suppressions[key]

    @survives
    def recipient_changes(self, pick: int, email: int, zone: int) -> None:
        persons = sorted(self.model.persons.values(), key=lambda person: person.key)
        if not persons:
            return
        person, new_zone = persons[pick % len(persons)], tuple(ZONES)[zone]
        row = plan_row(person)._replace(email=EMAILS[email], email_hash=hash_of(EMAILS[email]), zone=new_zone)
        self.do(upsert_recipients, [row], self.now)
        self.model.change(person, EMAILS[email], new_zone, self.now)

    @survives
    def become_one(self, pick: int, beside: int) -> None:
        """One recipient is another from now on."""
        persons = sorted(self.model.persons.values(), key=lambda person: person.key)
        if persons:
            other, person = persons[pick % len(persons)], persons[(pick + beside) % len(persons)]
            done = self.do(merge, other.key, person.id, Shop(), self.now)
            assert (done is not None) == self.model.merge(other, person, self.now)

    # -- the end

    def end_well(self) -> None:
        """Once nothing stands in its way any more, all that may go goes: nothing is forgotten in a corner."""
        super().end_well()
        self.crash_next = False
        self.stop_file.unlink(missing_ok=True)
        model = self.model
        self.now = max(self.now, model.commit[1])
        self.die_and_start_again()
        for job in model.jobs.values():
            if job.state == "paused":
                self.order_a_job(pick=len(model.jobs) - job.id, how="resume")
        for number in range(2):
            self.order_a_queue(pick=number, paused=False)
        for number in range(3):
            self.order_a_campaign(pick=number, status=CampaignStatus.ACTIVE)
        self.policy = None
        for _ in range(40):
            due = [d.not_before for d in model.deliveries.values() if d.waits and model.may_run(d)]
            if not due:
                break
            self.now = max(self.now, min(due)) + 1
            self.send_all()
        left = [d for d in model.deliveries.values() if d.waits and model.may_run(d)]
        assert not left, f"never sent: {left}"

    def send_all(self) -> None:
        self.send(50, ["accepted"])
        self.settled()
