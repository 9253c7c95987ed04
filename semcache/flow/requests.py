"""A rerank request as the flow sees it: checked, with every distinct text once."""

from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from contextlib import suppress
from dataclasses import dataclass
from math import inf, nan
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

from semcache.documents import Reader, text_of
from semcache.entries.codec import LARGEST_SCORE
from semcache.entries.fingerprint import FINGERPRINT_BYTES, document_fingerprint, document_fingerprints
from semcache.errors import ConfigurationError, InvalidInputError, SemcacheError, described

if TYPE_CHECKING:  # the settings import this module, and numpy would take half of their import time again
    from semcache.flow.drift import Floats
    from semcache.protocols import FloatArray

D = TypeVar("D")


@dataclass(slots=True)
class Request:
    """One query and its distinct document texts. Treat it as immutable; it is not frozen for speed, like the steps.

    ``text_positions`` has the position in ``texts`` for every document of the caller: equal texts are scored once, and
    each of their documents is returned. ``top_k`` is at most the number of the caller's documents. By text are the
    retriever's scores and the unit vectors, where the caller gave them (``hints.py``). Documents that cannot reach
    ``min_score`` are neither asked about nor returned.
    """

    query: str
    tenant: str
    texts: tuple[str, ...]
    fingerprints: tuple[bytes, ...]
    # A range when no text comes twice, as nearly always: others test for that and then need no look-ups.
    text_positions: Sequence[int]
    top_k: int
    # The caller's own, in which scores of the retriever may be found; that is looked for only when they are needed.
    documents: Sequence[object] = ()
    retrieval_scores: "Floats | None" = None
    document_vectors: "FloatArray | None" = None
    min_score: float | None = None


def checked_request(
    query: str, documents: Sequence[object], top_k: int, tenant: str = "", read: Reader = text_of
) -> Request:
    """The request for these arguments of a caller, checked before any work is done. Raises InvalidInputError.

    ``read`` gives the text of a document.

    Example:
        >>> checked_request("q", ["b", "a", "b"], top_k=5).text_positions
        (0, 1, 0)
    """
    check_query(query)
    top_k = checked_top_k(top_k)
    check_tenant(tenant)
    texts = texts_of(documents, read)
    # A dict keeps the order of first appearance, which is the retriever's.
    distinct = tuple(dict.fromkeys(texts))
    text_positions: Sequence[int] = range(len(texts))
    if len(distinct) < len(texts):
        position_of = {text: position for position, text in enumerate(distinct)}
        text_positions = tuple(map(position_of.__getitem__, texts))
    fingerprints = document_fingerprints(distinct)
    return Request(query, tenant, distinct, fingerprints, text_positions, min(top_k, len(texts)), documents)


def checked_requests(
    queries: Sequence[str],
    documents_list: Sequence[Sequence[object]],
    top_k: int,
    tenant: str = "",
    read: Reader = text_of,
) -> list[Request]:
    """One request per query; all of them are checked before any work is done. Raises InvalidInputError."""
    # A string is a sequence of strings, too, but a caller who passes one has forgotten the list.
    if isinstance(queries, str) or len(queries) != len(documents_list):
        raise InvalidInputError(
            f"{len(queries)} queries for {len(documents_list)} lists of documents; pass a list of queries and as many "
            "lists of documents"
        )
    return [
        checked_request(query, documents, top_k, tenant, read)
        for query, documents in zip(queries, documents_list, strict=True)
    ]


def texts_of(documents: Sequence[object], read: Reader = text_of) -> list[str]:
    """The texts of the caller's documents, in order. The caller's list is never changed."""
    documents = by_position(documents)
    if read is not text_of:
        return list(map(read, documents))
    # Most are strings already, and a call for each would cost as much as hashing them.
    return [document if type(document) is str else text_of(document) for document in documents]


