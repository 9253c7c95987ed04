"""The pictures are what the script draws, and can be read by those who do not see them."""

from xml.etree.ElementTree import fromstring

import pytest

from docs._make.pictures import FOLDER, PICTURES
from tests.docs.pages import PAGES

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_drawn(name: str) -> None:
    assert (FOLDER / f"{name}.svg").read_text() == PICTURES[name](), "draw it anew by `make docs-pages`"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_in_words_what_it_shows(name: str) -> None:
    root = fromstring(PICTURES[name]())
    assert root.get("role") == "img"
    assert all(root.findtext(f"{SVG}{part}") for part in ("title", "desc"))


def test_every_picture_is_on_a_page() -> None:
    everything = "".join(PAGES.values())
    assert all(f"](pictures/{name}.svg)" in everything for name in PICTURES)
