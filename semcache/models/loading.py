"""Keeps libraries that load, convert and run models from drawing on the terminal, logging, and sending telemetry."""

import logging
import os
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


@contextmanager
def without_telemetry() -> Iterator[None]:
    """An onnxruntime that is imported inside has its telemetry off, unless the environment already says otherwise."""
    # Some releases (1.32, for one) start a thread for it when they are imported. No cache should start that on the
    # side, and a forked child, which has not got the thread, waits for it at its exit for ever, or aborts.
    is_set = "ORT_DISABLE_TELEMETRY" in os.environ
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        yield
    finally:
        # onnxruntime has read it. It is not left behind for programs that this process starts.
        if not is_set:
            os.environ.pop("ORT_DISABLE_TELEMETRY", None)
