"""Whether the tests of the pure rooms notice small mistakes: ``python -m tests.mutants [MODULE ...]``.

Mistakes (mutants) are drawn at random, made one at a time in a copy of the package, and count as caught when the tests
of their room fail or take longer than the timeout. Each survivor is a test to write, or a change that alters nothing.
"""

import argparse
import ast
import copy
import difflib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

_GUARDS = ("tests/guards/test_cue_guard.py",)
PURE_ROOMS: Mapping[str, tuple[str, ...]] = {
    "semcache/flow/rerank.py": ("tests/flow/test_rerank.py",),
    "semcache/flow/reuse.py": ("tests/flow/test_reuse.py",),
    "semcache/flow/drift.py": ("tests/flow/test_reuse.py",),
    "semcache/flow/requests.py": ("tests/flow/test_requests.py", "tests/flow/test_rerank.py"),
    "semcache/flow/results.py": ("tests/flow/test_rerank.py",),
    "semcache/entries/codec.py": ("tests/entries/test_codec.py",),
    "semcache/entries/fingerprint.py": ("tests/entries/test_fingerprint.py",),
    "semcache/guards/order.py": _GUARDS,
    "semcache/guards/numbers.py": _GUARDS,
    "semcache/guards/cues.py": _GUARDS,
    "semcache/guards/cue_guard.py": _GUARDS,
    "semcache/guards/reading.py": _GUARDS,
    "semcache/degradation/breaker.py": ("tests/degradation/test_breaker.py",),
    "semcache/degradation/monitor.py": ("tests/degradation/test_monitor.py", "tests/degradation/test_breaker.py"),
    "semcache/batching/plan.py": ("tests/batching/test_plan.py",),
    "semcache/batching/admission.py": ("tests/batching/test_admission.py",),
    "semcache/quality/sequential_test.py": ("tests/quality/test_quality.py",),
    "semcache/quality/statistics.py": ("tests/quality/test_quality.py",),
    "semcache/quality/trust.py": ("tests/quality/test_quality.py",),
}
"""Modules that only decide, each with the test files that should notice a mistake in it."""

_NEEDED = ("semcache", "schemas", "tests")

_SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}
_EXTREMES = {"min": "max", "minimum": "maximum", "nanmin": "nanmax", "amin": "amax", "fmin": "fmax"}
_EXTREMES |= {largest: least for least, largest in _EXTREMES.items()}

