"""The fixed probes that rerankers and embedders are told apart by."""

from semcache.protocols import Pair

VERSION = 1
"""Goes up with every change below: answers to other probes must not be compared."""

TEXT = "How long may a parcel under 5 kg take from Berlin to Paris?"
"""The text that embedders are asked for, and the query of all pairs: a service is asked with as few calls as can be."""

# Models differ where a text is nearly right: another direction, another number, a negation, another language, a hint, a
# question back. Lengths and numbers of shared words differ, too, for functions that count. No text stands in the place
# that a good ranking gives it, so a reranker that leaves the order as it was has not read the texts.
_SHORT = (
    "The cat sleeps on the warm windowsill.",
    "Berlin and Paris are about 1,050 km apart by road.",
    "A parcel under 5 kg from Paris to Berlin takes two to three working days.",
    "Parcels may take longer before Christmas, as every year.",
    "Ein Paket unter 5 kg ist von Berlin nach Paris zwei bis drei Werktage unterwegs.",
    "def transit_days(origin, target): return 2 if origin != target else 1",
    "A parcel over 50 kg does not take three days from Berlin to Paris; it takes nine.",
    "How long may a letter take?",
    "A parcel under 5 kg from Berlin to Paris takes two to three working days.",
    "48 h",
)

_FILLER = "The museum on the island shows paintings, coins and maps, and opens at ten. "
# About 1,150 tokens. What is read of them by models that read 128, 256, 512, 1,024 or all differs.
_LONG = (
    _FILLER * 10
    + "Parcels to Paris travel by road. "
    + _FILLER * 9
    + "Most parcels under 5 kg take less than a week. "
    + _FILLER * 17
    + "From Berlin to Paris a parcel takes three days. "
    + _FILLER * 29
    + "A parcel under 5 kg from Berlin to Paris may take at most five days."
)


def _pairs(*texts: str) -> tuple[Pair, ...]:
    return tuple((TEXT, text) for text in texts)


SHORT = _pairs(*_SHORT)
"""The first call. It is the only one for models whose name holds their maximum length."""

# The long text is asked about in a call of its own, since a local model fills up every text of a call to the longest.
LONG_AND_REPEATED = _pairs(_LONG, _SHORT[3], _SHORT[3])
"""The second call of rerankers that score: the two scores of the repeated pair differ by the noise alone."""

LONG_AND_OTHERS = _pairs(_LONG, _SHORT[3], _SHORT[1])
"""The second call of rerankers that order."""
