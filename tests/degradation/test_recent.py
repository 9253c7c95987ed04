"""Whether requests are being degraded now, by the latest answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.degradation.recent import MOST, SHARE, WINDOW_S, RecentAnswers

REASONS = st.sampled_from([None, "busy", "error", "deadline"])


def after(*answers: str | None, every_s: float = 0.0) -> RecentAnswers:
    recent = RecentAnswers()
    for number, reason in enumerate(answers):
        recent.add(reason, number * every_s)
    return recent


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([], None),
        ([None], None),
        (["busy"], "busy"),
        (["busy"] * 43 + [None] * 7, "busy"),
        ([None] * 19 + ["busy"], None),
        ([None] * 18 + ["busy"] * 2, "busy"),
        (["busy", "error", "error"] + [None] * 20, "error"),
        (["busy"] * 50 + [None] * 100, None),
    ],
)
def test_more_than_one_in_twenty(answers: list[str | None], reason: str | None) -> None:
    assert after(*answers).reason(now=0.0) == reason


def test_without_traffic_it_is_over_after_the_window() -> None:
    recent = after("busy")
    assert recent.reason(now=WINDOW_S) == "busy"
    assert recent.reason(now=WINDOW_S + 0.001) is None
    assert recent.share(now=WINDOW_S + 0.001) == 0.0


def test_older_answers_leave_one_by_one() -> None:
    recent = after(*["busy"] * 10, *[None] * 10, every_s=3.0)
    assert recent.share(now=57.1) == 0.0
    assert recent.share(now=36.0) == pytest.approx(8 / 18)


@given(st.lists(REASONS, max_size=300))
def test_the_share_is_that_of_the_latest_answers(answers: list[str | None]) -> None:
    recent = after(*answers)
    latest = answers[-MOST:]
    share = sum(reason is not None for reason in latest) / max(len(latest), 1)
    assert recent.share(0.0) == share
    assert (recent.reason(0.0) is not None) == (share > SHARE)
    assert recent.reason(0.0) in {None, *latest}
