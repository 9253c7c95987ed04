"""What a knob is: a setting with a meaning, a unit, a range and a reason for its default."""

import re
import warnings
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from semcache.errors import ConfigurationError

Path = tuple[str, ...]
"""Where a knob is, such as ``("reuse", "trust_threshold")``."""


class Section(BaseModel):
    """A group of knobs: unknown names are errors, values never change, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        return with_present_names(cls, values, cls.__name__) if isinstance(values, Mapping) else values

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_not_a_number(cls, value: object, info: Any) -> object:
        # pydantic takes True for 1.0, so that "ttl_s: yes" in a YAML file would mean one second.
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise PydanticCustomError("not_a_flag", "this is not an on/off setting")
        return value


def knob(default: Any, meaning: str, *, reason: str, unit: str = "", formerly: str = "", **limits: Any) -> Any:
    """A pydantic field with its meaning, its unit and the reason of its default.

    ``formerly`` is an earlier name of the knob in the same section; it is still accepted, with a DeprecationWarning.
    """
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
    """The section a field stands for; None when it is a knob."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def former_names(section: type[BaseModel]) -> dict[str, str]:
    """The present name of each knob of a section that was renamed, by its former name."""
    return {
        str(former): name for name, field in section.model_fields.items() if (former := _extra(field).get("formerly"))
    }


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
    return str(_extra(field).get("unit", ""))


def reason_of(field: FieldInfo) -> str:
    return str(_extra(field).get("reason", ""))


def is_secret(field: FieldInfo | None) -> bool:
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def may_be_none(field: FieldInfo) -> bool:
    return NoneType in get_args(field.annotation)


def is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def allowed(field: FieldInfo) -> str:
    """The values a knob takes, in words: ``a number, 0 <= value <= 1``, ``one of torch, onnx``."""
    words = [_kind(field), *_bounds(field)]
    return ", ".join(word for word in words if word) + (" (or none)" if may_be_none(field) else "")


def hidden(secret: SecretStr | str) -> str:
    """A URL with its password replaced by stars."""
    url = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    # Greedy up to the last @: a password may hold any character, also unescaped ones.
    url = re.sub(r"^([^:/@]*://[^:/@]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", url, flags=re.IGNORECASE)


def _kind(field: FieldInfo) -> str:
    options = [kind for kind in (field.annotation, *get_args(field.annotation)) if get_origin(kind) is Literal]
    if options:
        return "one of " + ", ".join(str(choice) for choice in get_args(options[0]))
    if is_list(field):
        return "a list"
    kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if kind in _NAMES]
    return _NAMES[kinds[0]] if kinds else ""


_NAMES: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    SecretStr: "a URL",
}


def _bounds(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        match limit:
            case Ge(ge=bound):
                yield f"at least {bound}"
            case Gt(gt=bound):
                yield f"more than {bound}"
            case Le(le=bound):
                yield f"at most {bound}"
            case Lt(lt=bound):
                yield f"less than {bound}"


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
