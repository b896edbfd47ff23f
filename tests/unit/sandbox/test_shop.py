"""The sample shop: the same bytes from the same seed, people whose truth is what it says, answers that follow the written effects."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import pytest

from daemon.errors import UsageError
from daemon.intake.parse import Item
from daemon.intake.rows import Fields, RowChecker
from daemon.intake.tracking import Reading
from daemon.sandbox.shop import Customer, Sent, Shop, open_world, respond, write_world
from daemon.sandbox.shop.doings import coming
from daemon.sandbox.shop.markets import DAY, MARKETS, calendar_of
from daemon.sandbox.shop.response import added_by, lift

UNTIL = datetime(2026, 11, 22, tzinfo=UTC)
NOW = round(UNTIL.timestamp() * 1_000_000)
SHOP = Shop(7, 4_000, UNTIL)
PEOPLE: list[Customer] = list(SHOP.customers())


def test_same_seed_gives_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    """Every file, also when the world is opened again and written anew."""
    write_world(Shop(7, 50, UNTIL), tmp_path / "a")
    write_world(open_world(tmp_path / "a"), tmp_path / "b")
    write_world(Shop(8, 50, UNTIL), tmp_path / "c")
    files = {name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"}
    assert files["a"] == files["b"]
    assert {name for name in files["a"] if files["a"][name] == files["c"][name]} == {"products.ndjson"}


def test_a_person_alone_is_the_one_among_all() -> None:
    """Any customer can be made again without the others."""
    assert SHOP.customer(1234) == PEOPLE[1233]
    assert Shop(7, 10, UNTIL).customer(10) == PEOPLE[9]


def test_rows_and_events_are_taken_by_intake(tmp_path: Path) -> None:
    """Nothing of a world is refused at the door."""
    write_world(Shop(3, 300, UNTIL), tmp_path)
    checker = RowChecker(NOW)
    rows = [json.loads(line) for line in (tmp_path / "recipients.ndjson").read_text("utf-8").splitlines()]
    for line, row in enumerate(rows, 1):
        assert isinstance(checker.fields(Item(line, row, False, "", "")), Fields)
    reading = Reading(now=NOW, pepper=b"p" * 32, sent=None, historical=True)
    short = {"recipient": "userId", "at": "timestamp", "id": "messageId"}
    seen = Counter[str]()
    for text in (tmp_path / "events.ndjson").read_text("utf-8").splitlines():
        event = {short.get(name, name): value for name, value in json.loads(text).items()}
        parsed = reading.read(1, {"type": "track", **event}, None)
        assert not parsed.errors
        assert len(parsed.messages) == 1
        assert event["timestamp"] <= "2026-11-22T00:00:00Z"
        seen[event["event"]] += 1
    assert seen.keys() >= {"Order Completed", "Product Viewed", "Checkout Started", "Email Opened", "Support Ticket Opened", "Order Refunded"}


def test_events_tell_the_orders_of_the_truth(tmp_path: Path) -> None:
    """As many orders as the truth says, the last one at its instant, and none of the future."""
    write_world(Shop(3, 200, UNTIL), tmp_path)
    told: dict[str, list[str]] = {}
    for text in (tmp_path / "events.ndjson").read_text("utf-8").splitlines():
        event = json.loads(text)
        if event["event"] == "Order Completed":
            told.setdefault(event["recipient"], []).append(event["at"])
    for text in (tmp_path / "truth.ndjson").read_text("utf-8").splitlines():
        truth = json.loads(text)
        assert (len(told[truth["id"]]), max(told[truth["id"]])) == (truth["orders"], truth["last_order_at"])
        assert truth["alive"] or truth["next_orders"] == []


def test_p_alive_is_calibrated() -> None:
    """Of those of whom the truth's own formula says 20 %, a fifth is alive: in each tenth within 3 standard errors or 0.05."""
    buckets: dict[int, list[tuple[float, bool]]] = {}
    for person in PEOPLE:
        p = person.p_alive()
        buckets.setdefault(min(int(p * 5), 4), []).append((p, person.alive))
    assert len(buckets) == 5
    for found in buckets.values():
        expected, actual = fmean(p for p, _ in found), fmean(alive for _, alive in found)
        assert abs(expected - actual) < max(0.05, 3 * (expected * (1 - expected) / len(found)) ** 0.5)


def test_world_has_all_bands_and_both_fates() -> None:
    """Every band of dormancy has people, and so have the living and the lost."""
    days = [(person.until - person.last_order_at) / DAY for person in PEOPLE]
    for low, high in ((0, 30), (30, 60), (60, 90), (90, 180), (180, 2000)):
        assert sum(low <= day < high for day in days) > 100
    assert 0.2 < fmean(person.alive for person in PEOPLE) < 0.7
    assert {person.nature.market.name for person in PEOPLE} == {market.name for market in MARKETS}


def test_seasons_bend_time_and_back() -> None:
    """More happens before a feast, and unbending is the inverse."""
    calendar = calendar_of("lebaran")
    at = datetime(2026, 3, 12, tzinfo=UTC).timestamp()
    assert calendar.unbend(calendar.bend(at)) == pytest.approx(at, abs=1)
    assert calendar.bend(at + DAY) - calendar.bend(at) == pytest.approx(2.0)


