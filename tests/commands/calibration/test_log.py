"""The log of requests: what can be read, and what is wrong with the rest, by line."""

import json

import pytest

from semcache.commands.calibration.log import Logged, read_log
from semcache.errors import InvalidInputError

GOOD = json.dumps({"query": "a", "documents": ["x", "y"]})


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "log.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_log(path)

    return read


def test_each_line_is_a_request_and_blank_lines_are_passed_over(read):
    mapping = json.dumps({"query": "b", "documents": [{"text": "z"}, {"page_content": "z"}], "more": 1})
    assert read(f"{GOOD}\n\n{mapping}\r\n") == [Logged("a", ("x", "y")), Logged("b", ("z",))]


@pytest.mark.parametrize(
    ("line", "said"),
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
def test_the_first_bad_line_is_named(read, line, said):
    line = line if isinstance(line, bytes) else line.encode()
    with pytest.raises(InvalidInputError, match="line 3") as told:
        read(GOOD.encode() + b"\n\n" + line + b"\n" + b"also bad\n")
    assert said in str(told.value)


def test_an_empty_or_missing_file_says_what_is_needed(read, tmp_path):
    with pytest.raises(InvalidInputError, match="holds no request"):
        read("\n")
    with pytest.raises(InvalidInputError, match="No such file"):
        read_log(tmp_path / "missing")
