"""Options of a measurement that are out of range."""

from typing import Any

import pytest

from semcache.commands.bench.result import BenchOptions
from semcache.errors import InvalidInputError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"entries": 0}, "entries must be from 1 to 1,000,000, got 0"),
        ({"documents": 1001}, "documents must be from 1 to 1,000, got 1001"),
        ({"seconds": 0}, "seconds must be above 0 and at most 60, got 0"),
        ({"seconds": float("nan")}, "got nan"),
    ],
)
def test_options_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        BenchOptions(**values)
