"""The default guard: compares the cues of two queries."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain

from semcache.guards.cues import Kind, decode, encode, encode_cue
from semcache.guards.english import ENGLISH
from semcache.guards.lexicon import Lexicon
from semcache.guards.measures import join_measures
from semcache.guards.order import ORDERED_KINDS, is_swapped
from semcache.guards.reading import cues_of, replace_phrases
from semcache.guards.tokens import normalised, quotations, tokens
from semcache.guards.vocabulary import Vocabulary

# Raise this whenever the meaning of a cue changes: blobs of different formats are never compared.
_FORMAT = b"cues 1"
# More than an embedder reads. The text behind it is only compared for equality, by its digest.
_MAX_CHARACTERS = 4096
_KIND_NAMES = {value: name.lower() for name, value in vars(Kind).items() if isinstance(value, int)}


class CueGuard:
    """Compares two queries by what an embedding blurs: negation, numbers, dates, units, code, scope, words, order.

    Words are compared by stem and synonym list; a word in no list counts as itself, whatever its language. A needless
    difference costs one verification of a near entry, a missed one costs a wrong answer, so in doubt this guard sees a
    difference. Thread-safe. benchmarks/results/guards.md says how often it is right and what it costs.

    Example:
        >>> guard = CueGuard()
        >>> guard.difference(guard.cues("fly with a visa"), guard.cues("fly without a visa"))
        'negation'
    """

    def __init__(self, vocabulary: Vocabulary = ENGLISH) -> None:
        self._look_up = Lexicon(vocabulary).look_up
        # The vocabulary is part of the header: cues taken with another one mean something else.
        digest = blake2b(_FORMAT, digest_size=2)
        for words in (vocabulary.ignored, vocabulary.negations, vocabulary.sources, vocabulary.targets):
            digest.update(repr(sorted(words)).encode())
        for mapping in (vocabulary.questions, vocabulary.scopes, vocabulary.same, vocabulary.phrases):
            digest.update(repr(sorted(mapping.items())).encode())
        self._header = digest.digest()
        # By their first word, the longest first: of phrases that begin alike the longest that fits is meant.
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for phrase in sorted(vocabulary.phrases, key=len, reverse=True):
            self._phrases.setdefault(phrase[0], []).append((phrase, vocabulary.phrases[phrase]))

    def __repr__(self) -> str:
        return f"CueGuard(vocabulary={self._header.hex()})"

    def cues(self, query: str) -> bytes:
        """The cues of a query, at most 255 bytes; its words cannot be read back from them.

        Two bytes name format and vocabulary, three stand for each of the first 81 cues, eight for all others together.
        """
        text = normalised(query[:_MAX_CHARACTERS])
        rest = query[_MAX_CHARACTERS:]
        lexemes = list(chain.from_iterable(map(self._look_up, tokens(text))))
        # Phrases first: "per cent" has to become one word before it can be the unit of a number.
        cues = cues_of(join_measures(replace_phrases(lexemes, self._phrases, self._look_up)))
        cues += [encode_cue(Kind.QUOTE, 0, quotation) for quotation in quotations(text)]
        return encode(self._header, cues, rest.encode("utf-8", "surrogatepass"))

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        """The first kind of cue in which two queries differ, or None.

        A name of ``Kind`` in lower case, "length" for a difference in what is too long to be compared by kind, "order"
        for the same cues the other way round, or "format" for blobs of another version or vocabulary. Never raises,
        also for damaged blobs.
        """
        if ours == theirs:
            return None
        our_header, our_cues, our_rest = decode(ours)
        their_header, their_cues, their_rest = decode(theirs)
        if our_header != their_header:
            return "format"
        kind = _differing_kind(our_cues, their_cues)
        if kind is not None:
            return kind
        if our_rest != their_rest:
            return "length"
        return "order" if is_swapped(_ordered(our_cues), _ordered(their_cues)) else None


def _differing_kind(ours: Sequence[bytes], theirs: Sequence[bytes]) -> str | None:
    """The first kind in which two sets of cues differ, whatever their order and roles."""
    # The upper four bits of the first byte are the kind, the lower ones the role.
    our_meanings, their_meanings = ({bytes((cue[0] >> 4,)) + cue[1:] for cue in cues} for cues in (ours, theirs))
    kinds = [meaning[0] for meaning in our_meanings ^ their_meanings if meaning[0] != Kind.QUOTE]
    if kinds:
        return _KIND_NAMES.get(min(kinds), "format")  # a damaged blob may name a kind that does not exist
    # Quotation marks alone change nothing: 'meaning of "inertia"' and 'meaning of inertia' ask the same, and the quoted
    # words are compared as words in any case. Quotes differ only where both queries have some.
    our_quotes, their_quotes = (
        {meaning for meaning in meanings if meaning[0] == Kind.QUOTE} for meanings in (our_meanings, their_meanings)
    )
    return "quote" if our_quotes and their_quotes and our_quotes != their_quotes else None


def _ordered(cues: Sequence[bytes]) -> list[tuple[int, bytes]]:
    return [(cue[0] & 15, cue[1:]) for cue in cues if cue[0] >> 4 in ORDERED_KINDS]
