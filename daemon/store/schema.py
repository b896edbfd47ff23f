"""The tables, and why each lies as it lies (design: layout; ADR 0002, 0006).

Rows that change together lie together: `due` is clustered by lane and time, `flight` holds only what is claimed or handed
over, and the wide `delivery` row is written when planned, when deferred or held, and when it ends. Instants are
microseconds of UTC. `person` is the recipient's id, of the survivor where two became one (`merged`). Migrations in
`daemon/store/migrations` must add up to exactly this; a test compares them.
"""

from __future__ import annotations

from sqlalchemy import BLOB, BigInteger, Column, Index, UniqueConstraint, text

from daemon.store import (
    columns,
    schema_audiences,
    schema_events,
    schema_notices,
    schema_offers,
    schema_products,
    schema_segments,
    schema_walks,
)
from daemon.store.columns import int_column as _int
from daemon.store.columns import table as _table
from daemon.store.columns import text_column as _text

metadata = columns.metadata
audience, audience_member = schema_audiences.audience, schema_audiences.audience_member
audience_batch, audience_failure = schema_audiences.audience_batch, schema_audiences.audience_failure
event_name, event = schema_events.event_name, schema_events.event
profile, alias, merged = schema_events.profile, schema_events.alias, schema_events.merged
walk, campaign_event, trigger_event, pause = schema_walks.walk, schema_walks.campaign_event, schema_walks.trigger_event, schema_walks.pause
segment, segment_member = schema_segments.segment, schema_segments.segment_member
segment_run, category_cycle = schema_segments.segment_run, schema_segments.category_cycle
issue, code, code_pool, redemption = schema_offers.issue, schema_offers.code, schema_offers.code_pool, schema_offers.redemption
experiment_result = schema_offers.experiment_result
outlay, outlaid = schema_offers.outlay, schema_offers.outlaid
notice, notice_target = schema_notices.notice, schema_notices.notice_target
product, bought, wanted = schema_products.product, schema_products.bought, schema_products.wanted
product_pair, bestseller = schema_products.product_pair, schema_products.bestseller

meta = _table("meta", _text("key", key=True), _text("value"), clustered=True)
"""Single facts: installation nonce, highest committed `now`, commit number, next delivery id, what holds sending (`gate`)."""

recipient = _table(
    "recipient",
    Column("id", BigInteger, primary_key=True, nullable=False, autoincrement=False),
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
    _int("paused_until", null=True),
    _int("weekly", default=0),
)
"""`id` = 63-bit hash of `key` (store.recipients.person_id): one finds a recipient by its key without asking the store for a number.
BIGINT, and so not SQLite's rowid: the rows lie in order of arrival, and only the narrow index of `id` is in the order of the hash
(ADR 0002: a new recipient would else cost a random page of wide rows). `*_hash` = keyed HMAC of the normalised address. `guard` is raised
by everything that may forbid a send.
`erased`: 1 = erased, 2 = merged into another: its addresses are gone, their hashes stay for an erasure. `paused_until`,
`weekly` (1: no more than one message a week): what the recipient asked for itself."""

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
"""`topic` "*" = all topics. `state`: granted | withdrawn | pending (double opt-in not yet confirmed)."""

