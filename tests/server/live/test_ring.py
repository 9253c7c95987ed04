"""Slots of time: what falls out of the window, how exact latencies are, and that memory is bounded."""

from statistics import quantiles

from hypothesis import given
from hypothesis import strategies as st

from semcache.events import Reranked
from semcache.server.live.ring import BUCKETS, WINDOWS, Ring, Window, bucket_of, quantile_s

WINDOW = Window("test", 10, 6, 1)


def reranked(status: str = "exact", *, asked: int = 0, reused: int = 0, drift: float | None = None) -> Reranked:
    return Reranked(status, None, "model", "", asked + reused, asked, reused, 1, None, drift, 0.01)


@given(st.floats(1e-4, 99))
def test_a_latency_is_known_to_six_percent(seconds: float) -> None:
    known = quantile_s([(bucket_of(seconds), 1)], 0.5)
    assert known is not None and abs(known / seconds - 1) < 0.061


def test_what_is_too_short_or_too_long_has_a_bucket() -> None:
    assert (bucket_of(0), bucket_of(1e-5), bucket_of(1e6)) == (0, 0, BUCKETS - 1)


@given(st.lists(st.floats(0.001, 10), min_size=100, max_size=200))
def test_quantiles_are_those_of_the_latencies(latencies: list[float]) -> None:
    cuts = quantiles(latencies, n=100, method="inclusive")
    histogram = [(bucket_of(seconds), 1) for seconds in latencies]
    ordered = sorted(latencies)
    for share in (50, 95, 99):
        known = quantile_s(histogram, share / 100)
        # Between two observations any value is a quantile.
        after = next(seconds for seconds in ordered if seconds >= cuts[share - 1])
        before = [seconds for seconds in ordered if seconds <= cuts[share - 1]][-1]
        assert known is not None and before / 1.061 <= known <= after * 1.061


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile_s([], 0.5) is None


def test_a_slot_that_has_left_the_window_is_not_told_and_its_place_is_used_again() -> None:
    ring = Ring(WINDOW)
    ring.at(1000).add(reranked(asked=1), 5)
    assert [slot["at"] for slot in ring.dump(1055)] == [1000]
    assert ring.dump(1060) == []
    ring.at(1063).add(reranked(asked=3), 5)
    assert [(slot["at"], slot["asked"]) for slot in ring.dump(1065)] == [(1060, 3)]


def test_a_clock_that_is_set_back_loses_what_was_later_and_nothing_else() -> None:
    ring = Ring(WINDOW)
    ring.at(2000).add(reranked(asked=1), 5)
    ring.at(1000).add(reranked(asked=2), 5)
    assert [slot["asked"] for slot in ring.dump(1000)] == [2]


def test_a_slot_counts_by_status_and_keeps_few_drifts() -> None:
    slot = Ring(WINDOW).at(0)
    for number in range(1000):
        slot.add(reranked("verified" if number % 2 else "exact", asked=2, reused=3, drift=-1.0), 7)
    told = slot.dump()
    assert told["seconds"] == {"exact": [[7, 500]], "verified": [[7, 500]]}
    assert (told["asked"], told["avoided"], len(told["drifts"])) == (2000, 3000, 32)


def test_windows_have_as_many_slots_as_a_chart_has_room_for() -> None:
    assert {name: (window.seconds, window.slots) for name, window in WINDOWS.items()} == {
        "15m": (900, 180),
        "24h": (86_400, 180),
    }
