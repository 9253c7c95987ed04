"""The words that a guard treats specially: which to ignore, which mean the same, which reverse a question."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words in lower case. A word that is in no list counts as itself, so a language without lists is guarded too.

    ``ignored`` do not change the meaning of a query. ``negations`` are counted. ``questions`` (question words) and
    ``scopes`` (words such as "all", "before", "enable" that reverse a query when exchanged) are mapped to the word that
    stands for their group, "maximum" to "max", and so are ``same``, which are synonyms. ``phrases`` replace several
    words by one, or by nothing when mapped to "". ``sources`` and ``targets`` stand before the place or thing from
    which, or to which, something goes, as "from" and "to" do.
    """

    # Scopes and synonyms are looked up by stem, all other words as they are spelt.

    ignored: frozenset[str] = frozenset()
    negations: frozenset[str] = frozenset()
    questions: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()

    def extended(
        self,
        *,
        ignored: Iterable[str] = (),
        negations: Iterable[str] = (),
        scopes: Iterable[str] = (),
        same: Iterable[str] = (),
    ) -> "Vocabulary":
        """A copy with further words. Each string of ``scopes`` or ``same`` is one group, such as ``"ban forbid"``.

        Example:
            >>> german = Vocabulary().extended(ignored=["der", "die"], negations=["nicht"], same=["handy telefon"])
            >>> german.same
            {'handy': 'handy', 'telefon': 'handy'}
        """
        return replace(
            self,
            ignored=self.ignored | frozenset(ignored),
            negations=self.negations | frozenset(negations),
            scopes={**self.scopes, **grouped(scopes)},
            same={**self.same, **grouped(same)},
        )

    def joined(self, other: "Vocabulary") -> "Vocabulary":
        """This vocabulary with the words of another language; where both know a word, this one's meaning stays."""
        return Vocabulary(
            ignored=self.ignored | other.ignored,
            negations=self.negations | other.negations,
            questions={**other.questions, **self.questions},
            scopes={**other.scopes, **self.scopes},
            same={**other.same, **self.same},
            phrases={**other.phrases, **self.phrases},
            sources=self.sources | other.sources,
            targets=self.targets | other.targets,
        )


def grouped(groups: Iterable[str]) -> dict[str, str]:
    """Maps each word of each group to the first word of its group."""
    return {word: group.split()[0] for group in groups for word in group.split()}
