"""Every observer receives every event, and none can break a request."""

import subprocess
import sys
from typing import Any, get_args

import pytest

from semcache import observers
from semcache.events import Event, IndexCreated, NeighboursSkipped
from semcache.observers import notify

EVENT = IndexCreated("i")


class Broken:
    """Raises on every event; not hashable, as an observer may be."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, event: Event, /) -> None:
        raise self.error


def test_all_are_called_in_order() -> None:
    heard: list[Any] = []
    notify([lambda event: heard.append(("a", event)), lambda event: heard.append(("b", event))], EVENT)
    assert heard == [("a", EVENT), ("b", EVENT)]


def test_no_observers_are_fine(caplog: pytest.LogCaptureFixture) -> None:
    notify((), EVENT)
    assert not caplog.records


def test_a_broken_one_does_not_keep_the_others_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []
    notify([Broken(ValueError("full disk")), heard.append], EVENT)
    assert heard == [EVENT]
    [record] = caplog.records
    assert record.levelname == "ERROR" and "IndexCreated" in record.getMessage()
    assert "full disk" in caplog.text


def test_it_is_reported_once_per_kind_of_error(caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken(ValueError("1"))
    for _ in range(3):
        notify([broken], EVENT)
    broken.error = KeyError("2")
    notify([broken], NeighboursSkipped(1))
    notify([broken], NeighboursSkipped(1))
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, KeyError]


def test_two_broken_ones_are_both_reported(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Broken(ValueError("1")), Broken(ValueError("2"))
    notify([first, second], EVENT)
    assert len(caplog.records) == 2


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        notify([Broken(KeyboardInterrupt())], EVENT)


def test_the_dispatcher_loads_no_sink() -> None:
    code = "import sys, semcache.observers.dispatch; print(*sorted(m for m in sys.modules if 'cache.observers' in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "semcache.observers semcache.observers.dispatch"


def test_the_room_says_which_events_exist() -> None:
    assert [event.__name__ for event in get_args(Event) if event.__name__ not in str(observers.__doc__)] == []


def test_an_unknown_observer_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'StatsdObserver'"):
        observers.StatsdObserver  # noqa: B018
