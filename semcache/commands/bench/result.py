"""The options and the result of a measurement."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from semcache.commands.bench.measuring import Timing
from semcache.commands.bench.operations import EMBED, EXACT, GET, REQUEST, RERANK, SEMANTIC
from semcache.errors import InvalidInputError

# Entries: several GB of Redis. Documents: more than any reranker scores in a request. Seconds: an hour in all.
_MOST_ENTRIES, _MOST_DOCUMENTS, _MOST_SECONDS = 1_000_000, 1000, 60


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """``entries`` are stored with the scores of ``documents`` passages each; each measurement takes ``seconds``.

    Raises InvalidInputError for a value out of range: 1 to 1,000,000 entries, 1 to 1000 documents, more than 0 to 60
    seconds.
    """

    entries: int = 2000  # stored in about a second
    documents: int = 50  # what a retriever hands to a reranker
    seconds: float = 2.0  # all together under a minute on two cores, the loading of models included

    def __post_init__(self) -> None:
        for name, value, most in (
            ("entries", self.entries, _MOST_ENTRIES),
            ("documents", self.documents, _MOST_DOCUMENTS),
        ):
            if not 1 <= value <= most:
                raise InvalidInputError(f"{name} must be from 1 to {most:,}, got {value}")
        # Written so that NaN is refused too: every comparison with it is false.
        if not 0 < self.seconds <= _MOST_SECONDS:
            raise InvalidInputError(f"seconds must be above 0 and at most {_MOST_SECONDS}, got {self.seconds:g}")


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the p50 of one operation is that of another."""

    name: str
    meaning: str
    value: float


@dataclass(frozen=True, slots=True)
class BenchResult:
    """``where`` names the server without its password. Names of models are None when none were used."""

    options: BenchOptions
    where: str
    dims: int
    embedder: str | None
    reranker: str | None
    machine: Mapping[str, str | float | None]
    timings: Mapping[str, Timing]

    def ratios(self) -> Iterator[Ratio]:
        """The ratios that follow from what was measured. Without models there is only the first."""
        p50 = {name: timing.p50_ms for name, timing in self.timings.items()}
        yield Ratio("exact_hit_to_get", "exact hit / bare GET", p50[EXACT] / p50[GET])
        if RERANK in p50:
            fresh = p50[RERANK]
            yield Ratio("fresh_to_exact", "reranking afresh / whole request, exact hit", fresh / p50[REQUEST])
            # The look-up was timed with a given vector, so a request by meaning takes the embedding on top of it.
            semantic = p50[EMBED] + p50[SEMANTIC]
            yield Ratio("fresh_to_semantic", "reranking afresh / embedding + semantic hit", fresh / semantic)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values: durations in milliseconds, null where there were too few samples."""
        return {
            **asdict(self.options),
            "where": self.where,
            "dims": self.dims,
            "embedder": self.embedder,
            "reranker": self.reranker,
            "machine": dict(self.machine),
            "timings": {name: asdict(timing) for name, timing in self.timings.items()},
            "ratios": {ratio.name: ratio.value for ratio in self.ratios()},
        }
