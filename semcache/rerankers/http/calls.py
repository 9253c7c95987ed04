"""The requests that a call of a rerank service is made of, and its scores put together from their answers."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from semcache.causes import message_of
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.http.dialects import DIALECTS, Dialect


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its body, the positions of its pairs among those of the caller, and the texts that it holds."""

    body: bytes
    positions: Sequence[int]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a service is asked: the dialect, the model's name, further fields, and how many documents a request holds.

    Raises ConfigurationError for a model that is missing or has no place in a request, and for options that JSON cannot
    hold or that every request sets by itself.
    """

    dialect: Dialect
    model: str | None
    options: Mapping[str, Any]
    max_pairs: int | None

    def __post_init__(self) -> None:
        model, name = self.model, self.dialect.name
        if model is not None and not (isinstance(model, str) and model.strip()):
            raise ConfigurationError(f"model must be the name of a model, or None, got {model!r}")
        if self.dialect.takes_model and model is None:
            raise ConfigurationError(f"requests of dialect {name} name a model; pass model")
        if not self.dialect.takes_model and model is not None:
            raise ConfigurationError(
                f"requests of dialect {name} name no model, since a server has one; remove {model!r}"
            )
        if clash := sorted(self.dialect.own_fields & self.options.keys()):
            raise ConfigurationError(f"options must not hold {', '.join(clash)}, which every request sets by itself")
        try:
            json.dumps([dict(self.options), dict(self.dialect.fields)], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"options must be what JSON can hold: {message_of(error)}") from None

    @property
    def digest(self) -> str:
        """Of options and of the fields of a dialect of the user's own, which change scores, too; else empty."""
        dialect, is_known = self.dialect, DIALECTS.get(self.dialect.name) == self.dialect
        if not self.options and is_known:
            return ""
        asked = (dialect.documents, dialect.results, dialect.score, dict(dialect.fields), dialect.max_chars)
        said = json.dumps([dict(self.options), None if is_known else asked], sort_keys=True)
        return blake2b(said.encode(), digest_size=6).hexdigest()

    def calls(self, pairs: Sequence[Pair]) -> list[Call]:
        """The requests about these pairs: one query each, and no more documents than a request holds."""
        # Not by runs of equal queries: pairs of merged requests come sorted by length, so that the queries alternate.
        positions: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(pairs):
            positions.setdefault(query, []).append(position)
        return [
            self._call(query, part, [pairs[position][1] for position in part])
            for query, places in positions.items()
            for part in self._parts(places)
        ]

    def check_listwise(self, pairs: Sequence[Pair], name: str) -> None:
        """Raises InvalidInputError for pairs that no single request can hold: an order cannot be put together."""
        queries = len({query for query, _ in pairs})
        if queries > 1:
            raise InvalidInputError(
                f"{name} is listwise: its scores hold within one query, got {queries} queries in one call; call it "
                "once per query"
            )
        if self.max_pairs is not None and len(pairs) > self.max_pairs:
            raise InvalidInputError(
                f"{name} is listwise and takes {self.max_pairs} documents in one request, got {len(pairs)}; send "
                "fewer, or raise max_pairs_per_call if the service allows it"
            )

    def _parts(self, places: list[int]) -> Iterator[list[int]]:
        step = self.max_pairs or len(places)
        for start in range(0, len(places), step):
            yield places[start : start + step]

    def _call(self, query: str, positions: Sequence[int], texts: Sequence[str]) -> Call:
        request = self.dialect.request(self.model, encodable(query), list(map(encodable, texts)), self.options)
        body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        return Call(body, positions, (query, *texts))


def joined(pairs: int, answers: Iterable[tuple[Call, FloatArray]]) -> FloatArray:
    """One float32 per pair, each in the place of its pair."""
    scores = np.empty(pairs, dtype=np.float32)
    for call, given in answers:
        scores[call.positions] = given
    return scores
