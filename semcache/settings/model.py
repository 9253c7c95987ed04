"""All settings, checked, with the origin of every value."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from semcache.settings.complaints import complaint, origin
from semcache.settings.knobs import Path, hidden, is_secret, knob, knobs, unit_of
from semcache.settings.sections import Batching, Breaker, Cache, Embedder, Monitor, Redis, Reuse, Rung
from semcache.settings.sources import merged, read_layers

DEFAULT_LADDER = (
    Rung(kind="auto", model="cross-encoder/ms-marco-MiniLM-L-12-v2"),
    Rung(kind="embedding"),
    Rung(kind="retrieval-order"),
)


class Settings(BaseSettings):
    """Every knob. Strongest first: constructor, ``SEMCACHE_*`` environment, ``.env``, YAML, defaults in the code.

    The YAML is the file named by ``SEMCACHE_CONFIG``, or the packaged ``pipeline.yaml``. Sections are given as
    mappings or objects: ``Settings(redis={"url": "embedded"}, cache=Cache(ttl_s=None))``. Raises ConfigurationError,
    which says which value is wrong, where it came from, and what is allowed.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    redis: Redis = Field(default_factory=Redis)
    embedder: Embedder = Field(default_factory=Embedder)
    cache: Cache = Field(default_factory=Cache)
    reuse: Reuse = Field(default_factory=Reuse)
    monitor: Monitor = Field(default_factory=Monitor)
    breaker: Breaker = Field(default_factory=Breaker)
    batching: Batching = Field(default_factory=Batching)
    rerankers: tuple[Rung, ...] = knob(
        DEFAULT_LADDER,
        "The ladder: rerankers from best to cheapest; a lower one answers when those above cannot",
        reason="embedding order is cheap and far better than none; the retriever's order cannot fail",
    )

    _origins: dict[Path, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        everything = merged(read_layers(type(self), values))
        try:
            super().__init__(**everything.values)
        except ValidationError as error:
            raise complaint(error, type(self), everything.origins) from None
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
        """Only what ``__init__`` merged: see sources.py."""
        return (init_settings,)

    @field_validator("rerankers")
    @classmethod
    def _usable_ladder(cls, rerankers: tuple[Rung, ...]) -> tuple[Rung, ...]:
        if not rerankers:
            raise ValueError("must name at least one reranker")
        if any(rung.kind == "retrieval-order" for rung in rerankers[:-1]):
            raise ValueError("retrieval-order never fails, so no rung below it is ever asked; put it last")
        return rerankers


@dataclass(frozen=True, slots=True)
class Explained:
    """An effective value, as it may be shown to anybody (secrets hidden), and where it came from."""

    setting: str
    value: Any
    source: str
    unit: str
    meaning: str


def explain(settings: Settings) -> list[Explained]:
    """Every effective value, in the order of declaration."""
    return [
        Explained(".".join(path), _shown(settings, path), origin(path, settings._origins), unit_of(field), _said(field))
        for path, field in knobs(type(settings))
    ]


def _said(field: Any) -> str:
    return field.description or ""


def _shown(settings: Settings, path: Path) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    if path == ("rerankers",):
        return [rung.model_dump() for rung in value]
    return hidden(value) if is_secret(dict(knobs(type(settings)))[path]) else value
