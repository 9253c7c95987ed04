"""From lexemes to cues: phrases become what they mean, names get the role that their preposition gives them."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from semcache.guards.cues import Kind, Role, packed
from semcache.guards.lexicon import BY, CURRENCY, IGNORED, SOURCE, TARGET, Lexeme

Phrases = Mapping[str, Sequence[tuple[tuple[str, ...], str]]]
"""By first word, longest first: the words of a phrase and the word that it means."""

_WORD = itemgetter(2)
# "from New York City to ...": a name is rarely longer, and the clause behind it should not become part of it.
_ROLE_REACH = 3
# "how to", "stand by": without a cue right before them they join nothing.
_NEED_A_START = frozenset({"to", "by"})
_OPENERS = frozenset({"what", "which", "how", "who", "when", "where", "why"})
_SAYING_NOTHING = frozenset({Kind.NEGATION, Kind.QUESTION})


def without_phrases(
    lexemes: Sequence[Lexeme], phrases: Phrases, look_up: Callable[[str], tuple[Lexeme, ...]]
) -> Sequence[Lexeme]:
    """Each phrase replaced by the one word that it means, or by nothing."""
    words = list(map(_WORD, lexemes))
    if phrases.keys().isdisjoint(words):
        return lexemes
    found: list[Lexeme] = []
    at = 0
    while at < len(words):
        length, meaning = _phrase_at(words, at, phrases)
        if not length:
            found.append(lexemes[at])
        elif meaning:
            found.extend(look_up(meaning))
        else:
            found.append(Lexeme(IGNORED, "", ""))
        at += length or 1
    return found


def _phrase_at(words: Sequence[str], at: int, phrases: Phrases) -> tuple[int, str]:
    for phrase, meaning in phrases.get(words[at], ()):
        if tuple(words[at : at + len(phrase)]) == phrase:
            return len(phrase), meaning
    return 0, ""


def read(lexemes: Sequence[Lexeme]) -> list[bytes]:
    """The cues of a query, in the order in which they are said.

    A query of ignored words alone ("what is it?") is taken word by word.
    """
    cues = _placed(lexemes)
    if not cues or (cues[0][0] in _SAYING_NOTHING and _SAYING_NOTHING.issuperset([cue[0] for cue in cues])):
        cues += [(Kind.WORD, Role.NONE, lexeme.word) for lexeme in lexemes if lexeme.word]
    return [packed(*cue) for cue in cues]


def _placed(lexemes: Sequence[Lexeme]) -> list[tuple[int, int, str]]:
    cues: list[tuple[int, int, str]] = []
    role, reach, negations = Role.NONE, 0, 0
    follows = False  # whether the word before this one is a cue
    is_question = bool(lexemes) and lexemes[0].word in _OPENERS
    previous = ""
    for tag, value, word in lexemes:
        counts = tag > 0 and (tag != Kind.QUESTION or _asks(value, previous, is_question and bool(cues)))
        if counts:
            negations += tag == Kind.NEGATION
            said = f"not {negations}" if tag == Kind.NEGATION else value
            cues.append((tag, role if reach > 0 else Role.NONE, said))
            reach -= 1
        elif IGNORED < tag < 0:
            role, reach = _directed(tag, value, follows or word not in _NEED_A_START, cues) or (role, reach)
        follows, previous = counts, word
    return cues


def _directed(tag: int, value: str, has_start: bool, cues: list[tuple[int, int, str]]) -> tuple[int, int] | None:
    """The role that begins with a preposition and how many cues it may reach; what is before it may get one too."""
    if tag == SOURCE:
        return Role.SOURCE, _ROLE_REACH
    if tag == TARGET and has_start:
        _mark_last(cues, Role.BEFORE_TARGET)
        return Role.TARGET, _ROLE_REACH
    if tag == BY and has_start:
        _mark_last(cues, Role.PASSIVE)
    elif tag == CURRENCY:
        cues.append((Kind.WORD, Role.NONE, value))
    return None


def _asks(value: str, previous: str, is_asked: bool) -> bool:
    """Whether a question word asks: not in "experts who", "when it rains", "so much" behind a question already put."""
    return previous == "how" if value == "many" else not is_asked


def _mark_last(cues: list[tuple[int, int, str]], role: int) -> None:
    if cues and cues[-1][1] == Role.NONE:
        kind, _, value = cues[-1]
        cues[-1] = (kind, role, value)
