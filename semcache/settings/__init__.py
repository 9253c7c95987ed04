"""Every knob, checked: constructor over environment over .env over YAML over defaults in the code."""

from semcache.settings.knobs import hidden
from semcache.settings.model import DEFAULT_LADDER, Explained, Settings, explain
from semcache.settings.sections import Batching, Breaker, Cache, Embedder, Monitor, Redis, Reuse, Rung
from semcache.settings.sources import PACKAGED
from semcache.settings.template import template

__all__ = [
    "DEFAULT_LADDER",
    "PACKAGED",
    "Batching",
    "Breaker",
    "Cache",
    "Embedder",
    "Explained",
    "Monitor",
    "Redis",
    "Reuse",
    "Rung",
    "Settings",
    "explain",
    "hidden",
    "template",
]
