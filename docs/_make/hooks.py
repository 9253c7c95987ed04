"""Hooks of mkdocs: files of the repository that pages link to become part of the site, under ``project/``.

So one link does for both readers, on the site and in the repository, and no address of either has to be known.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PLACE = "project"
"""The folder of the site where files that stand outside of ``docs/`` are."""

_OUTSIDE = (
    "*.md",
    "LICENSE",
    "Dockerfile",
    "compose.yaml",
    "schemas/pipeline.yaml",
    "deploy/monitoring/*.*",
    "benchmarks/README.md",
    "benchmarks/results/*.*",
)
_WIDE = ("index.md", "comparison.md")
"""Pages without menus at their sides: a door needs none, and a wide table needs the room."""
# Of a link or a picture, also with a title behind the target; targets with a scheme or only an anchor are left alone.
_LINK = re.compile(r"(\]\()(?![a-z+]+:|#|/)([^)\s#]+)")
_PICTURE = re.compile(r'<img [^>]*src="(?:[./]*)pictures/([\w-]+\.svg)"[^>]*>')
_CODE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that stand outside of ``docs/``."""
    for path in outside():
        files.append(File.generated(config, f"{PLACE}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Point links that lead out of ``docs/``, and those of files from outside, at their place in the site."""
    # Said here and not at the top of the file, where viewers of the repository would show it.
    if page.file.src_uri in _WIDE:
        page.meta["hide"] = ["navigation", "toc"]
    return rewritten(markdown, page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Put pictures into the page itself, where they take its colours and their text can be searched and read out."""
    return _PICTURE.sub(lambda match: (ROOT / "docs" / "pictures" / match[1]).read_text(), html)


def outside() -> Iterator[str]:
    """The paths, from the root of the repository, of the files that the site takes from outside of ``docs/``."""
    for pattern in _OUTSIDE:
        yield from (path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(pattern)))


def rewritten(markdown: str, page: str) -> str:
    """The text of a page with its links as the site needs them.

    Example:
        >>> rewritten("see [size](../benchmarks/results/size.md)", "redis.md")
        'see [size](project/benchmarks/results/size.md)'
        >>> rewritten("see [Redis](docs/redis.md)", "project/README.md")
        'see [Redis](../redis.md)'
    """
    here = PurePosixPath(page).parent

    def replaced(match: re.Match[str]) -> str:
        return match[1] + relpath(place_of(in_repository(match[2], page)), here)

    # Every second part is a block of code.
    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(replaced, part) for number, part in enumerate(parts))


def in_repository(target: str, page: str) -> str:
    """The path, from the root of the repository, of what a link on a page leads to."""
    source = page.removeprefix(f"{PLACE}/") if page.startswith(f"{PLACE}/") else f"docs/{page}"
    return normpath((PurePosixPath(source).parent / target).as_posix())


def place_of(path: str) -> str:
    """The path in the site of a file of the repository."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{PLACE}/{path}"
