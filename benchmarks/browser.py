"""A real browser without a window, for the page of the server."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The path of Chromium on this machine; Debian has it as the package chromium."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched(*arguments: str) -> Iterator["Browser"]:
    """Chromium with these arguments; no event loop can be run in this thread meanwhile, since playwright runs one."""
    from playwright.sync_api import sync_playwright

    # It refuses to run as root in its sandbox.
    sandbox = () if os.geteuid() else ("--no-sandbox",)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*sandbox, *arguments])
        yield browser
        browser.close()
