"""Cheap checks for queries that an embedding confuses, so that their near scores are verified and not trusted.

A guard takes cues from a query, which are stored beside its vector, and later compares them with another query's cues.
From text to cues a query passes these modules in turn: tokens, lexicon, reading (phrases), measures, reading (roles),
cues (bytes). ``order`` then compares two queries whose cues are equal but for their order, ``contrasts`` reads pronouns
and prepositions, and ``weighing`` says whether the remaining words matter.
"""

from functools import cache
from typing import cast, get_args

from semcache.errors import ConfigurationError, described
from semcache.guards.chinese import CHINESE
from semcache.guards.cue_guard import CueGuard, Mode
from semcache.guards.english import ENGLISH
from semcache.guards.shielded import ShieldedGuard
from semcache.guards.vocabulary import Vocabulary
from semcache.protocols import Guard

__all__ = ["CHINESE", "ENGLISH", "CueGuard", "Vocabulary", "guard_of"]


def guard_of(guard: Guard | str | None) -> Guard | None:
    """The guard of a mode ("facts" or "strict"), none for "off" and None, and any other guard, shielded.

    Raises ConfigurationError for something else.
    """
    if guard is None or guard == "off":
        return None
    if isinstance(guard, str) and guard in get_args(Mode):
        return _of_mode(cast("Mode", guard))
    if isinstance(guard, str) or not isinstance(guard, Guard):
        raise ConfigurationError(
            f"guard is {described(guard)}; give 'facts', 'strict' or 'off', or an object with cues() and difference()"
        )
    return guard if isinstance(guard, CueGuard | ShieldedGuard) else ShieldedGuard(guard)


@cache
def _of_mode(mode: Mode) -> CueGuard:
    # One for all caches: it remembers the words that it has looked up.
    return CueGuard(mode=mode)
