"""Public attributes say their types, so that all type checkers see the same: ``make types`` asks pyright for all names.

These are the two rules that were broken before. pyright trusts neither what a call gives a class nor what it sees given
to a name in ``__slots__``, unless an annotation says it.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What stood in the package before.
BROKEN = """
class Store:
    read = _blocking(reading.read)
    lock: Lock = Lock()

class Part:
    __slots__ = ("_reply", "node", "others")

    def __init__(self, node, others):
        self.node: Node = node
        self.others = others
"""


def public_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))


def called(node: ast.ClassDef) -> set[str]:
    """Names in a class body that are given what a call gives, without a type."""
    assigned = [line for line in node.body if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call)]
    return {target.id for line in assigned for target in line.targets if isinstance(target, ast.Name)}


def untyped_slots(node: ast.ClassDef) -> set[str]:
    """Names of ``__slots__`` that are nowhere annotated."""
    slots: set[str] = set()
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__slots__":
            slots = set(ast.literal_eval(line.value))
    typed = {ast.unparse(one.target) for one in ast.walk(node) if slots and isinstance(one, ast.AnnAssign)}
    return {name for name in slots if not typed & {name, f"self.{name}"}}


def untyped(trees: Sequence[ast.Module]) -> list[str]:
    return [
        f"{node.name}.{name}"
        for tree in trees
        for node in public_classes(tree)
        for name in sorted(called(node) | untyped_slots(node))
        if not name.startswith("_")
    ]


def test_public_attributes_say_their_types() -> None:
    texts = [path.read_text() for path in (ROOT / "semcache").rglob("*.py")]
    trees = [ast.parse(text) for text in texts if "\nclass " in text]
    assert untyped(trees) == [], "annotate them"


def test_attributes_that_do_not_are_seen() -> None:
    assert untyped([ast.parse(BROKEN)]) == ["Store.read", "Part.others"]
