"""The commands that say what is known of claims without a target: claims, explain."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.cli.options import Reports, claim_ids, examples
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Claim, Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import RECORDED_BYTES, read_regular
from touchstone.facts.curl import command
from touchstone.facts.exchange import Request
from touchstone.facts.wording import one_line
from touchstone.loadgen import rules as load_rules
from touchstone.loadgen.thresholds import CHECK, STATISTICS
from touchstone.proof import catalogue
from touchstone.report.terminal import TABLE_FROM_COLUMNS, print_rows, say
from touchstone.rules import catalogue as rules
from touchstone.target.call import fill

app = typer.Typer()

BASE_URL = "https://www.orgo.ai/api"
EXAMPLE_REF = "default/claude-code@1.0.0"

# What a claim is about, by the first part of its id, for the curl line where no run has a better one.
OPERATIONS = {
    "start": "startBuild",
    "reuse": "startBuild",
    "limit": "startBuild",
    "status": "getBuild",
    "digest": "getBuild",
    "cancel": "cancelBuild",
    "events": "streamBuildEvents",
    "publish": "publishTemplate",
    "template": "getTemplate",
}
# The scenario that shows what a load run alone can tell, where it is not the everyday one.
SCENARIO_OF = {f"load.drift-{what}": "soak" for what in ("latency", "errors", "bytes", "memory")}


@app.command(name="claims", epilog=examples("claims 'cancel.*'", "claims --excluded"))
def list_claims(
    glob: Annotated[str, typer.Argument(help="Only claims that match this glob.", autocompletion=claim_ids)] = "*",
    excluded: Annotated[
        bool, typer.Option("--excluded", help="Show what is deliberately not judged, and why.")
    ] = False,
    report_dir: Reports = None,
) -> None:
    """List the claims and their latest verdicts."""
    ledger = ledger_of_claims.load()
    if excluded:
        print_excluded(ledger, Console())
    else:
        print_claims(ledger, glob, reports=report_dir or Path("reports"), console=Console())


@app.command(epilog=examples("explain cancel.in-flight-is-202"))
def explain(
    claim: Annotated[
        str,
        typer.Argument(metavar="ID", help="A claim, such as cancel.in-flight-is-202.", autocompletion=claim_ids),
    ],
) -> None:
    """Explain one claim: source, checks, verdict, curl."""
    explain_claim(ledger_of_claims.load().explain(claim), reports=Path("reports"), console=Console())


@dataclass(frozen=True, slots=True)
class Latest:
    """The report of the latest run below a folder."""

    path: Path
    claims: dict[str, dict[str, Any]]
    findings: dict[str, list[dict[str, Any]]]
    ended_at: datetime

    def verdict_of(self, claim_id: str) -> str:
        """Its verdict of a claim."""
        return str(self.claims.get(claim_id, {}).get("verdict", "not judged"))


def latest(reports: Path) -> Latest | None:
    """The readable report.json, in *reports* or one folder below it, of the run that ended last."""
    found = [*reports.glob("report.json"), *reports.glob("*/report.json")]
    return max(filter(None, map(_read, found)), key=lambda run: run.ended_at, default=None)


def _read(path: Path) -> Latest | None:
    try:
        report = json.loads(read_regular(path, RECORDED_BYTES))
        claims = {row["id"]: row for row in report["claims"]}
        findings: dict[str, list[dict[str, Any]]] = {}
        for row in report["findings"]:
            findings.setdefault(row["claim"], []).append(row)
        # Not the time of the file: `touchstone report` writes the report of an old run anew.
        started_at = datetime.fromisoformat(report["run"]["started_at"]).astimezone(UTC)
        return Latest(path, claims, findings, started_at + timedelta(seconds=report["run"]["duration_s"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def print_claims(ledger: Ledger, glob: str, *, reports: Path, console: Console) -> None:
    """Prints the claims that match *glob*, with their verdicts where there is a run."""
    run = latest(reports)
    chosen = ledger.select(glob, by=None)
    about = {c.id: one_line(run.verdict_of(c.id) if run else c.says) for c in chosen}
    rows = ((c.id, c.level, about[c.id]) for c in chosen)
    _print_rows(console, ("claim", "level", "verdict" if run else "says"), rows)
    must = sum(claim.level == "must" for claim in chosen)
    of_load = sum(claim.by == "load" for claim in chosen)
    judges = f"{of_load} judged by `touchstone load` alone; " if of_load else ""
    source = f"verdicts of {run.path}" if run else "no run yet: `touchstone check` gives verdicts"
    say(console, f"{len(chosen)} claims, {must} must and {len(chosen) - must} should; {judges}{source}")


def explain_claim(claim: Claim, *, reports: Path, console: Console) -> None:
    """Prints one claim: sentence, source, checks, faults that prove it, latest verdict, findings and a curl line."""
    say(console, f"{claim.id} ({'excluded' if claim.excluded else claim.level})")
    say(console, f"  {claim.says}")
    say(console, f"source    {claim.source}")
    if claim.excluded:
        say(console, f"excluded  {claim.excluded}")
        return
    if claim.by == "load":
        say(console, "judged by `touchstone load`")
    if claim.needs:
        say(console, f"needs     {', '.join(sorted(claim.needs))}")
    say(console, f"checks    {', '.join(checks_of(claim.id))}")
    proving = ", ".join(catalogue.proving(claim.id))
    say(console, f"faults    {proving or 'none of its own'}")
    run = latest(reports)
    findings = run.findings.get(claim.id, []) if run else []
    if run:
        say(console, f"verdict   {one_line(run.verdict_of(claim.id))} ({run.path})")
    for finding in findings:
        expected, actual = (one_line(str(finding[part])) for part in ("expected", "actual"))
        say(console, f"finding   expected {expected}; actual {actual}")
    if findings or claim.by == "check":
        # Never broken: it is to be copied.
        curl = one_line(str(findings[0]["curl"])) if findings else example_curl(claim)
        console.print(Text(f"curl      {curl}"), soft_wrap=True)
    else:
        say(console, f"run       touchstone load {SCENARIO_OF.get(claim.id, 'steady')}")


def checks_of(claim_id: str) -> tuple[str, ...]:
    """The rules that may judge a claim, those of a load run among them."""
    of_exchanges = (rule.id for rule in rules.EXCHANGE_RULES if claim_id in rule.claims)
    of_stories = (rule.id for rule in rules.STORY_RULES if claim_id in rule.claims)
    of_runs = (rule.id for rule in load_rules.RULES if claim_id == rule.claim)
    of_limits = (CHECK,) if any(claim_id == statistic.claim for statistic in STATISTICS.values()) else ()
    return (*of_exchanges, *of_stories, *of_runs, *of_limits)


def example_curl(claim: Claim) -> str:
    """A request of the kind that the claim is about, against the documented address."""
    contract = Contract.load()
    operation = contract.operations[OPERATIONS.get(claim.subject, "getBuild")]
    url = BASE_URL + fill(operation.path, EXAMPLE_REF)
    headers = () if "missing-key" in claim.id else (("Authorization", "Bearer <key:primary>"),)
    return command(Request(operation.method, url, headers), stream=operation.id == "streamBuildEvents")


def print_excluded(ledger: Ledger, console: Console) -> None:
    """Prints what is deliberately not judged, and why."""
    rows = ((claim.id, claim.says, claim.excluded) for claim in ledger.excluded())
    _print_rows(console, ("claim", "says", "not judged because"), rows)


def _print_rows(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    if console.width < TABLE_FROM_COLUMNS:
        print_rows(console, titles[1:], rows)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title == "level")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
