"""The default guard: compares the cues of two queries."""

from collections.abc import Mapping, Sequence, Set
from hashlib import blake2b
from itertools import chain
from typing import Literal

from semcache.errors import ConfigurationError
from semcache.guards.chinese import CHINESE
from semcache.guards.contrasts import contrasting
from semcache.guards.cues import Kind, decode, encode, encode_cue
from semcache.guards.english import ENGLISH
from semcache.guards.lexicon import Lexicon
from semcache.guards.measures import join_measures
from semcache.guards.order import ORDERED_KINDS, is_swapped
from semcache.guards.reading import cues_of, replace_phrases
from semcache.guards.tokens import normalised, quotations, tokens
from semcache.guards.vocabulary import Vocabulary
from semcache.guards.weighing import WordDifference, learned

# Raise this whenever the meaning of a cue changes: blobs of different formats are never compared.
_FORMAT = b"cues 2"
# More than an embedder reads. The text behind it is only compared for equality, by its digest.
_MAX_CHARACTERS = 4096
_KIND_NAMES = {value: name.lower() for name, value in vars(Kind).items() if name.isupper()}
_LANGUAGES = ENGLISH.joined(CHINESE)

Mode = Literal["strict", "facts"]

# In the mode "facts" a negation always counts, and so does a fact that both queries have but differently: 5 mg and 5 g,
# "enable" and "disable". A number, a scope ("best", "all") or a question word that only one query has is as frequent in
# question pairs that ask the same as in others, so it is weighed like a word.
_ALWAYS: Mapping[Mode, frozenset[int]] = {
    "strict": frozenset((*range(Kind.NEGATION, Kind.WORD + 1), Kind.CHARACTER)),
    "facts": frozenset((Kind.NEGATION,)),
}
_IF_EXCHANGED = frozenset((*range(Kind.NUMBER, Kind.WORD), Kind.CHARACTER))
_COMPARED_IF_BOTH = frozenset((Kind.QUOTE, Kind.PERSON, Kind.MODAL, Kind.RELATION, Kind.OPPOSITE, Kind.PLACE))
_SIMILAR_ENOUGH = 0.90
_WORDS = frozenset((Kind.WORD, Kind.CHARACTER))
_KNOWN = frozenset(_KIND_NAMES)


