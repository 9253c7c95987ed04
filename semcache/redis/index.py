"""The vector index: its RedisVL schema, and the check that an index on the server fits it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from semcache.errors import IndexMismatchError, TransientStoreError
from semcache.redis.keys import KeyFamily
from semcache.redis.layout import packaged_schema

if TYPE_CHECKING:  # importing RedisVL is slow, and an exact read does not need it
    from redisvl.schema import IndexSchema


def schema_of(family: KeyFamily, is_named: bool, attributes: Mapping[str, Any]) -> "IndexSchema":
    """The RedisVL schema of the index of one family of keys; only that of named tenants has a field for the tenant."""
    from redisvl.schema import IndexSchema

    packaged = packaged_schema()
    fields = [
        {**field, "attrs": dict(attributes)} if field["type"] == "vector" else field
        for field in packaged["fields"]
        if is_named or field["name"] != "tenant"
    ]
    index = {**packaged["index"], "name": family.index, "prefix": family.vectors.decode()}
    return IndexSchema.from_dict({**packaged, "index": index, "fields": fields})


def check_index(name: str, attributes: Mapping[str, Any], info: object) -> None:
    """Compare the server's FT.INFO with the vector field that is needed. Raises IndexMismatchError naming both.

    Raises TransientStoreError for a reply that is no FT.INFO.
    """
    listed = as_dict(info).get("attributes")
    if not isinstance(listed, list):
        raise TransientStoreError(f"what the server says of index {name} cannot be read; something changed its reply")
    fields = map(as_dict, listed)
    there = next((field for field in fields if str(field.get("type")).upper() == "VECTOR"), None)
    # FT.INFO and RedisVL's schema name the same attributes differently.
    for found_name, needed_name in (
        ("dim", "dims"),
        ("data_type", "datatype"),
        ("distance_metric", "distance_metric"),
        ("algorithm", "algorithm"),
    ):
        found, needed = "no vector field" if there is None else there.get(found_name), attributes[needed_name]
        # Older servers leave some attributes out of FT.INFO. That is no mismatch.
        if found is not None and str(found).upper() != str(needed).upper():
            raise IndexMismatchError(
                f"index {name} has {found_name} {found}, but {needed} is needed; "
                "use another namespace, or remove the old index with FT.DROPINDEX"
            )


def as_dict(reply: object) -> dict[str, Any]:
    """A reply that lists names and values in turn, as a mapping. Names and values that are bytes become text.

    Empty for a reply of another shape.
    """
    listed = reply if isinstance(reply, list) else []
    texts = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in listed]
    # Not strict: FT.INFO puts a flag without a value (SORTABLE) at the end of some fields.
    pairs = zip(texts[::2], texts[1::2], strict=False)
    return {name: value for name, value in pairs if isinstance(name, str)}
