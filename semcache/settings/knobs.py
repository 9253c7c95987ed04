"""Knobs: settings with a meaning, a unit, a range and a reason for the default, and how to read these."""

import re
import warnings
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, ClassVar, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from semcache.errors import ConfigurationError
from semcache.settings.passwords import HIDDEN, hidden

Path = tuple[str, ...]
"""The names that lead to a knob, such as ``("reuse", "trust_threshold")``."""


class Key(SecretStr):
    """A secret of which nothing is shown, unlike a URL, of which host, port and path or database are."""


_TYPE_NAMES: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    SecretStr: "a URL",
    Key: "text",
    dict[str, Any]: "a mapping of names to values",
}
_BOUNDS = ((Ge, "ge", "at least"), (Gt, "gt", "more than"), (Le, "le", "at most"), (Lt, "lt", "less than"))


class Section(BaseModel):
    """A group of knobs. Unknown names are errors, values never change, NaN and infinity are refused."""

    # The input is hidden, because pydantic would show a URL with its password.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        return with_present_names(cls, values, cls.__name__) if isinstance(values, Mapping) else values

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, value: object, info: Any) -> object:
        annotation = cls.model_fields[info.field_name].annotation
        if not isinstance(value, bool) or bool in (annotation, *get_args(annotation)):
            return value
        # YAML 1.1 reads a bare on and off as true and false.
        word = "on" if value else "off"
        if word in get_args(annotation):
            return word
        # pydantic takes True for 1.0, so that "ttl_s: yes" in a YAML file would mean one second.
        raise PydanticCustomError("not_a_flag", "this is not an on/off setting")


def knob(default: Any, meaning: str, *, reason: str, unit: str = "", formerly: str = "", **limits: Any) -> Any:
    """A pydantic field with its meaning, its unit and the reason of its default.

    ``limits`` are pydantic's: gt, ge, lt, le, pattern, min_length. ``formerly`` is an earlier name of the knob in the
    same section; it is still accepted, with a DeprecationWarning.
    """
    # In json_schema_extra, which pydantic keeps with the field and does not interpret.
    extra: dict[str, Any] = {"unit": unit, "reason": reason, "formerly": formerly}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


def knobs(model: type[BaseModel], above: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every knob of a model and of its sections, in the order of declaration."""
    for name, field in model.model_fields.items():
        section = section_of(field)
        if section is None:
            yield (*above, name), field
        else:
            yield from knobs(section, (*above, name))


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field holds; None when it is a knob."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def former_names(section: type[BaseModel]) -> dict[str, str]:
    """The present name of each knob of a section that was renamed, by its former name."""
    names = {str(_extra(field).get("formerly", "")): name for name, field in section.model_fields.items()}
    return {former: name for former, name in names.items() if former}


def with_present_names(section: type[BaseModel], values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values of a section, each under its present name. Warns of former names; ``source`` says who gave them.

    Raises ConfigurationError when a knob is given under both of its names.
    """
    present = dict(values)
    for former, name in former_names(section).items():
        if former in present:
            if name in present:
                raise ConfigurationError(f"{former} is the former name of {name}, and {source} gives both; keep {name}")
            warn_of_former_name(former, name, source)
            present[name] = present.pop(former)
    return present


def warn_of_former_name(former: str, name: str, source: str) -> None:
    """Say that ``source`` uses the former name of a knob or of its variable, and what to write instead."""
    # The warning cannot point at the line that gave the name: it stands in a file or behind calls of pydantic.
    warnings.warn(
        f"{former} ({source}) is now called {name}; the former name will go", DeprecationWarning, stacklevel=2
    )


def unit_of(field: FieldInfo) -> str:
    """The unit of a knob, such as ``s``; empty when it has none."""
    return str(_extra(field).get("unit", ""))


def reason_of(field: FieldInfo) -> str:
    """The reason of a knob's default."""
    return str(_extra(field).get("reason", ""))


def is_secret(field: FieldInfo | None) -> bool:
    """Whether the value may hold a password."""
    return field is not None and bool({SecretStr, Key} & {field.annotation, *get_args(field.annotation)})


def may_be_none(field: FieldInfo) -> bool:
    """Whether the knob accepts None."""
    return NoneType in get_args(field.annotation)


def is_list(field: FieldInfo) -> bool:
    """Whether the value is a list, as the ladder is."""
    return get_origin(field.annotation) is tuple


def allowed(field: FieldInfo) -> str:
    """The values that a knob takes, in words: ``a number, at least 0, at most 1``, ``one of torch, onnx``."""
    kinds = (field.annotation, *get_args(field.annotation))
    choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    if choices:
        words = "one of " + ", ".join(map(str, choices))
    elif is_list(field):
        words = "a list"
    else:
        words = next((_TYPE_NAMES[kind] for kind in kinds if kind in _TYPE_NAMES), "")
    bounds = [
        f"{text} {getattr(limit, name)}"
        for limit in field.metadata
        for kind, name, text in _BOUNDS
        if isinstance(limit, kind)
    ]
    return ", ".join(filter(None, (words, *bounds))) + (" (or none)" if may_be_none(field) else "")


def shown(field: FieldInfo | None, value: Any) -> Any:
    """A value of a knob, also of a wrong type, fit to be shown: without secrets, its own and those of its members.

    Example:
        >>> shown(Redis.model_fields["url"], SecretStr("redis://me:secret@host"))
        'redis://host'
    """
    if isinstance(value, BaseModel):
        return {name: shown(member, getattr(value, name)) for name, member in type(value).model_fields.items()}
    if field is not None and is_list(field) and value is not None:
        if not isinstance(value, (list, tuple)):
            # A word is shown. Anything else may be a rung without its dash or brackets, with a key in it.
            return value if re.fullmatch(r"[\w-]{,20}", str(value)) else type(value).__name__
        section = next(kind for kind in get_args(field.annotation) if isinstance(kind, type))
        return [shown(field, member) if isinstance(member, BaseModel) else _masked(section, member) for member in value]
    if value is None or not is_secret(field):
        return value
    if not isinstance(value, (str, SecretStr)):
        return type(value).__name__
    return HIDDEN if field is not None and Key in (field.annotation, *get_args(field.annotation)) else hidden(value)


def _masked(section: type[BaseModel], member: Any) -> Any:
    if not isinstance(member, Mapping):
        return member
    return {name: shown(section.model_fields.get(name), value) for name, value in member.items()}


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    # pydantic also allows a function here.
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
