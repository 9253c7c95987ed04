"""The settings as a commented YAML file: pipeline.yaml is what this writes."""

import json
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from semcache.settings.knobs import allowed, reason_of, section_of, unit_of

_WIDTH = 118
_HEAD = """\
# The settings of semcache and their defaults. Copy this file, keep the lines you want to change, and name the copy in
# SEMCACHE_CONFIG. Stronger than this file are, in this order: arguments of Settings(...), environment variables
# (SEMCACHE_REUSE__TRUST_THRESHOLD is reuse.trust_threshold) and a .env file. `semcache config` shows what is in force.
"""


def template(model: type[BaseModel]) -> str:
    """YAML that names every knob with meaning, unit, range, default and the reason of the default."""
    return _HEAD + "".join(f"\n{''.join(_top(name, field))}" for name, field in model.model_fields.items())


def _top(name: str, field: FieldInfo) -> Iterator[str]:
    section = section_of(field)
    if section is None:
        yield from _knob(name, field, "")
        return
    yield f"# {section.__doc__}\n{name}:\n"
    for member, its in section.model_fields.items():
        yield from _knob(member, its, "  ")


def _knob(name: str, field: FieldInfo, indent: str) -> Iterator[str]:
    unit = f" Unit: {unit_of(field)}." if unit_of(field) else ""
    said = f"{field.description}.{unit} Takes {allowed(field)}. Why this default: {reason_of(field)}."
    for line in wrap(said, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}\n"
    yield f"{indent}{name}:{_yaml(field.get_default(call_default_factory=True), indent)}\n"


def _yaml(value: Any, indent: str) -> str:
    if isinstance(value, tuple):
        return "".join(f"\n{indent}  - {_flow(rung)}" for rung in value)
    if isinstance(value, SecretStr):
        return f" {value.get_secret_value()}"
    return f" {_scalar(value)}"


def _flow(rung: BaseModel) -> str:
    members = rung.model_dump(exclude_unset=True)
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in members.items()) + "}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
