"""Zone tables: the changes of offset that all window and calendar arithmetic rests on."""

from __future__ import annotations

import zoneinfo
from datetime import date
from itertools import pairwise

import pytest

from daemon.policy import tz, zones
from tests.unit.policy import oracle

HALF_YEAR = 182 * 86_400


@pytest.mark.promise("F34")
def test_system_zone_files_are_turned_off() -> None:
    """Rules of 2026 must win over older system files."""
    assert zoneinfo.TZPATH == ()
    assert tz.tzdata_version() >= "2026b"


@pytest.mark.promise("F34")
def test_zones_changed_in_2026_have_their_new_rules() -> None:
    """Vancouver keeps its summer time; Casablanca is at +00 for good: system files of 2025 say otherwise."""
    winter = oracle.at("2027-01-15T12:00:00Z")
    assert tz.zone_table("America/Vancouver").offset(winter) == -7 * oracle.HOUR
    assert tz.zone_table("Africa/Casablanca").offset(winter) == 0


@pytest.mark.parametrize("zone", sorted(zones.zone_names())[::23])
def test_table_agrees_with_the_clock_of_each_zone(zone: str) -> None:
    """Offset at odd instants from 1970 to 2060, as datetime shows it."""
    table = tz.zone_table(zone)
    for second in range(0, 90 * 366 * 86_400, HALF_YEAR // 3 + 12_347):
        assert table.offset(second * oracle.SECOND) == oracle.offset(zone, second) * oracle.SECOND


@pytest.mark.slow
def test_all_changes_of_all_zones_are_found() -> None:
    """Every change 2024-2030, found by looking every day, is an edge of the table, and no other."""
    start, end = oracle.at("2024-01-01T00:00:00Z"), oracle.at("2031-01-01T00:00:00Z")
    for zone in sorted(zones.zone_names()):
        edges = [begin // oracle.SECOND for begin, _, _ in tz.zone_table(zone).pieces(start, end)][1:]
        assert edges == list(oracle.transitions(zone)), zone


def test_pieces_tile_the_line_without_gaps() -> None:
    """Each piece starts where the last one ended, with the offset of its start."""
    start, end = oracle.at("2025-01-01T00:00:00Z"), oracle.at("2028-01-01T00:00:00Z")
    pieces = list(tz.zone_table("Australia/Lord_Howe").pieces(start, end))
    assert len(pieces) == 7
    assert (pieces[0][0], pieces[-1][1]) == (start, end)
    assert all(left[1] == right[0] and left[2] != right[2] for left, right in pairwise(pieces))
    assert {offset // oracle.MINUTE for *_, offset in pieces} == {630, 660}


def test_table_answers_far_ahead_and_long_ago() -> None:
    """Lazily extended tables; from 2200 on the last offset stays."""
    berlin = tz.zone_table("Europe/Berlin")
    assert berlin.offset(oracle.at("2199-07-01T00:00:00Z")) == 2 * oracle.HOUR
    assert berlin.offset(oracle.at("2199-12-31T00:00:00Z")) == oracle.HOUR
    assert berlin.offset(oracle.at("9998-07-01T00:00:00Z")) == oracle.HOUR
    assert berlin.offset(oracle.at("1800-01-01T00:00:00Z")) == berlin.offset(oracle.at("1900-01-02T00:00:00Z"))


def test_first_instant_of_a_date() -> None:
    """00:00; the jump where midnight is skipped; the next day where the whole date is."""
    assert tz.first_instant_of(date(2026, 11, 22), "Asia/Jakarta") == oracle.at("2026-11-21T17:00:00Z")
    assert tz.first_instant_of(date(2026, 9, 6), "America/Santiago") == oracle.at("2026-09-06T04:00:00Z")
    assert tz.first_instant_of(date(9999, 12, 31), "Asia/Jakarta") == oracle.at("9999-12-30T17:00:00Z")
    assert tz.first_instant_of(date(2011, 12, 30), "Pacific/Apia") == oracle.at("2011-12-30T10:00:00Z")


def test_texts_of_instants() -> None:
    """Seconds without a fraction, a fraction only where there is one."""
    assert tz.utc_text(oracle.at("2026-11-22T02:00:00Z")) == "2026-11-22T02:00:00Z"
    assert tz.utc_text(oracle.at("2026-11-22T02:00:00.250Z")) == "2026-11-22T02:00:00.250000Z"
