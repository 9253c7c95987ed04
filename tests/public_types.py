"""Whether callers see the types of all public names: ``python -m tests.public_types PYRIGHT``, the program's path.

It runs ``--verifytypes``, ignoring what other packages do not say of their own names, as is usual. The exit status is 1
for a name without a known type, unless it stands in ``UNTYPED``, and for one that stands there and has a type by now.
"""

import json
import subprocess
import sys

UNTYPED = {
    # They are modules and rerankers of these libraries, which have no py.typed. A base class that only type checkers
    # saw would make the figure whole, and callers would lose what they are for: a dspy.Module, a BaseReranker.
    "semcache.integrations.dspy.SemcacheRerank",
    "semcache.integrations.redisvl.SemcacheReranker",
    # They give a dspy.Prediction.
    "semcache.integrations.dspy.SemcacheRerank.forward",
    "semcache.integrations.dspy.SemcacheRerank.aforward",
}


def main(pyright: str) -> int:
    command = [pyright, "--ignoreexternal", "--outputjson", "--verifytypes", "semcache"]
    # Its own exit status says that not all is known. Where it could not run, what it printed is no JSON.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["typeCompleteness"]
    unknown = {one["name"]: one for one in found["symbols"] if one["isExported"] and not one["isTypeKnown"]}
    for name in sorted(unknown.keys() - UNTYPED):
        print(f"{name}: {'; '.join(one['message'] for one in unknown[name]['diagnostics'])}")
    for name in sorted(UNTYPED - unknown.keys()):
        print(f"{name} has a type now; take it from UNTYPED")
    counts = found["exportedSymbolCounts"]
    print(f"{counts['withKnownType']} of {sum(counts.values())} public names have a known type", end="")
    print(f" ({found['completenessScore']:.2%}); {len(UNTYPED)} cannot have one")
    return int(unknown.keys() != UNTYPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
