"""Several waits that share one time."""

from math import inf

import pytest

from semcache.runtime.countdown import Countdown


def test_without_a_timeout_it_never_ends() -> None:
    countdown = Countdown(None)
    assert not countdown.is_over
    assert countdown.left_s(5.0) == 5.0
    assert countdown.left_s(inf) == inf


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_a_time_that_is_over_leaves_nothing(timeout_s: float) -> None:
    countdown = Countdown(timeout_s)
    assert countdown.is_over
    assert countdown.left_s(5.0) == 0


def test_what_is_left_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((100.0, 103.0, 109.5))
    monkeypatch.setattr("semcache.runtime.countdown.monotonic", lambda: next(times))
    countdown = Countdown(10.0)
    assert countdown.left_s(5.0) == 5.0
    assert countdown.left_s(5.0) == 0.5