def by_position(documents: Sequence[D]) -> Sequence[D]:
    """The caller's documents so that each is found by its position: a list as it is, an array or a column as a list.

    Raises InvalidInputError for an object that has no order, is no collection, or has more than one dimension.
    """
    # Most callers pass a list; the tests below cost more than this one.
    if isinstance(documents, list | tuple):
        return documents
    is_text = isinstance(documents, str | bytes | bytearray | memoryview)
    if isinstance(documents, Sequence) and not is_text:
        return documents
    # Arrays of numpy, and columns of pandas, polars and datasets, are no Sequence. An index of pandas finds its labels
    # instead of positions, so that they become lists. A table would give the names of its columns.
    is_column = isinstance(documents, Sized) and isinstance(documents, Iterable) and hasattr(documents, "__getitem__")
    if not is_column or is_text or isinstance(documents, Mapping | Set) or getattr(documents, "ndim", 1) != 1:
        raise InvalidInputError(
            f"documents must be a list of documents, got {type(documents).__name__}; put a single document in a list"
        )
    return list(cast("Iterable[D]", documents))


def caller_positions(text_positions: Sequence[int], order: Sequence[int]) -> list[int]:
    """The positions of the caller's documents in the order of their texts, equal texts side by side.

    Example:
        >>> caller_positions((0, 1, 0), order=[1, 0])
        [1, 0, 2]
    """
    if isinstance(text_positions, range):
        return list(order)
    documents_of: dict[int, list[int]] = {}
    for document, text in enumerate(text_positions):
        documents_of.setdefault(text, []).append(document)
    return [document for text in order for document in documents_of[text]]


def records(request: Request, scores: Sequence[float]) -> list[tuple[bytes, float]]:
    """Scores of the caller's documents by fingerprint.

    Raises InvalidInputError unless each document has one score, a finite number that float32 can hold.
    """
    given = list(scores)
    if len(given) != len(request.text_positions):
        raise InvalidInputError(
            f"{len(given)} scores for {len(request.text_positions)} documents; pass one score per document"
        )
    numbers = [_checked_score(score, position) for position, score in enumerate(given)]
    return [(request.fingerprints[text], number) for text, number in zip(request.text_positions, numbers, strict=True)]


def _checked_score(score: object, position: int) -> float:
    number = nan
    if not isinstance(score, str | bytes):
        # A number of any library, also a tensor without dimensions.
        with suppress(TypeError, ValueError, OverflowError):
            number = float(cast("Any", score))
    # Written so that NaN, which is at most nothing, is refused.
    if not abs(number) <= LARGEST_SCORE:
        raise InvalidInputError(
            f"the score of document {position} is {score!r:.80}; give a finite number that float32 can hold"
        )
    return number


def checked_forget(query: str | None, document: object, tenant: str | None, read: Reader = text_of) -> bytes | None:
    """Check the arguments of ``forget``, and give the fingerprint of the document; None without a document.

    ``document`` is a document, its text or its fingerprint. Raises InvalidInputError unless there is either a query or
    a document, or a tenant alone.
    """
    if (query is not None and document is not None) or (query is None and document is None and tenant is None):
        raise InvalidInputError(
            "pass a query, a document or a tenant to forget(), and not both of the first; clear() removes everything"
        )
    if query is not None:
        check_query(query)
    if tenant is not None:
        check_tenant(tenant)
    if isinstance(document, bytes) and len(document) != FINGERPRINT_BYTES:
        # Taken for a fingerprint, it would be forgotten nowhere, and nothing would say so.
        raise InvalidInputError(
            f"document is {len(document)} bytes, and a fingerprint has {FINGERPRINT_BYTES}; pass the document or its "
            "text, as a string"
        )
    if document is None or isinstance(document, bytes):
        return document
    return document_fingerprint(read(document))


MAX_TTL_S = 10 * 365 * 24 * 3600.0
"""Ten years, in seconds. A longer life is a mistake of the unit (milliseconds) or a point of time, and Redis itself
refuses what does not fit into 63 bits of milliseconds, with each write. Entries that never expire have None."""


