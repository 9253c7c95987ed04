"""The models that the commands use: those of the settings, the packaged ones, or none."""

from collections.abc import Sequence
from dataclasses import dataclass

from semcache.embedders.adapt import adapt_embedder
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.protocols import Embedder, FloatArray, Pair, Reranker
from semcache.rerankers.build import build
from semcache.settings import DEFAULT_LADDER, Settings


@dataclass(frozen=True, slots=True)
class Models:
    """An embedder and the primary reranker, which is the first rung of the ladder."""

    embedder: Embedder
    reranker: Reranker


def configured_models(settings: Settings) -> Models:
    """The embedder and the primary reranker of the settings.

    Raises ConfigurationError when there is no such model, MissingExtraError when its library is not installed.
    """
    embedder = adapt_embedder(settings.embedder.model, backend=settings.embedder.backend)
    return Models(embedder, build(settings.rerankers[0], embedder))


def warm_models(settings: Settings) -> Models:
    """``configured_models`` after one call of each, so that nothing is loaded while they are timed."""
    models = configured_models(settings)
    models.embedder.embed(["warm up"])
    models.reranker.score([("warm up", "a passage")])
    return models


def packaged_models() -> Models:
    """all-MiniLM-L6-v2 and the default cross-encoder. Both come with the package: nothing is downloaded."""
    embedder = SentenceTransformerEmbedder()
    return Models(embedder, build(DEFAULT_LADDER[0], embedder))


class UnusedModel:
    """Stands for the embedder and the reranker where every vector and every score is given. A call is an error."""

    name = "none"
    dims = 384  # the length of the default embedder's vectors, so that look-ups take as long as with that one
    listwise = False

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Raises AssertionError: nothing should be embedded."""
        raise AssertionError(f"{len(texts)} texts were embedded although every vector is given")

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """Raises AssertionError: nothing should be scored."""
        raise AssertionError(f"{len(pairs)} pairs were scored although every score is known")
