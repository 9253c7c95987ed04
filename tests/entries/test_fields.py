"""The fields of an entry's hash come back as they went in, and no other values are fields."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.entries.checks import VERSION, Damaged, derived_key
from semcache.entries.fields import Fields, unpack

OWNER, TAG = b"semcache:default:abcdefghijk:tv:0123456789abcdef:{entry}", b"0123456789abcdef"
KEY = derived_key("a secret of sixteen characters")
FIELDS = st.builds(
    Fields,
    st.binary(max_size=64),
    st.sampled_from([b"", TAG]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(max_size=255),
    st.none() | st.text(),
)


def values_of(fields: Fields, key: bytes = b"") -> dict[bytes, bytes]:
    """The values of the hash by their names."""
    flat = fields.pack(OWNER, key)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def fault_of(values: Mapping[bytes, bytes], tag: bytes, owner: bytes = OWNER, key: bytes = b"") -> str:
    with pytest.raises(Damaged) as caught:
        unpack(owner, values, tag, key)
    return caught.value.fault


@given(FIELDS, st.sampled_from([b"", KEY]))
def test_what_is_packed_is_unpacked(fields: Fields, key: bytes) -> None:
    assert unpack(OWNER, values_of(fields, key), fields.tenant, key) == fields


@given(FIELDS, st.data())
def test_no_value_may_change(fields: Fields, data: st.DataObject) -> None:
    values = values_of(fields)
    name = data.draw(st.sampled_from(sorted(values)))
    if name != b"tenant":  # which is not read: the key says it
        changed = data.draw(st.binary(max_size=64).filter(lambda value: value != values[name]))
        assert fault_of({**values, name: changed}, fields.tenant) in ("check", "version")
        if values[name]:
            del values[name]
            assert fault_of(values, fields.tenant) in ("check", "version")


@given(FIELDS)
def test_they_belong_to_one_key_and_one_tenant(fields: Fields) -> None:
    assert fault_of(values_of(fields), fields.tenant, OWNER + b"x") == "check"
    assert fault_of(values_of(fields), fields.tenant + b"x") == "check"
    assert fault_of(values_of(fields, KEY), fields.tenant) == "check"
    assert fault_of(values_of(fields), fields.tenant, key=KEY) == "check"


def test_values_may_not_move_to_another_name() -> None:
    values = values_of(Fields(b"v", b"", 1.5, b"cues", "query"))
    moved = {**values, b"cues": values[b"cues"] + values[b"query"], b"query": b""}
    assert fault_of(moved, b"") == "check"


@pytest.mark.parametrize("created_at", [float("nan"), float("inf")])
def test_a_time_that_is_none(created_at: float) -> None:
    assert fault_of(values_of(Fields(b"v", b"", created_at)), b"") == "number"


def test_entries_of_other_releases_are_a_miss() -> None:
    values = values_of(Fields(b"v", b"", 1.5))
    assert fault_of({**values, b"check": b"\x03" + values[b"check"][1:]}, b"") == "version"
    del values[b"check"]
    assert fault_of(values, b"") == "version"
    assert fault_of({}, b"") == "version"


def test_the_format_is_that_of_entries_in_the_field() -> None:
    """If this fails, what other releases have written cannot be read: then VERSION must change."""
    stored = json.loads((Path(__file__).parent / "hash_v2.json").read_text())
    values = {name.encode(): bytes.fromhex(value) for name, value in stored.items()}
    fields = Fields(bytes(range(32)), TAG, 1_795_406_993.61, b"\xff\x00", "how far is the moon")
    assert unpack(OWNER, values, TAG) == fields
    assert values_of(fields) == values
    assert values[b"check"][:1] == VERSION
