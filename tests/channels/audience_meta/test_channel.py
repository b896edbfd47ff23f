"""The Meta plugin against a platform that checks everything: rows, sessions, proofs; and each of its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.audience_meta import MetaAudiences
from channels.audience_meta.replies import fault_of, rest_of
from channels.audience_meta.settings import Settings
from plugins import Deferred, Rejected, Secret, SessionLost, SettingError, Size, Synced, Unknown
from plugins.testing import run_audience_conformance
from tests.channels.ads import Opened, opened, people


@pytest.fixture
async def meta() -> AsyncIterator[Opened]:
    async with opened(MetaAudiences, "meta") as it:
        yield it


async def test_members_come_and_go(meta: Opened) -> None:
    """Added by their hashes, removed by their handles; the platform's set is what is left."""
    members = people(1200)
    audience = await meta.audience(session=5, total=1200)
    end, refused = await meta.sync(audience, add=members)
    assert (end, refused) == (Synced(received=1200, invalid=end.invalid), [])
    there = meta.ads.members("meta", "winback")
    assert len(there) == 1200 - end.invalid
    end, _ = await meta.sync(await meta.audience(session=6), remove=meta.gone(members[:700]))
    assert isinstance(end, Synced)
    assert len(meta.ads.members("meta", "winback")) == 500 - sum(1 for row in meta.ads.members("meta", "winback") if row[0].startswith("000"))
    assert meta.ads.log("meta")[-1]["act"] == "remove"


async def test_an_audience_is_made_once(meta: Opened) -> None:
    """Asked again, the one of this name is found."""
    first, second = await meta.audience("a"), await meta.audience("a")
    assert first.remote_id == second.remote_id
    assert meta.ads.names("meta") == ["a"]


async def test_a_denied_consent_is_never_sent(meta: Opened) -> None:
    """The row is refused here."""
    members = people(3)
    members[1] = members[1]._replace(ad_user_data="denied")
    _, refused = await meta.sync(await meta.audience(session=9), add=members)
    assert [(row.key, row.reason) for row in refused] == [("p-1", "no_consent")]
    assert len(meta.ads.members("meta", "winback")) == 2


async def test_a_session_is_kept_batch_by_batch(meta: Opened) -> None:
    """The count is the session's; the same batch again changes nothing; what the session does not know begins a new one."""
    series = [await meta.audience(session=3, sequence=n, last=n == 2, total=20) for n in (1, 2)]
    assert [(await meta.sync(each, add=people(10, f"b{n}")))[0].received for n, each in enumerate(series)] == [10, 20]
    assert (await meta.sync(series[1], add=people(10, "b1")))[0].received == 20
    third = await meta.audience(session=3, sequence=3)
    assert isinstance((await meta.sync(third, add=people(1, "x")))[0], SessionLost)
    assert isinstance((await meta.sync(await meta.audience(session=4, sequence=2), add=people(1)))[0], SessionLost)
    meta.ads.advance(91 * 60)
    assert isinstance((await meta.sync(series[1], add=people(10, "b1")))[0], SessionLost)


@pytest.mark.parametrize(
    ("fault", "kind", "scope"),
    [
        ("rate", Deferred, "provider"), ("operator", Deferred, "operator"), ("policy", Deferred, "operator"), ("wait", Deferred, "message"),
        ("transient", Unknown, None), ("500", Unknown, None), ("drop", Unknown, None), ("redo", Unknown, None), ("expired", SessionLost, None),
        ("blocked", Rejected, "message"),
    ],
)  # fmt: skip
async def test_each_error_is_told_by_its_code(meta: Opened, fault: str, kind: type, scope: str | None) -> None:
    """Rate, transient, operator, session and policy are different things."""
    meta.ads.fail("meta", fault)
    end, _ = await meta.sync(await meta.audience(session=8), add=people(2))
    assert isinstance(end, kind)
    assert getattr(end, "scope", None) == scope


async def test_a_rate_limit_is_kept_without_asking(meta: Opened) -> None:
    """The header says how long; until then nothing is asked."""
    audience = await meta.audience(session=8)
    meta.ads.fail("meta", "rate")
    end, _ = await meta.sync(audience, add=people(2))
    assert end.after == 300.0
    asked = len(meta.ads.log("meta"))
    end, _ = await meta.sync(audience, add=people(2))
    assert isinstance(end, Deferred)
    assert 290 < end.after <= 300
    assert len(meta.ads.log("meta")) == asked
    meta.clock.jump(301)
    assert isinstance((await meta.sync(audience, add=people(2)))[0], Synced)


async def test_the_size_is_a_range(meta: Opened) -> None:
    """As Meta gives it."""
    audience = await meta.audience(session=2)
    await meta.sync(audience, add=people(150))
    assert await meta.channel.size(audience) == Size(least=100, most=200)


async def test_no_answer_is_unknown_and_no_connection_is_deferred(meta: Opened) -> None:
    """Sent again in either case, but only the second is sure."""
    audience = await meta.audience(session=2)
    await meta.ads.stop()
    end, _ = await meta.sync(audience, add=people(1))
    assert isinstance(end, Deferred | Unknown)


@pytest.mark.slow
async def test_it_conforms() -> None:
    """The kit for platforms, with the local platform answering."""
    async with opened(MetaAudiences, "meta") as meta:
        report = await run_audience_conformance(MetaAudiences, meta.ads.meta_keys())
        assert report.passed, report.text()


def test_usage_says_when_to_rest() -> None:
    """By the header alone: regain time first, else a full count."""
    assert rest_of({}) is None
    assert rest_of({"X-Business-Use-Case-Usage": "not json"}) is None
    usage = '{"1": [{"call_count": %d, "estimated_time_to_regain_access": %d}]}'
    assert rest_of({"X-Business-Use-Case-Usage": usage % (40, 0)}) is None
    assert rest_of({"X-Business-Use-Case-Usage": usage % (97, 0)}) == 60.0
    assert rest_of({"X-Business-Use-Case-Usage": usage % (97, 12)}) == 720.0


def test_what_no_code_says_is_told_by_the_status() -> None:
    """Proxies answer without JSON."""
    assert isinstance(fault_of(502, {}, None), Unknown)
    assert fault_of(429, {"Retry-After": "7"}, None) == Deferred(scope="provider", after="7", code="429", throttled=True)
    assert isinstance(fault_of(403, {}, None), Deferred)
    assert isinstance(fault_of(400, {}, {"error": {"code": 100}}), Rejected)


@pytest.mark.parametrize(("key", "value"), [("base_url", "graph"), ("version", "25"), ("account_id", "mine")])
def test_a_bad_setting_is_named(key: str, value: str) -> None:
    """By its key."""
    good = {"access_token": Secret("t"), "account_id": "act_12", "version": "v25.0"}
    assert Settings(**good).url("x", "users") == "https://graph.facebook.com/v25.0/x/users"  # type: ignore[arg-type]
    with pytest.raises(SettingError) as refused:
        Settings(**{**good, key: value})  # type: ignore[arg-type]
    assert refused.value.key == key
