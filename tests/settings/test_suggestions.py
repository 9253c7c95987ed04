"""The name that a misspelt one was meant to be."""

from semcache.settings.suggestions import did_you_mean, nearest


def test_the_same_last_word_elsewhere_wins() -> None:
    assert nearest("cache.probes", ["cache.ttl_s", "breaker.probes"]) == "breaker.probes"


def test_nothing_near_lists_all() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "known are: a, b"


def test_more_names_than_anyone_reads_are_not_listed() -> None:
    assert (
        did_you_mean("zzz", [f"a{number}" for number in range(100)]) == "semcache config lists the 100 that there are"
    )
