"""The models that are measured: the user's, or none."""

from collections.abc import Sequence

from semcache.commands.demo.models import Models
from semcache.embedders.callable import CallableEmbedder
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.build import build
from semcache.rerankers.function import function_reranker
from semcache.settings import Settings

_DIMS = 384
"""Those of the default embedder."""


def configured_models(settings: Settings) -> Models:
    """The embedder and the best reranker of the settings, loaded and warm.

    Raises ConfigurationError when there is no such model, MissingExtraError when its library is not installed.
    """
    embedder = SentenceTransformerEmbedder(settings.embedder.model, settings.embedder.backend)
    reranker = build(settings.rerankers[0], embedder)
    embedder.embed(["warm up"])
    reranker.score([("warm up", "a passage")])
    return Models(embedder, reranker)


def stand_ins() -> Models:
    """Models that are never asked, for what can be measured without any."""
    return Models(CallableEmbedder(_embed, _DIMS, "none", per_text=False), function_reranker(_score, "none"))


def _embed(texts: Sequence[str]) -> FloatArray:
    raise AssertionError(f"{len(texts)} texts were embedded although every vector is given")


def _score(pairs: Sequence[Pair]) -> FloatArray:
    raise AssertionError(f"{len(pairs)} pairs were scored although every score is known")
