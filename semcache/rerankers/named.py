"""A reranker under the name that its user gave it."""

from collections.abc import Sequence
from typing import Any

from semcache.errors import ConfigurationError
from semcache.identity.kinds import IdentifiedBy, base_name, identified_by
from semcache.protocols import FloatArray, Pair, Reranker


class NamedReranker:
    """Another name for a reranker; in everything else it is the reranker inside.

    With ``version`` name and version together are the identity: the user vouches that they change with everything that
    changes a score, and no probe is asked. Without ``probe`` the name alone is. Otherwise the name is a label: what is
    known of the reranker, by its content or by a probe, still tells it from others of the same name.

    Raises ConfigurationError for a name or version that is no text.
    """

    def __init__(
        self, reranker: Reranker, *, name: str | None = None, version: str | None = None, probe: bool = True
    ) -> None:
        for what, given in (("name", name), ("version", version)):
            if given is not None and (not isinstance(given, str) or not given.strip()):
                raise ConfigurationError(f"{what} must be a text with something in it, or None, got {given!r}")
        self.reranker = reranker
        named = name or reranker.name
        self._name = named if version is None else f"{named}@{version}"
        self.identified_by: IdentifiedBy = identified_by(reranker)
        self.content: str = getattr(reranker, "content", "")
        if version is not None or not probe:
            self.identified_by, self.content = IdentifiedBy.NAME, ""
        elif self.identified_by is IdentifiedBy.CONTENT and named != reranker.name:
            # The name that is replaced said what the model is.
            self.content = base_name(reranker)

    @property
    def name(self) -> str:
        """The name given, else the reranker's own, with the version if there is one."""
        return self._name

    @property
    def listwise(self) -> bool:
        """Whether the reranker gives an order instead of scores."""
        return self.reranker.listwise

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The scores of the reranker inside."""
        return self.reranker.score(pairs)

    def __getattr__(self, attribute: str) -> Any:
        # What else a reranker offers, such as ``concurrency``. Pickle and copy ask before __init__ has run.
        if attribute == "reranker":
            raise AttributeError(attribute)
        return getattr(self.reranker, attribute)

    def __repr__(self) -> str:
        return f"<NamedReranker {self._name}: {self.reranker!r}>"


def refuse_options(
    holder: Any, *, name: str | None, version: str | None, probe: bool, concurrency: int | None = None
) -> None:
    """Raises ConfigurationError for options of a reranker beside an object whose reranker has them already."""
    if name is not None or version is not None or not probe or concurrency is not None:
        raise ConfigurationError(
            f"name, version, probe and concurrency belong to a reranker, and {holder.name!r} was given to "
            f"{type(holder).__name__} already; pass them there"
        )
