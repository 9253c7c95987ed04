"""Whether the tests of the pure rooms notice small mistakes: ``python -m tests.mutants [MODULE ...]``.

Mistakes (mutants) are drawn at random, made one at a time in a copy of the package, and count as caught when the tests
of their room fail or take longer than the timeout. Each survivor is a test to write, or a change that alters nothing.

``python -m tests.mutants --walls`` takes away what keeps tenants apart, one wall at a time, and fails unless the random
steps of ``tests/isolation`` notice each.
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
from itertools import permutations
from pathlib import Path
from queue import SimpleQueue

PURE_ROOMS: Mapping[str, tuple[str, ...]] = {
    "semcache/flow/rerank.py": ("tests/flow/test_rerank.py",),
    "semcache/flow/reuse.py": ("tests/flow/test_reuse.py",),
    "semcache/flow/drift.py": ("tests/flow/test_drift.py", "tests/flow/test_reuse.py"),
    "semcache/flow/policy.py": ("tests/flow/test_policy.py",),
    "semcache/flow/outcome.py": ("tests/flow/test_outcome.py", "tests/flow/test_rerank.py"),
    "semcache/flow/kriging.py": ("tests/flow/test_drift.py", "tests/flow/test_reuse.py"),
    "semcache/flow/drive.py": ("tests/flow/test_drive.py",),
    "semcache/flow/calls.py": ("tests/flow/test_drive.py",),
    "semcache/flow/run.py": ("tests/flow/test_drive.py",),
    "semcache/flow/requests.py": ("tests/flow/test_requests.py", "tests/flow/test_rerank.py"),
    "semcache/flow/results.py": ("tests/flow/test_results.py",),
    "semcache/entries/checks.py": ("tests/entries/test_codec.py", "tests/entries/test_fields.py"),
    "semcache/entries/codec.py": ("tests/entries/test_codec.py",),
    "semcache/entries/fields.py": ("tests/entries/test_fields.py",),
    "semcache/entries/fingerprint.py": ("tests/entries/test_fingerprint.py",),
    "semcache/guards/cue_guard.py": ("tests/guards/test_cue_guard.py",),
    "semcache/guards/cues.py": ("tests/guards/test_cues.py", "tests/guards/test_cue_guard.py"),
    "semcache/guards/lexicon.py": ("tests/guards/test_lexicon.py",),
    "semcache/guards/measures.py": ("tests/guards/test_measures.py",),
    "semcache/guards/numbers.py": ("tests/guards/test_numbers.py",),
    "semcache/guards/order.py": ("tests/guards/test_order.py",),
    "semcache/guards/reading.py": ("tests/guards/test_reading.py",),
    "semcache/guards/stems.py": ("tests/guards/test_stems.py",),
    "semcache/degradation/breaker.py": ("tests/degradation/test_breaker.py",),
    "semcache/degradation/health_check.py": ("tests/degradation/test_breaker.py",),
    "semcache/degradation/monitor.py": ("tests/degradation/test_monitor.py", "tests/degradation/test_breaker.py"),
    "semcache/batching/plan.py": ("tests/batching/test_plan.py",),
    "semcache/batching/admission.py": ("tests/batching/test_admission.py",),
    "semcache/batching/tenants.py": ("tests/batching/test_tenants.py",),
    "semcache/quality/consensus.py": ("tests/quality/test_consensus.py",),
    "semcache/quality/sequential_test.py": ("tests/quality/test_sequential_test.py",),
    "semcache/quality/statistics.py": ("tests/quality/test_statistics.py",),
    "semcache/quality/trust.py": ("tests/quality/test_trust.py",),
    "semcache/redis/cluster/merging.py": ("tests/redis/cluster/test_routing.py",),
    "semcache/redis/cluster/routing.py": ("tests/redis/cluster/test_routing.py",),
    "semcache/redis/cluster/scanning.py": ("tests/redis/cluster/test_routing.py",),
    "semcache/redis/cluster/topology.py": ("tests/redis/cluster/test_topology.py",),
}
"""Modules that only decide, each with the test files that should notice a mistake in it."""

WALLS: Mapping[str, tuple[str, str, str]] = {
    "the tenant's filter of the KNN query": (
        "semcache/redis/search.py",
        "self.query.replace(_ANY_TAG, tenant_tag(tenant))",
        'self.query.replace("@tenant", "-@tenant")',  # of all, as no tenant has that tag
    ),
    "the check whose an entry is": (
        "semcache/entries/checks.py",
        "not compare_digest(check, check_of(owner, content, key))",
        "False",
    ),
}
"""What keeps tenants apart: the module, the expression, and what stands there once it is taken away."""

_PAIRS = (
    "Lt LtE, Gt GtE, Eq NotEq, Is IsNot, In NotIn, And Or, Add Sub, Mult Div, min max, minimum maximum, nanmin nanmax"
)
_SWAPS = {one: other for pair in _PAIRS.split(", ") for one, other in permutations(pair.split())}
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
    # What is raised is a message. So are nearly all f-strings, inside which Python 3.11 does not know the right places.
    if isinstance(node, ast.Raise | ast.JoinedStr) or getattr(node, "name", "") == "__repr__":
        return
    if isinstance(node, ast.keyword) and node.arg in _NOT_MUTATED_KEYWORDS:
        return
    yield node
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for child in () if field in _NOT_MUTATED_FIELDS else children:
            if isinstance(child, ast.AST):
                yield from _mutable(child)


def _mistakes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Each part to replace, with its replacement."""
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                yield node, _changed(node, ops=[*ops[:place], _swapped(op), *ops[place + 1 :]])
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op).__name__ in _SWAPS:
            yield node, _changed(node, op=_swapped(op))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value) | int(value) | float(value)) if value + 1 != value:
            yield node, repr(not value if isinstance(value, bool) else value + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, "return None"
        case ast.Call(func=(ast.Name(id=name) | ast.Attribute(attr=name)) as called) if name in _SWAPS:
            yield called, ast.unparse(called).removesuffix(name) + _SWAPS[name]
    # An expression that stands alone is a call or a step; a constant is a docstring or the dots of a protocol.
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield node, "pass"


def _swapped(op: ast.AST) -> ast.AST:
    swapped: ast.AST = getattr(ast, _SWAPS[type(op).__name__])()
    return swapped


def _changed(node: ast.AST, **fields: object) -> str:
    changed = copy.copy(node)
    vars(changed).update(fields)
    return ast.unparse(changed)


def _verdict(tests: Sequence[str], timeout_s: float, folder: Path) -> str:
    """What the tests say about the copy in a folder. Their output is in its ``output.txt``."""
    # The seed gives each mutant the same examples.
    return _run(["pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests], timeout_s, folder)


def _run(module: Sequence[str], timeout_s: float, folder: Path) -> str:
    # Bytecode of the mutant before could pass for this one's.
    command = [sys.executable, "-m", *module]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "output.txt").open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return "caught" if process.wait(timeout_s) else "survived"
    except subprocess.TimeoutExpired:
        # The session also holds the processes that the tests started, such as a Redis.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "timed out"
    finally:
        # Hypothesis would try on the next mutant the examples that caught this one, in whichever order mutants end.
        shutil.rmtree(folder / ".hypothesis", ignore_errors=True)


def _try(mutant: Mutant, tests: Sequence[str], timeout_s: float, folders: SimpleQueue[Path]) -> str:
    folder = folders.get()
    (folder / mutant.module).write_bytes(mutant.mutated())
    try:
        return _verdict(tests, timeout_s, folder)
    finally:
        (folder / mutant.module).write_bytes(mutant.source)
        folders.put(folder)


def run(root: Path, rooms: Mapping[str, Sequence[str]], options: argparse.Namespace) -> int:
    """Draw mutants, report each, and give the exit status: 2 when the tests fail without any mistake."""
    everything = [mutant for module in sorted(rooms) for mutant in mutants(module, (root / module).read_bytes())]
    drawn = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
    asked = [rooms[mutant.module] for mutant in drawn]
    folders: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(options.workers) as pool:
        for number in range(options.workers):
            folders.put(_copied(root, Path(parent, str(number))))
        tests = sorted({test for some in asked for test in some})
        if _verdict(tests, options.timeout * len(tests), Path(parent, "0")) != "survived":
            print(Path(parent, "0", "output.txt").read_text())
            print(f"the tests fail without any mutant; make them pass first: {' '.join(tests)}")
            return 2
        verdicts = []
        ask = partial(_try, timeout_s=options.timeout, folders=folders)
        for mutant, verdict in zip(drawn, pool.map(ask, drawn, asked), strict=True):
            verdicts.append(verdict)
            print(f"{verdict:<9} {mutant.difference()}", flush=True)
    survived = verdicts.count("survived")
    print(f"{len(drawn)} mutants, {len(drawn) - survived} caught, {survived} survived")
    return 0


def run_walls(root: Path, options: argparse.Namespace) -> int:
    """Take each wall away, and give the exit status: 1 when that is not noticed."""
    steps = ["tests.isolation", "--steps=3000", "--no-shrink"]
    verdicts = []
    with tempfile.TemporaryDirectory() as parent:
        folder = _copied(root, Path(parent, "0"))
        if _run(steps, options.timeout, folder) != "survived":
            print((folder / "output.txt").read_text())
            return 2
        for wall, (module, expression, text) in WALLS.items():
            source = (root / module).read_bytes()
            start = source.index(expression.encode())
            mutant = Mutant(module, source, start, start + len(expression.encode()), text)
            (folder / module).write_bytes(mutant.mutated())
            verdicts.append(_run(steps, options.timeout, folder))
            (folder / module).write_bytes(source)
            said = [line for line in (folder / "output.txt").read_text().splitlines() if line.startswith("found first")]
            print(f"{verdicts[-1]:<9} without {wall}\n    {mutant.difference()}\n    {' '.join(said[:1])}", flush=True)
    return int(set(verdicts) != {"caught"})


def _copied(root: Path, folder: Path) -> Path:
    for name in ("semcache", "schemas", "tests"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", folder)
    return folder


def _room(argument: str) -> tuple[str, tuple[str, ...]]:
    module, _, tests = argument.partition("=")
    if not tests and module not in PURE_ROOMS:
        raise argparse.ArgumentTypeError(f"{module} is not in PURE_ROOMS; say MODULE=TESTFILE[,TESTFILE]")
    return module, tuple(tests.split(",")) if tests else PURE_ROOMS[module]


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether the tests of the pure rooms notice small mistakes.")
    parser.add_argument("rooms", nargs="*", type=_room, metavar="MODULE[=TESTFILE[,TESTFILE]]", help="default: all")
    parser.add_argument("--walls", action="store_true", help="take away what keeps tenants apart, and nothing else")
    parser.add_argument("--count", type=int, default=60, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws other mutants")
    parser.add_argument("--timeout", type=float, default=120, help="seconds after which a mutant counts as caught")
    parser.add_argument("--workers", type=int, default=2, help="mutants tried at the same time")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="default: this checkout")
    options = parser.parse_args()
    if options.walls:
        return run_walls(options.root, options)
    rooms = dict(options.rooms or PURE_ROOMS)
    gone = [path for path in sorted({*rooms, *sum(rooms.values(), ())}) if not (options.root / path).exists()]
    if gone:
        parser.error(f"not in {options.root}: {', '.join(gone)}")
    return run(options.root, rooms, options)


if __name__ == "__main__":
    sys.exit(main())
