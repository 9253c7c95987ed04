"""Writes ``docs/settings.md``: every setting with its names, type, unit, range, default and reason.

``python -m docs._make.settings_page`` writes it; a test compares it with what the code says.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from semcache import OptimizedRerankerPipeline, RedisSemanticCache
from semcache.settings import FromSettings, Rung, Settings
from semcache.settings.knobs import allowed, reason_of, section_of, unit_of
from semcache.settings.sources import SHORTCUTS

PAGE = Path(__file__).parents[1] / "settings.md"

_RESULTS = "../benchmarks/results/"

# Arguments of the constructors whose names differ from the settings that they come from.
_ARGUMENTS: Mapping[str, str] = {
    "redis_url": "redis.url",
    "embedding_model": "embedder.model",
    "similarity_threshold": "reuse.trust_threshold",
    "ttl": "cache.ttl_s",
    "cache_ttl": "cache.ttl_s",
    "p95_threshold": "monitor.p95_threshold_s",
    "primary_reranker": "rerankers",
    "fallback_reranker": "rerankers",
    "rungs": "rerankers",
}
_PAGE = re.compile(r"(docs/|benchmarks/results/)?(\w+)\.md")

_HEAD = """\
# Settings

Every setting, written from the code that reads them. Strongest first, a value comes from: an argument of a constructor
of a class, an argument of `Settings(...)`, the environment variable, the same variable in a `.env` file, the YAML file
that `SEMCACHE_CONFIG` names (without it the packaged [pipeline.yaml](../schemas/pipeline.yaml)), the default.
`semcache config` shows what is in force and where each value comes from. A misspelt name is an error that says the
nearest right one; a value out of range is one that says what is allowed.

In YAML `redis.budget_s` stands in a section, and durations are in seconds:

```yaml
redis:
  budget_s: 0.05
```

"""


def page() -> str:
    """The whole page, in Markdown."""
    sections = {name: section for name, field in Settings.model_fields.items() if (section := section_of(field))}
    ladder = Settings.model_fields["rerankers"]
    return (
        "".join(
            [
                _HEAD,
                *_overview({**sections, "rerankers": Rung}),
                *(text for name, section in sections.items() for text in _section(name, section)),
                "## rerankers\n\n",
                *_knob("rerankers", ladder, "`SEMCACHE_RERANKERS` (JSON)"),
                "Each rung of the ladder has these; in YAML it is an item of the list.\n\n",
                *(
                    text
                    for name, field in Rung.model_fields.items()
                    for text in _knob(f"rerankers[].{name}", field, "")
                ),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _overview(sections: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    yield "| section | what it decides | settings |\n|---|---|---|\n"
    for name, section in sections.items():
        yield f"| [`{name}`](#{name}) | {_linked(inspect.getdoc(section) or '')} | {len(section.model_fields)} |\n"
    yield "\n"


def _section(name: str, section: type[BaseModel]) -> Iterator[str]:
    yield f"## {name}\n\n{_linked(inspect.getdoc(section) or '')}\n\n"
    for member, field in section.model_fields.items():
        path = f"{name}.{member}"
        short = [variable for variable, knob in SHORTCUTS.items() if ".".join(knob) == path]
        variables = [*short, f"SEMCACHE_{name}__{member}".upper()]
        yield from _knob(path, field, " or ".join(f"`{variable}`" for variable in dict.fromkeys(variables)))


def _knob(path: str, field: FieldInfo, variables: str) -> Iterator[str]:
    yield f"### {path}\n\n{_linked(field.description or '')}.\n\n"
    facts = {
        "variable": variables,
        "argument": ", ".join(f"`{argument}`" for argument in arguments_of(path)),
        "takes": allowed(field),
        "unit": unit_of(field),
        "default": f"`{_shown(field)}`",
    }
    yield "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    yield f"\nWhy this default: {_linked(reason_of(field))}.\n\n"


def arguments_of(path: str) -> list[str]:
    """The arguments of the constructors that this setting is the default of.

    Example:
        >>> arguments_of("cache.ttl_s")
        ['ttl', 'cache_ttl']
    """
    parameters = {
        name
        for kind in (RedisSemanticCache, OptimizedRerankerPipeline)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if isinstance(parameter.default, FromSettings)
    }
    renamed = [name for name, setting in _ARGUMENTS.items() if setting == path and name in parameters]
    # A rung has settings of the same names, which belong to it alone.
    own = {path.rpartition(".")[2]} & parameters - _ARGUMENTS.keys() if "[]" not in path else set()
    return [*renamed, *own]


def _shown(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        return default.get_secret_value()  # the default url is no secret
    if isinstance(default, tuple):
        return json.dumps([rung.model_dump(exclude_unset=True) for rung in default])
    return default if isinstance(default, str) else json.dumps(default).replace("null", "none")


def _linked(text: str) -> str:
    """The text with links to the pages and the results that it names."""
    return _PAGE.sub(lambda match: f"[{match[2]}.md]({'' if match[1] == 'docs/' else _RESULTS}{match[2]}.md)", text)


if __name__ == "__main__":
    PAGE.write_text(page())
