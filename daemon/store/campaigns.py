"""Campaigns as the store knows them: immutable versions, the operator's status, the guard that fences it.

A version's body is the JSON of `content.CampaignVersion`; the store does not look inside. Inline jobs get a campaign
`job:ID` with one version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from daemon.errors import NotFoundError
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.exits import Use, set_uses
from daemon.store.sql import fetch, ids, in_list, many, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A campaign as its folder has it now. `status`: what the file says; `uses`: what it makes of events."""

    name: str
    digest: str
    body: str
    status: str
    uses: Sequence[Use] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """`fresh`: this load made a new version."""

    id: int
    name: str
    status: str
    version: int
    fresh: bool


_STANDS = select(s.campaign.c.id, s.campaign.c.status, s.campaign.c.version).where(s.campaign.c.name == bindparam("b_name"))
_DIGEST = select(s.campaign_version.c.digest).where(
    s.campaign_version.c.campaign == bindparam("b_campaign"), s.campaign_version.c.version == bindparam("b_version")
)

_LAST, _NEW = select(func.max(s.campaign.c.id)), insert(s.campaign)
_NEW_VERSION, _VERSION_NAMES = insert(s.campaign_version), ("campaign", "version", "digest", "body", "loaded_at")
_MOVES_ON = (
    update(s.campaign)
    .where(s.campaign.c.id == bindparam("b_id"))
    .values(version=bindparam("b_version"), status=bindparam("b_status"), guard=s.campaign.c.guard + literal_column("1"))
)


def register(conn: Connection, loaded: Sequence[Loaded], file_status: Mapping[str, str | None], now: Instant) -> dict[str, Registered]:
    """Store the versions that are new. The file's status counts at the first load, and again whenever the file changes it;
    else the operator's word stands. `file_status`: what the last stored version's file said, by name (None = first load)."""
    out: dict[str, Registered] = {}
    for item in loaded:
        found = fetch(conn, _STANDS, ("b_name",), (item.name,))
        if not found:
            number = (value(conn, _LAST) or 0) + 1
            many(conn, _NEW, ("id", "name", "status", "version"), [(number, item.name, item.status, 0)])
            status, version = item.status, 0
        else:
            number, status, version = found[0]
        set_uses(conn, number, item.uses)
        last = value(conn, _DIGEST, ("b_campaign", "b_version"), (number, version))
        if last == item.digest:
            out[item.name] = Registered(id=number, name=item.name, status=status, version=version, fresh=False)
            continue
        version += 1
        many(conn, _NEW_VERSION, _VERSION_NAMES, [(number, version, item.digest, item.body, now)])
        if file_status.get(item.name) not in (None, item.status):
            status = item.status
        many(conn, _MOVES_ON, ("b_id", "b_version", "b_status"), [(number, version, status)])
        out[item.name] = Registered(id=number, name=item.name, status=status, version=version, fresh=True)
    return out


_NEWEST = (
    select(s.campaign.c.name, s.campaign_version.c.body)
    .join(s.campaign_version, (s.campaign_version.c.campaign == s.campaign.c.id) & (s.campaign_version.c.version == s.campaign.c.version))
    .where(in_list(s.campaign.c.name, "names"))
)


def newest_bodies(conn: Connection, names: Iterable[str]) -> dict[str, str]:
    """Name -> JSON body of the newest version, of those of these campaigns that the store knows."""
    return dict(fetch(conn, _NEWEST, ("names",), (ids(names),)))


_BODY = select(s.campaign_version.c.body).where(
    s.campaign_version.c.campaign == bindparam("b_campaign"), s.campaign_version.c.version == bindparam("b_version")
)


def body_of(conn: Connection, campaign: int, version: int) -> str:
    """The JSON body of one version. KeyError if there is none."""
    body = value(conn, _BODY, ("b_campaign", "b_version"), (campaign, version))
    if body is None:
        raise KeyError((campaign, version))
    return str(body)


_ID = select(s.campaign.c.id).where(s.campaign.c.name == bindparam("name"))
_STATUSES = select(s.campaign.c.name, s.campaign.c.id, s.campaign.c.status).where(in_list(s.campaign.c.name, "names"))


def campaign_id(conn: Connection, name: str) -> int:
    """The store's number of a campaign. LookupError if there is none."""
    found: int | None = value(conn, _ID, ("name",), (name,))
    if found is None:
        raise LookupError(f"no campaign {name}")
    return found


def must_know(conn: Connection, name: str) -> None:
    """NotFoundError if there is no campaign of this name."""
    if value(conn, _ID, ("name",), (name,)) is None:
        raise NotFoundError(f'no campaign is named "{name}"; `homing campaigns list` shows them')


def statuses(conn: Connection, names: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Name -> (number, the operator's word), of those that there are."""
    return {row[0]: (row[1], row[2]) for row in fetch(conn, _STATUSES, ("names",), (ids(sorted(names)),))}
