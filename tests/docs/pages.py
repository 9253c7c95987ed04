"""The pages that users read, and the blocks of code on them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md")))
}
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code: the page, its number there, the language after the fence, and the code."""

    page: str
    number: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def blocks(*languages: str) -> list[Block]:
    """All blocks of all pages, or those of some languages."""
    return [
        block
        for page, text in PAGES.items()
        for block in blocks_of(page, text)
        if not languages or block.language in languages
    ]


def blocks_of(page: str, text: str) -> list[Block]:
    """The blocks of one page; those in lists and tabs without their indent."""
    return [
        Block(page, number, language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE))
        for number, (indent, language, code) in enumerate(_BLOCK.findall(text), start=1)
    ]
