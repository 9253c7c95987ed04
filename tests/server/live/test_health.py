"""Everything that is wrong is said, and in this order."""

from typing import Any

import pytest

from semcache.server.live.health import wrong_with


def shown(**changed: Any) -> dict[str, Any]:
    """The figures of a server that is well, but for what is changed."""
    well: dict[str, Any] = {
        "redis": {"up": True, "entries": 1, "is_about": False, "error": None, "remedy": None},
        "rerankers": [{"reranker": "model", "states": {"closed": 2}, "reason": None, "cause": None}],
        "processes": [{"process": 1}, {"process": 2}],
        "totals": {"degraded": False},
        "quality": {"reason": None, "trust_threshold": 0.97},
        "about": {"trust_threshold": 0.97},
        "silent": 0,
    }
    return well | changed


def breaker(**states: int) -> list[dict[str, Any]]:
    named = {state.replace("_", "-"): n for state, n in states.items()}
    return [{"reranker": "model", "states": named, "reason": "slow", "cause": "p95 3 s"}]


AWAY = {"up": False, "entries": None, "is_about": False, "error": "refused", "remedy": "look"}


def test_all_may_be_well() -> None:
    assert wrong_with(shown()) == []
    assert wrong_with(shown(rerankers=breaker(disabled=2))) == []


@pytest.mark.parametrize(
    ("changed", "said", "remedy"),
    [
        ({"redis": AWAY}, "Redis does not answer.", "look"),
        ({"rerankers": breaker(open=2)}, "is open in 2 of 2", "closes by itself"),
        ({"rerankers": breaker(closed=1, half_open=1)}, "half-open in 1 of 2", "closes by itself"),
        ({"rerankers": breaker(forced_open=2)}, "forced-open", "semcache breaker reset"),
        ({"totals": {"degraded": True}}, "being degraded", "queue"),
        ({"quality": {"reason": "cost too much", "trust_threshold": None}}, "Trust was reduced.", "verified instead"),
        ({"silent": 1}, "1 process did not tell", "too much to do"),
    ],
)
def test_what_is_wrong_has_a_remedy(changed: dict[str, Any], said: str, remedy: str) -> None:
    [fault] = wrong_with(shown(**changed))
    assert said in fault["what"] and remedy in fault["remedy"]


def test_the_worst_comes_first_and_an_open_breaker_is_not_said_twice() -> None:
    faults = wrong_with(shown(silent=2, totals={"degraded": True}, rerankers=breaker(open=1), redis=AWAY))
    assert [fault["level"] for fault in faults] == ["bad", "bad", "warn"]
