"""Asks ``explain`` for the source of one setting."""

from semcache.settings import Settings, explain


def source_of(settings: Settings, name: str) -> str:
    """The source that ``explain`` names for a setting."""
    return next(line.source for line in explain(settings) if line.setting == name)
