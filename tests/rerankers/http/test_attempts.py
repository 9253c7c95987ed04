"""When a service may be called again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from semcache.rerankers.http.attempts import LONGEST_PAUSE_S, is_passing, retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.25", 0.25),
        ("-5", 0.0),
        ("86400", LONGEST_PAUSE_S),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 99 Oct 2015", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_a_date_in_the_future_is_waited_for() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after_s(header) == pytest.approx(30, abs=2)


def test_what_passes() -> None:
    assert [status for status in range(100, 600) if is_passing(status)] == [429, 502, 503, 504]
