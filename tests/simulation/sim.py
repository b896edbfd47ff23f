"""One simulated world: the daemon's lives one after the other, and those around it: senders of jobs, recipients, operators, faults.

The daemon is `daemon.app.main.Daemon`, the composition of production, on simulated ports. Those around it act through what the doors
lead to (intake, desk, unsubscribing, suppressing) or through the disk (spool, stop file); what they were answered goes into the
events, as does what the relays saw. Whoever is cut off by a crash asks again, as people and tools do.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from daemon.app.main import Daemon
from daemon.app.ports import Pace
from daemon.app.setup import Setup
from daemon.dispatch.records import RECORD_SECONDS
from daemon.dispatch.stop_file import make_stop_file
from daemon.errors import GuardRefusedError, HomingError
from daemon.intake.accept import Arrival
from daemon.links import UNSUBSCRIBE
from daemon.model.delivery import SECOND, Reason
from daemon.notify import Notifier
from daemon.service import Signals
from daemon.simulate import MemoryFile, Process, QuietLog, StoreFaults, World, make_ports
from daemon.web.operations import Selection
from tests.simulation import look
from tests.simulation.events import Acked, Asked, Bought, End, Event, Fault, Resolved, Row, Seen, Suppressed, Switch
from tests.simulation.relay import BEHAVIOURS, RECORDED_SECONDS, Sea
from tests.simulation.shop import QUEUES, STATE, setup_of
from tests.simulation.workload import DEATHS, ROWS, FaultPlan, JobPlan, Plan, utc

T = TypeVar("T")

NEW = tuple(STATE / "spool" / queue / "new" for queue in QUEUES)
"""Where jobs are put."""
HOT_SECONDS = 30.0
"""For so long after something happened the daemon and the operators look around often."""
BUYERS = 0.15
"""Share of the addresses named to a relay whose people would buy about then."""
STRANGERS = 0.2
"""Of those of them whom no walk concerns, the share that does: it ends nothing, but all that waits for them is decided anew."""
HOT_TICK = 60.0
"""How often the daemon does so then when nothing calls it."""
IDLE = 3600.0
"""How often those around the daemon look when nothing happens."""
LOOK = 7200.0
"""How often the daemon looks around when nothing calls it."""
GATHER = 120.0
"""What falls due within so long is claimed together."""
RECOUNTS = 4
"""So often an operator counts a queue anew that he wants cancelled."""
END_SECONDS = 60 * 3600.0
"""By then all work must have ended: the longest life is 26 h, and it begins at the last drop."""


class Ears(Signals):
    """Hears when the daemon is ready."""

    def __init__(self, ready: Callable[[], object]) -> None:
        super().__init__(listening=False)
        self._ready_now = ready

    def emit(self, name: str, **facts: Any) -> None:
        if name == "ready":
            self._ready_now()


class Sim:
    """`run` lives the plan of one seed; then `events` and `table` (fault, state) -> deliveries tell."""

    def __init__(self, world: World, plan: Plan, file: MemoryFile, say: Callable[[str, str, dict[str, Any]], object] | None) -> None:
        self.world, self.plan, self.file = world, plan, file
        self.log = QuietLog(say)
        self.events: list[Event] = []
        self.table: Counter[tuple[str, str]] = Counter()
        self.struck: Counter[str] = Counter()
        self.rng = random.Random(f"sim {plan.seed}")
        self.buying = random.Random(f"buying {plan.seed}")
        self.faults = StoreFaults(plan.seed)
        self.pace = Pace(
            tick_seconds=LOOK, heartbeat_ticks=1, observe_ticks=10, poll_seconds=2 * LOOK, room_seconds=20, audit_seconds=3 * LOOK,
            reconcile_seconds=3 * LOOK, gather_seconds=GATHER,
        )  # fmt: skip
        self.context = contextvars.copy_context()
        self.start = utc(plan.start)
        self.sea = Sea(
            world=world, ways=plan.ways, note=self._noted, struck=self.strikes, mailed=self.mailed, true=self.true,
            rng=random.Random(f"sea {plan.seed}"), pipelining=plan.pipelining,
        )  # fmt: skip
        world.dns.hosts = {f"relay{n}.example": [f"192.0.2.{n}"] for n in (1, 2)}
        opener = self.sea.opener(lambda: self.process)
        self.setups = (setup_of(plan.variant, opener), setup_of(plan.variant, opener, twin=True))
        self.twin = False
        self.lives = 0
        self.up, self.down = asyncio.Event(), asyncio.Event()
        self.word = asyncio.Lock()
        self.striking: set[asyncio.Task[Any]] = set()
        self.over = self.calm = False
        self.wanted = False
        self.hot_until = 0.0
        self.killed = False
        self.offset = 0.0
        self.silence = 0.0
        self.taken_again = 0.0
        """From when on the store has taken down again what waited while it was full."""
        self.death = ""
        self.tasks: list[asyncio.Task[Any]] = []

    # -- time and notes

    def true(self) -> int:
        return self.start + round(self.world.loop.time() * SECOND)

    def note(self, event: Event) -> None:
        self.events.append(event)
        self.world.loop.note(type(event).__name__)

    def _noted(self, event: Event) -> None:
        """What a relay saw. Some of those to whom a message is about to go buy just then, or a little later."""
        self.events.append(event)
        if isinstance(event, Asked) and self.buying.random() < BUYERS:
            self.spawn(self._buy(event.email.partition("@")[0], self.buying.choice((0.0, 0.02, 0.1, 5.0, 600.0)) * self.buying.random()), "buy")

    async def _buy(self, recipient: str, wait: float) -> None:
        await asyncio.sleep(wait)
        jobs = look.walks(self.file.conn, recipient)
        if not jobs and self.buying.random() >= STRANGERS:
            return
        message = {"type": "track", "userId": recipient, "event": "Order Completed", "messageId": f"{recipient} {self.true()}"}
        if await self.deed(lambda daemon: daemon.tracker.take([message])) is not None:
            self.note(Bought(at=self.true(), recipient=recipient, jobs=jobs))

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Work of the world's, whoever is the cause of it."""
        task = self.context.run(lambda: self.world.loop.create_task(work, name=name))
        self.tasks.append(task)
        return task

    def heat(self) -> None:
        """Something happens: look around often for a while."""
        self.hot_until = self.world.loop.time() + HOT_SECONDS
        self.pace.tick_seconds = HOT_TICK

    def strikes(self, kind: str) -> None:
        """A fault of this kind strikes now: which states are the deliveries in?"""
        self.struck[kind] += 1
        if self.struck[kind] <= (2 if kind in BEHAVIOURS else 10):
            for state, n in look.states(self.file.conn).items():
                self.table[kind, state] += n

    # -- the daemon's lives

    async def live(self) -> None:
        while not self.over:
            await self.one_life()
            if not self.over:
                await asyncio.sleep(self.silence or self.rng.uniform(0.05, 4.0))
                self.silence = 0.0

    async def one_life(self) -> None:
        self.lives += 1
        self.process = process = Process(self.world.loop, self.lives)
        self.death = ""
        self.down.clear()
        process.died.append(lambda: self.sea.client_dies(power=self.death == "power_loss"))
        ports = make_ports(self.world, process, self.file, self.faults, pace=self.pace, log=self.log)
        notifier = functools.partial(Notifier, environ={}, pid=1)
        self.daemon = Daemon(self.setups[self.twin], self._read, ports, Ears(self._ready), notifier)
        main = process.run(self.daemon.run(), "daemon")
        died = self.spawn(self.down.wait(), "down")
        await asyncio.wait({main, died}, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        self.up.clear()
        if process.alive and main.exception() is not None:
            self.log.error("daemon_ended", error=repr(main.exception()))
            self.note(Fault(at=self.true(), kind="ended", connections=self.sea.open_links(), ended=True))
        elif process.alive and self.faults.full:
            self.note(Fault(at=self.true(), kind="ended_full"))  # it ended in order, and could not write down what it knew
        process.strike()
        await process.bury()
        if self.death == "power_loss":
            self.world.disk.crash()
        else:
            self.world.disk.die()
        self.faults.broken = False
        self.mend_clock()  # who starts it looks at the clock: a jump between two lives is not to be seen from within

    def _ready(self) -> None:
        self.up.set()
        self.heat()
        self.note(Seen(at=self.true(), states=look.published(self.file.conn)))

    def _read(self) -> Setup:
        return self.setups[self.twin]

    def die(self, kind: str) -> None:
        """The process ends between two steps."""
        if self.process.alive:
            self.note(Fault(at=self.true(), kind=kind, connections=self._unwritten(), ended=True))
            self.death = kind
            self.mend_clock()  # a machine that boots asks for the time
            self.process.strike()
            self.down.set()

    def _unwritten(self) -> int:
        """Connections of which the store may not know yet what came over them: those that are open, and all while it takes nothing down."""
        return 1 << 10 if self.world.loop.time() < self.taken_again else self.sea.open_links()

    def mend_clock(self) -> None:
        if self.offset:
            self.world.clock.jump(-self.offset)
            self.offset = 0.0

    # -- deeds: what is asked of the daemon from outside

    async def deed(self, what: Callable[[Daemon], Awaitable[T]], *, again: bool = True) -> T | None:
        """Ask until it is answered; with `again` False once. None = it was not answered."""
        while not self.over:
            await self.up.wait()
            daemon = self.daemon
            task = self.process.run(_call(what, daemon), "deed")
            await asyncio.wait({task})
            if not task.cancelled():
                error = task.exception()
                if error is None:
                    return task.result()  # type: ignore[no-any-return]
                self.log.warning("deed_refused", error=repr(error))
                if isinstance(error, GuardRefusedError):
                    return None
                if not isinstance(error, HomingError | OSError) and self.process.alive and not self.struck["store_broken"]:
                    raise error
            if not again:
                return None
            await asyncio.sleep(self.rng.uniform(0.5, 5.0))
        return None

    async def drop(self, job: JobPlan) -> None:
        """Bring a job to the daemon; noted once it is acknowledged."""
        await self.up.wait()
        self.heat()
        for fault in self.plan.faults:
            if fault.job == int(job.key[1:]):
                self.world.loop.at_step(self.world.loop.steps + fault.steps, functools.partial(self.spawn_fault, fault))
        if job.door == "http":
            arrival = Arrival(source="http")
            receipt = await self.deed(lambda daemon: daemon.intake.accept(_pieces(job.body()), arrival))
            if receipt is None:
                return
        else:
            await self._spool(job)
        self.note(Acked(at=self.true(), job=job.key, queue=job.queue, campaign=QUEUES[job.queue][0], rows=job.rows))

    async def _spool(self, job: JobPlan) -> None:
        disk, folder = self.world.disk, STATE / "spool" / job.queue
        name = f"{job.key}.ndjson"
        while True:
            try:
                disk.remove(folder / "tmp" / name)
                with disk.create(folder / "tmp" / name) as file:
                    file.write(job.body())
                    file.sync()
                disk.rename(folder / "tmp" / name, folder / "new" / name)
                break
            except OSError:
                await asyncio.sleep(5)
        self.spawn(self._poke(), "poke")

    async def _poke(self) -> None:
        """The spool is looked at once a second; a world of days looks when there is something."""
        await asyncio.sleep(self.rng.uniform(0.01, 1.0))
        if self.up.is_set() and self.process.alive:
            self.daemon.spool.poke()
            self.daemon.expansion.poke()

    def mailed(self, job: str, recipient: str, token: str) -> None:
        """Somebody got a mail; some use its link."""
        if self.rng.random() < self.plan.unsubscribe:
            self.spawn(self._unsubscribe(recipient, token), "unsubscribe")

    async def _unsubscribe(self, recipient: str, token: str) -> None:
        await asyncio.sleep(self.rng.choice((self.rng.uniform(0, 0.2), self.rng.uniform(0, 60), self.rng.uniform(0, 20000))))

        async def apply(daemon: Daemon) -> object:
            delivery = daemon.links.read(UNSUBSCRIBE, token)
            if delivery is None:
                raise AssertionError("the link of a mail is not read")
            return await daemon.unsubscribing.apply(delivery, how="one_click")

        if await self.deed(apply) is not None:
            self.note(Suppressed(at=self.true(), recipient=recipient, all=False))

    # -- operators

    async def operate(self) -> None:
        """Look after the daemon: mend the clock, accept what is held, unless somebody wants it held."""
        while not self.over:
            hot = self.world.loop.time() < self.hot_until
            if not hot:
                self.pace.tick_seconds = LOOK
            await asyncio.sleep(self.rng.uniform(10, 30) if hot else IDLE / 2)
            if self.up.is_set() and self.process.alive:  # what is asked of a dead one would end who asks
                if self._undone():
                    self.daemon.spool.poke()
                    self.daemon.expansion.poke()
                if not self.killed and self.daemon.opened.gate.reasons():
                    await self._start_all()

    def _undone(self) -> bool:
        """Jobs lie in the spool: as if the daemon looked once a second."""
        return any(name.endswith(".ndjson") for folder in NEW for name in self.world.disk.names(folder))

    async def _start_all(self) -> None:
        async with self.word:
            if not self.killed:
                self.mend_clock()
                await self.deed(self._open_gate, again=False)

    async def _open_gate(self, daemon: Daemon) -> object:
        gate = await daemon.desk.gate()
        try:
            return await daemon.desk.start_all(expect=int(str(gate["backlog"])), accept_clock=True, accept_restore=Reason.RESTORED in gate["holds"])  # type: ignore[operator]
        except GuardRefusedError:
            return None  # the number has changed meanwhile: look again next time

    async def tidy(self) -> None:
        """All faults are over; what operators stopped is started again, what needs a word of theirs gets it."""
        self.faults.full, self.world.disk.left = 0.0, 1 << 40
        self.sea.down.clear()
        self.sea.slow = False
        self.world.dns.hosts = {f"relay{n}.example": [f"192.0.2.{n}"] for n in (1, 2)}
        for queue in look.paused(self.file.conn):
            await self._set(f"queue:{queue}", on=False, what=functools.partial(_resume_queue, queue))

    async def _set(self, name: str, *, on: bool, what: Callable[[Daemon], Awaitable[object]]) -> None:
        async with self.word:  # two words about one thing are said one after the other
            if not on:
                self.note(Switch(at=self.true(), what=name, on=False))
            await self.deed(what)
            if on:
                self.note(Switch(at=self.true(), what=name, on=True))

    async def resolve_doubts(self) -> None:
        """Operators look into the relay's log and say what became of some of the doubts."""
        took = look.taken(self.events)
        for delivery, intent in look.doubts(self.file.conn):
            if self.rng.random() < 0.5:
                sent = intent in took
                self.note(Resolved(at=self.true(), job=intent[0], recipient=intent[1], sent=sent))
                await self.deed(lambda daemon, d=delivery, s=sent: daemon.desk.resolve_doubt(d, sent=s), again=False)

    async def release_held(self) -> None:
        for reason in look.held_jobs(self.file.conn):
            await self.deed(functools.partial(_release, reason), again=False)

    # -- faults

    def spawn_fault(self, fault: FaultPlan) -> None:
        """Strike. Deaths fall between the very two steps."""
        if self.over or self.calm:
            return
        if fault.kind in DEATHS:
            if self.process.alive:
                self.strikes(fault.kind)
                self.silence = self.rng.uniform(3600, 30000) if fault.draw < 0.1 else 0.0
                self.die(fault.kind)
        else:
            self.strikes(fault.kind)
            self.note(Fault(at=self.true(), kind=fault.kind))
            self.heat()
            task = self.spawn(getattr(self, f"_{fault.kind}")(fault), fault.kind)
            self.striking.add(task)
            task.add_done_callback(self.striking.discard)

    async def _sigterm(self, fault: FaultPlan) -> None:
        supervisor = self.daemon.supervisor if self.up.is_set() else None
        if supervisor is not None:
            supervisor.request_stop("SIGTERM")
            if fault.draw < 0.2:
                await asyncio.sleep(fault.seconds)
                if self.process.alive:  # it waits no longer for answers: what is on its way now ends in doubt, as at a kill
                    self.note(Fault(at=self.true(), kind="cut_short", connections=self._unwritten()))
                supervisor.request_stop("SIGTERM")

    async def _silence(self, fault: FaultPlan) -> None:
        """Stopped for hours, then started by someone."""
        self.silence = 3600 * (0.5 + 9 * fault.draw)
        await self._sigterm(fault)

    async def _clock_forward(self, fault: FaultPlan) -> None:
        if not self.up.is_set():
            return  # see `one_life`: nobody can tell a clock that jumped before a start
        self.offset += 300 + 12000 * fault.draw
        self.world.clock.jump(300 + 12000 * fault.draw)

    async def _clock_back(self, fault: FaultPlan) -> None:
        if not self.up.is_set():
            return
        self.offset -= 300 + 12000 * fault.draw
        self.world.clock.jump(-300 - 12000 * fault.draw)

    async def _store_full(self, fault: FaultPlan) -> None:
        self.faults.full = 0.3 + 0.7 * fault.draw
        self.taken_again = self.world.loop.time() + fault.seconds + RECORD_SECONDS + RECORDED_SECONDS
        await asyncio.sleep(fault.seconds)
        self.faults.full = 0.0
        self.spawn(self._poke(), "poke")

    async def _store_broken(self, fault: FaultPlan) -> None:
        self.faults.broken = self.process.alive

    async def _disk_full(self, fault: FaultPlan) -> None:
        self.world.disk.left = round(3000 * fault.draw)
        await asyncio.sleep(fault.seconds)
        self.world.disk.left = 1 << 40
        self.spawn(self._poke(), "poke")

    async def _dns(self, fault: FaultPlan) -> None:
        self.world.dns.hosts = {}
        await asyncio.sleep(fault.seconds)
        self.world.dns.hosts = {f"relay{n}.example": [f"192.0.2.{n}"] for n in (1, 2)}

    async def _refused(self, fault: FaultPlan) -> None:
        down = {"relay1.example"} if fault.draw < 0.5 else {"relay1.example", "relay2.example"}
        self.sea.down |= down
        for link in self.sea.links if fault.draw < 0.7 else ():
            link.server_closes()
        await asyncio.sleep(fault.seconds)
        self.sea.down -= down

    async def _slow_banner(self, fault: FaultPlan) -> None:
        self.sea.slow = True
        for link in self.sea.links if fault.draw < 0.5 else ():
            link.server_closes()
        await asyncio.sleep(fault.seconds)
        self.sea.slow = False

    async def _kill_switch(self, fault: FaultPlan) -> None:
        """By the command line (the file alone) or by the API; ended by an operator after a while."""
        if self.killed:
            return  # somebody else has it in hand
        self.killed = True
        async with self.word:
            while fault.draw < 0.5:
                try:
                    make_stop_file(STATE, "simulated", self.world.disk)  # type: ignore[arg-type]  # a Disk by shape
                    break
                except OSError:
                    await asyncio.sleep(1)
            else:
                await self.deed(lambda daemon: daemon.desk.stop_all(detail="simulated"))
            self.note(Switch(at=self.true(), what="kill", on=True))
        await asyncio.sleep(fault.seconds)
        self.note(Switch(at=self.true(), what="kill", on=False))
        self.killed = False

    async def _pause_queue(self, fault: FaultPlan) -> None:
        queue = sorted(QUEUES)[int(fault.draw * len(QUEUES))]
        await self._set(f"queue:{queue}", on=True, what=lambda daemon: daemon.desk.pause_queue(queue))
        await asyncio.sleep(fault.seconds)
        await self._set(f"queue:{queue}", on=False, what=functools.partial(_resume_queue, queue))

    async def _pause_campaign(self, fault: FaultPlan) -> None:
        name = QUEUES[sorted(QUEUES)[int(fault.draw * len(QUEUES))]][0]
        await self._set(f"campaign:{name}", on=True, what=lambda daemon: daemon.desk.pause_campaign(name))
        await asyncio.sleep(fault.seconds)
        await self._set(f"campaign:{name}", on=False, what=functools.partial(_resume_campaign, name))

    async def _cancel_queue(self, fault: FaultPlan) -> None:
        queue = sorted(QUEUES)[int(fault.draw * len(QUEUES))]

        async def cancel(daemon: Daemon) -> object:
            count = next((q["deliveries"] for q in await daemon.desk.list_queues() if q["queue"] == queue), {})
            waiting = sum(n for state, n in count.items() if state in ("planned", "due", "claimed", "held"))  # type: ignore[union-attr]
            return await daemon.desk.cancel_queue(queue, expect=waiting)

        for _ in range(RECOUNTS):  # while messages go the number has changed by the time it is said
            if await self.deed(cancel, again=False) is not None:
                for job in look.cancelled_jobs(self.file.conn, queue):
                    self.note(Switch(at=self.true(), what=f"job:{job}", on=True))
                return

    async def _reload(self, fault: FaultPlan) -> None:
        self.twin = not self.twin
        if self.up.is_set() and self.daemon.supervisor is not None:
            self.daemon.supervisor.request_reload()

    async def _suppress(self, fault: FaultPlan) -> None:
        """A list of addresses that must get nothing comes in."""
        rows = sorted({(row.recipient, row.email) for job in self.plan.jobs for row in job.rows})
        chosen = self.rng.sample(rows, 12)
        lines = "\n".join(email for _, email in chosen).encode()
        if await self.deed(lambda daemon: daemon.suppressing.take(_pieces(lines), {"source": "list"})) is not None:
            for recipient, _ in chosen:
                self.note(Suppressed(at=self.true(), recipient=recipient, all=True))

    # -- the whole

    async def run(self) -> None:
        loop = self.world.loop
        life = self.spawn(self.live(), "life")
        self.spawn(self.operate(), "operators")
        for job in self.plan.jobs:
            await asyncio.sleep(max(0.0, job.at - loop.time()))
            self.spawn(self.drop(job), job.key)
        await asyncio.sleep(400)
        self.spawn(self.resolve_doubts(), "doubts")
        await asyncio.sleep(200)
        while not any(self.struck[kind] for kind in DEATHS):
            await self.up.wait()
            self.spawn_fault(FaultPlan(kind=DEATHS[0], job=0, steps=0, draw=0.5, seconds=1))
        if len(self.struck) < 2:
            self.spawn_fault(FaultPlan(kind="sigterm", job=0, steps=0, draw=0.5, seconds=1))
        self.calm = True
        while self.striking:
            await asyncio.sleep(5)
        await self.up.wait()
        await self.tidy()
        await self._until_ended()
        await self.up.wait()
        self.over = True
        if self.daemon.supervisor is not None:
            self.daemon.supervisor.request_stop("the end")
        await asyncio.wait({life})
        life.result()
        left = [task for task in self.tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        errors = [f"{task.get_name()}: {task.exception()!r}" for task in self.tasks if not task.cancelled() and task.exception() is not None]
        self.events += look.receipts(self.file.conn)
        self.note(End(at=self.true(), states=look.ended(self.file.conn), errors=tuple(errors)))

    async def _until_ended(self) -> None:
        keys, spare, counted = [job.key for job in self.plan.jobs], dict(self.plan.spare), 0
        while self.world.loop.time() < END_SECONDS:
            await asyncio.sleep(120 if self.world.loop.time() < self.hot_until else IDLE)
            if self.up.is_set():
                await self.release_held()
                if not look.is_planned(self.file.conn, keys):
                    continue
                missing = ROWS - len(look.published(self.file.conn)) if counted < len(keys) else 0
                counted = len(keys)
                if missing > 0:
                    keys.append(await self._ask_others(f"j{len(keys)}", missing, spare))
                elif not look.on_its_way(self.file.conn):
                    return

    async def _ask_others(self, key: str, count: int, spare: dict[str, Sequence[Row]]) -> str:
        """A job in place of what was cancelled before it was planned: the key under which it was dropped."""
        queue = max(spare, key=lambda queue: (len(spare[queue]), queue))
        rows, spare[queue] = tuple(spare[queue][:count]), spare[queue][count:]
        await self.drop(JobPlan(at=0.0, key=key, queue=queue, door="spool", rows=rows, expected=None, blank=frozenset()))
        return key


async def _call(what: Callable[[Daemon], Awaitable[T]], daemon: Daemon) -> T:
    return await what(daemon)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        await asyncio.sleep(0)
        yield body[start : start + 1000]


async def _resume_queue(queue: str, daemon: Daemon) -> object:
    return await daemon.desk.resume_queue(queue)


async def _resume_campaign(name: str, daemon: Daemon) -> object:
    return await daemon.desk.resume_campaign(name)


async def _release(reason: str, daemon: Daemon) -> object:
    page = await daemon.desk.list_held(Selection(reason=reason), after=None, limit=100)
    jobs = [item for item in page.items if item["kind"] == "job"]
    if not jobs:
        return 0
    return await daemon.desk.release_held(Selection(reason=reason), expect=sum(int(str(item["count"])) for item in jobs))
