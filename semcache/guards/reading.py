"""From lexemes to cues: phrases become what they mean, and words get the role that their preposition gives them."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from semcache.guards.contrasts import contrasts_of
from semcache.guards.cues import Cue, Kind, Role, encode_cue
from semcache.guards.lexicon import BY, CURRENCY, IGNORED, SOURCE, TARGET, Lexeme

Phrases = Mapping[str, Sequence[tuple[tuple[str, ...], str]]]
"""By first word, longest first: the words of a phrase, and the word that it means or "" for none."""

_WORD = itemgetter(2)
# "from New York City to ...": a name is rarely longer, and the clause behind it should not become part of it.
_ROLE_REACH = 3
# "how to", "stand by": without a cue right before them these relate nothing to nothing.
_NEED_A_CUE_BEFORE = frozenset({"to", "by"})
_QUESTION_WORDS = frozenset({"what", "which", "how", "who", "when", "where", "why"})
# Cues of these kinds alone do not say what a query is about.
_WITHOUT_SUBJECT = frozenset({Kind.NEGATION, Kind.QUESTION})


def replace_phrases(
    lexemes: Sequence[Lexeme], phrases: Phrases, look_up: Callable[[str], tuple[Lexeme, ...]]
) -> Sequence[Lexeme]:
    """Each phrase replaced by the one word that it means, or by an ignored lexeme.

    Example: the lexemes of "turn off sync" become those of "disable sync".
    """
    words = list(map(_WORD, lexemes))
    # Most queries have no word that begins a phrase, and this is on the path of every look-up by meaning.
    if phrases.keys().isdisjoint(words):
        return lexemes
    replaced: list[Lexeme] = []
    at = 0
    while at < len(words):
        candidates = (each for each in phrases.get(words[at], ()) if tuple(words[at : at + len(each[0])]) == each[0])
        phrase, meaning = next(candidates, ((), ""))
        if not phrase:
            replaced.append(lexemes[at])
        elif meaning:
            replaced.extend(look_up(meaning))
        else:
            # Not left out: what stands before and after such a phrase does not become adjacent.
            replaced.append(Lexeme(IGNORED, "", ""))
        at += len(phrase) or 1
    return replaced


def cues_of(lexemes: Sequence[Lexeme]) -> list[bytes]:
    """The encoded cues of a query, in the order of its words.

    A query without a subject, such as "what is it?", is taken word by word, ignored words too.
    """
    cues = _with_roles(lexemes)
    if not cues or (cues[0][0] in _WITHOUT_SUBJECT and _WITHOUT_SUBJECT.issuperset([cue[0] for cue in cues])):
        cues += [(Kind.WORD, Role.NONE, lexeme.word) for lexeme in lexemes if lexeme.word]
    return [encode_cue(*cue) for cue in (*cues, *contrasts_of(lexemes))]


def _with_roles(lexemes: Sequence[Lexeme]) -> list[Cue]:
    cues: list[Cue] = []
    role, reach, negations = Role.NONE, 0, 0
    follows_a_cue = False
    begins_as_question = bool(lexemes) and lexemes[0].word in _QUESTION_WORDS
    previous = ""
    for tag, value, word in lexemes:
        is_cue = tag > 0
        if tag == Kind.QUESTION:
            # "Many" asks only behind "how", not in "so many". Other question words do not ask where the query has asked
            # already: "who" in "which experts who ...".
            is_cue = previous == "how" if value == "many" else not (begins_as_question and cues)
        if is_cue:
            negations += tag == Kind.NEGATION
            # Numbered, because cues are compared as sets and two negations are not the same as one.
            meaning = f"not {negations}" if tag == Kind.NEGATION else value
            cues.append((tag, role if reach > 0 else Role.NONE, meaning))
            reach -= 1
        elif IGNORED < tag < 0:
            role, reach = _role_after(tag, value, follows_a_cue or word not in _NEED_A_CUE_BEFORE, cues) or (
                role,
                reach,
            )
        follows_a_cue, previous = is_cue, word
    return cues


def _role_after(tag: int, value: str, may_relate: bool, cues: list[Cue]) -> tuple[int, int] | None:
    """The role of the cues after a preposition and how many may have it; None when it gives none.

    Changes ``cues`` where the preposition gives a role to the one before it, or counts as a cue itself.
    """
    if tag == SOURCE:
        return Role.SOURCE, _ROLE_REACH
    if tag == TARGET and may_relate:
        _mark_last(cues, Role.BEFORE_TARGET)
        return Role.TARGET, _ROLE_REACH
    if tag == BY and may_relate:
        _mark_last(cues, Role.PASSIVE)
    elif tag == CURRENCY:
        # A sign of currency with a number became a unit earlier; alone it is a word.
        cues.append((Kind.WORD, Role.NONE, value))
    return None


def _mark_last(cues: list[Cue], role: int) -> None:
    """Give a role to the last cue that has none."""
    # A cue that has a role keeps it: "from Paris to Rome" has its source already.
    if cues and cues[-1][1] == Role.NONE:
        kind, _, value = cues[-1]
        cues[-1] = (kind, role, value)
