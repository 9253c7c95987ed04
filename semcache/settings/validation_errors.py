"""Translates pydantic's validation errors: which setting is wrong, where it came from, its value, what is allowed."""

from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from semcache.settings.knobs import Path, allowed, is_secret, knobs, section_of, shown
from semcache.settings.suggestions import did_you_mean

_MAX_SHOWN = 80


def origin(path: Path, origins: Mapping[Path, str]) -> str:
    """The source of a value, such as ``environment SEMCACHE_TTL``; ``default`` when no source gave it.

    A member of a list has the source of the list. A section has the source of the first of its members that has one.
    """
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return next((source for inner, source in origins.items() if inner[: len(path)] == path), "default")


def message_of(detail: ErrorDetails, model: type[BaseModel], origins: Mapping[Path, str]) -> str:
    """One line about one of the errors that pydantic found in ``model``; ``origins`` are the sources of the values."""
    path = tuple(map(str, detail["loc"]))
    name, value = ".".join(path), detail["input"]
    field = _field(model, detail["loc"])
    # Our own validators raise ValueError, and their text says what to do.
    own_text = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
    if detail["type"] == "extra_forbidden":
        return f"{name} ({origin(path, origins)}) is not a setting; {did_you_mean(name, _known(model, detail['loc']))}"
    if field is None or section_of(field):
        if own_text:
            # About several members of a section, which may come from different sources.
            words = own_text.replace(";", " ").replace(",", " ").split()
            named = [member for member in value if member in words] if isinstance(value, Mapping) else []
            sources = ", ".join(f"{member} from {origin((*path, member), origins)}" for member in named)
            return f"{name}: {own_text}" + (f" ({sources})" if sources else "")
        return f"{name} ({origin(path, origins)}) must be a mapping of names to values"
    # Of a secret of a wrong type, and of what is no ladder, the type may be all that is shown.
    seen = shown(field, value)
    given = str(seen) if seen == type(value).__name__ else repr(seen)
    if len(given) > _MAX_SHOWN and not is_secret(field):
        given = f"{given[:_MAX_SHOWN]}..."
    is_pattern = detail["type"] == "string_pattern_mismatch"
    allowed_values = f"match {detail['ctx']['pattern']}" if is_pattern else f"be {allowed(field)}"
    return f"{name} ({origin(path, origins)}) is {given}: {own_text or f'must {allowed_values}'}"


def _field(model: type[BaseModel], loc: Sequence[int | str]) -> FieldInfo | None:
    """The field at a location, or None where there is none, as for a member of a list as a whole."""
    field: FieldInfo | None = None
    inside: type[BaseModel] | None = model
    for part in loc:
        # An index of a list: its members have the model of the list.
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
    """Names that could have been meant: those of a member inside a list, otherwise those of all sections."""
    names = [str(part) for part in loc if isinstance(part, str)]
    if len(names) < len(loc):
        member = _model_in(_field(model, names[:-1]))
        above = [str(part) for part in loc[:-1]]
        return [".".join((*above, name)) for name in (member.model_fields if member else ())]
    return [*(".".join(known) for known, _ in knobs(model)), *model.model_fields]
