"""The Chinese README says what the English one says: the same headings, code, tables and links, one to one."""

import re

import pytest

from tests.docs.pages import PAGES, blocks_of

ENGLISH, CHINESE = PAGES["README.md"], PAGES["README.zh-CN.md"]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    """The level of each heading, as its signs."""
    return re.findall(r"^(#+) .+$", without_code(text), re.MULTILINE)


def code(page: str, text: str) -> list[tuple[str, str]]:
    """Language and code of each block, without comments, which are translated."""
    return [(block.language, re.sub(r" *# .*", "", block.code)) for block in blocks_of(page, text)]


def tables(text: str) -> list[int]:
    """The number of columns of each row."""
    return [row.count("|") for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]


def links(text: str) -> list[str]:
    return [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")]


def numbers(text: str) -> list[str]:
    """The figures in tables, such as 0.11, in the order in which they come."""
    return re.findall(r"[-+]?\d+\.\d+", "".join(re.findall(r"^\|.*\|$", text, re.MULTILINE)))


@pytest.mark.parametrize("of", [headings, tables, links, numbers])
def test_the_same_one_to_one(of: object) -> None:
    assert callable(of)
    assert of(CHINESE) == of(ENGLISH)


def test_the_same_code() -> None:
    assert code("README.zh-CN.md", CHINESE) == code("README.md", ENGLISH)


def test_it_warns_of_the_other_package() -> None:
    assert "semcache.io" in ENGLISH
    assert "semcache.io" in CHINESE


def test_each_leads_to_the_other() -> None:
    assert "(README.zh-CN.md)" in ENGLISH
    assert "(README.md)" in CHINESE
