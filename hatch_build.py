"""Writes the description that a package index shows: the README, whose links have to lead somewhere from there.

An index shows no other file of the repository. With the address of the repository in the variable REPOSITORY_URL links
lead to the files of this version there, and the package has urls. Without it they are paths in the source distribution,
which has all of these files: an address that is not known is not made up.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Not pictures, anchors, or what has a scheme already.
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)([^)\s]+)\)")


class Description(MetadataHookInterface):
    """Sets ``readme`` and ``urls``, which pyproject.toml declares to be dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        address = os.environ.get("REPOSITORY_URL", "").rstrip("/")
        files = f"{address}/blob/v{metadata['version']}" if address else ""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, files)}
        if address:
            metadata["urls"] = {
                "Source": address,
                "Documentation": f"{files}/docs/index.md",
                "Changelog": f"{files}/CHANGELOG.md",
            }


def described(readme: str, files: str) -> str:
    """The README for an index. ``files`` is the address that paths are behind; empty where there is none.

    Example:
        >>> described("see [Redis](docs/redis.md)", "https://forge.example/semcache/blob/v1")
        'see [Redis](https://forge.example/semcache/blob/v1/docs/redis.md)'
        >>> described("see [Redis](docs/redis.md), [docs/server.md](docs/server.md)", "")
        'see Redis (`docs/redis.md`), `docs/server.md`'
    """

    def replaced(match: re.Match[str]) -> str:
        words, path = match.groups()
        if files:
            return f"[{words}]({files}/{path})"
        plain = path.partition("#")[0]
        return f"`{plain}`" if words == plain else f"{words} (`{plain}`)"

    return _LINK.sub(replaced, readme)
