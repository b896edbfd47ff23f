"""GROUND: what Homing counts about itself, for `/metrics`. Everyone may write here; `daemon/web` prints it.

Counters are raised where things happen; gauges are set by the composition root's tick (`observe`), so that a scrape costs no
look at the store and the printed text is kept for a second. Labels come from closed sets (providers, reasons, states, routes):
never a recipient, never a job; a set that grows past `MOST_LABELS` goes on as "other".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from daemon.clock import Clock

MOST_LABELS = 500
KEPT_SECONDS = 1.0
LATENESS_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
HANDOVER_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)
HTTP_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60)
SPENDS = (("spend", "What was handed over today will cost"), ("spend_limit", "The most that may be spent in a day"))
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the tick saw. None = not known now (the gauge keeps its last value)."""

    deliveries: Mapping[str, int] = field(default_factory=dict)
    """By state."""
    due: int | None = None
    """Due rows whose instant has come."""
    oldest_due_seconds: float | None = None
    held: Mapping[str, int] = field(default_factory=dict)
    """By reason."""
    doubts: int | None = None
    gate: Mapping[str, str] | None = None
    breakers: Mapping[str, str] = field(default_factory=dict)
    """Provider -> closed | half_open | open | stopped."""
    commits: int | None = None
    wal_bytes: int | None = None
    loop_lag_seconds: float | None = None
    disk_free_bytes: int | None = None


