"""Reads the documents of a request from a file."""

import json
import sys
from pathlib import Path

from semcache.causes import message_of
from semcache.errors import InvalidInputError
from semcache.flow.requests import texts_of

_REMEDY = 'give a JSON list such as ["...", "..."], or a document per line'


def read_documents(path: Path) -> list[str]:
    """The texts in a file: those of a JSON list of documents, or else its lines. ``-`` is stdin.

    Raises InvalidInputError for a file that cannot be read, or holds no documents.
    """
    try:
        text = sys.stdin.read() if path == Path("-") else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8 (byte {error.start}); convert it to UTF-8") from error
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror}; {_REMEDY}") from error
    if text.lstrip().startswith("["):
        try:
            documents = json.loads(text)
        except ValueError as error:
            raise InvalidInputError(f"{path} is not JSON ({message_of(error)}); {_REMEDY}") from error
        texts = texts_of(documents)
    else:
        texts = [line for line in text.split("\n") if line.strip()]
    if not texts:
        raise InvalidInputError(f"{path} holds no documents; {_REMEDY}")
    return texts
