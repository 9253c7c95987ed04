"""JsonFormatter: a line is one JSON object with the fields of the event."""

import json
import logging
from math import inf
from typing import Any

import pytest

from semcache.events import CacheUnavailable, Event, TrustChanged
from semcache.observers import JsonFormatter, LoggingObserver, OutageLog
from tests.observers.samples import ONE_OF_EACH, reranked


class Lines(logging.Handler):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def logger(lines: Lines) -> logging.Logger:
    logger = logging.Logger("semcache")
    logger.addHandler(lines)
    return logger


def refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_is_a_line_of_json(event: Event, lines: Lines, logger: logging.Logger) -> None:
    LoggingObserver(logger)(event)
    [line] = lines.lines
    values = json.loads(line, parse_constant=refused)
    assert values["event"] == type(event).__name__ and "\n" not in line
    assert values.keys() >= {"time", "level", "logger", "message"}


def test_the_fields_are_those_of_the_event(lines: Lines, logger: logging.Logger) -> None:
    LoggingObserver(logger)(reranked("verified", asked=4, query="my diagnosis"))
    values = json.loads(lines.lines[0])
    assert (values["status"], values["asked"], values["similarity"]) == ("verified", 4, None)
    assert "diagnosis" not in lines.lines[0]
    assert values["time"].endswith("+00:00")


def test_what_is_not_finite_is_a_text(lines: Lines, logger: logging.Logger) -> None:
    LoggingObserver(logger)(TrustChanged("s", 0.97, inf, "cost"))
    assert json.loads(lines.lines[0], parse_constant=refused)["new"] == "inf"


def test_half_of_a_surrogate_pair_can_be_written(lines: Lines, logger: logging.Logger) -> None:
    logger.warning("of tenant %s", "café \ud800")
    assert json.loads(lines.lines[0].encode())["message"] == "of tenant café \ud800"


def test_other_records_and_exceptions_are_written_too(lines: Lines, logger: logging.Logger) -> None:
    OutageLog(logger=logger)(CacheUnavailable("Redis at h:1 is away"))
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed for %s", "Zürich")
    outage, failure = map(json.loads, lines.lines)
    assert outage["event"] == "CacheUnavailable" and "h:1" in outage["message"]
    assert failure["message"] == "failed for Zürich" and "ValueError: no" in failure["exception"]
