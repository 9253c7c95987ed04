"""What single words mean to a guard: which say nothing, which say the same, which turn a question round."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words in lower case. A word that is in no list counts as itself, so a language without lists is guarded too.

    ``ignored`` say nothing about what is asked. ``negations`` are counted. ``questions`` and ``scopes`` are mapped to
    the word that stands for their group ("switch" and "toggle" to one, "maximum" to "max"), and so are ``same``, which
    lists synonyms. ``phrases`` replace several words by one, or by nothing when mapped to "". ``sources`` and
    ``targets`` are words before that from which, and to which, something goes.
    """

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
        """This vocabulary and more. A string of ``scopes`` or ``same`` is one group, such as ``"ban forbid"``."""
        return replace(
            self,
            ignored=self.ignored | frozenset(ignored),
            negations=self.negations | frozenset(negations),
            scopes={**self.scopes, **grouped(scopes)},
            same={**self.same, **grouped(same)},
        )


def grouped(groups: Iterable[str]) -> dict[str, str]:
    """Each word of each group to the first word of its group."""
    return {word: group.split()[0] for group in groups for word in group.split()}
