"""Writes ``docs/events.md``: every event with its fields, from the code.

``python -m docs._make.events_page`` writes it; a test compares it with what the code says. What a field means stands in
a comment beside or above it, which no tool for docstrings reads.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

from semcache.events import Event

PAGE = Path(__file__).parents[1] / "events.md"

_HEAD = """\
# Events

Everything that happens is told as a frozen value to every observer: a callable that takes one event. Observers are
given to a constructor (`observers=[...]`); they are called in the thread that the event happened in, should return
quickly, and what they raise is logged once and disturbs nothing. Durations are in seconds. Written from the code.

```python
from semcache import OptimizedRerankerPipeline
from semcache.events import CacheUnavailable, Event, Reranked


def observe(event: Event) -> None:
    if isinstance(event, Reranked):
        print(event.status, event.duration_s, event.why)
    elif isinstance(event, CacheUnavailable):
        print("going on without Redis:", event.error)


with OptimizedRerankerPipeline.from_settings(observers=[observe]) as pipeline:
    pipeline.rerank("what is a mango", ["A mango is a tropical fruit.", "Berlin has museums."], top_k=1)
```

"""


def page() -> str:
    """The whole page, in Markdown."""
    kinds = get_args(Event)
    modules = [import_module(name) for name in dict.fromkeys(kind.__module__ for kind in kinds)]
    names = {kind.__name__ for kind in kinds}
    return _HEAD + "".join(text for module in modules for text in _module(module, names)).rstrip("\n") + "\n"


def _module(module: ModuleType, names: set[str]) -> Iterator[str]:
    source = inspect.getsource(module)
    yield f"## {module.__name__.rpartition('.')[2].capitalize()}\n\n"
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            yield f"### {node.name}\n\n{_plain(ast.get_docstring(node) or '')}\n\n"
            yield from _fields(node, source.splitlines())


def _fields(node: ast.ClassDef, lines: list[str]) -> Iterator[str]:
    fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
    if not fields:
        return
    yield "| field | type | meaning |\n|---|---|---|\n"
    for field in fields:
        kind = ast.unparse(field.annotation).replace(" | ", " or ")
        yield f"| `{ast.unparse(field.target)}` | `{kind}` | {_meaning(field, lines)} |\n"
    yield "\n"


def _meaning(field: ast.AnnAssign, lines: list[str]) -> str:
    """The comment beside a field, or the ones above it."""
    beside = lines[field.lineno - 1].partition("#")[2].strip()
    above: list[str] = []
    at = field.lineno - 2
    while not beside and re.match(r"\s*#", lines[at]):
        above.insert(0, lines[at].strip(" #"))
        at -= 1
    return _plain(beside or " ".join(above))


def _plain(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
