"""One form for the forms of a word: plural, tense, British or American spelling."""

_VOWELS = frozenset("aeiouy")


def stem(word: str) -> str:
    """A light English stem: "puppies" as "puppy", "organised" as "organiz". Never raises; other languages pass through.

    Lighter than Porter's on purpose: "install" and "installer", "cardiology" and "cardiologist" stay apart.
    """
    if len(word) <= 3:
        return word
    word = _singular(word)
    word = _without_tense(word)
    return _american(word)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "toes")):
        return word[:-2]
    if word.endswith("ves") and len(word) > 5 and not word.endswith(("aves", "eves", "oves", "ives")):
        return word[:-3] + "f"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_tense(word: str) -> str:
    base = _base(word)
    if base == word:
        return word.removesuffix("e") if len(word) > 3 else word
    if len(base) < 3 or _VOWELS.isdisjoint(base):
        return word
    if base.endswith("i"):
        return base[:-1] + "y"
    if base[-1] == base[-2] and base[-1] not in "lsz":
        return base[:-1]
    return base.removesuffix("e")


def _base(word: str) -> str:
    """Without "ing", "ed" or "ly", where they are likely endings: not in "king", "need" or "only"."""
    if len(word) > 5 and word.endswith("ing"):
        return word[:-3]
    if len(word) > 5 and word.endswith("ly"):
        return word[:-2]
    if len(word) > 4 and word.endswith("ed") and not word.endswith("eed"):
        return word[:-2]
    return word


def _american(word: str) -> str:
    if len(word) > 5:
        word = word.replace("our", "or")
    if len(word) > 5 and word.endswith("is"):
        return word[:-2] + "iz"
    return word
