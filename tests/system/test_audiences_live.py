"""The whole daemon and both advertising platforms: a hundred thousand members through faults and a kill -9, and the channel audience."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from tests.system.audience_house import Platforms, hashed, job_of, settle_in, synced
from tests.system.conftest import Build
from tests.system.daemon_world import wait_for

pytestmark = pytest.mark.slow
MANY = 100_000
GONE = 700


@pytest.fixture
def platforms() -> Iterator[Platforms]:
    made = Platforms(lag_seconds=86_400.0).start()
    yield made
    made.end()
    assert made.ads.breaches == []


@pytest.mark.parametrize("network", ["meta", "google"])
def test_a_hundred_thousand_members_end_exactly_right_after_faults_and_a_kill(build: Build, platforms: Platforms, network: str) -> None:
    """24 hours of lag, rows that are never matched, drops, errors and lost series, kill -9 in the middle: the platform ends with exactly
    the desired set, and whoever was suppressed meanwhile is out."""
    chance = random.Random(7)
    faults = {"meta": ["drop", "expired", "500", "redo"], "google": ["drop", "500"]}[network]

    def fault(asked: str) -> str | None:
        if faults and chance.random() < 0.5:
            return faults.pop()
        return "violations" if asked == "google" else None

    platforms.ads.fault = fault
    house = build(relay=False)
    settle_in(house, platforms, networks=f'"{network}"')
    house.start()
    house.post("many", job_of("many", MANY))
    house.expanded("many")
    house("audience", "sync")
    wait_for(lambda: platforms.adds(network) >= 4, "batches are on their way")
    house.kill()
    gone = [f"w-{n}@example.com" for n in range(0, MANY, MANY // GONE)]
    (house.folder / "gone.txt").write_text("".join(f"{address}\n" for address in gone))
    said = house("suppressions", "import", str(house.folder / "gone.txt"))
    assert said.code == 0, said.err
    house.start()
    house("audience", "sync")
    found = synced(house, MANY - len(gone), seconds=120)
    assert faults == []
    assert platforms.hashes(network) == set()  # a day has to pass
    platforms.ads.advance(86_401)
    right = hashed(f"w-{n}@example.com" for n in range(MANY)) - hashed(gone)
    there = platforms.hashes(network)
    assert (len(there - right), len(right - there)) == (0, 0)
    failed = sum(sum(each["failed"].values()) for each in found)
    assert failed > 0  # told by the platform: by name (Google), or by their number (Meta)
    sent = [entry["rows"] for entry in platforms.ads.log(network) if entry["act"] in ("add", "remove")]
    assert max(sent) == 10_000
    assert sum(sent) < 2.5 * MANY  # differences only, but for what was cut off


DOOR = """
status = "active"
purpose = "marketing"
[enrol]
jobs = true
[[step]]
name = "ads"
channels = ["audience"]
[[audience]]
providers = ["meta"]
name = "door-{{ tier }}"
"""


def test_a_job_over_the_channel_puts_its_people_into_an_audience(build: Build, platforms: Platforms) -> None:
    """A step over it, and a job with a message of its own; whoever unsubscribed is refused with the reason, and `expires_at` removes."""
    platforms.ads.lag_seconds = 0.0
    house = build(relay=False)
    settle_in(house, platforms, DOOR)
    house.start()
    assert house("suppressions", "add", "s-3@example.com").code == 0
    house.post("step", job_of("step", 60, prefix="s"))
    job = house.settled("step")
    assert job["deliveries"] == {"accepted": 59, "rejected": 1}
    message = {"channel": "audience", "purpose": "marketing", "subject": "vip-{{ country }}", "text": "15 % this week"}
    house.post("own", job_of("own", 40, prefix="o", message=message, expires_at="2029-01-01T00:00:00Z"))
    assert house.settled("own")["deliveries"] == {"accepted": 40}
    found = {(each["provider"], each["name"]): each for each in synced(house, 59 + 80)}
    assert found["meta", "door-high"]["wanted"] + found["meta", "door-low"]["wanted"] == 59
    assert found["meta", "vip-ID"]["acknowledged"] == found["google", "vip-ID"]["acknowledged"] == 40
    assert platforms.hashes("meta") == hashed([*(f"s-{n}@example.com" for n in range(60) if n != 3), *(f"o-{n}@example.com" for n in range(40))])
    explained = house("explain", "s-5", "--json").json["enrolments"][0]["deliveries"][0]
    assert (explained["channel"], explained["state"]) == ("audience", "accepted")
    bad = {"id": "bad", "queue": "lapsed", "message": {**message, "subject": "{{ nonsense }}"}, "recipients": [{"id": "x"}]}
    code, problem = house.api("POST", "/v1/jobs", json.dumps(bad).encode())
    assert code == 422 and "knows no variable" in problem["errors"][0]["detail"]
    said = house("audience", "status")
    assert "door-high" in said.out
    assert house("audience", "sync", "--provider", "metta").code == 1
    assert house.api("POST", "/v1/jobs/own/cancel")[0] == 200  # all in, so finished: cancelled it takes them out again
    assert house("audience", "sync").code == 0
    left = hashed(f"s-{n}@example.com" for n in range(60) if n != 3)
    wait_for(lambda: platforms.hashes("meta") == left and not platforms.hashes("google") - left, "those of the cancelled job are out")
    assert house.stop() == 0
    assert house("audience", "status", "--json").json["audiences"]
