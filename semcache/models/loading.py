"""Keeps the libraries that load and convert models from drawing on the terminal and from setting up logging."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Transformers draws no progress bar inside; afterwards the caller's own setting holds again."""
    # By name, since its functions have no type hints.
    bars: Any = import_module("transformers.utils.logging")
    # The setting belongs to the whole process: two threads that load models at once may leave the bars off.
    were_on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            bars.enable_progress_bar()


@contextmanager
def without_logging_setup() -> Iterator[None]:
    """``logging.info()`` and its like, called inside, do not set up the root logger."""
    # They call basicConfig() when the root logger has no handler; it stays for the rest of the process, and from then
    # on every logger of the application prints to stderr.
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