push_subscription = _table(
    "push_subscription",
    Column("hash", BLOB, primary_key=True),
    _int("person"),
    _text("address"),
    _text("family", null=True),
    _int("created_at"),
    _int("last_seen_at"),
    Index("push_subscription_person", "person"),
    clustered=True,
)
"""A browser that may be pushed to. `hash` of its endpoint: one browser, one row, and it belongs to whom it was registered for last.
`address`: endpoint and keys, as the channel is given them. `family`: of the browser, for people who look at a list."""

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
"""`channel` "*" = all. `scope`: marketing | all. `reason`: a `Reason` (suppressed, bounced, complained, erased)."""

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
"""`version` = the newest loaded one. `status` is the operator's word (`campaigns start|pause`), seeded from the file."""

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
    _int("enrols", default=0),
    UniqueConstraint("key"),
    Index("job_open", "state", sqlite_where=text("finished_at IS NULL")),
)
"""`body` = file name under STATE/jobs; `offset`/`line` = how far expansion has read; `expanded` 1 = all rows are planned;
`release_cursor` = last delivery id that was made due, null until release starts, equal to `last_id` when all are out. Who looks for
jobs by state also says `finished_at IS NULL`: only so is `job_open` used (a bound state implies no partial index), and finished jobs
are never walked. `enrols` 1: its rows become walks, and `first_id` .. `release_cursor` are numbers of theirs."""

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
    _int("campaign", default=0),
    _int("head", null=True),
    _int("person", null=True),
    UniqueConstraint("job", "priority", "channel"),
    Index("lane_ahead", "channel", "queue", "priority", "head", sqlite_where=text("head IS NOT NULL")),
    Index("lane_campaign", "campaign", sqlite_where=text("head IS NOT NULL AND person IS NULL")),
    Index("lane_person", "person", sqlite_where=text("person IS NOT NULL")),
)
"""One line of due rows that claiming reads from its head; removed when its job has finished. `head` = `not_before` of its first
due row, null when it is empty, kept by who moves due rows (store.due): a claim looks at the first lanes of each queue, not at
all. `campaign` = its job's. `person`: set where the job has one recipient, so that thousands of such jobs need not be searched for
what else a person has waiting."""

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
    _int("follows", null=True),
    _int("escalates", null=True),
    _int("walk", null=True),
    UniqueConstraint("wave", "person"),
    Index("delivery_held", "reason", "id", sqlite_where=text("state = 'held'")),
    Index("delivery_in_doubt", "id", sqlite_where=text("state = 'in_doubt'")),
)
"""`state` here is what it was when the row was last written: a claimed or handed-over one still says `due` and has a row in
`flight`. `decision` = JSON of the last decision that was not Send (verdict, until, rule, facts, checks). `follows`: the delivery
of its step on another channel that this one was planned after; `escalates`: the accepted one, whose recipient it is not sent to if he
reacted (of a replacement that one which its former went after)."""

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
    _int("campaign", default=0),
    _int("lane", default=0),
    _int("attempts", default=0),
    _int("doubted", default=0),
    _int("uncapped", default=0),
    _int("issue", null=True),
)
"""Claimed and handed-over deliveries only: a few thousand rows, always in cache. It is the cap reservation, and has what the
record of the outcome needs of its delivery. No index beside the key: each commit would rewrite most of its pages; who looks
for persons or addresses reads it whole.
`epoch` fences: an outcome or a grant counts only under the epoch of its claim. `issue`: the offer that it carries."""

touch = _table(
    "touch",
    _int("person", key=True),
    _int("at", key=True),
    _int("delivery", key=True),
    _text("channel"),
    _int("campaign"),
    _text("topic", null=True),
    _text("zone", null=True),
    _int("ghost", default=0),
    clustered=True,
)
"""A counted contact, written with the handover, deleted on a sure failure, pruned past the longest cap. `ghost` 1: of one who is held
out: nothing was sent, but it counts."""

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
"""Each try that was not accepted at once; a first-try acceptance stands in the delivery row alone."""

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
"""Deliveries of a job by state and reason ("" = none), kept by each act: `claimed` covers handed-over ones too."""

incarnation = _table(
    "incarnation",
    _int("id", key=True),
    _text("node"),
    _int("started_at"),
    _int("heartbeat_at"),
    _int("ended_at", null=True),
)

bucket = _table("bucket", _text("name", key=True), _text("state"), clustered=True)
"""Rate limits and breakers, saved over restarts."""

provider_ref = _table(
    "provider_ref",
    _text("provider", key=True),
    _text("provider_id", key=True),
    _int("delivery", key=True),
    clustered=True,
)
"""Which delivery a provider means by an id of its own. Written for providers that give feedback, so that mail pays nothing for it."""

feedback = _table(
    "feedback",
    _int("person", key=True),
    _int("delivery", key=True),
    Column("hash", BLOB, primary_key=True),
    _text("kind", key=True),
    _text("provider", key=True),
    _text("event", key=True),
    _int("human", key=True),
    _text("channel"),
    _int("at"),
    _text("code", null=True),
    _text("detail", null=True),
    Index("feedback_event", "provider", "event", sqlite_where=text("event <> ''")),
    Index("feedback_hash", "hash", sqlite_where=text("hash <> x''")),
    clustered=True,
)
"""What was learned after an outcome. About a delivery (person and delivery set) or about an address alone (both 0); `hash` of the address
where it matters, else empty. `event` = the provider's id of it, "" = none: then the same kind again is the same event, of the
earliest instant (a STOP: of the latest)."""

feedback_parked = _table(
    "feedback_parked",
    _int("id", key=True),
    Column("digest", BLOB, nullable=False),
    _text("item"),
    _int("received_at"),
    UniqueConstraint("digest"),
)
"""Feedback that came before what it is about: of an unknown id of the provider, or of a delivery whose outcome is not recorded yet.
`item` = JSON; tried again until it finds its delivery, or for three days."""

spend = _table(
    "spend",
    _text("provider", key=True),
    _int("day", key=True),
    _text("currency", key=True),
    _int("micros"),
    _int("parts"),
    clustered=True,
)
"""What was handed over to a provider on a local day (days since 1970) will cost, in millionths; written with the handover."""

token = _table(
    "token",
    Column("hash", BLOB, primary_key=True),
    _text("name"),
    _text("scopes"),
    _int("created_at"),
    _int("revoked_at", null=True),
    clustered=True,
)
