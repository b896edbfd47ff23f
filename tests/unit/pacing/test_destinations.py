"""How many messages one destination may have on the way: it earns its places, and loses them when it keeps connections waiting."""

from __future__ import annotations

from daemon.pacing.destinations import FIRST_PAUSE, LONGEST_PAUSE, REST, Destination, Destinations


def answered(all_: Destinations, domain: str, seconds: float, now: float = 0.0) -> None:
    all_.hold(domain)
    all_.begin(domain)
    all_.let_go(domain)
    all_.end(domain, seconds, now)


def on_the_way(all_: Destinations, domain: str, now: float = 0.0, *, alone: bool = False) -> int:
    """So many may begin, one after the other, without an answer."""
    count = 0
    while count < 1000 and all_.may(domain, now, alone=alone):
        all_.begin(domain)
        count += 1
    for _ in range(count):
        all_.end(domain, None, now)
    return count


def test_a_domain_that_nobody_knows_has_one_place_and_earns_more():
    """One more with each answer, so that what hangs from the first has one connection, and what answers soon has all."""
    all_ = Destinations(10)
    assert on_the_way(all_, "new.example") == 1
    for _ in range(20):
        answered(all_, "new.example", 0.02)
    assert on_the_way(all_, "new.example") == 21
    assert on_the_way(all_, "other.example") == 1


def test_no_domain_is_no_limit():
    """Channels without a destination have none."""
    all_ = Destinations(10)
    all_.hold("")
    all_.begin("")
    assert all_.may("", 0.0)
    assert not all_.waits("", 99.0)
    assert all_.spare("") is None


def test_a_slow_domain_goes_one_at_a_time_and_rests():
    """Twice as long as its last message took; an answer in time ends that."""
    all_ = Destinations(10)
    for _ in range(50):
        answered(all_, "big.example", 0.02)
    answered(all_, "big.example", 6.0, now=100.0)
    assert all_.slow() == {"big.example": 6.0}
    assert on_the_way(all_, "big.example", now=100.0 + REST * 6.0 - 0.01) == 0
    assert on_the_way(all_, "big.example", now=100.0 + REST * 6.0) == 1
    answered(all_, "big.example", 0.02, now=113.0)
    assert all_.slow() == {}
    assert on_the_way(all_, "big.example", now=113.0) == 2


def test_places_that_nobody_wants_are_given_to_a_slow_domain():
    """Half of them, fewer the slower it is, one at least."""
    counts = []
    for seconds in (3.0, 10.0, 60.0, 600.0):
        all_ = Destinations(10)
        answered(all_, "slow.example", seconds, now=100.0)
        counts.append(on_the_way(all_, "slow.example", now=100.0, alone=True))
    assert counts == [5, 2, 1, 1]


def test_what_waits_is_slow_before_its_answer():
    """The look says so once; no more than twice its places may be claimed for it, what is above goes back."""
    all_ = Destinations(10)
    for _ in range(30):
        all_.hold("slow.example")
    all_.begin("slow.example")
    assert all_.spare("slow.example") is None
    assert all_.waits("slow.example", 3.0)
    assert not all_.waits("slow.example", 4.0)
    assert (all_.spare("slow.example"), all_.too_many("slow.example")) == (0, 20)
    for _ in range(25):
        all_.let_go("slow.example")
    assert (all_.spare("slow.example"), all_.too_many("slow.example")) == (5, 0)


def test_slow_is_measured_against_the_others():
    """Behind a relay that takes three seconds for everybody nobody is slow, once that is known; sixty still are."""
    all_ = Destinations(10)
    for number in range(200):
        answered(all_, f"d{number % 7}.example", 3.0)
    assert all_.slow() == {}
    assert all_.patience > 20
    answered(all_, "d0.example", 60.0)
    assert list(all_.slow()) == ["d0.example"]


def test_a_few_slow_answers_do_not_move_what_is_usual():
    """The median is learnt, not the mean."""
    all_ = Destinations(10)
    for number in range(400):
        answered(all_, "slow.example" if number % 20 == 0 else "fast.example", 60.0 if number % 20 == 0 else 0.02)
    assert all_.patience == 2.0
    assert list(all_.slow()) == ["slow.example"]


def test_what_found_no_room_comes_back_later_and_not_all_at_once():
    """The pause grows with what it takes, up to ten minutes, and is spread over as long again."""
    all_ = Destinations(10)
    assert FIRST_PAUSE <= all_.later("slow.example") <= 2 * FIRST_PAUSE
    all_.waits("slow.example", 30.0)
    times = [all_.later("slow.example") for _ in range(100)]
    assert 30.0 <= min(times) < 31.0
    assert 59.0 < max(times) <= 60.0
    for _ in range(10):
        answered(all_, "slow.example", 60.0)
    assert LONGEST_PAUSE <= all_.later("slow.example") <= 2 * LONGEST_PAUSE


def test_a_slow_destination_with_something_claimed_tells_when_it_has_rested():
    """Twice as long as its message took; nothing while one is on its way, or nothing is claimed."""
    all_ = Destinations(10)
    all_.hold("slow.example")
    all_.begin("slow.example")
    all_.waits("slow.example", 10.0)
    assert all_.rested_at(10.0) is None
    all_.end("slow.example", 10.0, 10.0)
    assert all_.rested_at(10.0) == 30.0
    assert all_.rested_at(30.0) is None
    all_.let_go("slow.example")
    assert all_.rested_at(10.0) is None


def test_thousands_of_domains_are_forgotten_unless_something_is_against_them():
    """Memory does not follow the number of domains."""
    all_ = Destinations(10)
    all_.waits("slow.example", 30.0)
    for number in range(12_000):
        answered(all_, f"d{number}.example", 0.01)
    assert len(all_._known) <= 5000
    assert all_.is_slow("slow.example")


def test_one_late_answer_costs_a_domain_a_few_seconds():
    """A relay that paused for long must not send the whole backlog away for long: the pause is short until it happens again."""
    all_ = Destinations(10)
    answered(all_, "big.example", 40.0)
    assert all_.later("big.example") <= 2 * FIRST_PAUSE
    answered(all_, "big.example", 40.0)
    assert 2 * FIRST_PAUSE <= all_.later("big.example") <= 4 * FIRST_PAUSE
    answered(all_, "big.example", 0.02)
    assert all_.spare("big.example") is None


class _Answered(Destination):
    """Slow at the first look; at the next one its answer has come, in the other thread."""

    __slots__ = ("looks",)

    @property
    def took(self) -> float:  # type: ignore[override]
        self.looks = getattr(self, "looks", 0) + 1
        return 5.0 if self.looks == 1 else 0.0

    @took.setter
    def took(self, value: float) -> None:
        self.looks = 0


def test_a_claim_may_ask_while_the_answer_comes():
    """It asks in the writer's thread: between two looks at a slow domain the loop may find it well again."""
    all_ = Destinations(10)
    all_._known["slow.example"] = _Answered()
    assert all_.spare("slow.example") == 10
    assert all_.took("nobody.example") == 0.0
