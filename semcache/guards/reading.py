"""From lexemes to cues: phrases become what they mean, names get the role that their preposition gives them."""

from collections.abc import Callable, Mapping, Sequence

from semcache.guards.cues import Kind, Role, packed
from semcache.guards.lexicon import BY, CURRENCY, IGNORED, SOURCE, TARGET, Lexeme

Phrases = Mapping[str, Sequence[tuple[tuple[str, ...], str]]]
"""By first word, longest first: the words of a phrase and the word that it means."""

# "from New York City to ...": a name is rarely longer, and the clause behind it should not become part of it.
_ROLE_REACH = 3
_SAYING_NOTHING = frozenset({Kind.NEGATION, Kind.QUESTION})


def without_phrases(
    lexemes: Sequence[Lexeme], phrases: Phrases, look_up: Callable[[str], tuple[Lexeme, ...]]
) -> Sequence[Lexeme]:
    """Each phrase replaced by the one word that it means, or by nothing."""
    words = [lexeme[2] for lexeme in lexemes]  # by index: a third of the time of a name
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
    if _SAYING_NOTHING.issuperset([cue[0] for cue in cues]):
        cues += [(Kind.WORD, Role.NONE, lexeme.word) for lexeme in lexemes if lexeme.word]
    return [packed(*cue) for cue in cues]


def _placed(lexemes: Sequence[Lexeme]) -> list[tuple[int, int, str]]:
    cues: list[tuple[int, int, str]] = []
    role, reach, negations = int(Role.NONE), 0, 0
    follows = False  # whether the word before this one is a cue
    for tag, value, word in lexemes:
        if tag > 0:
            if tag == Kind.NEGATION:
                negations += 1
            said = f"not {negations}" if tag == Kind.NEGATION else value
            cues.append((tag, role if reach > 0 else 0, said))
            reach -= 1
        elif tag == SOURCE:
            role, reach = Role.SOURCE, _ROLE_REACH
        elif tag == TARGET and (follows or word != "to"):
            _mark_last(cues, Role.BEFORE_TARGET)
            role, reach = Role.TARGET, _ROLE_REACH
        elif tag == BY and follows:
            _mark_last(cues, Role.PASSIVE)
        elif tag == CURRENCY:
            cues.append((Kind.WORD, Role.NONE, value))
        follows = tag > 0
    return cues


def _mark_last(cues: list[tuple[int, int, str]], role: Role) -> None:
    if cues and cues[-1][1] == Role.NONE:
        kind, _, value = cues[-1]
        cues[-1] = (kind, role, value)
