"""Keeps the libraries that load and convert models from drawing on the terminal and from setting up logging."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Nothing is drawn inside; afterwards the caller's own setting holds again."""
    # By name, since its functions have no type hints.
    bars: Any = import_module("transformers.utils.logging")
    were_on = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            bars.enable_progress_bar()


@contextmanager
def without_logging_setup() -> Iterator[None]:
    """``logging.info()`` and its like, called inside, find a handler and so do not give the root logger one."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
