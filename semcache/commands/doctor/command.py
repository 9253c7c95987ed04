"""``semcache doctor``: checks one after the other, and prints a line for each."""

from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from typer import Exit, Option

from semcache.commands.console import out
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import STDOUT, JsonFile, check_folder, write_json

if TYPE_CHECKING:
    from semcache.commands.doctor.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "skipped": "dim"}


def doctor(
    redis_url: Annotated[
        str | None, Option(help='URL of the Redis to check, or "embedded".', show_default="redis.url")
    ] = None,
    namespace: Annotated[str | None, Option(help="The namespace.", show_default="cache.namespace")] = None,
    no_models: Annotated[
        bool, Option("--no-models", help="Ask neither embedder nor reranker, which may be a paid service.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Check settings, Redis and models, and name the remedy of whatever is wrong. Exit code 1 if there is a fault.

    Keys that are written for it are removed at once. Warnings do not fail.
    """
    from semcache.commands.doctor.checks import findings_of
    from semcache.commands.doctor.finding import Verdict

    check_folder(json_file)
    findings = []
    for finding in findings_of(redis_url, namespace, no_models):
        findings.append(finding)
        if json_file != STDOUT:
            # At once, since a check may take seconds.
            _print(finding)
    if json_file is not None:
        shown = [{"check": f.check, "verdict": f.verdict, "seen": f.seen, "remedy": f.remedy} for f in findings]
        write_json(json_file, shown)
    if any(finding.verdict is Verdict.FAULT for finding in findings):
        raise Exit(ExitCode.FAILED)


def _print(finding: "Finding") -> None:
    colour = _COLOURS[finding.verdict]
    remedy = f"\n        -> {finding.remedy}" if finding.remedy else ""
    out().print(
        f"[{colour}]{finding.verdict:<7}[/{colour}] {finding.check}: {escape(finding.seen + remedy)}",
        soft_wrap=True,
        highlight=False,
    )
