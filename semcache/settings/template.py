"""Writes the settings as a commented YAML file; ``schemas/pipeline.yaml`` is its output."""

import json
from collections.abc import Iterator
from textwrap import wrap
from typing import get_args

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
    lines = [_HEAD]
    for name, field in model.model_fields.items():
        lines.append("\n")
        section = section_of(field)
        if section is None:
            lines += _knob(name, field, "")
            continue
        lines.append(f"# {section.__doc__}\n{name}:\n")
        for member, its_field in section.model_fields.items():
            lines += _knob(member, its_field, "  ")
    return "".join(lines)


def _knob(name: str, field: FieldInfo, indent: str) -> Iterator[str]:
    yield from _comment(_meaning(field), indent)
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple):
        section: type[BaseModel] = next(kind for kind in get_args(field.annotation) if isinstance(kind, type))
        for member, its_field in section.model_fields.items():
            yield from _comment(f"- {member}: {_meaning(its_field)}", indent)
        yield f"{indent}{name}:\n"
        for rung in default:
            # Only what was set: the other knobs of a rung have defaults of their own.
            members = rung.model_dump(exclude_unset=True)
            flow = ", ".join(f"{member}: {_scalar(value)}" for member, value in members.items())
            yield f"{indent}  - {{{flow}}}\n"
    else:
        # The default URL is no secret.
        value = default.get_secret_value() if isinstance(default, SecretStr) else default
        yield f"{indent}{name}: {_scalar(value)}\n"


def _meaning(field: FieldInfo) -> str:
    unit = f" Unit: {unit_of(field)}." if unit_of(field) else ""
    return f"{field.description}.{unit} Takes {allowed(field)}. Why this default: {reason_of(field)}."


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in wrap(text, _WIDTH - len(indent) - 2, break_on_hyphens=False):
        yield f"{indent}# {line}\n"


def _scalar(value: object) -> str:
    # JSON's numbers, booleans and null are YAML's too, and no default text needs quotes.
    return value if isinstance(value, str) else json.dumps(value)
