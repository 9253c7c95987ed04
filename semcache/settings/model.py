"""All settings, checked, with the source of every value."""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from semcache.errors import ConfigurationError
from semcache.settings.cache_sections import Cache, Embedder, Redis
from semcache.settings.knobs import Path, knob, knobs, shown, unit_of
from semcache.settings.migration_section import Migration
from semcache.settings.prune_section import Prune
from semcache.settings.reranker_sections import Batching, Breaker, Monitor
from semcache.settings.reuse_section import Reuse
from semcache.settings.rung import Rung
from semcache.settings.server_section import Server
from semcache.settings.sources import merged, read_layers
from semcache.settings.telemetry_section import Telemetry
from semcache.settings.validation_errors import message_of, origin

# The packaged weights of extra "offline" are found under this model name, and so is the model on the hub.
DEFAULT_LADDER = (
    Rung(kind="auto", model="cross-encoder/ms-marco-MiniLM-L-12-v2"),
    Rung(kind="learned"),
    Rung(kind="retrieval-order"),
)


class Settings(BaseSettings):
    """Every knob. Strongest first: constructor, ``SEMCACHE_*`` environment, ``.env``, YAML, defaults in the code.

    The YAML is the file named by ``SEMCACHE_CONFIG``, or the packaged ``pipeline.yaml``. Sections are given as
    mappings or objects. Raises ConfigurationError, which says which value is wrong, where it came from, and what is
    allowed.

    Example:
        >>> settings = Settings(redis={"url": "embedded"}, cache=Cache(ttl_s=None))
        >>> settings.reuse.trust_threshold
        0.97
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True
    )

    redis: Redis = Field(default_factory=Redis)
    embedder: Embedder = Field(default_factory=Embedder)
    cache: Cache = Field(default_factory=Cache)
    reuse: Reuse = Field(default_factory=Reuse)
    prune: Prune = Field(default_factory=Prune)
    monitor: Monitor = Field(default_factory=Monitor)
    breaker: Breaker = Field(default_factory=Breaker)
    batching: Batching = Field(default_factory=Batching)
    server: Server = Field(default_factory=Server)
    telemetry: Telemetry = Field(default_factory=Telemetry)
    migration: Migration = Field(default_factory=Migration)
    rerankers: tuple[Rung, ...] = knob(
        DEFAULT_LADDER,
        "The ladder: rerankers from best to cheapest; a lower one answers when those above cannot",
        reason="what was learned costs no model call, and the embedder is there in any case until it suffices; the "
        "retriever's order cannot fail",
    )

    # The source of each value that a source gave, for explain().
    _origins: dict[Path, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        everything = merged(read_layers(type(self), values))
        try:
            super().__init__(**everything.values)
        except ValidationError as error:
            messages = [message_of(detail, type(self), everything.origins) for detail in error.errors()]
            # Without the cause: pydantic's text may show secrets, and ours says all that it does.
            raise ConfigurationError("\n".join(messages)) from None
        self._origins.update(everything.origins)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # __init__ has read and merged all sources already, with their origins: see sources.py.
        return (init_settings,)

    @field_validator("rerankers")
    @classmethod
    def _usable_ladder(cls, rerankers: tuple[Rung, ...]) -> tuple[Rung, ...]:
        if not rerankers:
            raise ValueError("must name at least one reranker")
        if any(rung.kind == "retrieval-order" for rung in rerankers[:-1]):
            raise ValueError("retrieval-order never fails, so no rung below it is ever asked; put it last")
        if rerankers[0].kind == "learned":
            raise ValueError(
                "learned has nothing to learn from as the first reranker; put it below the one to learn from"
            )
        return rerankers


def settings_of(given: Settings | None) -> Settings:
    """``given``, or for None the settings of environment and YAML. Raises ConfigurationError for anything else."""
    if given is None:
        return Settings()
    if not isinstance(given, Settings):
        # The type alone: a mapping may hold a url with a password.
        raise ConfigurationError(
            f"settings is a {type(given).__name__}; pass Settings(redis={{...}}, cache={{...}}), or None for those of "
            "environment and YAML"
        )
    return given


@dataclass(frozen=True, slots=True)
class Explained:
    """A value in force, fit to be shown (secrets hidden), and the source that it came from."""

    setting: str
    value: Any
    source: str
    unit: str
    meaning: str


def explain(settings: Settings) -> list[Explained]:
    """Every value in force, in the order of declaration.

    Example:
        >>> [line.source for line in explain(Settings(cache={"ttl_s": 60})) if line.setting == "cache.ttl_s"]
        ['constructor']
    """
    lines: list[Explained] = []
    for path, field in knobs(type(settings)):
        value: Any = settings
        for name in path:
            value = getattr(value, name)
        source = origin(path, settings._origins)
        lines.append(Explained(".".join(path), shown(field, value), source, unit_of(field), field.description or ""))
    return lines