class CueGuard:
    """Compares two queries by what an embedding blurs: negation, numbers, dates, units, code, scope, words, order.

    Words are compared by stem and synonym list, in English and Chinese; a word in no list counts as itself, in any
    language. A needless difference costs one verification of a near entry, a missed one some order of the ranking.

    ``mode`` says what counts. ``facts``: negation, numbers, dates, units, code, quotes, exchanged opposites, who does
    what to whom, and order always do; other differing words are weighed together with the similarity. ``strict``: every
    differing word counts. benchmarks/results/guards.md has the figures of both. Thread-safe.

    Raises ConfigurationError for another mode.

    Example:
        >>> guard = CueGuard()
        >>> guard.difference(guard.cues("fly with a visa"), guard.cues("fly without a visa"))
        'negation'
    """

    def __init__(self, vocabulary: Vocabulary = _LANGUAGES, *, mode: Mode = "facts") -> None:
        if mode not in _ALWAYS:
            raise ConfigurationError(f"guard mode is {mode!r}; give 'facts' or 'strict', or guard None for no guard")
        self.mode: Mode = mode
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
        return f"CueGuard({self.mode!r}, vocabulary={self._header.hex()})"

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

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        """Why one query's scores may not be trusted for the other, or None.

        A name of ``Kind`` in lower case, "length" for a difference in what is too long to be compared by kind, "order"
        for the same cues the other way round, or "format" for blobs of another version or vocabulary. ``similarity`` is
        the cosine of the two queries; in the mode ``facts`` it helps to weigh the words in which they differ. Never
        raises, also for damaged blobs.
        """
        found = self.weighable(ours, theirs, similarity)
        if isinstance(found, WordDifference):
            return None if learned().is_harmless(found) else found.kind
        return found

    def weighable(self, ours: bytes, theirs: bytes, similarity: float) -> WordDifference | str | None:
        """The difference in words, where only words differ; the name of a fact that differs; None for no difference."""
        if ours == theirs:
            return None
        our_header, our_cues, our_rest = decode(ours)
        their_header, their_cues, their_rest = decode(theirs)
        if our_header != their_header:
            return "format"
        only_ours, only_theirs, shared = _compared(our_cues, their_cues)
        is_different = bool(only_ours or only_theirs)
        fact = self._fact(only_ours, only_theirs) or _contrast(our_cues, their_cues)
        if fact is None and our_rest != their_rest:
            fact = "length"
        # Where words differ, too, their order says little: "how do I unblock myself from their account".
        if fact is None and not is_different and is_swapped(_ordered(our_cues), _ordered(their_cues)):
            fact = "order"
        # Of question pairs without a differing cue 89 % ask the same from a similarity of 0.90 on, and 52 % below it.
        if fact or (not is_different and (self.mode == "strict" or similarity >= _SIMILAR_ENOUGH)):
            return fact
        return _word_difference(only_ours, only_theirs, shared, similarity)

    def _fact(self, only_ours: Set[bytes], only_theirs: Set[bytes]) -> str | None:
        """The first kind of cue that differs and always counts, or that the queries have exchanged for another one."""
        ours, theirs = ({cue[0] for cue in cues} for cues in (only_ours, only_theirs))
        # A damaged blob may name a kind that does not exist.
        counting = ((ours | theirs) & _ALWAYS[self.mode]) | (ours & theirs & _IF_EXCHANGED) | ((ours | theirs) - _KNOWN)
        return _KIND_NAMES.get(min(counting), "format") if counting else None


def _compared(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[set[bytes], set[bytes], set[bytes]]:
    """Cues of only one query, of only the other and of both, whatever their order and roles."""
    # The upper four bits of the first byte are the kind, the lower ones the role.
    a, b = (
        {bytes((cue[0] >> 4,)) + cue[1:] for cue in cues if cue[0] >> 4 not in _COMPARED_IF_BOTH}
        for cues in (ours, theirs)
    )
    return a - b, b - a, a & b


def _word_difference(ours: Set[bytes], theirs: Set[bytes], shared: Set[bytes], similarity: float) -> WordDifference:
    only_ours, only_theirs, common = (
        frozenset(cue[1:] for cue in cues if cue[0] in _WORDS) for cues in (ours, theirs, shared)
    )
    kinds = [cue[0] for cue in (*ours, *theirs)]
    counts = (
        sum(Kind.NUMBER <= kind <= Kind.CODE for kind in kinds),
        kinds.count(Kind.SCOPE),
        kinds.count(Kind.QUESTION),
    )
    return WordDifference(
        only_ours, only_theirs, common, *counts, similarity, _KIND_NAMES[min(kinds)] if kinds else "similarity"
    )


def _contrast(ours: Sequence[bytes], theirs: Sequence[bytes]) -> str | None:
    """The name of a kind that is compared only where both queries have it, and in which they differ."""
    # Quotation marks alone change nothing: 'meaning of "inertia"' and 'meaning of inertia' ask the same, and the quoted
    # words are compared as words in any case.
    our_quotes, their_quotes = ({cue for cue in cues if cue[0] >> 4 == Kind.QUOTE} for cues in (ours, theirs))
    if our_quotes and their_quotes and our_quotes != their_quotes:
        return "quote"
    our_words, their_words = (
        [cue for cue in cues if Kind.PERSON <= cue[0] >> 4 <= Kind.PLACE] for cues in (ours, theirs)
    )
    kind = contrasting(our_words, their_words)
    return None if kind is None else _KIND_NAMES[kind]


def _ordered(cues: Sequence[bytes]) -> list[tuple[int, bytes]]:
    return [(cue[0] & 15, cue[1:]) for cue in cues if cue[0] >> 4 in ORDERED_KINDS]
