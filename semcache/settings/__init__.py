"""Every knob, checked, and where its value comes from.

Knobs of the cache stand in ``cache_sections``, those of reuse in ``reuse_section``, those of pruning in
``prune_section``, those of the rerankers in ``reranker_sections``, those of a migration in ``migration_section``, those
of the HTTP server in ``server_section``, those of metrics, logs and spans in ``telemetry_section``; ``knobs`` says what
a knob is. ``sources`` reads and merges constructor, environment, .env file and YAML. ``from_settings`` marks arguments
of other constructors that come from here.
"""

from semcache.settings.cache_sections import Cache, Embedder, Redis
from semcache.settings.from_settings import FROM_SETTINGS, FromSettings, given
from semcache.settings.migration_section import Migration
from semcache.settings.model import DEFAULT_LADDER, Explained, Settings, explain, settings_of
from semcache.settings.passwords import hidden
from semcache.settings.prune_section import Prune
from semcache.settings.reranker_sections import Batching, Breaker, Monitor
from semcache.settings.reuse_section import Reuse
from semcache.settings.rung import Rung
from semcache.settings.server_section import Server, tenants_and_keys
from semcache.settings.sources import PACKAGED
from semcache.settings.telemetry_section import Telemetry
from semcache.settings.template import template

__all__ = [
    "DEFAULT_LADDER",
    "FROM_SETTINGS",
    "PACKAGED",
    "Batching",
    "Breaker",
    "Cache",
    "Embedder",
    "Explained",
    "FromSettings",
    "Migration",
    "Monitor",
    "Prune",
    "Redis",
    "Reuse",
    "Rung",
    "Server",
    "Settings",
    "Telemetry",
    "explain",
    "given",
    "hidden",
    "settings_of",
    "template",
    "tenants_and_keys",
]
