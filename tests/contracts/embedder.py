"""The contract of embedders, for every kind of model behind them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semcache.protocols import Embedder

TEXTS = ["how many people live in berlin ?", "paris is the capital of france", "museums"]


class EmbedderContract:
    """Derive a test class and give it a fixture ``embedder``."""

    tolerance = 1e-5
    """How far a text's vector may depend on the texts beside it."""

    def test_fits_the_protocol(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)
        assert embedder.name
        assert embedder.dims > 0

    def test_gives_one_unit_row_of_float32_per_text(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dims)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_gives_no_rows_for_no_texts(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dims)

    def test_keeps_the_order_of_the_texts(self, embedder: Embedder) -> None:
        together = embedder.embed(TEXTS)
        alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
        assert together == pytest.approx(alone, abs=self.tolerance)
        assert not np.allclose(together[0], together[1], atol=1e-3)

    def test_takes_any_text(self, embedder: Embedder) -> None:
        odd = ["", "   ", "\ud800 broken", "日本語 🙂", "berlin " * 150_000]
        assert np.isfinite(embedder.embed(odd)).all()

    def test_answers_several_threads_at_once(self, embedder: Embedder) -> None:
        expected = embedder.embed(TEXTS)
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: embedder.embed(TEXTS), range(8)))
        assert all(answer == pytest.approx(expected, abs=self.tolerance) for answer in answers)

    def test_shows_its_name(self, embedder: Embedder) -> None:
        assert embedder.name in repr(embedder)
