"""How many messages one destination may have on the way: it earns its places, and loses them when it keeps connections waiting."""

from __future__ import annotations

from daemon.model.delivery import SECOND
from daemon.pacing.destinations import LONGEST_SECONDS, REST, WAITING, Destination, Destinations

NOW = 1_795_322_411 * SECOND
FAR = NOW + 100_000 * SECOND


def put_off(all_: Destinations, count: int, *, first: int = 0, now: int = NOW) -> list[int]:
    """In how many seconds each of so many rows may ask again."""
    return [(all_.put_off("slow.example", 1, first + n, now, FAR) - now) // SECOND for n in range(count)]


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
    assert not all_.waits("", 99.0, 0.0)
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


def test_a_domain_that_never_answered_rests_too():
    """A connection that is given up after minutes says nothing of the domain; that it waited for so long does."""
    all_ = Destinations(10)
    all_.begin("slow.example")
    all_.waits("slow.example", 300.0, 1000.0)
    all_.end("slow.example", None, 1001.0)
    assert on_the_way(all_, "slow.example", now=1000.0 + REST * 300.0 - 0.01) == 0
    assert on_the_way(all_, "slow.example", now=1000.0 + REST * 300.0) == 1


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
    assert all_.waits("slow.example", 3.0, 0.0)
    assert not all_.waits("slow.example", 4.0, 0.0)
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


def test_what_hangs_is_known_sooner_than_who_is_slow():
    """A second is enough to give its place to somebody else; with a relay that takes longer for everybody it is longer."""
    all_ = Destinations(10)
    for _ in range(100):
        answered(all_, "d.example", 0.02)
    assert (all_.unusual, all_.patience) == (1.0, 2.0)
    for _ in range(200):
        answered(all_, "d.example", 1.0)
    assert all_.unusual == all_.patience > 7.0


def test_a_few_slow_answers_do_not_move_what_is_usual():
    """The median is learnt, not the mean."""
    all_ = Destinations(10)
    for number in range(400):
        answered(all_, "slow.example" if number % 20 == 0 else "fast.example", 60.0 if number % 20 == 0 else 0.02)
    assert all_.patience == 2.0
    assert list(all_.slow()) == ["slow.example"]


def test_what_found_no_room_gets_the_next_turn_at_the_domains_pace():
    """Each row is moved once: one turn behind the other, as fast as the domain takes them, none beyond half an hour but spread."""
    all_ = Destinations(10)
    all_.waits("slow.example", 10.0, 0.0)
    assert put_off(all_, 5) == [10, 15, 20, 25, 30]
    all_.waits("slow.example", 60.0, 0.0)
    later = put_off(all_, 60)
    assert later[:3] == [60, 120, 180]
    assert all(LONGEST_SECONDS < seconds <= 2 * LONGEST_SECONDS for seconds in later[30:])
    assert len(set(later)) == 60


def test_a_turn_is_never_after_the_messages_end():
    """It is decided there for the last time."""
    all_ = Destinations(10)
    all_.waits("slow.example", 60.0, 0.0)
    assert [all_.put_off("slow.example", 1, n, NOW, NOW + 90 * SECOND) - NOW for n in range(3)] == [60 * SECOND, 90 * SECOND, 90 * SECOND]


def test_a_domain_that_is_well_again_lets_its_rows_go_a_few_with_each_answer():
    """Nobody waits for a turn that was given in worse times; and if it is slow again soon, few have been moved for nothing."""
    all_ = Destinations(10)
    all_.waits("slow.example", 60.0, 0.0)
    put_off(all_, 100)
    freed: list[int] = []
    for answers in range(1, 60):
        answered(all_, "slow.example", 0.02)
        while all_.earned("slow.example"):
            freed += [delivery for _, _, delivery in all_.freed("slow.example", NOW)]
        assert len(freed) <= 10 + 2 * answers
    assert freed == list(range(100))
    assert not all_.earned("slow.example")


def test_a_domain_that_is_slow_again_lets_nobody_go():
    """What it had earned is gone."""
    all_ = Destinations(10)
    all_.waits("slow.example", 60.0, 0.0)
    put_off(all_, 100)
    answered(all_, "slow.example", 0.02)
    answered(all_, "slow.example", 60.0)
    assert not all_.earned("slow.example")
    answered(all_, "other.example", 0.02)
    assert not all_.earned("other.example")


def test_rows_whose_turn_has_come_are_not_let_go_a_second_time():
    """And what must not come sooner is not remembered."""
    all_ = Destinations(10)
    all_.waits("slow.example", 10.0, 0.0)
    put_off(all_, 4)
    all_.put_off("slow.example", 1, 99, NOW, FAR, remembered=False)
    answered(all_, "slow.example", 0.02)
    assert [row for _, _, row in all_.freed("slow.example", NOW + 16 * SECOND)] == [2, 3]
    assert all_.freed_all(NOW) == []


def test_what_waits_is_remembered_up_to_a_limit_and_let_go_all_together_at_the_end():
    """Memory does not follow the backlog: what is above comes at its turn. Who forgets everything lets everything go."""
    all_ = Destinations(10)
    all_.waits("slow.example", 10.0, 0.0)
    put_off(all_, WAITING + 50)
    assert len(all_.freed_all(NOW)) == WAITING
    assert all_.freed_all(NOW) == []
    put_off(all_, 1, first=7)
    assert [row for _, _, row in all_.freed_all(NOW)] == [7]


def test_a_slow_destination_with_something_claimed_tells_when_it_has_rested():
    """Twice as long as its message took; nothing while one is on its way, or nothing is claimed."""
    all_ = Destinations(10)
    all_.hold("slow.example")
    all_.begin("slow.example")
    all_.waits("slow.example", 10.0, 0.0)
    assert all_.rested_at(10.0) is None
    all_.end("slow.example", 10.0, 10.0)
    assert all_.rested_at(10.0) == 30.0
    assert all_.rested_at(30.0) is None
    all_.let_go("slow.example")
    assert all_.rested_at(10.0) is None


def test_thousands_of_domains_are_forgotten_unless_something_is_against_them():
    """Memory does not follow the number of domains."""
    all_ = Destinations(10)
    all_.waits("slow.example", 30.0, 0.0)
    for number in range(12_000):
        answered(all_, f"d{number}.example", 0.01)
    assert len(all_._known) <= 5000
    assert all_.is_slow("slow.example")


def test_one_late_answer_costs_a_domain_no_more_than_its_rest():
    """A relay that paused for long must not send the whole backlog away for long: the next answer in time ends it."""
    all_ = Destinations(10)
    answered(all_, "big.example", 40.0, now=100.0)
    assert all_.put_off("big.example", 1, 7, NOW, FAR) == NOW + 40 * SECOND
    assert all_.may("big.example", 100.0 + REST * 40.0)
    answered(all_, "big.example", 0.02, now=181.0)
    assert all_.spare("big.example") is None
    assert [row for _, _, row in all_.freed("big.example", NOW)] == [7]


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
