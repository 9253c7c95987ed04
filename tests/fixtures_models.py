"""Real models, loaded once per run: the packaged ones, and tiny ones of random weights that are made here."""

from pathlib import Path

import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.rerankers import OnnxCrossEncoder

_WORDS = [
    "how",
    "many",
    "people",
    "live",
    "in",
    "berlin",
    "paris",
    "is",
    "a",
    "city",
    "the",
    "capital",
    "of",
    "france",
    "germany",
    "museums",
    "?",
    ".",
    ",",
    "what",
    "where",
]


@pytest.fixture(scope="session")
def minilm() -> SentenceTransformerEmbedder:
    """The packaged all-MiniLM-L6-v2 by torch."""
    return SentenceTransformerEmbedder(backend="torch")


@pytest.fixture(scope="session")
def onnx_embedder() -> SentenceTransformerEmbedder:
    """The packaged all-MiniLM-L6-v2 as ONNX graph in float32; made in the user's cache directory if it is not there."""
    return SentenceTransformerEmbedder(backend="onnx")


@pytest.fixture(scope="session")
def int8_embedder() -> SentenceTransformerEmbedder:
    """The packaged all-MiniLM-L6-v2 as ONNX graph in 8-bit integers."""
    return SentenceTransformerEmbedder(backend="onnx-int8")


@pytest.fixture(scope="session")
def cross_encoder() -> OnnxCrossEncoder:
    """The packaged ms-marco-MiniLM-L-12-v2 (8-bit integers)."""
    return OnnxCrossEncoder()


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT tokenizer of a few words."""
    from transformers import BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-tokenizer")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(_WORDS)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True, model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_cross_encoder(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cross-encoder of random weights and one label."""
    import torch
    from transformers import BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-cross-encoder")
    torch.manual_seed(1)
    BertForSequenceClassification(_tiny_config(num_labels=1)).save_pretrained(folder)
    BertTokenizerFast.from_pretrained(tiny_tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_embedder(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sentence embedding model of random weights and 32 dims, as sentence-transformers writes it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertModel, BertTokenizerFast

    bare, folder = tmp_path_factory.mktemp("tiny-bert"), tmp_path_factory.mktemp("tiny-embedder")
    torch.manual_seed(2)
    BertModel(_tiny_config()).save_pretrained(bare)
    BertTokenizerFast.from_pretrained(tiny_tokenizer).save_pretrained(bare)
    transformer = Transformer(str(bare), max_seq_length=48)
    SentenceTransformer(modules=[transformer, Pooling(32, "mean"), Normalize()], device="cpu").save(str(folder))
    return folder


def _tiny_config(**more: object) -> object:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        **more,
    )
