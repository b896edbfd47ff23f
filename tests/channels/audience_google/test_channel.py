"""The Google plugin against a platform that checks everything: tokens, rows, answers that come later; and each of its errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from channels.audience_google import GoogleAudiences
from channels.audience_google.replies import fault_of, polled
from channels.audience_google.settings import Settings
from daemon.clock import SystemClock
from daemon.sandbox.ads import AdsServer
from plugins import Deferred, Polled, Rejected, RowRefused, Secret, SettingError, Size, Synced, Unknown
from plugins.testing import run_audience_conformance
from tests.channels.ads import Opened, opened, people


@pytest.fixture
async def google() -> AsyncIterator[Opened]:
    async with opened(GoogleAudiences, "google", answer_seconds=600) as it:
        yield it


async def test_members_come_and_go(google: Opened) -> None:
    """Added by their hashes, removed by their handles; what became of them is told later."""
    members = people(1200)
    audience = await google.audience()
    end, refused = await google.sync(audience, add=members)
    assert isinstance(end, Synced)
    assert refused == []
    assert await google.channel.poll([end.request]) == [Polled(request=end.request, state="processing")]
    google.ads.advance(601)
    (told,) = await google.channel.poll([end.request])
    assert told.received == 1200
    assert told.state in ("success", "partial")
    end, _ = await google.sync(audience, remove=google.gone(members[:1000]))
    google.ads.advance(601)
    assert (await google.channel.poll([end.request]))[0].received == 1000
    assert len(google.ads.members("google", "winback")) <= 200


async def test_a_token_is_asked_for_once_and_anew_before_its_end(google: Opened) -> None:
    """Five minutes before; a token that the platform refuses earlier is asked for anew, once."""
    audience = await google.audience()

    def asked() -> int:
        return sum(entry["act"] == "token" for entry in google.ads.log("google"))

    await google.sync(audience, add=people(2))
    assert asked() == 1
    google.clock.jump(3301)
    await google.sync(audience, add=people(2))
    assert asked() == 2
    google.ads.advance(3601)
    end, _ = await google.sync(audience, add=people(2))
    assert isinstance(end, Synced)
    assert asked() == 3


async def test_rows_that_a_refusal_names_are_left_out(google: Opened) -> None:
    """The rest goes again in the same call."""
    members = people(9000, "v")
    google.ads.fail("google", "violations")
    end, refused = await google.sync(await google.audience(), add=members)
    assert isinstance(end, Synced)
    assert refused
    assert all(row.reason == "invalid_format" for row in refused)
    acts = [(entry["act"], entry["rows"]) for entry in google.ads.log("google") if entry["act"] == "add"]
    assert acts == [("add", 9000), ("add", 9000 - len(refused))]


async def test_consent_goes_with_the_request_or_with_each_member(google: Opened) -> None:
    """Denied people are not sent at all."""
    members = [each._replace(ad_user_data="granted", ad_personalization="granted") for each in people(4)]
    audience = await google.audience()
    body = json.loads(await google.channel._body(audience, members, "ingest"))
    assert body["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
    assert "consent" not in body["audienceMembers"][0]
    mixed = [*members, *people(1, "q")]
    body = json.loads(await google.channel._body(audience, mixed, "ingest"))
    assert "consent" not in body
    assert [("consent" in each) for each in body["audienceMembers"]] == [True, True, True, True, False]
    _, refused = await google.sync(audience, add=[members[0]._replace(ad_user_data="denied"), members[1]])
    assert refused == [RowRefused(key="p-0", reason="no_consent")]


@pytest.mark.parametrize(
    ("fault", "kind", "scope"),
    [
        ("rate", Deferred, "provider"), ("day", Deferred, "provider"), ("operator", Deferred, "operator"), ("500", Unknown, None),
        ("drop", Unknown, None),
    ],
)  # fmt: skip
async def test_each_error_is_told_by_its_code(google: Opened, fault: str, kind: type, scope: str | None) -> None:
    """The minute's quota, the day's, a missing right, and no clear answer."""
    google.ads.fail("google", fault)
    end, _ = await google.sync(await google.audience(), add=people(2))
    assert isinstance(end, kind)
    assert getattr(end, "scope", None) == scope
    if fault in ("rate", "day"):
        assert end.after == {"rate": 60.0, "day": 3600.0}[fault]


async def test_a_list_is_made_once_and_has_a_size(google: Opened) -> None:
    """Asked again, the one of this name is found."""
    first, second = await google.audience('say "hi"'), await google.audience('say "hi"')
    assert first.remote_id == second.remote_id
    await google.sync(first, add=people(20))
    size = await google.channel.size(first)
    assert isinstance(size, Size)
    assert 19 <= size.most <= 20


async def test_bad_credentials_are_the_operators(google: Opened) -> None:
    """A key that is not the account's: no token, and nothing else is asked."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    google.ads.google.key = generate_private_key(65537, 2048)
    end = await google.channel.ensure(await_free())
    assert isinstance(end, Deferred)
    assert end.scope == "operator"
    assert "invalid_grant" in (end.code or "")


def await_free():  # type: ignore[no-untyped-def]
    from plugins import Audience

    return Audience(name="x")


@pytest.mark.slow
async def test_it_conforms() -> None:
    """The kit for platforms, with the local platform answering; token and list lead through the kit's peer too."""
    ads = AdsServer(SystemClock(), port=0)
    await ads.start()
    ads.google._wall = lambda: 1803870000.0  # the kit's first day: 2027-03-01T03:00Z
    keys = ads.google_keys()
    try:
        report = await run_audience_conformance(GoogleAudiences, {**keys, "credentials": Secret(keys["credentials"])})
    finally:
        await ads.stop()
    assert report.passed, report.text()


def test_answers_are_read_by_the_worst_destination() -> None:
    """Counts by reason; an answer without destinations is none yet."""
    assert polled("r", {}).state == "processing"
    part = {"requestStatus": "PARTIAL_SUCCESS", "errorInfo": {"errorCounts": [{"recordCount": "5", "reason": "PROCESSING_ERROR_REASON_X"}]}}
    told = polled("r", {"requestStatusPerDestination": [{"requestStatus": "SUCCESS"}, part]})
    assert (told.state, told.failed) == ("partial", {"x": 5})


def test_what_is_wrong_with_the_request_itself_is_rejected() -> None:
    """And is no row's fault."""
    assert isinstance(fault_of(400, {}, {"error": {"status": "INVALID_ARGUMENT"}}), Rejected)
    assert isinstance(fault_of(404, {}, None), Deferred)


@pytest.mark.parametrize(
    ("key", "more"),
    [("credentials", {"credentials": Secret("no json")}), ("credentials", {"credentials": Secret("{}")}), ("base_url", {"base_url": "x"}), ("account_id", {"account_id": "mine"})],
)
def test_a_bad_setting_is_named_and_shows_nothing(key: str, more: dict[str, object]) -> None:
    """By its key, without a word of the credentials."""
    good = {"credentials": Secret(json.dumps({"client_email": "a", "private_key": "b", "token_uri": "https://t"})), "account_id": "123-456-7890"}
    assert Settings(**good).account == "1234567890"  # type: ignore[arg-type]
    with pytest.raises(SettingError) as refused:
        Settings(**{**good, **more})  # type: ignore[arg-type]
    assert refused.value.key == key
    assert "no json" not in str(refused.value)
