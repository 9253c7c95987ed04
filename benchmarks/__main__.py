"""Runs every question in turn; one that fails does not stop the others."""

import argparse
import subprocess
import sys

QUESTIONS = (
    "client_cost",
    "embedding",
    "startup",
    "size",
    "throughput",
    "writes",
    "tenants",
    "end_to_end",
    "lookup",
    "recall",
    "growth",
)
"""Cheapest first. Each runs in a process of its own, so that none inherits another's memory or threads."""


def main() -> int:
    """The number of questions that failed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks; see benchmarks/README.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(QUESTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes; results go to benchmarks/.cache/trials")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    options = ["--quick"] if arguments.quick else []
    failed = [name for name in arguments.names or QUESTIONS if not _ran(name, options)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _ran(name: str, options: list[str]) -> bool:
    print(f"== {name}", file=sys.stderr)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
