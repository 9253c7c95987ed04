"""Reads settings from constructor, environment, .env file and YAML, each with the source of every value.

pydantic-settings can read all of these, but silently ignores a misspelt top-level name and does not say which source
gave a value; both matter more here than its other features.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from semcache.causes import message_of
from semcache.errors import ConfigurationError
from semcache.settings.environment import is_of_a_service, read_dotenv
from semcache.settings.knobs import (
    Path,
    Section,
    former_names,
    is_list,
    is_secret,
    knobs,
    may_be_none,
    section_of,
    warn_of_former_name,
    with_present_names,
)
from semcache.settings.passwords import hidden
from semcache.settings.suggestions import known_are, nearest
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
"""Short names of the variables that most users set."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source. ``origins`` names the source of each value, such as ``environment SEMCACHE_TTL``."""

    values: Mapping[str, Any]
    origins: Mapping[Path, str]


def read_layers(model: type[BaseModel], constructor: Mapping[str, Any]) -> Sequence[Layer]:
    """All sources, strongest first. Raises ConfigurationError for unknown variables and unreadable files."""
    environment = dict(os.environ)
    dotenv = read_dotenv(FilePath(".env"))
    chosen = environment.get(CONFIG) or dotenv.get(CONFIG)
    yaml_file = FilePath(chosen).expanduser() if chosen else schema_path("pipeline.yaml")
    # A section whose members are all commented out reads as null, which gives no value.
    yaml_values = {name: value for name, value in load_yaml(yaml_file).items() if value is not None}
    return (
        _plain_layer(model, _dumped(constructor), "constructor"),
        variables_layer(model, environment, "environment"),
        variables_layer(model, dotenv, ".env"),
        _plain_layer(model, yaml_values, str(yaml_file) if chosen else PACKAGED),
    )


def merged(layers: Sequence[Layer]) -> Layer:
    """One layer that holds each value of the strongest source that gives it; ``layers`` are strongest first."""
    values: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    for layer in reversed(layers):
        values = _overlaid(values, layer.values)
        kept = {path: source for path, source in origins.items() if not _is_replaced(path, layer)}
        origins = {**kept, **layer.origins}
    return Layer(values, origins)


def _is_replaced(path: Path, by: Layer) -> bool:
    """Whether a layer gives something else in the place of a value: a mapping where it was none, or the reverse."""
    value: Any = by.values
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return not isinstance(value, Mapping)
        value = value[name]
    return True


def variables(model: type[BaseModel]) -> dict[str, tuple[Path, FieldInfo]]:
    """Every environment variable that sets a knob, with the knob's path and field."""
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
    """The values of the ``SEMCACHE_*`` variables. An empty variable counts as not set, as in ``NAME=${OTHER:-}``.

    Raises ConfigurationError for a variable that sets no knob, and for two that set one knob to different values.
    Variables that Kubernetes sets for a service called semcache are left alone.
    """
    known, former = variables(model), former_variables(model)
    names: dict[Path, str] = {}
    values: dict[str, Any] = {}
    for name in sorted(environment):
        text = environment[name].strip()
        # In upper case, so that "semcache_ttl" is an error and not ignored.
        upper = name.upper()
        if not text or not upper.startswith(PREFIX) or upper == CONFIG or upper.startswith(_NOT_SETTINGS):
            continue
        if name not in known and is_of_a_service(name, text):
            continue
        if name in former:
            warn_of_former_name(name, former[name], label)
        path, field = _knob_of(former.get(name, name), known, model, label)
        if path in names and not _same(environment[names[path]], text):
            texts = environment[names[path]], text
            first, second = map(hidden, texts) if is_secret(field) else texts
            raise ConfigurationError(
                f"{names[path]}={first} and {name}={second} set the same thing to different values; unset one of them"
            )
        names[path] = name
        section = values
        for part in path[:-1]:
            section = section.setdefault(part, {})
        section[path[-1]] = _parsed(name, text, field)
    return Layer(values, {path: f"{label} {name}" for path, name in names.items()})


def _knob_of(
    name: str, known: Mapping[str, tuple[Path, FieldInfo]], model: type[BaseModel], label: str
) -> tuple[Path, FieldInfo]:
    """The knob that a variable sets; for an unknown one an error that says what may have been meant."""
    if name in known:
        return known[name]
    rest = name.upper().removeprefix(PREFIX)
    if (field := model.model_fields.get(rest.lower())) and section_of(field):
        members = [other for other in known if other.startswith(f"{PREFIX}{rest}__")]
        raise ConfigurationError(f"{name} ({label}) is a section; set its members one by one: {', '.join(members)}")
    # Compared without the prefix, which all names share and which would make all of them look alike.
    meant = nearest(rest, [other.removeprefix(PREFIX) for other in (*known, CONFIG)], "__")
    remedy = f"did you mean {PREFIX}{meant}?" if meant else known_are((*known, CONFIG))
    raise ConfigurationError(f"{name} ({label}) is not a setting; {remedy}")


def _parsed(name: str, text: str, field: FieldInfo) -> Any:
    """The text of a variable, as None or a list where it means one; pydantic parses numbers and booleans."""
    if may_be_none(field) and text.lower() in ("none", "null"):
        return None
    if not is_list(field) or text[0] not in "[{":
        return text
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        # The text is not shown: the rungs of a ladder may hold keys.
        raise ConfigurationError(f"{name} is not valid JSON: {message_of(error)}") from None


def _same(first: str, second: str) -> bool:
    """Whether two variables give the same value: "60" and "60.0" do."""
    try:
        return float(first) == float(second)
    except ValueError:
        return first.strip() == second.strip()


def _plain_layer(model: type[BaseModel], values: Mapping[str, Any], label: str) -> Layer:
    """The layer of a source that gives sections as mappings."""
    # Former names are replaced before layers are merged, because the former name in a strong source must win over the
    # present name in a weaker one.
    renamed = dict(values)
    for name, field in model.model_fields.items():
        section, given = section_of(field), renamed.get(name)
        if section is not None and isinstance(given, Mapping):
            renamed[name] = with_present_names(section, given, label)
    return Layer(renamed, dict.fromkeys(_leaves(renamed), label))


def _leaves(values: Mapping[str, Any], above: Path = ()) -> list[Path]:
    paths: list[Path] = []
    for name, value in values.items():
        path = (*above, str(name))
        paths += _leaves(value, path) if isinstance(value, Mapping) else [path]
    return paths


def _dumped(value: Any) -> Any:
    """The values given to the constructor, with sections as mappings of what was set on them."""
    # Only what was set: the defaults of a section given as an object must not hide values from weaker sources.
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: _dumped(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_dumped(member) for member in value]
    return value


def _overlaid(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Both, member by member for mappings; a list replaces a list as a whole."""
    both = dict(weaker)
    for name, value in stronger.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = _overlaid(under, value) if nested else value  # type: ignore[arg-type]
    return both
