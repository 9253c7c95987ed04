"""Loading models changes no setting of the process for longer than it lasts."""

import logging

import pytest
from transformers.utils import logging as transformers_logging

from semcache.models.loading import without_logging_setup, without_progress_bars


@pytest.mark.parametrize("are_on", [True, False])
def test_progress_bars_are_as_before_afterwards(are_on: bool) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    switch = {True: transformers_logging.enable_progress_bar, False: transformers_logging.disable_progress_bar}
    try:
        switch[are_on]()
        with pytest.raises(ValueError, match="failed"), without_progress_bars():
            assert not transformers_logging.is_progress_bar_enabled()
            raise ValueError("failed")
        assert transformers_logging.is_progress_bar_enabled() is are_on
    finally:
        switch[before]()


def test_the_root_logger_gets_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with without_logging_setup():
        logging.debug("a library's first words")
    assert logging.getLogger().handlers == []
