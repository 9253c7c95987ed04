"""Says in our words what is wrong with a setting: which one, from where, its value, what is allowed, what to do."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from semcache.errors import ConfigurationError
from semcache.settings.knobs import Path, allowed, hidden, is_secret, knobs, section_of
from semcache.settings.misspelling import did_you_mean

_MAX_SHOWN = 80


def complaint(error: ValidationError, model: type[BaseModel], origins: Mapping[Path, str]) -> ConfigurationError:
    """Everything pydantic found, one line each."""
    return ConfigurationError("\n".join(_line(detail, model, origins) for detail in error.errors()))


def origin(path: Path, origins: Mapping[Path, str]) -> str:
    """Where a value came from: members of a list from where the list came from, sections from where a member did."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return next((label for inner, label in origins.items() if inner[: len(path)] == path), "default")


def _line(detail: ErrorDetails, model: type[BaseModel], origins: Mapping[Path, str]) -> str:
    path = tuple(str(part) for part in detail["loc"])
    where = f"{'.'.join(path)} ({origin(path, origins)})"
    field = _field(model, detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{where} is not a setting; {did_you_mean('.'.join(path), _known(model, detail['loc']))}"
    if field is None or section_of(field):
        return _about_a_section(detail, path, origins)
    return f"{where} is {_shown(detail['input'], field)}: {_remedy(detail, field)}"


def _about_a_section(detail: ErrorDetails, path: Path, origins: Mapping[Path, str]) -> str:
    if detail["type"] == "value_error":
        return f"{'.'.join(path)}: {_own_words(detail)}{_members(detail, path, origins)}"
    return f"{'.'.join(path)} ({origin(path, origins)}) must be a mapping of names to values"


def _members(detail: ErrorDetails, path: Path, origins: Mapping[Path, str]) -> str:
    """Where the members came from that the message speaks of."""
    words = _own_words(detail).replace(";", " ").replace(",", " ").split()
    named = [name for name in detail["input"] if name in words] if isinstance(detail["input"], Mapping) else []
    known = [f"{name} from {origin((*path, name), origins)}" for name in named]
    return f" ({', '.join(known)})" if known else ""


def _remedy(detail: ErrorDetails, field: FieldInfo) -> str:
    if detail["type"] == "value_error":
        return _own_words(detail)
    if detail["type"] == "string_pattern_mismatch":
        return f"must match {detail['ctx']['pattern']}"
    return f"must be {allowed(field)}"


def _own_words(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["error"])


def _shown(value: Any, field: FieldInfo) -> str:
    if is_secret(field):
        return repr(hidden(value)) if isinstance(value, str) else type(value).__name__
    shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def _field(model: type[BaseModel], loc: Sequence[int | str]) -> FieldInfo | None:
    field: FieldInfo | None = None
    inside: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = inside.model_fields.get(part) if inside else None
        inside = _model_in(field)
    return None if loc and isinstance(loc[-1], int) else field


def _model_in(field: FieldInfo | None) -> type[BaseModel] | None:
    """The section of a field, or of the members of a list."""
    if field is None:
        return None
    kinds = [kind for kind in get_args(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return section_of(field) or (kinds[0] if kinds else None)


def _known(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Names that could have been meant: inside a list those of its members, otherwise those of all sections."""
    named = [str(part) for part in loc if isinstance(part, str)]
    if len(named) < len(loc):
        member = _model_in(_field(model, named[:-1]))
        above = [str(part) for part in loc[:-1]]
        return [".".join((*above, name)) for name in (member.model_fields if member else ())]
    return [*(".".join(known) for known, _ in knobs(model)), *model.model_fields]
