"""The table says which promises are kept, marks what was not, and has peers beside."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.measure import Delay, Row
from tests.faults.report import Result, save
from tests.faults.subjects import RedisVL, Semcache
from tests.faults.tally import Tally
from tests.faults.targets import targets

GOOD = Row(
    Semcache.name,
    "network",
    "replies after 50 ms",
    requests=100,
    before=Delay(1.0, 3.0),
    first_second=Delay(1.0, 53.0),
    later=Delay(1.0, 4.0),
    hits_before=0.9,
    hits_with=0.0,
    hits_after=0.9,
    recovered_s=0.2,
    events={"CacheUnavailable": 1},
)


def worst(rows: list[Row]) -> dict[str, str]:
    return {
        line["figure"]: line["worst"] + ("" if line["kept"] == "yes" else " too much")
        for line in targets([row.as_dict() for row in rows])
    }


def test_a_line_for_each_promise() -> None:
    assert worst([GOOD]) == {
        "failed requests": "0",
        "wrong requests": "0",
        "unanswered requests": "0",
        "p99 of added, first second, frozen or slow": "50",
        "the same, later": "1",
        "back after the end": "0.2",
    }


@pytest.mark.parametrize(
    ("change", "figure", "shown"),
    [
        ({"failed": 3}, "failed requests", "3 too much"),
        ({"wrong": 1}, "wrong requests", "1 too much"),
        ({"unanswered": 2}, "unanswered requests", "2 too much"),
        ({"later": Delay(1.0, 13.0)}, "the same, later", "10 too much"),
        ({"later": Delay(None, None)}, "the same, later", "inf too much"),
        ({"recovered_s": None}, "back after the end", "inf too much"),
    ],
)
def test_the_worst_row_is_shown(change: dict[str, Any], figure: str, shown: str) -> None:
    assert worst([GOOD, replace(GOOD, **change)])[figure] == shown


def test_faults_that_change_replies_do_not_count_as_slow() -> None:
    cut = replace(GOOD, fault="replies cut off in the middle", later=Delay(1.0, 500.0))
    assert worst([GOOD, cut])["the same, later"] == "1"


def test_what_stays_away_need_not_be_back() -> None:
    gone = replace(GOOD, fault="killed", strikes="server", heals=False, recovered_s=None)
    assert worst([GOOD, gone])["back after the end"] == "0.2"


def test_a_peers_failures_are_not_ours() -> None:
    assert worst([GOOD, replace(GOOD, subject=RedisVL.name, failed=50)])["failed requests"] == "0"


def test_what_nothing_told_of_is_marked(tmp_path: Path) -> None:
    save(Result({}, [replace(GOOD, is_told=False).as_dict()], {}), tmp_path)
    assert "| CacheUnavailable 1 **not enough** |" in (tmp_path / "faults.md").read_text()


def test_the_files(tmp_path: Path) -> None:
    case = {"subject": Semcache.name, "strikes": "isolation", "fault": "two tenants", **Tally(10, wrong=2).as_dict()}
    peer = replace(GOOD, subject=RedisVL.name, failed=50)
    rows = [GOOD.as_dict(), peer.as_dict(), case]
    save(Result({"cpu": "some"}, rows, {"langchain-redis": "not installed"}), tmp_path)
    assert json.loads((tmp_path / "faults.json").read_text())["rows"][0]["fault"] == GOOD.fault
    written = (tmp_path / "faults.md").read_text()
    for line in (
        "| replies after 50 ms | 100 | 0 | 0 | 0 | 0 | 1.0 / 3.0 | 1.0 / 53.0 | 1.0 / 4.0 | 90% / 0% / 90% | 0.20 |"
        " CacheUnavailable 1 |",
        "| replies after 50 ms | 50, 0, 0 of 100 | 1.0 / 53.0 | 0.20 |",
        "| two tenants | 10 | 0 | **2** | 0 | 0 | 0 |  |",
        "langchain-redis was left out: not installed.",
    ):
        assert line in written
