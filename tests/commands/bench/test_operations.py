"""The entries that a measurement looks up by meaning."""

import pytest

from semcache.commands.bench.entries import SyntheticEntries
from semcache.commands.bench.namespace import pipeline_apart, settings_apart
from semcache.commands.bench.operations import findable_entries
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.models import Models, UnusedModel
from semcache.errors import StoreError
from semcache.settings import Settings


def test_stored_entries_are_found_by_their_rewordings(settings: Settings, unchanged: None) -> None:
    entries = SyntheticEntries.of(load_corpus(), 384, 5)
    with pipeline_apart(settings_apart(settings, 5), Models(UnusedModel(), UnusedModel())) as pipeline:
        guard = pipeline.cache.scoped.policy().guard
        pipeline.cache.store.remember_many("", [entries.entry(number, guard) for number in range(10)])
        assert findable_entries(pipeline, entries, 10) == list(range(10))


def test_without_entries_the_error_says_what_to_check(settings: Settings, unchanged: None) -> None:
    entries = SyntheticEntries.of(load_corpus(), 384, 5)
    with (
        pytest.raises(StoreError, match="none of 10 stored entries is found by meaning"),
        pipeline_apart(settings_apart(settings, 5), Models(UnusedModel(), UnusedModel())) as pipeline,
    ):
        findable_entries(pipeline, entries, 10)
