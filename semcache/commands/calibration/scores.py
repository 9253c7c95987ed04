"""Scores by query and document, kept on disk as they are made, so that a stopped calibration can go on."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from semcache.errors import ConfigurationError

Scores = dict[str, dict[bytes, float]]
"""By query name, then by document fingerprint."""

_FORMAT = 1
_BEGINNING = b'{"semcache calibration": '


class ScoreFile:
    """Scores of one reranker in a file of JSON lines: first a head, then a line per call of the reranker.

    Without a file they are kept in memory only. The file holds fingerprints and numbers, no text. A line that an
    interrupt left unfinished is dropped; its pairs are scored again. Raises ConfigurationError for a file of another
    reranker, and for one that is no such file.

    Example:
        with ScoreFile(Path("log.scores"), reranker.name) as book:
            missing = book.missing(query_name(query), fingerprints)
    """

    def __init__(self, path: Path | None, reranker: str) -> None:
        self.path = path
        self.scores: Scores = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            self._file = self._opened(path, reranker)

    def _opened(self, path: Path, reranker: str) -> IO[bytes]:
        try:
            # Reads from the start and writes at the end. Nothing is changed before the file is known to be ours.
            file = path.open("a+b")
            file.seek(0)
            content = file.read()
        except OSError as error:
            raise ConfigurationError(
                f"cannot use the state file {path}: {error.strerror}; name another with --state"
            ) from error
        # Only whole lines: what follows the last newline was being written when the process ended.
        lines = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
        try:
            # An unfinished head is ours too, and is written anew.
            if content[: len(_BEGINNING)] != _BEGINNING[: len(content)]:
                raise self._not_ours()
            if lines:
                self._load(lines, reranker)
        except ConfigurationError:
            file.close()
            raise
        file.truncate(sum(map(len, lines)))
        if not lines:
            _write(file, {"semcache calibration": _FORMAT, "reranker": reranker})
        return file

    def _load(self, lines: Sequence[bytes], reranker: str) -> None:
        """Take the scores of an earlier run, if it had the same reranker."""
        try:
            head = json.loads(lines[0])
        except ValueError:
            head = None
        if not isinstance(head, dict) or head.get("semcache calibration") != _FORMAT:
            raise self._not_ours()
        # Scores of two models are on different scales; a mixture would look like an enormous drift.
        if head["reranker"] != reranker:
            raise ConfigurationError(
                f"{self.path} holds scores of {head['reranker']}, but the reranker now is {reranker}; "
                "name another file with --state"
            )
        for number, line in enumerate(lines[1:], 2):
            try:
                call = json.loads(line)
                scores = {bytes.fromhex(name): float(score) for name, score in call["scores"].items()}
                self.scores.setdefault(call["query"], {}).update(scores)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"{self.path}, line {number} is damaged; remove the file to start anew"
                ) from error

    def _not_ours(self) -> ConfigurationError:
        return ConfigurationError(f"{self.path} is no state file of a calibration; name another with --state")

    def add(self, query: str, scores: Mapping[bytes, float]) -> None:
        """Keep the scores of one call. They are written to the file when this returns."""
        self.scores.setdefault(query, {}).update(scores)
        if self._file is not None:
            _write(self._file, {"query": query, "scores": {name.hex(): score for name, score in scores.items()}})

    def missing(self, query: str, fingerprints: Iterable[bytes]) -> list[bytes]:
        """The documents without a score for this query, in their order."""
        known = self.scores.get(query, {})
        return [fingerprint for fingerprint in fingerprints if fingerprint not in known]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ScoreFile {self.path}: {sum(map(len, self.scores.values()))} pairs>"


def _write(file: IO[bytes], content: Any) -> None:
    file.write(json.dumps(content).encode() + b"\n")
    # To the operating system, which keeps it when the process is killed. Surviving a crash of the machine would need an
    # fsync per call, for scores that can be made again.
    file.flush()
