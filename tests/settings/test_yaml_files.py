"""Packaged YAML is found, and no mistake in a YAML file passes unnoticed."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError
from semcache.settings.yaml_files import load_yaml, schema_path


def test_finds_the_packaged_file() -> None:
    assert load_yaml(schema_path("pipeline.yaml"))["cache"]["namespace"] == "default"


def test_a_missing_packaged_file_says_where_it_was_looked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml is missing .* looked in .*_schemas .* reinstall"):
        schema_path("nothing.yaml")


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing but a comment\n")
    assert load_yaml(tmp_path / "a.yaml") == {}


def test_same_key_in_different_mappings_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {url: 1}\nb: {url: 2}\n")
    assert load_yaml(tmp_path / "a.yaml") == {"a": {"url": 1}, "b": {"url": 2}}


def test_merge_keys_and_anchors_work(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert load_yaml(tmp_path / "a.yaml")["b"] == {"x": 1, "y": 3}


def bomb(form: str, first: str) -> bytes:
    """YAML of a few lines that holds 9^12 values, if all its aliases are followed."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n + 1}: &a{n + 1} {form.format(', '.join([f'*a{n}'] * 9))}" for n in range(12)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\na: 2\n", "the key 'a' stands twice"),
        (b"s:\n  a: 1\n  a: 2\n", "the key 'a' stands twice.*line 3"),
        (b"a: [1\n", "is not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (b"- 1\n", "holds a list; it must hold a mapping"),
        (b"just words", "holds a str; it must hold a mapping"),
        (b"a: \xff\n", "is not UTF-8"),
        (b"a: " + b"[" * 5000, "there are more than 20 levels"),
        (b"a: &a [*a]", "recursive node"),
        (b"a: &a {b: *a}", "recursive node"),
        (bomb("[{}]", "[1, 2, 3]"), "more than 10,000 values"),
        (bomb("{{<<: [{}]}}", "{x: 1, y: 2}"), "too many keys are merged"),
        (b"a: 2001-99-99", "is not valid YAML: month must be in 1..12"),
        (b"a: " + b"9" * 5000, "is not valid YAML: Exceeds the limit"),
        (b"? [a]\n: b\n", "is not valid YAML"),
        (b"1: 2\n", "the key 1 is no name; put it in quotes if it is meant as one in line 1"),
        (b"cache:\n  on: 2\n", "the key True is no name"),
        (b"# " + b"x" * 100_000, "has more than 100,000 bytes"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere.yaml", "."])
def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*; check the path"):
        load_yaml(tmp_path / path)


@given(st.text(max_size=60) | st.text(st.sampled_from("ab:&*!<>{}[]?|-# \n\t'\"%@0~.,"), max_size=60))
def test_any_text_is_settings_or_a_configuration_error(text: str) -> None:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        with suppress(ConfigurationError):
            assert isinstance(load_yaml(Path(file.name)), dict)
