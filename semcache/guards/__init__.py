"""Cheap checks that tell queries apart which an embedding confuses, so that near scores are verified, not trusted."""

from semcache.guards.cue_guard import CueGuard
from semcache.guards.english import ENGLISH
from semcache.guards.vocabulary import Vocabulary

__all__ = ["ENGLISH", "CueGuard", "Vocabulary"]
