"""The first schema: a frozen copy of the tables as they were, so that this step never changes with later code."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BLOB, BigInteger, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

metadata = MetaData()


def _table(name: str, *items: Column[object] | UniqueConstraint | Index, clustered: bool = False) -> Table:
    return Table(name, metadata, *items, sqlite_with_rowid=not clustered)


def _int(name: str, *, key: bool = False, null: bool = False, default: int | None = None) -> Column[object]:
    return Column(
        name, BigInteger().with_variant(Integer, "sqlite"), primary_key=key, nullable=null, autoincrement=False,
        server_default=None if default is None else text(str(default)),
    )  # fmt: skip


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[object]:
    return Column(name, Text, primary_key=key, nullable=null)


meta = _table("meta", _text("key", key=True), _text("value"), clustered=True)

recipient = _table(
    "recipient",
    _int("id", key=True),
    _text("key"),
    _text("email", null=True),
    _text("phone", null=True),
    _text("zone", null=True),
    _text("locale", null=True),
    _text("country", null=True),
    _text("traits", null=True),
    Column("email_hash", BLOB, nullable=True),
    Column("phone_hash", BLOB, nullable=True),
    _int("guard", default=0),
    _int("erased", default=0),
    _int("created_at"),
    _int("updated_at"),
)

consent = _table(
    "consent",
    _int("person", key=True),
    _text("channel", key=True),
    _text("topic", key=True),
    _text("state"),
    _int("at"),
    _text("source", null=True),
    _text("text", null=True),
    clustered=True,
)

suppression = _table(
    "suppression",
    Column("hash", BLOB, primary_key=True),
    _text("channel", key=True),
    _text("scope"),
    _text("reason"),
    _int("at"),
    _text("source", null=True),
    clustered=True,
)

queue = _table("queue", _text("name", key=True), _int("paused", default=0), _int("guard", default=0), clustered=True)

campaign = _table(
    "campaign",
    _int("id", key=True),
    _text("name"),
    _text("status"),
    _int("guard", default=0),
    _int("version", default=0),
    UniqueConstraint("name"),
)

campaign_version = _table(
    "campaign_version",
    _int("campaign", key=True),
    _int("version", key=True),
    _text("digest"),
    _text("body"),
    _int("loaded_at"),
    clustered=True,
)

job = _table(
    "job",
    _int("id", key=True),
    _text("key"),
    _text("queue"),
    _int("campaign"),
    _int("version"),
    _text("digest"),
    _text("state"),
    _text("reason", null=True),
    _text("source"),
    _int("received_at"),
    _text("head"),
    _text("format"),
    _text("body"),
    _int("offset", default=0),
    _int("line", default=0),
    _int("expanded", default=0),
    _int("rows", default=0),
    _int("expected", null=True),
    _int("accepted", default=0),
    _int("duplicate", default=0),
    _int("rejected", default=0),
    _text("errors", null=True),
    _int("errors_omitted", default=0),
    _int("first_id", null=True),
    _int("last_id", null=True),
    _int("release_cursor", null=True),
    _int("priority"),
    _int("not_before", null=True),
    _int("expires_at", null=True),
    _text("window", null=True),
    _int("guard", default=0),
    _int("finished_at", null=True),
    UniqueConstraint("key"),
    Index("job_open", "state", sqlite_where=text("finished_at IS NULL")),
)

wave = _table(
    "wave",
    _int("id", key=True),
    _int("campaign"),
    _text("step"),
    _int("occurrence"),
    _text("channel"),
    UniqueConstraint("campaign", "step", "occurrence", "channel"),
)

lane = _table(
    "lane",
    _int("id", key=True),
    _text("queue"),
    _int("job"),
    _int("priority"),
    _text("channel"),
    UniqueConstraint("job", "priority", "channel"),
)

delivery = _table(
    "delivery",
    _int("id", key=True),
    _int("wave"),
    _int("person"),
    _int("job"),
    _int("version"),
    _text("variant", null=True),
    _text("state"),
    _text("reason", null=True),
    _int("lane"),
    _int("not_before"),
    _int("expires_at"),
    _int("attempts", default=0),
    _text("vars", null=True),
    _int("decided_at", null=True),
    _text("decision", null=True),
    _text("key", null=True),
    _text("provider", null=True),
    _text("provider_id", null=True),
    _int("handed_over_at", null=True),
    _int("ended_at", null=True),
    UniqueConstraint("wave", "person"),
    Index("delivery_held", "reason", "id", sqlite_where=text("state = 'held'")),
    Index("delivery_in_doubt", "id", sqlite_where=text("state = 'in_doubt'")),
)

due = _table("due", _int("lane", key=True), _int("not_before", key=True), _int("delivery", key=True), clustered=True)

flight = _table(
    "flight",
    _int("delivery", key=True),
    _int("wave"),
    _int("person"),
    _int("job"),
    _int("handed_over", default=0),
    _int("epoch"),
    _int("owner"),
    _int("person_guard"),
    _int("campaign_guard"),
    _int("job_guard"),
    _int("queue_guard"),
    _int("closes"),
    _text("channel"),
    _text("topic", null=True),
    _text("zone", null=True),
    _text("provider"),
    Column("address_hash", BLOB, nullable=True),
    _int("claimed_at"),
    _int("handed_over_at", null=True),
    Index("flight_person", "person"),
    Index("flight_address", "address_hash"),
)

touch = _table(
    "touch",
    _int("person", key=True),
    _int("at", key=True),
    _int("delivery", key=True),
    _text("channel"),
    _int("campaign"),
    _text("topic", null=True),
    _text("zone", null=True),
    clustered=True,
)

attempt = _table(
    "attempt",
    _int("delivery", key=True),
    _int("n", key=True),
    _int("at"),
    _text("provider"),
    _text("outcome"),
    _text("scope", null=True),
    _text("code", null=True),
    _text("detail", null=True),
    _int("handed_over_at", null=True),
    clustered=True,
)

reason_history = _table(
    "reason_history",
    _int("delivery", key=True),
    _text("reason", key=True),
    _int("first"),
    _int("last"),
    _int("count"),
    clustered=True,
)

tally = _table(
    "tally",
    _int("job", key=True),
    _text("state", key=True),
    _text("reason", key=True),
    _int("n"),
    clustered=True,
)

incarnation = _table(
    "incarnation",
    _int("id", key=True),
    _text("node"),
    _int("started_at"),
    _int("heartbeat_at"),
    _int("ended_at", null=True),
)

bucket = _table("bucket", _text("name", key=True), _text("state"), clustered=True)

token = _table(
    "token",
    Column("hash", BLOB, primary_key=True),
    _text("name"),
    _text("scopes"),
    _int("created_at"),
    _int("revoked_at", null=True),
    clustered=True,
)


def upgrade() -> None:
    metadata.create_all(op.get_bind())
