"""Colours of the page's charts stand out from their ground, as WCAG 2.2 wants it of graphics (1.4.11)."""

import re
from importlib.resources import files

import pytest

from semcache.ranking import Status

CSS = files("semcache.server").joinpath("page", "page.css").read_text()
COLOURS = {name: pair for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", CSS)}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("status", Status)
def test_every_status_can_be_seen(status: Status, theme: int) -> None:
    low, high = sorted((luminance(COLOURS[status.value][theme]), luminance(COLOURS["card"][theme])))
    assert (high + 0.05) / (low + 0.05) >= 3
