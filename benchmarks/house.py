"""How the package is built, in figures, for one or more checkouts: ``python -m benchmarks.house [ROOT ...]``.

They say how the source is cut into modules and functions, how it is explained, and how many files one request passes.
A root is a folder that holds ``semcache/``.
"""

import argparse
import ast
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

COMPLEX = 8
"""Functions above this McCabe complexity are counted; the code bases that we follow have almost none."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMES = (ast.Name, ast.Attribute)
_BRANCHES = (*_FUNCTIONS, ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SILENCER = re.compile(r"(#\s*(noqa|type:\s*ignore)(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[\w\s,-]*\])?\s*)+")
_EVASIVE = re.compile(r"\s*(What|Who|Whoever|Nobody)\b")


@dataclass(frozen=True)
class Module:
    """One source file. ``name`` is its path below ``semcache/``; definitions and imports are no uses of a name."""

    name: str
    lines: Sequence[str]
    code_lines: frozenset[int]
    comments: int
    docstrings: Sequence[str]
    functions: Sequence[_Function]
    uses: Counter[str]


def read(path: Path, name: str) -> Module:
    """Code lines are neither blank nor only a comment nor part of a docstring, that is a string that stands alone."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    nodes = list(ast.walk(ast.parse(source)))
    constants = (node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    texts = [constant for constant in constants if isinstance(constant.value, str)]
    written = {number for number, line in enumerate(lines, start=1) if line.strip() and line.strip()[0] != "#"}
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return Module(
        name,
        lines,
        frozenset(written - {number for text in texts for number in range(text.lineno, _end(text) + 1)}),
        sum(token.type == tokenize.COMMENT and not _SILENCER.fullmatch(token.string) for token in tokens),
        [str(text.value) for text in texts],
        [node for node in nodes if isinstance(node, _FUNCTIONS)],
        Counter(getattr(node, "id", getattr(node, "attr", "")) for node in nodes if isinstance(node, _NAMES)),
    )


def figures(root: Path) -> tuple[dict[str, object], dict[str, list[str]]]:
    """The table's column for a checkout, and the files that an exact and a verified hit enter."""
    package = root / "semcache"
    modules = [read(path, str(path.relative_to(package))) for path in package.rglob("*.py")]
    top_modules = sum(path.stem != "__init__" for path in package.glob("*.py"))
    folders = sum(1 for _ in package.glob("*/__init__.py"))
    column: dict[str, object] = {"modules at the top": top_modules, "folders at the top": folders}
    column |= {"both": top_modules + folders, **_code(modules)}
    entered = passed_by(root)
    for hit, files in entered.items():
        column[f"{hit} hit, files"] = len(files)
        column[f"{hit} hit, folders and top modules"] = len({Path(file).parts[0] for file in files})
    return column, entered


def _code(modules: Sequence[Module]) -> dict[str, object]:
    functions = [(module, function) for module in modules for function in module.functions]
    once = used_once(modules)
    spans = [(module.code_lines, range(each.body[0].lineno, _end(each) + 1)) for module, each in functions]
    bodies = sorted(len(code_lines.intersection(span)) for code_lines, span in spans)
    module_lines, longest = max((len(module.lines), module.name) for module in modules)
    lines, function_name = max((_end(function) - function.lineno + 1, function.name) for _, function in functions)
    return {
        "functions": len(functions),
        "private helpers used once": once,
        "their share of functions": f"{once / len(functions):.1%}",
        **_explanations(modules),
        "longest module, lines": f"{module_lines} {longest}",
        f"functions over complexity {COMPLEX}": sum(complexity(each) > COMPLEX for _, each in functions),
        "comprehensions not counted": sum(complexity(each, _BRANCHES) > COMPLEX for _, each in functions),
        "longest function, lines": f"{lines} {function_name}",
        "function body, median code lines": _quantile(bodies, 0.5),
        "function body, 90th percentile": _quantile(bodies, 0.9),
    }


def _explanations(modules: Sequence[Module]) -> dict[str, object]:
    code = sum(len(module.code_lines) for module in modules)
    docstrings = [text for module in modules for text in module.docstrings]
    return {
        "comments per 100 code lines": f"{100 * sum(module.comments for module in modules) / code:.1f}",
        "code lines": code,
        "docstrings": len(docstrings),
        "beginning What/Who/Whoever/Nobody": sum(bool(_EVASIVE.match(text)) for text in docstrings),
    }


def used_once(modules: Sequence[Module]) -> int:
    """The number of private functions and methods with one use. Equal names in several modules are distinguished."""
    defined = {module.name: Counter(each.name for each in module.functions) for module in modules}
    private = [(module, name) for module in modules for name in defined[module.name] if re.match("_(?!_)", name)]
    once = 0
    for module, name in private:
        elsewhere = sum(other.uses[name] for other in modules if not defined[other.name][name])
        # Several classes of a module may have the same private name; its uses are then shared out evenly.
        times = defined[module.name][name]
        once += times if module.uses[name] + elsewhere == times else 0
    return once


def complexity(function: _Function, paths: tuple[type[ast.AST], ...] = (*_BRANCHES, *_COMPREHENSIONS)) -> int:
    """McCabe's number of paths, also those through comprehensions, which the mccabe package and ruff leave out."""
    # The function itself is one of its paths, and so is each function inside it.
    return sum(isinstance(node, paths) for node in ast.walk(function))


def _end(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno


def _quantile(ordered: Sequence[int], q: float) -> int:
    return ordered[round(q * (len(ordered) - 1))]


def passed_by(root: Path) -> dict[str, list[str]]:
    """The files of the package that one request enters, in the order of entering, by kind of hit."""
    # A process of its own imports the package of ``root``, in an empty folder and without settings of this machine.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEMCACHE_")}
    environment |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    # -P keeps this folder off the path, where a module of its own could hide one of the standard library.
    command = [sys.executable, "-P", __file__, "--trace", str(root)]
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, cwd=empty, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


class _Embedder:
    """Two axes per topic. A reworded query is at similarity 0.85 to the first wording, between the two thresholds."""

    name = "house"
    dims = 4

    def embed(self, texts: Sequence[str]) -> Any:
        import numpy as np

        rows = np.zeros((len(texts), self.dims), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            axis = 2 * (_number_in(text) % 2)
            row[axis : axis + 2] = (0.85, (1 - 0.85**2) ** 0.5) if "reworded" in text else (1.0, 0.0)
        return rows


def _number_in(text: str) -> int:
    # Texts without a number are the library's probes, by which it knows a model again.
    word = text.rsplit(maxsplit=1)[-1]
    return int(word) if word.isdigit() else len(text)


def _number_in_text(_query: str, texts: list[str]) -> list[float]:
    return [float(_number_in(text)) for text in texts]


def _traced_hits(root: Path) -> dict[str, list[str]]:
    from semcache import OptimizedRerankerPipeline

    documents = [f"passage {number}" for number in range(50)]
    with OptimizedRerankerPipeline(
        primary_reranker=_number_in_text, fallback_reranker=None, redis_url="embedded", embedding_model=_Embedder()
    ) as pipeline:
        # The first topic imports what is imported on first use; the second one is traced.
        for query in ("topic 0", "topic 0", "topic 0", "reworded topic 0", "topic 1"):
            pipeline.rerank(query, documents, top_k=5)
        rerank = partial(pipeline.rerank, documents=documents, top_k=5)
        queries = {"exact": "topic 1", "verified": "reworded topic 1"}
        return {hit: _entered(root, hit, partial(rerank, query)) for hit, query in queries.items()}


def _entered(root: Path, expected: str, call: Callable[[], Any]) -> list[str]:
    """Files of the package in which ``call`` enters a function, in this thread."""
    package = f"{root / 'semcache'}{os.sep}"
    entered: dict[str, None] = {}

    def note(frame: FrameType, _event: str, _argument: object) -> None:
        entered[frame.f_code.co_filename] = None

    # One answer in a hundred is drawn for an audit and enters more files. This seed draws none.
    random.seed(1)
    sys.settrace(note)
    try:
        status = str(call().status)
    finally:
        sys.settrace(None)
    if expected not in status.lower():
        raise RuntimeError(f"the traced request was answered {status!r}, not {expected!r}; see _traced_hits")
    return [file.removeprefix(package) for file in entered if file.startswith(package)]


def _table(columns: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """One aligned line per figure, one column per root."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [["", *columns], *([name, *(str(column.get(name, "")) for column in columns.values())] for name in names)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of how the package is built, one column per checkout.")
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("roots", nargs="*", type=Path, default=[here], metavar="ROOT", help="default: this checkout")
    parser.add_argument("--files", action="store_true", help="list the files that the two hits enter")
    parser.add_argument("--trace", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    roots = [root.resolve() for root in arguments.roots]
    if arguments.trace:
        print(json.dumps(_traced_hits(roots[0])))
        return
    found = {str(root): figures(root) for root in roots}
    print("\n".join(_table({root: column for root, (column, _) in found.items()})))
    if arguments.files:
        for root, hit, files in ((root, *each) for root, (_, entered) in found.items() for each in entered.items()):
            print(f"\n{root}, {hit} hit:", *files, sep="\n  ")


if __name__ == "__main__":
    main()