class Metrics:
    """One registry a process. All methods are cheap (under 2 µs) and never raise on a new label."""

    _text: tuple[float, bytes] | None = None
    _commits_seen = 0

    def __init__(self, clock: Clock) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` beside each counter doubles the text and says nothing we need
        self._clock = clock
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._children: dict[tuple[object, ...], Counter] = {}
        self._late: dict[str, Histogram] = {}
        self._of_counter: dict[int, int] = {}
        self._held_seen: set[str] = set()
        self._gate_seen: set[str] = set()

        self._add_audiences(registry)
        self._add_people(registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"homing_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"homing_{name}", text, labels, registry=registry)

        self._outcomes = counter("outcomes", "Outcomes that channels reported", "provider", "channel", "outcome", "reason")
        self._decisions = counter("decisions", "Verdicts of the rules at claims", "verdict", "reason")
        self._claims = counter("claims", "Claim transactions")
        self._claimed = counter("claimed_deliveries", "Due rows that claims looked at")
        self._granted = counter("handovers", "Handovers granted", "provider")
        self._refused = counter("handovers_refused", "Handovers asked for and not granted", "provider")
        self._render_held = counter("render_held", "Claimed deliveries that could not be rendered", "provider")
        self._faults = counter("plugin_faults", "Breaches of the plugin contract", "provider")
        self._commits = counter("store_commits", "Transactions committed by the store's writer")
        self._jobs = counter("jobs", "Jobs that intake answered", "source", "result")
        self._rows = counter("job_rows", "Recipient rows of jobs", "result")
        self._unsubscribed = counter("unsubscribes", "Unsubscribes applied", "channel", "how")
        self._feedback = counter("feedback", "Reports of providers", "provider", "kind", "how")
        self._reconciled = counter("doubts_reconciled", "Doubts that a look-up at the provider settled", "provider", "state")
        self._requests = counter("http_requests", "Requests answered", "listener", "route", "method", "status")
        self._cut = counter("http_connections_cut", "Connections closed for a limit", "listener", "why")
        self._audited = counter("audit_judged", "Handovers that the audit has looked at again", "verdict")
        self._audit_findings = counter("audit_findings", "Broken promises that the audit found", "kind")
        self._lateness = Histogram(
            "homing_lateness_seconds", "Handover after the delivery fell due", ("channel",), buckets=LATENESS_BUCKETS, registry=registry
        )
        self._waited = Histogram(
            "homing_handover_seconds", "How long a channel waits for the handovers it asks for", buckets=HANDOVER_BUCKETS, registry=registry
        )
        self._latency = Histogram("homing_http_seconds", "Time to answer a request", ("listener",), buckets=HTTP_BUCKETS, registry=registry)
        self._deliveries = gauge("deliveries", "Deliveries by state", "state")
        self._due = gauge("due", "Due deliveries whose instant has come")
        self._oldest = gauge("oldest_due_seconds", "How long the oldest due delivery has been waiting for its claim")
        self._held = gauge("held", "Held deliveries", "reason")
        self._doubts = gauge("in_doubt", "Deliveries in doubt")
        self._gate = gauge("gate_shut", "1 while this reason holds all sending", "reason")
        self._breaker = gauge("breaker", "Breaker of a provider: 0 closed, 1 half open, 2 open, 3 stopped", "provider")
        self._spend, self._spend_limit = (gauge(name, text, "provider", "currency") for name, text in SPENDS)
        self._wal = gauge("wal_bytes", "Bytes in the store's write-ahead log")
        self._audit_behind = gauge("audit_behind_seconds", "How far the audit is behind the sending")
        self._audit_open = gauge("audit_open_findings", "Findings of the audit that no operator has accepted")
        self._free = gauge("disk_free_bytes", "Room on the fullest of the disks that the daemon writes to")
        self._lag = gauge("loop_lag_seconds", "How late the event loop runs its timers")

    def _add_people(self, registry: CollectorRegistry) -> None:
        self._tracked = Counter("homing_messages_tracked", "Messages about people that came in", ("how",), registry=registry)
        self._push = Counter("homing_push_events", "What browsers told us of pushes", ("what",), registry=registry)
        self._notices = Counter("homing_notices", "Notices for [[notify]], by what came of them", ("target", "result"), registry=registry)
        waiting, lag = (("waiting", "Notices that wait, at most"), ("lag_seconds", "Age of the oldest notice that waits"))
        self._notices_waiting, self._notices_lag = (
            Gauge(f"homing_notices_{name}", words, ("target",), registry=registry) for name, words in (waiting, lag)
        )

    def told(self, target: str, result: str, n: int = 1) -> None:
        """Notices of `[[notify]]`: told | failed (to be tried again) | lost."""
        self._notices.labels(target, result).inc(n)

    def notices(self, target: str, waiting: int, lag_seconds: float) -> None:
        """What waits for a target, and since when."""
        self._notices_waiting.labels(target).set(waiting)
        self._notices_lag.labels(target).set(lag_seconds)

    def experiments(self, counts: Mapping[str, int]) -> None:
        """How many experiments stand at each finding."""
        for finding, n in counts.items():
            self._experiments.labels(finding).set(n)

    def _add_audiences(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"homing_audience_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"homing_audience_{name}", text, labels, registry=registry)

        self._experiments = Gauge("homing_experiments", "Experiments by what they came to so far", ("finding",), registry=registry)
        self._audience_batches = counter("batches", "Batches of audience members, by what came of them", "provider", "outcome")
        self._audience_refused = counter("rows_refused", "Members that a platform did not take", "provider", "reason")
        self._audience = gauge("members", "Members of audiences: wanted, acknowledged, pending, refused", "provider", "state")
        self._audience_blocked = gauge("blocked", "Audiences that take nobody in until an operator asks again", "provider")
        self._audience_lag = gauge("lag_seconds", "How long the oldest difference has been waiting for its platform", "provider")

    def outcome(self, provider: str, channel: str, outcome: str, reason: str = "", n: int = 1) -> None:
        """A channel reported `outcome` (accepted, rejected, deferred, unknown, held) for `n` deliveries."""
        self._add(self._outcomes, (provider, channel, outcome, reason), n)

    def decided(self, verdict: str, reason: str | None, n: int = 1) -> None:
        """The rules gave this verdict at a claim."""
        self._add(self._decisions, (verdict, reason or ""), n)

    def claimed(self, taken: int) -> None:
        """One claim transaction looked at `taken` due rows."""
        self._add(self._claims, (), 1)
        self._add(self._claimed, (), taken)

    def granted(self, provider: str, granted: int, refused: int) -> None:
        """A connection asked for handovers."""
        self._add(self._granted, (provider,), granted)
        self._add(self._refused, (provider,), refused)

    def waited(self, seconds: float) -> None:
        """A connection waited so long for the answer to its request for handovers."""
        self._waited.observe(seconds)

    def held(self, provider: str, n: int) -> None:
        """The renderer held `n` claimed deliveries of this provider."""
        self._add(self._render_held, (provider,), n)

    def fault(self, provider: str) -> None:
        """A plugin broke its contract."""
        self._add(self._faults, (provider,), 1)

    def audited(self, judged: int, unjudged: int) -> None:
        """The audit looked at so many handovers; of some it could not say everything."""
        self._add(self._audited, ("full",), judged - unjudged)
        self._add(self._audited, ("in_part",), unjudged)

    def audit_finding(self, kind: str) -> None:
        """The audit found a broken promise."""
        self._add(self._audit_findings, (kind,), 1)

    def audit_behind(self, seconds: float) -> None:
        self._audit_behind.set(max(0.0, seconds))

    def audit_open(self, findings: int) -> None:
        self._audit_open.set(findings)

    def audience_batch(self, provider: str, outcome: str) -> None:
        """A platform was asked to take a batch, or said later what became of one."""
        self._add(self._audience_batches, (provider, outcome), 1)

    def audience_refused(self, provider: str, reason: str, n: int) -> None:
        """A platform did not take `n` members."""
        self._add(self._audience_refused, (provider, reason), n)

    def audience(
        self, provider: str, *, wanted: int, acknowledged: int, pending: int, refused: int, blocked: int, lag: float
    ) -> None:  # fmt: skip
        """What the audiences of a provider look like now."""
        for state, n in (("wanted", wanted), ("acknowledged", acknowledged), ("pending", pending), ("refused", refused)):
            self._audience.labels(provider, state).set(n)
        self._audience_blocked.labels(provider).set(blocked)
        self._audience_lag.labels(provider).set(lag)

    def late(self, channel: str, seconds: float) -> None:
        """A handover came so long after its delivery fell due."""
        observed = self._late.get(channel)
        if observed is None:
            observed = self._late[channel] = self._lateness.labels(channel)
        observed.observe(seconds)

    def job(self, source: str, result: str) -> None:
        """Intake answered a job from `source` (spool, http, cli) with `result` (accepted, held, known, refused..)."""
        self._add(self._jobs, (source, result), 1)

    def rows(self, result: str, n: int) -> None:
        """Recipient rows: accepted, duplicate or rejected."""
        self._add(self._rows, (result,), n)

    def unsubscribed(self, channel: str, how: str) -> None:
        """An unsubscribe took effect: how = one_click or page."""
        self._add(self._unsubscribed, (channel, how), 1)

    def tracked(self, how: str, n: int) -> None:
        """Messages of events and traits: how = kept, known (came before), rejected."""
        self._add(self._tracked, (how,), n)

    def push(self, what: str, n: int = 1) -> None:
        """Browsers: joined, left or clicked."""
        self._add(self._push, (what,), n)

    def feedback(self, provider: str, kind: str, how: str) -> None:
        """A provider reported this kind: how = recorded, known, parked, foreign, erased."""
        self._add(self._feedback, (provider, kind, how), 1)

    def reconciled(self, provider: str, state: str) -> None:
        """A look-up settled a doubt: state = accepted, rejected, due."""
        self._add(self._reconciled, (provider, state), 1)

    def spent(self, provider: str, currency: str, amount: float, limit: float | None) -> None:
        """So much of the day's limit (None: there is none)."""
        self._spend.labels(provider, currency).set(amount)
        if limit is not None:
            self._spend_limit.labels(provider, currency).set(limit)

    def request(self, listener: str, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. `route` is the route's pattern, never the path."""
        self._add(self._requests, (listener, route, method, str(status)), 1)
        self._latency.labels(listener).observe(seconds)

    def cut(self, listener: str, why: str) -> None:
        """A connection was closed for a limit."""
        self._add(self._cut, (listener, why), 1)

    def observe(self, reading: Reading) -> None:
        """Set the gauges from one tick."""
        for state, n in reading.deliveries.items():
            self._deliveries.labels(state).set(n)
        for gauge, value in (
            (self._due, reading.due),
            (self._oldest, reading.oldest_due_seconds),
            (self._doubts, reading.doubts),
            (self._wal, reading.wal_bytes),
            (self._lag, reading.loop_lag_seconds),
            (self._free, reading.disk_free_bytes),
        ):
            if value is not None:
                gauge.set(value)
        for reason in self._held_seen | set(reading.held):
            self._held.labels(reason).set(reading.held.get(reason, 0))
        self._held_seen |= set(reading.held)
        if reading.gate is not None:
            for reason in self._gate_seen | set(reading.gate):
                self._gate.labels(reason).set(int(reason in reading.gate))
            self._gate_seen |= set(reading.gate)
        for provider, state in reading.breakers.items():
            self._breaker.labels(provider).set({"closed": 0, "half_open": 1, "open": 2}.get(state, 3))
        if reading.commits is not None and reading.commits > self._commits_seen:
            self._commits.inc(reading.commits - self._commits_seen)
            self._commits_seen = reading.commits

    def text(self) -> bytes:
        """The Prometheus text format (`CONTENT_TYPE`); made at most once a second."""
        now = self._clock.monotonic()
        if self._text is None or now - self._text[0] >= KEPT_SECONDS:
            self._text = (now, generate_latest(self.registry))
        return self._text[1]

    def _add(self, counter: Counter, labels: tuple[str, ...], n: int) -> None:
        key = (id(counter), *labels)
        child = self._children.get(key)
        if child is None:
            known = self._of_counter.get(id(counter), 0)
            if known >= MOST_LABELS:
                labels = ("other",) * len(labels)
            self._of_counter[id(counter)] = known + 1
            child = counter.labels(*labels) if labels else counter
            if known < MOST_LABELS:
                self._children[key] = child
        if n:
            child.inc(n)
