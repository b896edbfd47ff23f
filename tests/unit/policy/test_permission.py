"""Who may be written to: suppression, consent, topics, dead addresses; and what a transactional message passes by."""

from __future__ import annotations

import pytest

from daemon.model.campaign import Purpose
from daemon.model.delivery import Reason
from daemon.policy.permission import check_permission
from tests.unit.policy.cases import candidate, person

CONSENT = {"email": "implied", "sms": "explicit", "push": "double_opt_in"}


def reason(*, purpose: str = "marketing", channel: str = "email", **facts: object) -> Reason | None:
    refusal = check_permission(candidate(channel=channel, purpose=Purpose(purpose)), person(**facts), CONSENT)
    return refusal.reason if refusal else None


def test_unknown_consent_is_what_the_channel_rule_says() -> None:
    """E-mail implied, SMS explicit; a channel without a rule is explicit."""
    assert reason() is None
    assert reason(channel="sms") is Reason.NO_CONSENT
    assert reason(channel="call", address={"call": "+62811111111"}) is Reason.NO_CONSENT
    assert reason(channel="sms", consents={("sms", "*"): "granted"}) is None
    assert reason(channel="sms", consents={("sms", "winback"): "granted"}) is None


def test_unconfirmed_double_opt_in_is_no_consent() -> None:
    """`pending` waits for its confirmation."""
    address = {"push": "token"}
    assert reason(channel="push", address=address, consents={("push", "*"): "pending"}) is Reason.NO_CONSENT
    assert reason(channel="push", address=address, consents={("push", "*"): "granted"}) is None


def test_withdrawal_wins_over_grants() -> None:
    """Of the channel over one topic, of the topic over the channel."""
    assert reason(consents={("email", "*"): "withdrawn", ("email", "winback"): "granted"}) is Reason.NO_CONSENT
    assert reason(consents={("email", "*"): "granted", ("email", "winback"): "withdrawn"}) is Reason.TOPIC_OFF
    assert reason(consents={("email", "news"): "withdrawn"}) is None


@pytest.mark.parametrize("why", [Reason.BOUNCED, Reason.COMPLAINED, Reason.ERASED, Reason.INVALID_ADDRESS])
def test_dead_addresses_stop_transactional_messages_too(why: Reason) -> None:
    """A bounce, a complaint or an erasure holds for everything."""
    for facts in ({"suppressed": {"email": why}}, {"suppressed": {"*": why, "email": Reason.SUPPRESSED}}, {"blocked": {"*": why}}):
        assert reason(**facts) is why
        assert reason(purpose="transactional", **facts) is why


def test_unsubscribed_people_still_get_transactional_messages() -> None:
    """Suppression and withdrawn consent are about marketing, unless everything was chosen."""
    facts = {"suppressed": {"email": Reason.SUPPRESSED}, "consents": {("email", "*"): "withdrawn"}}
    assert reason(**facts) is Reason.SUPPRESSED
    assert reason(purpose="transactional", **facts) is None
    assert reason(purpose="transactional", blocked={"email": Reason.SUPPRESSED}) is Reason.SUPPRESSED
    assert reason(suppressed={"sms": Reason.SUPPRESSED}) is None


def test_person_without_address_or_erased() -> None:
    """Nothing to send to; nobody to send to."""
    assert reason(address={"email": ""}) is Reason.NO_ADDRESS
    assert reason(address={}) is Reason.NO_ADDRESS
    assert reason(erased=True, purpose="transactional") is Reason.ERASED
