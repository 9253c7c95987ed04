"""The log of requests: what can be read, and what is wrong with the rest, by line."""

import json
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from semcache.commands.calibration.log import Logged, read_log
from semcache.errors import InvalidInputError

Read = Callable[[str | bytes], list[Logged]]
GOOD = json.dumps({"query": "a", "documents": ["x", "y"]})


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes) -> list[Logged]:
        path = tmp_path / "log.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_log(path)

    return read


def test_each_line_is_a_request_and_blank_lines_are_passed_over(read: Read) -> None:
    mapping = json.dumps({"query": "b", "documents": [{"text": "z"}, {"page_content": "z"}], "more": 1})
    assert read(f"{GOOD}\n\n{mapping}\r\n") == [Logged("a", ("x", "y")), Logged("b", ("z",))]


def test_a_log_may_come_by_stdin_and_begin_with_a_mark_of_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(GOOD.encode("utf-8-sig"))))
    assert read_log(Path("-")) == [Logged("a", ("x", "y"))]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ('{"documents": ["x"]}', '"query" is missing'),
        ('{"query": "a"}', '"documents" is missing'),
        ('{"query": " ", "documents": ["x"]}', "blank"),
        ('{"query": 1, "documents": ["x"]}', "must be a string"),
        ('{"query": "a", "documents": []}', "give some"),
        ('{"query": "a", "documents": "x"}', "put a single document in a list"),
        ('{"query": "a", "documents": [1]}', "no text found"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_the_first_bad_line_is_named(read: Read, line: str | bytes, message: str) -> None:
    line = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(InvalidInputError, match="line 3") as raised:
        read(GOOD.encode() + b"\n\n" + line + b"\n" + b"also bad\n")
    assert message in str(raised.value)


def test_an_empty_or_missing_file_says_what_is_needed(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no request"):
        read("\n")
    with pytest.raises(InvalidInputError, match="No such file"):
        read_log(tmp_path / "missing")
