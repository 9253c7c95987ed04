"""The vector index: its schema from index.yaml, and whether an index that is already there fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from semcache.errors import ConfigurationError, IndexMismatchError
from semcache.redis.keys import KeyFamily
from semcache.settings.yaml_files import load_yaml, schema_path

if TYPE_CHECKING:  # importing RedisVL takes 0.4 s, and reading exact entries does not need it
    from redisvl.schema import IndexSchema

VECTOR_TYPES = {"float16": "<f2", "float32": "<f4"}
"""Types of vectors that semcache writes, as numpy names their bytes; Redis reads little-endian."""


@dataclass(frozen=True, slots=True)
class IndexTuning:
    """What to change of ``index.yaml``; None leaves it as it stands there, where each value has its reason.

    ``m`` is the number of links per vector in the graph, ``ef_construction`` and ``ef_runtime`` how many candidates an
    insertion and a look-up keep; without ``ef_runtime`` a look-up keeps the more, the more entries there are. Changing
    the type needs another namespace, or ``clear()`` first.
    """

    vector_type: str | None = None
    m: int | None = None
    ef_construction: int | None = None
    ef_runtime: int | None = None


@cache
def _packaged() -> Mapping[str, Any]:
    return load_yaml(schema_path("index.yaml"))


def attributes_of(tuning: IndexTuning, dims: int) -> dict[str, Any]:
    """Attributes of the vector field: those of ``index.yaml`` with dims and tuning laid over them.

    Raises ConfigurationError when semcache cannot write such vectors.
    """
    field = next(field for field in _packaged()["fields"] if field["type"] == "vector")
    wanted = {
        "dims": dims,
        "datatype": tuning.vector_type,
        "m": tuning.m,
        "ef_construction": tuning.ef_construction,
        "ef_runtime": tuning.ef_runtime,
    }
    attributes = {**field["attrs"], **{name: value for name, value in wanted.items() if value is not None}}
    if attributes["datatype"] not in VECTOR_TYPES:
        raise ConfigurationError(
            f"vector type {attributes['datatype']!r} cannot be written; take one of {', '.join(VECTOR_TYPES)}"
        )
    return attributes


def schema_of(family: KeyFamily, is_named: bool, attributes: Mapping[str, Any]) -> "IndexSchema":
    """The RedisVL schema of the index of one family of keys; only that of named tenants has a field for the tenant."""
    from redisvl.schema import IndexSchema

    fields = [
        {**field, "attrs": dict(attributes)} if field["type"] == "vector" else field
        for field in _packaged()["fields"]
        if is_named or field["name"] != "tenant"
    ]
    named = {"name": family.index, "prefix": family.vectors.decode()}
    return IndexSchema.from_dict({**_packaged(), "index": {**_packaged()["index"], **named}, "fields": fields})


def check_index(name: str, attributes: Mapping[str, Any], info: object) -> None:
    """Compare what FT.INFO said with what is needed. Raises IndexMismatchError naming both sides."""
    found = _vector_field(info)
    wanted = {
        "dim": attributes["dims"],
        "data_type": attributes["datatype"],
        "distance_metric": attributes["distance_metric"],
        "algorithm": attributes["algorithm"],
    }
    for what, needed in wanted.items():
        # An index without vectors has none of them; one that merely does not tell (older servers) is not wrong.
        there = found.get(what) if found else "no vector field"
        if there is not None and str(there).upper() != str(needed).upper():
            raise IndexMismatchError(
                f"index {name} has {what} {there}, but {needed} is needed; "
                "use another namespace, or remove the old index with FT.DROPINDEX"
            )


def _vector_field(info: object) -> dict[str, Any]:
    fields = (as_dict(field) for field in as_dict(info).get("attributes", ()))
    return next((field for field in fields if str(field.get("type")).upper() == "VECTOR"), {})


def as_dict(reply: object) -> dict[str, Any]:
    """A reply of names and values, which is a flat list in version 2 of the protocol and a mapping in version 3."""
    if isinstance(reply, Mapping):
        return {_text(name): _text(value) for name, value in reply.items()}
    if not isinstance(reply, Sequence):
        return {}
    # A lone flag at the end (such as SORTABLE) has no value.
    return {_text(name): _text(value) for name, value in zip(reply[::2], reply[1::2], strict=False)}


def total(reply: Any) -> int:
    """How many a search found in all: the head of a list in version 2 of the protocol, a name of a mapping in 3."""
    return int(reply[b"total_results"] if isinstance(reply, Mapping) else reply[0])


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