# Annotations do nothing when the program runs, and options of a decorator say how a value is built, not what it does.
_NOT_MUTATED_FIELDS = {"annotation", "returns", "decorator_list"}
# ``strict=True`` states what holds anyway, and ``repr=False`` is about how a value is shown.
_NOT_MUTATED_KEYWORDS = {"strict", "repr"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one mistake: ``text`` instead of the bytes from ``start`` to ``end``."""

    module: str
    source: bytes
    start: int
    end: int
    text: str

    def mutated(self) -> bytes:
        """The source with the mistake in it."""
        return self.source[: self.start] + self.text.encode() + self.source[self.end :]

    def difference(self) -> str:
        """The place of the mistake, and the lines before and after."""
        line = self.source.count(b"\n", 0, self.start) + 1
        before, after = self.source.decode().splitlines(), self.mutated().decode().splitlines()
        changed = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n    ".join([f"{self.module}:{line}", *changed])


def mutants(module: str, source: bytes) -> Iterator[Mutant]:
    """All mutants of a module."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _mutable(ast.parse(source)):
        for span, text in _mistakes(node):
            # ast counts columns in bytes of UTF-8, and knows the end of every expression and statement.
            start = starts[span.lineno - 1] + span.col_offset
            end = starts[(span.end_lineno or 0) - 1] + (span.end_col_offset or 0)
            yield Mutant(module, source, start, end, text)


def _mutable(node: ast.AST) -> Iterator[ast.AST]:
    # Before Python 3.12 ast gives wrong places inside an f-string; nearly all of them are messages, like what is raised.
    if isinstance(node, ast.JoinedStr | ast.Raise) or getattr(node, "name", "") == "__repr__":
        return
    if isinstance(node, ast.keyword) and node.arg in _NOT_MUTATED_KEYWORDS:
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in _NOT_MUTATED_FIELDS:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _mutable(child)


def _mistakes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What to replace, and by what text."""
    match node:
        case ast.Compare():
            for place, op in enumerate(node.ops):
                ops = [*node.ops[:place], _SWAPS[type(op)](), *node.ops[place + 1 :]]
                yield node, _changed(node, ops=ops)
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPS:
            yield node, _changed(node, op=_SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, repr(value + 1)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield node, "return None"
        case ast.Call(func=ast.Name(id=name) as called) if name in _EXTREMES:
            yield called, _EXTREMES[name]
        case ast.Call(func=ast.Attribute(attr=name) as called) if name in _EXTREMES:
            yield called, _changed(called, attr=_EXTREMES[name])
    # An expression that stands alone is a call or a step; a constant is a docstring or the dots of a protocol.
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield node, "pass"


def _changed(node: ast.AST, **fields: object) -> str:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return ast.unparse(changed)


def _failure(tests: Sequence[str], timeout_s: float, folder: Path) -> str | None:
    """The output of the tests in a copy when they fail or take too long; None when they pass."""
    # The seed gives each mutant the same examples. Bytecode of the mutant before could pass for this one's.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # The session holds what the tests started, too, such as a Redis.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"timed out after {timeout_s:g} s"
    return output if process.returncode else None


def _verdict(mutant: Mutant, tests: Sequence[str], timeout_s: float, folders: SimpleQueue[Path]) -> str:
    folder = folders.get()
    try:
        (folder / mutant.module).write_bytes(mutant.mutated())
        failure = _failure(tests, timeout_s, folder)
    finally:
        (folder / mutant.module).write_bytes(mutant.source)
        folders.put(folder)
    if failure is None:
        return "survived"
    return "timed out" if failure.startswith("timed out") else "caught"


def run(root: Path, rooms: Mapping[str, Sequence[str]], options: argparse.Namespace) -> int:
    """Draw mutants, report each, and give the exit status: 2 when the tests fail without any mistake."""
    everything = [mutant for module in sorted(rooms) for mutant in mutants(module, (root / module).read_bytes())]
    drawn = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
    folders: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(options.workers) as pool:
        for number in range(options.workers):
            folder = Path(parent, str(number))
            for name in _NEEDED:
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(root / "pyproject.toml", folder)
            folders.put(folder)
        tests = sorted({test for mutant in drawn for test in rooms[mutant.module]})
        failure = _failure(tests, options.timeout * max(1, len(tests)), Path(parent, "0"))
        if failure is not None:
            print(f"the tests fail without any mutant; make them pass first: {' '.join(tests)}\n{failure}")
            return 2
        ask = partial(_verdict, timeout_s=options.timeout, folders=folders)
        verdicts = []
        for mutant, verdict in zip(
            drawn, pool.map(ask, drawn, [rooms[mutant.module] for mutant in drawn]), strict=True
        ):
            verdicts.append(verdict)
            print(f"{verdict:<9} {mutant.difference()}", flush=True)
    survived = verdicts.count("survived")
    print(f"{len(drawn)} mutants, {len(drawn) - survived} caught, {survived} survived")
    return 0


def _room(argument: str) -> tuple[str, tuple[str, ...]]:
    module, _, tests = argument.partition("=")
    if not tests and module not in PURE_ROOMS:
        raise argparse.ArgumentTypeError(f"{module} is not in PURE_ROOMS; say MODULE=TESTFILE[,TESTFILE]")
    return module, tuple(tests.split(",")) if tests else PURE_ROOMS[module]


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether the tests of the pure rooms notice small mistakes.")
    parser.add_argument("rooms", nargs="*", type=_room, metavar="MODULE[=TESTFILE[,TESTFILE]]", help="default: all")
    parser.add_argument("--count", type=int, default=60, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws other mutants")
    parser.add_argument("--timeout", type=float, default=120, help="seconds after which a mutant counts as caught")
    parser.add_argument("--workers", type=int, default=2, help="mutants tried at the same time")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="default: this checkout")
    options = parser.parse_args()
    rooms = dict(options.rooms or PURE_ROOMS)
    gone = [path for path in sorted({*rooms, *sum(rooms.values(), ())}) if not (options.root / path).exists()]
    if gone:
        parser.error(f"not in {options.root}: {', '.join(gone)}")
    return run(options.root, rooms, options)


if __name__ == "__main__":
    sys.exit(main())
