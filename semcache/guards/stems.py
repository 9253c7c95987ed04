"""One form for the forms of a word: plural, tense, British or American spelling."""

_VOWELS = frozenset("aeiouy")


def stem(word: str) -> str:
    """A light English stem: "puppies" as "puppy", "organised" as "organiz". Never raises; other languages pass through.

    Lighter than Porter's stemmer on purpose: "install" and "installer", "cardiology" and "cardiologist" stay apart. The
    result need not be a word; both forms only have to get the same one.
    """
    if len(word) <= 3:
        return word
    # Plural.
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("ches", "shes", "sses", "xes", "toes")):
        word = word[:-2]
    elif word.endswith("ves") and len(word) > 5 and not word.endswith(("aves", "eves", "oves", "ives")):
        word = word[:-3] + "f"  # "wolves", but not "caves", "sleeves", "stoves" or "drives"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    # Tense after it, and spelling at last: "organised" ends in "is" only then.
    word = _without_tense(word)
    if len(word) > 5:
        word = word.replace("our", "or")  # colour, but not "four" or "hour"
    return word[:-2] + "iz" if len(word) > 5 and word.endswith("is") else word


def _without_tense(word: str) -> str:
    """Without "ing", "ed" or "ly" where they are likely endings, and not as in "king", "need" or "only"."""
    if word.endswith(("ing", "ly")) and len(word) > 5:
        base = word[:-3] if word.endswith("ing") else word[:-2]
    elif word.endswith("ed") and not word.endswith("eed") and len(word) > 4:
        base = word[:-2]
    else:
        # A silent e goes everywhere, so that "make" and "making" meet.
        return word.removesuffix("e") if len(word) > 3 else word
    if _VOWELS.isdisjoint(base):
        return word  # "string", "spring"
    if base.endswith("i"):
        return base[:-1] + "y"  # "carried"
    if base[-1] == base[-2] and base[-1] not in "lsz":
        return base[:-1]  # "running", but not "selling", "passing" or "buzzing"
    return base.removesuffix("e")