def _sent(**other: object) -> Sent:
    plain = Sent("winback", "offer", 0, 1, "email", (("percent", 15.0),), SHOP.until + 3600)
    return plain._replace(**other)  # type: ignore[arg-type]


def test_reaction_is_a_pure_function_of_the_message() -> None:
    """Asked twice it is the same; another step is another draw."""
    found = [respond(7, person, _sent()) for person in PEOPLE[:300]]
    assert found == [respond(7, person, _sent()) for person in PEOPLE[:300]]
    assert found != [respond(7, person, _sent(step="last")) for person in PEOPLE[:300]]


def test_orders_follow_the_written_effects() -> None:
    """The mean of the answers is the mean of the true effects (4 standard errors), for each offer; a better one brings back whoever a worse
    one brings back."""
    before: set[int] = set()
    for offer in ((), (("percent", 15.0),), (("percent", 30.0), ("shipping", None))):
        sent = _sent(offer=offer)
        expected = [lift(person, sent) for person in PEOPLE if not person.nature.hunter]
        came = {person.nature.number for person in PEOPLE if not person.nature.hunter and respond(7, person, sent).order}
        deviation = sum(p * (1 - p) for p in expected) ** 0.5
        assert abs(len(came) - sum(expected)) < 4 * deviation
        assert before < came
        before = came
    assert added_by([("percent", 30.0)]) > added_by([("percent", 15.0)]) > added_by([])


def test_an_order_comes_within_the_offer_and_after_the_click() -> None:
    """Sent, opened, clicked, ordered: in this order, and not after the offer's end."""
    ends = SHOP.until + 3600 + 2 * DAY
    found = [respond(7, person, _sent(offer=(("percent", 40.0),), ends=ends)) for person in PEOPLE]
    orders = [each for each in found if each.order]
    assert orders
    for each in orders:
        assert each.order is not None and each.opened is not None and each.clicked is not None
        assert SHOP.until + 3600 <= each.opened < each.clicked < each.order.at < ends
        assert each.order.percent == 40


def test_crowd_answers_with_the_code_of_the_offer_that_came() -> None:
    """By the offer that the message carried, not by what the step might offer; each event once, when its instant has come."""
    from daemon.model.campaign import Campaign, Step
    from daemon.model.journey import Offer, OfferKind, Part
    from daemon.sandbox.shop.crowd import ShopCrowd
    from daemon.simulate.rehearsal import Sent as Taken

    offers = {"best": Offer(name="best", parts=(Part(kind=OfferKind.PERCENT, value=40.0),))}
    campaign = Campaign(name="c", steps=(Step(name="offer", channels=("email",)),), offers=offers)
    ended = {}
    for offer in (None, "best"):
        crowd = ShopCrowd(Shop(7, 300, UNTIL), {"c": campaign}, 0)
        for n in range(1, 301):
            crowd.received(Taken(
                f"d{n}", f"w-{n:07}", "c", "offer", None, "email", "relay", NOW, occurrence=2, offer=offer, code=offer and f"CODE-{n}"
            ))  # fmt: skip
        crowd.received(Taken("d", "somebody-else", "c", "offer", None, "email", "relay", NOW))
        assert crowd.events(NOW) == []
        came = crowd.events(NOW + 30 * DAY * 1_000_000)
        assert crowd.events(NOW + 31 * DAY * 1_000_000) == []
        assert {event["event"] for event in came} == {"Order Completed"}
        assert any(kind == "opened" for kind, _, _ in crowd.feedback(NOW + 30 * DAY * 1_000_000))
        ended[offer] = {event["userId"]: event["properties"].get("coupon") for event in came}
    assert set(ended[None]) < set(ended["best"])
    assert all(code == f"CODE-{int(who[2:])}" for who, code in ended["best"].items())


def test_what_comes_by_itself_is_what_the_truth_names() -> None:
    """The orders of the coming days, each once, and nothing of the past."""
    person = next(person for person in PEOPLE if len(person.coming) > 3)
    doings = coming(SHOP.stream(person.nature.number, 2), person, 365)
    orders = [at for at, name, _ in doings if name == "Order Completed"]
    assert orders == [order.at for order in person.coming if order.at <= person.until + 365 * DAY]
    assert all(at > person.until for at, _, _ in doings)


@pytest.mark.slow
def test_memory_does_not_follow_the_size(tmp_path: Path) -> None:
    """Ten times the people take no more memory."""
    peaks = []
    for size in (300, 3000):
        tracemalloc.start()
        write_world(Shop(1, size, UNTIL), tmp_path / str(size))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 1_000_000


def test_a_folder_with_a_world_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written over; a folder without one is named."""
    with pytest.raises(UsageError, match="has no world"):
        open_world(tmp_path)
    write_world(Shop(1, 2, UNTIL), tmp_path)
    with pytest.raises(UsageError, match="has a world already"):
        write_world(Shop(2, 2, UNTIL), tmp_path)
