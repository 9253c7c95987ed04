"""Files that cannot be written are reported before the work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from semcache.commands.files import check_folder, check_plot
from semcache.errors import InvalidInputError


def test_a_missing_folder_is_reported_before_the_replay(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no folder .*nowhere; make it first"):
        check_plot(tmp_path / "nowhere" / "a.png")


@pytest.mark.parametrize("check", [check_folder, check_plot])
def test_a_folder_that_is_not_there_is_reported_before_the_work(check: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="make it first"):
        check(tmp_path / "missing" / "plot.png")
