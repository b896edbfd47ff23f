"""The check of a delivery's offer: between holdout and window, on numbers that recompute the verdict."""

from __future__ import annotations

import pytest

from daemon.model.delivery import Decision, Reason, Verdict
from daemon.policy.decide import decide
from daemon.policy.subject import OfferFacts
from tests.unit.policy.cases import EVENING, NOON, candidate, person, rules, window
from tests.unit.policy.oracle import DAY, HOUR


def said(offer: OfferFacts | None, now: int = NOON, **more: object) -> Decision:
    return decide(candidate(offer=offer, **more), person(), rules(), now)


def test_an_offer_that_stands_passes_and_a_message_without_one_is_not_asked() -> None:
    """The check is named only where there is one."""
    found = said(OfferFacts("back15", pool="winter", left=1))
    assert found.verdict is Verdict.SEND and ("offer", "pass") in found.checks
    assert all(name != "offer" for name, _ in said(None).checks)


def test_a_fixed_end_closes_the_sending_before_its_last_hours() -> None:
    """Two days to go, 24 hours of them for the reader: the handover's leave ends with the first; at that instant it is over."""
    offer = OfferFacts("back15", ends_at=NOON + 2 * DAY, min_left=DAY)
    found = said(offer, ignore_window=True)
    assert found.verdict is Verdict.SEND and found.closes == NOON + DAY
    assert said(offer, NOON + DAY - 1, ignore_window=True).verdict is Verdict.SEND
    late = said(offer, NOON + DAY)
    assert (late.verdict, late.reason) == (Verdict.DROP, Reason.OFFER_EXPIRED)
    assert late.facts == {"offer": "back15", "ends_at": "2026-11-24T05:00:00Z", "min_left": 86_400}
    assert late.rule is not None and late.rule[0] == "offer"


def test_what_no_window_reaches_before_that_is_not_waited_for() -> None:
    """Sunday evening, an offer whose last message must go on Monday at 08:00, a window from 09:00."""
    offer = OfferFacts("back15", ends_at=EVENING + 10 * HOUR + DAY, min_left=DAY)
    found = said(offer, EVENING, campaign_window=window("09:00-21:00"))
    assert (found.verdict, found.reason) == (Verdict.DROP, Reason.WINDOW_NEVER_OPENS)


def test_an_empty_pool_holds_by_its_key() -> None:
    found = said(OfferFacts("back15", pool="winter", left=0))
    assert (found.verdict, found.reason, found.key) == (Verdict.HOLD, Reason.NO_CODE, "codes:winter")
    assert found.facts == {"offer": "back15", "pool": "winter"}


def test_an_open_offer_is_waited_for_to_an_instant_that_a_window_allows() -> None:
    """It ends on Sunday at 22:00; the window opens on Monday at 09:00. Past its own end nothing is waited for."""
    offer = OfferFacts("s10", waits_until=EVENING, open="s10", of="spring")
    found = said(offer, campaign_window=window("09:00-21:00"))
    assert (found.verdict, found.reason, found.until) == (Verdict.DEFER, Reason.YIELDED_TO_PRIORITY, EVENING + 11 * HOUR - 4 * 60 * 1_000_000)
    assert found.facts["open"] == "s10" and found.facts["campaign"] == "spring"
    assert said(offer._replace(waits_until=NOON + 90 * DAY)).reason is Reason.LATE


@pytest.mark.parametrize("state", ["expired", "redeemed", "replaced"])
def test_an_offer_that_is_over_is_not_sent(state: str) -> None:
    found = said(OfferFacts("back15", over=state))
    assert (found.verdict, found.reason, found.facts["is"]) == (Verdict.DROP, Reason.OFFER_EXPIRED, state)


def test_permission_and_exit_come_first() -> None:
    """Who may not be written to, or whose walk is over, is told that."""
    offer = OfferFacts("back15", pool="winter", left=0)
    assert decide(candidate(offer=offer), person(address={}), rules(), NOON).reason is Reason.NO_ADDRESS
    assert said(offer, ended=(Reason.CONVERTED, NOON, "Order Completed")).reason is Reason.CONVERTED
