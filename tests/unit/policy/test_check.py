"""`homing window check`: one row in, one answer or one clear error out."""

from __future__ import annotations

import random
from typing import Any

import pytest

from daemon.policy.check import RowProblem, check_row
from daemon.policy.tz import utc_text
from daemon.policy.zones import country_zones, phone_zones, zone_names
from tests.unit.policy import oracle

DAYTIME = {"start": "09:00", "end": "21:00"}


def answer(**row: Any) -> tuple[bool, str | None]:
    found = check_row(row)
    assert list(found) == ["open", "next_open"]
    return found["open"], found["next_open"]


def test_open_row_says_its_own_instant() -> None:
    """`at` itself when open, in UTC; a fraction stays."""
    assert answer(zone="Asia/Jakarta", at="2026-11-22T09:00:00+07:00", **DAYTIME) == (True, "2026-11-22T02:00:00Z")
    assert answer(zone="Asia/Jakarta", at="2026-11-22T03:00:00.5Z", **DAYTIME) == (True, "2026-11-22T03:00:00.500000Z")


def test_shut_row_says_the_next_opening() -> None:
    """The contract's example, and the forms with days and hours."""
    assert answer(zone="Asia/Jakarta", at="2026-11-21T20:00:00Z", **DAYTIME) == (False, "2026-11-22T02:00:00Z")
    assert answer(zone="UTC", at="2026-11-21T20:00:00Z", days=["mon-fri"], **DAYTIME) == (False, "2026-11-23T09:00:00Z")
    assert answer(zone="UTC", at="2026-11-22T03:00:00Z", hours=["sat 22:00-02:00"]) == (False, "2026-11-28T22:00:00Z")
    assert answer(zone="UTC", at="2026-11-22T03:00:00Z", start="22:00", end="06:00", days=None) == (True, "2026-11-22T03:00:00Z")


def test_phone_and_country_take_all_their_zones() -> None:
    """Open only where it is open in each; a window that is never open in all of them is null."""
    assert answer(phone="+62811111111", at="2026-11-22T01:00:00Z", **DAYTIME) == (False, "2026-11-22T02:00:00Z")
    assert answer(phone="+62811111111", at="2026-11-22T13:30:00Z", **DAYTIME) == (False, "2026-11-23T02:00:00Z")
    assert answer(country="ID", at="2026-11-22T12:30:00Z", **DAYTIME) == (False, "2026-11-23T02:00:00Z")
    assert answer(country="RU", at="2026-11-22T12:30:00Z", start="09:00", end="12:00") == (False, None)


@pytest.mark.slow
def test_random_rows_agree_with_the_wall_clock() -> None:
    """2,000 rows of zones, phones and countries: openness at `at`, at `next_open`, and just before it."""
    rng = random.Random(20261122)
    names = sorted(zone_names())
    for _ in range(2000):
        start, end = rng.sample(range(0, 1440, 15), 2)
        table: dict[str, Any] = {"start": f"{start // 60:02d}:{start % 60:02d}", "end": f"{end // 60:02d}:{end % 60:02d}"}
        if rng.random() < 0.4:
            table["days"] = rng.sample(oracle.NAMES, rng.randint(1, 6))
        place, zones = rng.choice(
            [
                ({"zone": (zone := rng.choice(names))}, (zone,)),
                ({"country": (code := rng.choice(["ID", "US", "AU", "MY", "IR"]))}, country_zones(code)),
                ({"phone": (number := rng.choice(["+62811111111", "+12125551234", "+989121234567", "+61412345678"]))}, phone_zones(number)),
            ]
        )
        at = rng.randrange(oracle.at("2024-01-01T00:00:00Z"), oracle.at("2031-01-01T00:00:00Z"), 1_000_000)
        is_open, opens = answer(**place, **table, at=utc_text(at))
        assert is_open == oracle.is_inside([table], zones, at)
        if opens is not None and not is_open:
            instant = oracle.at(opens)
            assert oracle.is_inside([table], zones, instant)
            assert not oracle.is_inside([table], zones, instant - 1)
            steps = [at + (instant - at) * step // 30 for step in range(30)]
            assert not any(oracle.is_inside([table], zones, step) for step in steps)


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ({"zone": "Asia/Jakarata", **DAYTIME}, "zone", "zone_unknown"),
        ({"zone": "+25:00", **DAYTIME}, "zone", "zone_unknown"),
        ({"zone": 7, **DAYTIME}, "zone", "zone_invalid"),
        ({"phone": "12", **DAYTIME}, "phone", "phone_invalid"),
        ({"country": "XX", **DAYTIME}, "country", "country_unknown"),
        ({**DAYTIME}, "zone", "zone_missing"),
        ({"zone": "UTC"}, "start", "window_missing"),
        ({"zone": "UTC", "start": "09:00"}, "end", "window_invalid"),
        ({"zone": "UTC", "start": "9", "end": "21:00"}, "start", "window_invalid"),
        ({"zone": "UTC", "hours": ["mon"]}, "hours", "window_invalid"),
        ({"zone": "UTC", "strat": "09:00"}, "strat", "key_unknown"),
        ({"zone": "UTC", **DAYTIME, "at": None}, "at", "at_invalid"),
        ({"zone": "UTC", **DAYTIME, "at": 5}, "at", "at_invalid"),
        ({"zone": "UTC", **DAYTIME, "at": "2026-11-22T02:00:00"}, "at", "at_invalid"),
        ({"zone": "UTC", **DAYTIME, "at": "soon"}, "at", "at_invalid"),
        ({"zone": "UTC", **DAYTIME, "at": "9999-12-31T23:59:59Z"}, "at", "at_invalid"),
        ({"zone": "UTC", **DAYTIME, "at": "0001-01-01T00:00:00+14:00"}, "at", "at_invalid"),
        ({"zone": "UTC", "hours": ["a" + " " * 60_000]}, "hours", "window_invalid"),
    ],
)
def test_bad_rows_name_their_field(row: dict[str, Any], field: str, code: str) -> None:
    """Which field, a code, and a sentence; the CLI prints it in place of the answer."""
    with pytest.raises(RowProblem) as caught:
        check_row({"at": "2026-11-22T02:00:00Z", **row})
    assert caught.value.as_row()["error"] == {"field": field, "code": code, "detail": caught.value.detail}


def test_bad_zone_gets_a_suggestion() -> None:
    """The nearest name."""
    with pytest.raises(RowProblem, match='did you mean "Asia/Jakarta"'):
        check_row({"zone": "Asia/Jakarata", "at": "2026-11-22T02:00:00Z", **DAYTIME})


def test_row_that_is_no_object() -> None:
    """A list, a number: refused, not crashed on."""
    with pytest.raises(RowProblem, match="JSON object"):
        check_row(["zone"])  # type: ignore[arg-type]
