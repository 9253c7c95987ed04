"""Events of a migration: entries of a former embedder on their way into the scope of the present one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MigrationAdvanced:
    """A page of the former entries was looked at, and what was missing in the present scope is there now.

    The numbers are those of the pass over the former entries that is under way.
    """

    scope: str  # where entries go, as in names of keys
    seen: int
    moved: int  # entries of which something was missing
    embedded: int  # of those, entries that got a vector of the present embedder


@dataclass(frozen=True, slots=True)
class MigrationEnded:
    """A run has moved what there was to move, or the former entries were removed."""

    scope: str
    outcome: str  # moved or cleaned
    without_text: int  # entries that near queries do not find here, since their text is not stored