def is_ttl(ttl_s: object) -> bool:
    """True if entries can live for ``ttl_s``: a number of seconds above 0, at most MAX_TTL_S, or None for no expiry."""
    return ttl_s is None or (is_number(ttl_s) and not isinstance(ttl_s, bool) and 0 < ttl_s <= MAX_TTL_S)


def check_ttl(ttl_s: object, name: str = "ttl") -> None:
    """Raises ConfigurationError, which calls the argument ``name``, unless ``is_ttl``."""
    if not is_ttl(ttl_s):
        raise ConfigurationError(
            f"{name} is {ttl_s!r:.80}; give a number of seconds above 0 and up to {MAX_TTL_S:.0f} (ten years), or None "
            "for no expiry"
        )


def check_threshold(threshold: object) -> None:
    """Raises ConfigurationError unless the argument ``similarity_threshold`` is a cosine."""
    # Written so that NaN, which is between no numbers, is refused.
    if not is_number(threshold) or isinstance(threshold, bool) or not -1 <= threshold <= 1:
        raise ConfigurationError(f"similarity_threshold is {threshold!r:.80}; give a cosine from -1 to 1, such as 0.97")


def is_number(value: object) -> TypeGuard[float]:
    """True for numbers of Python and numpy alike."""
    return isinstance(value, Real)


def check_count(name: str, value: object, error: type[SemcacheError] = ConfigurationError) -> None:
    """Raises ``error`` unless the value is a whole number of at least 1."""
    # bool is a subclass of int, but True is a mistake here and not the number 1.
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise error(f"{name} must be a whole number of at least 1, got {value!r}")


def check_query(query: object) -> None:
    """Raises InvalidInputError unless the query is a string that is not blank."""
    if not isinstance(query, str):
        raise InvalidInputError(f"query must be a string, got {described(query)}; pass the text")
    if not query or query.isspace():
        raise InvalidInputError(f"query is blank ({query!r:.40}); pass the text of the question")


def checked_top_k(top_k: object) -> int:
    """``top_k`` as an ``int``. Raises InvalidInputError unless it is a whole number of at least 1."""
    try:
        # By its index, so that the whole numbers of numpy and torch count, and 2.0 does not.
        number = index(cast("Any", top_k))
    except TypeError:
        number = 0
    # bool is a subclass of int, but True is a mistake here and not the number 1.
    if number < 1 or isinstance(top_k, bool):
        raise InvalidInputError(f"top_k must be a whole number of at least 1, got {top_k!r}")
    return number


def deadline_after(started: float, deadline_s: object) -> float | None:
    """The time by which the answer is due, on the clock of ``started``, or None without a deadline.

    Raises InvalidInputError unless ``deadline_s`` is None or a number of seconds above 0.
    """
    return None if deadline_s is None else started + _seconds(deadline_s, above=0.0)


def time_left_after(now: float, deadline_s: object) -> float | None:
    """``deadline_after`` for what is left of a deadline, which may be nothing or less."""
    return None if deadline_s is None else now + _seconds(deadline_s, above=-inf)


def _seconds(deadline_s: object, above: float) -> float:
    # Written so that NaN, which is above nothing, is refused. True is a mistake, and not one second.
    if not is_number(deadline_s) or isinstance(deadline_s, bool) or not deadline_s > above:
        least = " above 0" if above == 0 else ""
        raise InvalidInputError(f"deadline_s must be a number of seconds{least}, or None, got {deadline_s!r:.80}")
    # A numpy.float32 would round a sum to its own precision, which is many seconds on a machine that runs for long.
    return float(deadline_s)


def check_tenant(tenant: object) -> None:
    """Raises InvalidInputError unless the tenant is a string; any string will do."""
    if not isinstance(tenant, str):
        raise InvalidInputError(f"tenant must be a string, got {described(tenant)}; use '' for the default tenant")
