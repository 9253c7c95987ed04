"""The latest error of each part, and how long ago it was."""

import pytest

from semcache.events import CacheFailed, CacheUnavailable, RungFailed
from semcache.observers import Counters, LastErrors
from tests.observers.samples import ONE_OF_EACH
from tests.scripted import ScriptedClock


def test_there_is_none_at_first() -> None:
    assert LastErrors().snapshot() == {"cache": None, "embedder": None, "reranker": {}}


def test_each_part_has_its_own() -> None:
    clock = ScriptedClock()
    errors = LastErrors(clock)
    errors(CacheFailed("ReadExact", "StoreError: old"))
    clock.pass_(2.0)
    errors(CacheFailed("Remember", "StoreError: full"))
    errors(CacheFailed("Embed", "EmbedderError: no"))
    errors(RungFailed("one", "RuntimeError: gone"))
    clock.pass_(0.5)
    errors(RungFailed("two", "MemoryError"))
    assert errors.snapshot() == {
        "cache": {"error": "StoreError: full", "step": "Remember", "seconds_ago": 0.5},
        "embedder": {"error": "EmbedderError: no", "step": "Embed", "seconds_ago": 0.5},
        "reranker": {
            "one": {"error": "RuntimeError: gone", "seconds_ago": 0.5},
            "two": {"error": "MemoryError", "seconds_ago": 0.0},
        },
    }


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_other_events_are_no_errors(event: object) -> None:
    errors = LastErrors()
    errors(event)  # type: ignore[arg-type]
    is_error = isinstance(event, CacheFailed | CacheUnavailable | RungFailed)
    assert (errors.snapshot() != LastErrors().snapshot()) is is_error


def test_counters_show_them() -> None:
    counters = Counters()
    counters(CacheFailed("ReadExact", "StoreError: old"))
    shown = counters.snapshot()["last_error"]
    assert shown["cache"]["error"] == "StoreError: old"
    assert shown["cache"]["seconds_ago"] >= 0
