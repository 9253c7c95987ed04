"""The default guard: what two queries must have in common before one may be served the other's scores unasked."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain

from semcache.guards.cues import Kind, joined, packed, parted
from semcache.guards.english import ENGLISH
from semcache.guards.lexicon import Lexicon
from semcache.guards.measures import measured
from semcache.guards.order import ORDERED_KINDS, is_swapped
from semcache.guards.reading import read, without_phrases
from semcache.guards.tokens import normal, quotations, tokens
from semcache.guards.vocabulary import Vocabulary

# Raised whenever the meaning of a cue changes: blobs of another format are never compared.
_FORMAT = b"cues 1"
# An embedder reads at most some 2,000 characters; what lies behind must simply be equal.
_MAX_CHARACTERS = 4096
_KINDS = {value: name.lower() for name, value in vars(Kind).items() if isinstance(value, int)}


class CueGuard:
    """Compares two queries by what an embedding blurs: negation, numbers, dates, units, code, scope, words, order.

    Words are compared by stem and synonym list; a word in no list counts as itself, whatever its language. A
    difference costs one verification of a near entry, a difference overlooked costs a wrong answer, so in doubt
    this guard sees a difference.
    """

    def __init__(self, vocabulary: Vocabulary = ENGLISH) -> None:
        self._look_up = Lexicon(vocabulary).look_up
        self._header = _header(vocabulary)
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for phrase in sorted(vocabulary.phrases, key=len, reverse=True):
            self._phrases.setdefault(phrase[0], []).append((phrase, vocabulary.phrases[phrase]))

    def __repr__(self) -> str:
        return f"CueGuard(vocabulary={self._header.hex()})"

    def cues(self, query: str) -> bytes:
        """At most 255 bytes: two name format and vocabulary, three each of the first 81 cues, eight the rest."""
        text = normal(query[:_MAX_CHARACTERS])
        rest = query[_MAX_CHARACTERS:]
        lexemes = list(chain.from_iterable(map(self._look_up, tokens(text))))
        found = read(measured(without_phrases(lexemes, self._phrases, self._look_up)))
        found += [packed(Kind.QUOTE, 0, quotation) for quotation in quotations(text)]
        return joined(self._header, found, rest.encode("utf-8", "surrogatepass"))

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        """The first kind of cue that differs, "order", "length" for what is too long to compare, "format", or None."""
        if ours == theirs:
            return None
        our_header, our_cues, our_rest = parted(ours)
        their_header, their_cues, their_rest = parted(theirs)
        if our_header != their_header:
            return "format"
        return (
            _other_kind(our_cues, their_cues)
            or ("length" if our_rest != their_rest else None)
            or ("order" if is_swapped(_ordered(our_cues), _ordered(their_cues)) else None)
        )


def _other_kind(ours: Sequence[bytes], theirs: Sequence[bytes]) -> str | None:
    said, their = {_meaning(cue) for cue in ours}, {_meaning(cue) for cue in theirs}
    kinds = [meaning[0] for meaning in said ^ their if meaning[0] != Kind.QUOTE]
    if kinds:
        return _KINDS.get(min(kinds), "format")
    quoted, their_quoted = ({meaning for meaning in one if meaning[0] == Kind.QUOTE} for one in (said, their))
    return "quote" if quoted and their_quoted and quoted != their_quoted else None


def _meaning(cue: bytes) -> bytes:
    """A cue without its role."""
    return bytes((cue[0] >> 4,)) + cue[1:]


def _ordered(cues: Sequence[bytes]) -> list[tuple[int, bytes]]:
    return [(cue[0] & 15, cue[1:]) for cue in cues if cue[0] >> 4 in ORDERED_KINDS]


def _header(vocabulary: Vocabulary) -> bytes:
    digest = blake2b(_FORMAT, digest_size=2)
    for words in (vocabulary.ignored, vocabulary.negations, vocabulary.sources, vocabulary.targets):
        digest.update(repr(sorted(words)).encode())
    for mapping in (vocabulary.questions, vocabulary.scopes, vocabulary.same, vocabulary.phrases):
        digest.update(repr(sorted(mapping.items())).encode())
    return digest.digest()
