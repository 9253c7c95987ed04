"""``semcache doctor``: checks one after the other, and prints a line for each."""

import json
from typing import Annotated

from rich.markup import escape
from typer import Exit, Option

from semcache.commands.console import out
from semcache.commands.doctor.finding import Finding, Verdict

_COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "red", Verdict.SKIPPED: "dim"}


def doctor(
    redis_url: Annotated[
        str | None, Option(help='URL of the Redis to check, or "embedded".', show_default="redis.url")
    ] = None,
    namespace: Annotated[str | None, Option(show_default="cache.namespace")] = None,
    no_models: Annotated[
        bool, Option("--no-models", help="Ask neither embedder nor reranker, which may be a paid service.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check settings, Redis and models, and name the remedy of whatever is wrong. Exit code 1 if there is a fault.

    Keys that are written for it are removed at once. Warnings do not fail.
    """
    from semcache.commands.doctor.checks import findings_of

    findings = []
    for finding in findings_of(redis_url, namespace, no_models):
        findings.append(finding)
        if not as_json:
            # At once, since a check may take seconds.
            _print(finding)
    if as_json:
        shown = [{"check": f.check, "verdict": f.verdict, "seen": f.seen, "remedy": f.remedy} for f in findings]
        out().print_json(json.dumps(shown))
    if any(finding.verdict is Verdict.FAULT for finding in findings):
        raise Exit(1)


def _print(finding: Finding) -> None:
    colour = _COLOURS[finding.verdict]
    remedy = f"\n        -> {finding.remedy}" if finding.remedy else ""
    out().print(
        f"[{colour}]{finding.verdict:<7}[/{colour}] {finding.check}: {escape(finding.seen + remedy)}",
        soft_wrap=True,
        highlight=False,
    )
