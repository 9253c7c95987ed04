"""Telling: every observer hears every event, and none can break a request."""

import pytest

from semcache.events import IndexCreated, NeighboursSkipped
from semcache.observers import notify

EVENT = IndexCreated("i")


class Broken:
    __hash__ = None

    def __init__(self, error):
        self.error = error

    def __call__(self, event):
        raise self.error


def test_all_are_told_in_order():
    heard = []
    notify([lambda event: heard.append(("a", event)), lambda event: heard.append(("b", event))], EVENT)
    assert heard == [("a", EVENT), ("b", EVENT)]


def test_nobody_to_tell_is_fine(caplog):
    notify((), EVENT)
    assert not caplog.records


def test_a_broken_one_does_not_keep_the_others_from_hearing(caplog):
    heard = []
    notify([Broken(ValueError("full disk")), heard.append], EVENT)
    assert heard == [EVENT]
    [record] = caplog.records
    assert record.levelname == "ERROR" and "IndexCreated" in record.getMessage()
    assert "full disk" in caplog.text


def test_it_is_reported_once_per_kind_of_error(caplog):
    broken = Broken(ValueError("1"))
    for _ in range(3):
        notify([broken], EVENT)
    broken.error = KeyError("2")
    notify([broken], NeighboursSkipped(1))
    notify([broken], NeighboursSkipped(1))
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, KeyError]


def test_two_broken_ones_are_both_reported(caplog):
    first, second = Broken(ValueError("1")), Broken(ValueError("2"))
    notify([first, second], EVENT)
    assert len(caplog.records) == 2


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        notify([Broken(KeyboardInterrupt())], EVENT)
