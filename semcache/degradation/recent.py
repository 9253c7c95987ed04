"""Decides whether requests are being degraded now, by the latest answers of a ladder."""

from collections import Counter, deque

WINDOW_S = 30.0
"""Older answers do not count: after an outage, and without any traffic, half a minute is enough to say that it is
over. Shorter ones would make the flag of a quiet service flicker from request to request."""
MOST = 100
"""Answers that count. With many requests a second an end is seen before the window is over."""
SHARE = 0.05
"""More than this share of degraded answers is more than single mishaps, as for the p95 that opens the breaker."""


class RecentAnswers:
    """The latest answers of a ladder: at most 100, and none older than 30 seconds. Has no lock and reads no clock.

    Example:
        >>> recent = RecentAnswers()
        >>> recent.add("busy", now=0.0)
        >>> recent.reason(now=1.0), recent.reason(now=31.0)
        ('busy', None)
    """

    def __init__(self) -> None:
        self._answers: deque[tuple[float, str | None]] = deque(maxlen=MOST)

    def add(self, reason: str | None, now: float) -> None:
        """An answer: ``reason`` says why it was degraded, None if it was not. ``now`` is in seconds and never falls."""
        self._answers.append((now, reason))

    def share(self, now: float) -> float:
        """The share of degraded answers, from 0 to 1; 0 without an answer."""
        reasons = self._reasons(now)
        return sum(reason is not None for reason in reasons) / (len(reasons) or 1)

    def reason(self, now: float) -> str | None:
        """The most frequent reason if more than 5 % of the answers were degraded, else None."""
        if self.share(now) <= SHARE:
            return None
        counts = Counter(reason for reason in self._reasons(now) if reason is not None)
        return counts.most_common(1)[0][0]

    def _reasons(self, now: float) -> list[str | None]:
        return [reason for at, reason in self._answers if now - at <= WINDOW_S]
