"""The passages and questions of the demo: the help centre of an invented service."""

from dataclasses import dataclass
from pathlib import Path

from semcache.documents import Document
from semcache.settings.yaml_files import load_yaml

_FILE = Path(__file__).with_name("corpus.yaml")


@dataclass(frozen=True, slots=True)
class Update:
    """A passage that is published while the demo runs; ``at`` is the share of requests before it, in [0, 1]."""

    at: float
    passage: Document


@dataclass(frozen=True, slots=True)
class Corpus:
    """``questions`` has one tuple per question: the question itself, then its rewrites."""

    passages: tuple[Document, ...]
    questions: tuple[tuple[str, ...], ...]
    updates: tuple[Update, ...]


def load_corpus() -> Corpus:
    """The packaged corpus."""
    content = load_yaml(_FILE)
    topics = content["topics"]
    return Corpus(
        tuple(
            _passage(name, title, text) for name, topic in topics.items() for title, text in topic["passages"].items()
        ),
        tuple(tuple(phrasings) for topic in topics.values() for phrasings in topic["questions"]),
        tuple(
            Update(update["at"], _passage(update["topic"], update["title"], update["text"]))
            for update in content["updates"]
        ),
    )


def _passage(topic: str, title: str, text: str) -> Document:
    # The title is part of the text, because it often holds the words of the question.
    return Document(f"{title}. {text}", {"title": title, "topic": topic})
