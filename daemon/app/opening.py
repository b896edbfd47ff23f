"""What a daemon and a command without a daemon both need: the state folder locked, the store open, the gate as it was left.

Start and restart are judged here: an older copy of the store, another installation's copy, or a long silence with work
overdue latch the gate until an operator accepts them (design: life of a delivery, 9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.app.ports import Lock, Ports
from daemon.app.setup import Setup
from daemon.audience.entering import uses_of
from daemon.clock import Clock
from daemon.config.schema import HomingTable
from daemon.content.version import CampaignVersion
from daemon.disk import Disk
from daemon.dispatch.gate import Gate
from daemon.dispatch.journal import Journal, Tail
from daemon.dispatch.stop_file import NAME as STOP_FILE
from daemon.errors import GuardRefusedError, StoreUnavailableError
from daemon.ids import Ids
from daemon.model.delivery import MINUTE, Instant, Reason
from daemon.room import Room
from daemon.store.campaigns import Loaded, Registered, newest_bodies, register
from daemon.store.care import quick_check
from daemon.store.recover import Began, accept_restore, begin, load_gate, mark_journaled, save_gate
from daemon.store.writer import KeptStore, Lane

FOLDERS = ("jobs", "jobs/tmp")
SUSPECT = "store.suspect"
"""Lies in the state folder after the store broke, until a start has checked it."""
NOT_BEGUN = Began(id=0, nonce="", commit=0, highest=0, last_heartbeat=None, overdue=False, returned=0, doubts=())


@dataclass(slots=True, kw_only=True)
class Opened:
    """The state of one installation, held by this process. `began`: with id 0 where no incarnation begins."""

    lock: Lock
    store: KeptStore
    journal: Journal
    gate: Gate
    began: Began
    room: Room
    damage: str | None = None
    """What the check found after a start that came of a broken store: nothing may be written, all can be looked at."""

    async def close(self) -> None:
        await self.store.close()
        self.journal.close()
        self.lock.release()


async def open_state(setup: Setup, ports: Ports) -> Opened:
    """Lock the state folder (StateHeldError), open the store and begin an incarnation."""
    homing, clock, disk = setup.config.homing, ports.clock, ports.disk
    lock = ports.lock(homing.state_dir)
    lock.acquire()
    try:
        room = _make_folders(homing, disk)
        journal = Journal(homing.journal, disk)
        tail = journal.tail()
        damage = examine(homing.state_dir, homing.database, disk)
        store = ports.open_store(homing.database, after_join=journal.append)
    except BaseException:
        lock.release()
        raise
    if damage is not None:
        store.frozen = StoreUnavailableError(damage)  # whatever is written could make it worse: no incarnation begins
        gate = Gate(homing.state_dir / STOP_FILE, {Reason.STORE_DAMAGED.value: damage})
        return Opened(lock=lock, store=store, journal=journal, gate=gate, began=NOT_BEGUN, room=room, damage=damage)
    try:
        store.make_room, store.no_room = room.give_up, room.refused
        now = clock.instant()
        began = await store.write(Lane.EXIT, begin, now, ports.node, ports.ids.nonce())
        gate = Gate(homing.state_dir / STOP_FILE, await store.read(load_gate), clock, disk.exists)
        for reason, detail in suspicions(began, tail, now, setup.config.intake.late_grace):
            gate.latch(reason, detail)
        await store.write(Lane.EXIT, save_gate, gate.latched())
        journal.open(began.nonce, began.commit)
    except BaseException:
        if store.broken is not None:
            mark_suspect(homing.state_dir, str(store.broken), disk)
        await store.close()
        journal.close()
        lock.release()
        raise
    return Opened(lock=lock, store=store, journal=journal, gate=gate, began=began, room=room)


def _make_folders(homing: HomingTable, disk: Disk) -> Room:
    """The folders that the state lies in, looked at once. StoreUnavailableError."""
    places = (homing.database.parent, homing.state_dir, homing.journal.parent)
    room = Room(disk, places)
    try:
        for folder in (*places, *(homing.state_dir / name for name in FOLDERS)):
            disk.make_folder(folder)
        room.look(load=False)
    except OSError as error:
        raise StoreUnavailableError(
            f"{error.filename}: the folder cannot be used: {error.strerror}; see [homing] state_dir, store and journal"
        ) from None
    return room


def mark_suspect(state_dir: Path, why: str, disk: Disk) -> None:
    """The next start must check the store before it sends. A disk that takes not even this is beyond our help."""
    try:
        disk.write_atomic(state_dir / SUSPECT, f"{why}\n".encode())
    except OSError:
        return


def examine(state_dir: Path, database: Path, disk: Disk) -> str | None:
    """What is wrong with a store that broke under whoever had it last; None = nothing, and the mark is gone."""
    mark = state_dir / SUSPECT
    if not disk.exists(mark):
        return None
    if disk.exists(database) and (damage := quick_check(database)) is not None:
        return f"the check of the store found damage: {damage}; put a backup back (docs/operations.md)"
    disk.remove(mark)
    return None


def suspicions(began: Began, tail: Tail, now: Instant, late_grace: int) -> list[tuple[Reason, str]]:
    """What speaks against sending at this start: (reason, detail for the operator)."""
    found: list[tuple[Reason, str]] = []
    if tail.nonce is not None and tail.nonce != began.nonce:
        found.append((Reason.RESTORED, "the store and the send journal are of different installations"))
    elif tail.nonce is None and began.commit > 0:
        found.append((Reason.RESTORED, "the store has sent before, but its send journal is not there: is this a copy?"))
    elif tail.commit > began.commit:
        found.append(
            (Reason.RESTORED, f"the send journal is ahead of the store by {tail.commit - began.commit} commits: an older copy was put back")
        )
    if now < began.highest:
        found.append((Reason.CLOCK_UNTRUSTED, "the clock is behind the last commit of the store"))
    elif began.last_heartbeat is not None and began.overdue and now - began.last_heartbeat > late_grace:
        silent = (now - began.last_heartbeat) // MINUTE
        found.append(
            (
                Reason.CLOCK_UNTRUSTED,
                f"the daemon was silent for {silent} minutes and deliveries are overdue: is the clock right, is this the live machine?",
            )
        )
    return found


async def accept_store(opened: Opened, ids: Ids, clock: Clock) -> None:
    """The operator takes this store for the true one: what the journal knows to be sent since is put in doubt, and both get a new
    nonce. GuardRefusedError if the journal no longer reaches back to it: nobody could say what was sent in between."""
    if not opened.journal.reaches(opened.began.commit):
        raise GuardRefusedError(
            f"the send journal no longer reaches back to this copy of the store (commit {opened.began.commit}): what was sent in"
            " between is not known, so it would be sent again; put back a younger backup"
        )
    for batch in opened.journal.since(opened.began.commit):
        await opened.store.write(Lane.EXIT, mark_journaled, batch, clock.instant())
    nonce = ids.nonce()
    await opened.store.write(Lane.EXIT, accept_restore, nonce)
    opened.journal.restart(nonce, opened.began.commit)


async def register_campaigns(store: KeptStore, versions: Mapping[str, CampaignVersion], now: Instant) -> dict[str, Registered]:
    """Give the store what the campaigns folder says now; new content makes a new version."""
    stored = await store.read(newest_bodies, sorted(versions))
    known = {name: CampaignVersion.from_json(body).campaign.status.value for name, body in stored.items()}
    loaded: Sequence[Loaded] = [
        Loaded(
            name=name, digest=version.digest, body=version.to_json(), status=version.campaign.status.value, uses=uses_of(version.campaign)
        )
        for name, version in versions.items()
    ]
    return await store.write(Lane.EXIT, register, loaded, known, now)


def jobs_folder(state_dir: Path) -> Path:
    return state_dir / "jobs"
