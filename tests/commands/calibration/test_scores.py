"""The state file: what was scored is there again, whatever interrupted the writing."""

from pathlib import Path

import pytest

from semcache.commands.calibration.scores import ScoreFile
from semcache.errors import ConfigurationError

A, B = b"a" * 16, b"b" * 16


def test_scores_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with ScoreFile(path, "model") as book:
        book.add("query", {A: 0.1, B: -7.25})
    with ScoreFile(path, "model") as book:
        assert book.scores == {"query": {A: 0.1, B: -7.25}}
        assert book.missing("query", [B, A]) == []
        assert book.missing("other", [B, A]) == [B, A]


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_an_unfinished_line_is_dropped_and_made_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "state"
    with ScoreFile(path, "model") as book:
        book.add("first", {A: 1.0})
        book.add("second", {A: 2.0})
    path.write_bytes(path.read_bytes()[:-cut])
    with ScoreFile(path, "model") as book:
        assert book.scores == {"first": {A: 1.0}}
        book.add("second", {A: 2.0})
    with ScoreFile(path, "model") as book:
        assert book.scores == {"first": {A: 1.0}, "second": {A: 2.0}}


def test_scores_of_another_reranker_are_refused(tmp_path: Path) -> None:
    ScoreFile(tmp_path / "state", "one").close()
    with pytest.raises(ConfigurationError, match=r"scores of one, but the reranker now is two.*--state"):
        ScoreFile(tmp_path / "state", "two")


@pytest.mark.parametrize("content", [b"my notes", b"my notes\nmore\n", b"[]\n"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no state file"):
        ScoreFile(path, "model")
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    ScoreFile(path, "model").close()
    path.write_bytes(path.read_bytes() + b'{"query": 1}\n')
    with pytest.raises(ConfigurationError, match="line 2 is damaged"):
        ScoreFile(path, "model")
