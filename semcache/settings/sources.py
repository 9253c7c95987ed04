"""Where settings come from: constructor, environment, .env file and YAML, each with the origin of every value.

pydantic-settings can read all of these, but ignores a misspelt top-level name in silence and does not say where a
value came from; both matter more here than its other features.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from semcache.errors import ConfigurationError
from semcache.settings.knobs import (
    Path,
    Section,
    former_names,
    hidden,
    is_list,
    is_secret,
    knobs,
    may_be_none,
    section_of,
    warn_of_former_name,
    with_present_names,
)
from semcache.settings.misspelling import nearest
from semcache.settings.yaml_files import load_yaml, schema_path

PREFIX = "SEMCACHE_"
CONFIG = "SEMCACHE_CONFIG"
PACKAGED = "packaged YAML"
_NOT_SETTINGS = "SEMCACHE_BENCH_"  # the benchmarks' own variables

SHORTCUTS: Mapping[str, Path] = {
    "SEMCACHE_REDIS_URL": ("redis", "url"),
    "SEMCACHE_SIMILARITY_THRESHOLD": ("reuse", "trust_threshold"),
    "SEMCACHE_TTL": ("cache", "ttl_s"),
    "SEMCACHE_EMBEDDING_MODEL": ("embedder", "model"),
    "SEMCACHE_P95_THRESHOLD": ("monitor", "p95_threshold_s"),
    "SEMCACHE_NAMESPACE": ("cache", "namespace"),
}
"""Short names for what everybody sets."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says. ``origins`` names the source of each value, such as ``environment SEMCACHE_TTL``."""

    values: Mapping[str, Any]
    origins: Mapping[Path, str]


def read_layers(model: type[BaseModel], constructor: Mapping[str, Any]) -> Sequence[Layer]:
    """All sources, strongest first. Raises ConfigurationError for unknown variables and unreadable files."""
    environment = dict(os.environ)
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    chosen = environment.get(CONFIG) or dotenv.get(CONFIG)
    return (
        _plain_layer(model, _dumped(constructor), "constructor"),
        variables_layer(model, environment, "environment"),
        variables_layer(model, dotenv, ".env"),
        _yaml_layer(model, FilePath(chosen).expanduser() if chosen else None),
    )


def merged(layers: Sequence[Layer]) -> Layer:
    """One layer that holds each value of the strongest source that gives it."""
    values: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    for layer in reversed(layers):
        values = _overlaid(values, layer.values)
        origins |= layer.origins
    return Layer(values, origins)


def variables(model: type[BaseModel]) -> dict[str, tuple[Path, FieldInfo]]:
    """Every environment variable that means something, with the knob it sets."""
    fields = dict(knobs(model))
    nested = {PREFIX + "__".join(path).upper(): path for path in fields}
    return {name: (path, fields[path]) for name, path in (nested | dict(SHORTCUTS)).items()}


def former_variables(model: type[BaseModel]) -> dict[str, str]:
    """The present variable of each knob that was renamed, by the former variable."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        for former, present in former_names(section_of(field) or Section).items():
            found[f"{PREFIX}{name}__{former}".upper()] = f"{PREFIX}{name}__{present}".upper()
    return found


def variables_layer(model: type[BaseModel], environment: Mapping[str, str], label: str) -> Layer:
    """What the ``SEMCACHE_*`` variables say. An empty value means not set, as in ``NAME=${OTHER:-}``."""
    known, former = variables(model), former_variables(model)
    names: dict[Path, str] = {}
    values: dict[str, Any] = {}
    for name, text in _ours(environment):
        if name in former:
            warn_of_former_name(name, former[name], label)
        path, field = _known(former.get(name, name), known, model, label)
        if path in names and not _same(environment[names[path]], text):
            raise ConfigurationError(_contradiction(names[path], environment[names[path]], name, text, field))
        names[path] = name
        _put(values, path, _parsed(name, text, field))
    return Layer(values, {path: f"{label} {name}" for path, name in names.items()})


def _ours(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() != CONFIG and not name.upper().startswith(_NOT_SETTINGS):
            text = environment[name].strip()
            if text:
                yield name, text


def _known(
    name: str, known: Mapping[str, tuple[Path, FieldInfo]], model: type[BaseModel], label: str
) -> tuple[Path, FieldInfo]:
    if name in known:
        return known[name]
    rest = name.upper().removeprefix(PREFIX)
    if (field := model.model_fields.get(rest.lower())) and section_of(field):
        members = [other for other in known if other.startswith(f"{PREFIX}{rest}__")]
        raise ConfigurationError(f"{name} ({label}) is a section; set its members one by one: {', '.join(members)}")
    # Compared without the prefix, which all names share and which would make everything look alike.
    meant = nearest(rest, [other.removeprefix(PREFIX) for other in (*known, CONFIG)], "__")
    remedy = f"did you mean {PREFIX}{meant}?" if meant else f"known are: {', '.join(sorted((*known, CONFIG)))}"
    raise ConfigurationError(f"{name} ({label}) is not a setting; {remedy}")


def _parsed(name: str, text: str, field: FieldInfo) -> Any:
    if may_be_none(field) and text.lower() in ("none", "null"):
        return None
    if not is_list(field) or text[0] not in "[{":
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{name} is not valid JSON: {error}; got {text[:80]!r}") from None


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one.strip() == other.strip()


def _contradiction(one: str, its: str, other: str, others: str, field: FieldInfo) -> str:
    first, second = (hidden(its), hidden(others)) if is_secret(field) else (its, others)
    return f"{one}={first} and {other}={second} set the same thing to different values; unset one of them"


def _yaml_layer(model: type[BaseModel], chosen: FilePath | None) -> Layer:
    path = chosen or schema_path("pipeline.yaml")
    label = str(chosen) if chosen else PACKAGED
    # A section whose members are all commented out reads as null, and means: nothing said.
    said = {name: value for name, value in load_yaml(path).items() if value is not None}
    return _plain_layer(model, said, label)


def _plain_layer(model: type[BaseModel], values: Mapping[str, Any], label: str) -> Layer:
    # Before layers are merged: the former name in a strong source must win over the present name in a weaker one.
    renamed = dict(values)
    for name, field in model.model_fields.items():
        section, given = section_of(field), renamed.get(name)
        if section is not None and isinstance(given, Mapping):
            renamed[name] = with_present_names(section, given, label)
    return Layer(renamed, dict.fromkeys(_leaves(renamed), label))


def _leaves(values: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, str(name)))
        else:
            yield (*above, str(name))


def _dumped(value: Any) -> Any:
    """Sections given as objects say only what was set on them; their defaults must not hide weaker sources."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: _dumped(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_dumped(member) for member in value]
    return value


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = _overlaid(under, value) if nested else value  # type: ignore[arg-type]
    return both


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value
