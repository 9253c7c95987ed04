"""Runs the benchmarks one after the other. A benchmark that fails does not stop the others."""

import argparse
import subprocess
import sys

QUESTIONS = (
    "client_cost",
    "embedding",
    "startup",
    "serving",
    "page",
    "size",
    "isolation",
    "throughput",
    "workers",
    "load",
    "writes",
    "tenants",
    "end_to_end",
    "lookup",
    "recall",
    "growth",
)
"""Cheapest first. Each runs in a process of its own, so that it does not inherit the memory or threads of another."""


def main() -> int:
    """Run the benchmarks that are named, or all. Returns the number of those that failed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks; see benchmarks/README.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(QUESTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes; results go to benchmarks/.cache/trials")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    options = ["--quick"] if arguments.quick else []
    failed = []
    for name in arguments.names or QUESTIONS:
        print(f"== {name}", file=sys.stderr)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
