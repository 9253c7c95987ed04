"""Cheap checks for queries that an embedding confuses, so that their near scores are verified and not trusted.

A guard takes cues from a query, which are stored beside its vector, and later compares them with another query's cues.
From text to cues a query passes these modules in turn: tokens, lexicon, reading (phrases), measures, reading (roles),
cues (bytes). ``order`` then compares two queries whose cues are equal but for their order.
"""

from semcache.guards.cue_guard import CueGuard
from semcache.guards.english import ENGLISH
from semcache.guards.vocabulary import Vocabulary

__all__ = ["ENGLISH", "CueGuard", "Vocabulary"]
