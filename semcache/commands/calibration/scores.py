"""Scores by query and document, kept on disk as they are made, so that a stopped calibration goes on where it was."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from semcache.errors import ConfigurationError

Scores = dict[str, dict[bytes, float]]
"""By query name, then by document fingerprint."""

_FORMAT = 1
_BEGINNING = b'{"semcache calibration": '


class ScoreFile:
    """Scores of one reranker in a file of JSON lines: a head, then what one call scored per line.

    It holds fingerprints and numbers, no text. A line that an interrupt left unfinished is dropped and made again.
    Raises ConfigurationError for a file of another reranker, or one that is no such file.
    """

    def __init__(self, path: Path, reranker: str) -> None:
        self.path = path
        self.scores: Scores = {}
        head = {"semcache calibration": _FORMAT, "reranker": reranker}
        whole = _whole_lines(path)
        if whole:
            _check(path, whole[0], head)
            for number, line in enumerate(whole[1:], 2):
                self._take(line, number)
        self._file = _opened(path)
        self._file.truncate(sum(map(len, whole)))
        if not whole:
            self._write(head)

    def _take(self, line: bytes, number: int) -> None:
        try:
            said = json.loads(line)
            scores = {bytes.fromhex(name): float(score) for name, score in said["scores"].items()}
            self.scores.setdefault(said["query"], {}).update(scores)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{self.path}, line {number} is damaged; remove the file to start anew") from error

    def add(self, query: str, scores: Mapping[bytes, float]) -> None:
        """Remember what one call said, on disk when this returns."""
        self.scores.setdefault(query, {}).update(scores)
        self._write({"query": query, "scores": {name.hex(): score for name, score in scores.items()}})

    def _write(self, said: Any) -> None:
        self._file.write(json.dumps(said).encode() + b"\n")
        self._file.flush()

    def missing(self, query: str, fingerprints: Iterable[bytes]) -> list[bytes]:
        """The documents that have no score for this query yet, in their order."""
        known = self.scores.get(query, {})
        return [fingerprint for fingerprint in fingerprints if fingerprint not in known]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ScoreFile {self.path}: {sum(map(len, self.scores.values()))} pairs>"


def _whole_lines(path: Path) -> list[bytes]:
    try:
        held = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, error) from error
    if held[: len(_BEGINNING)] != _BEGINNING[: len(held)]:
        raise _not_ours(path)
    return [line for line in held.splitlines(keepends=True) if line.endswith(b"\n")]


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot use the state file {path}: {error.strerror}; name another with --state")


def _not_ours(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is no state file of a calibration; name another with --state")


def _check(path: Path, line: bytes, head: Mapping[str, Any]) -> None:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("semcache calibration") != _FORMAT:
        raise _not_ours(path)
    if found["reranker"] != head["reranker"]:
        raise ConfigurationError(
            f"{path} holds scores of {found['reranker']}, but the reranker now is {head['reranker']}; "
            "name another file with --state"
        )
