"""The commands `claims` and `explain`, which need no target."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

from rich.console import Console
from typer import Argument, Option, Typer

from touchstone.cli.live import print_lines
from touchstone.cli.options import Reports, claim_ids, examples
from touchstone.contract import answers as contract_answers
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.answers import Answer
from touchstone.contract.claims import Claim
from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.curl import CURL, command
from touchstone.facts.exchange import Request
from touchstone.facts.finding import Finding
from touchstone.loadgen import rules as load_rules
from touchstone.loadgen.thresholds import CHECK, STATISTICS
from touchstone.proof import catalogue
from touchstone.report.json_report import read
from touchstone.report.terminal import say, table
from touchstone.rules import catalogue as rules
from touchstone.rules.verdict import judge
from touchstone.target.call import fill

app = Typer()

# Operation of the example request for a claim, by the first part of the claim's id.
OPERATIONS = {
    **dict.fromkeys(("start", "reuse", "limit"), "startBuild"),
    "cancel": "cancelBuild",
    "events": "streamBuildEvents",
    "publish": "publishTemplate",
    "template": "getTemplate",
}


@app.command(name="claims", epilog=examples("claims 'cancel.*'", "claims 'cancel.*' --answers"))
def list_claims(
    glob: Annotated[str, Argument(help="Glob of the claims to list.", autocompletion=claim_ids)] = "*",
    excluded: Annotated[bool, Option("--excluded", help="List the sentences that are not judged, and why.")] = False,
    answers: Annotated[bool, Option("--answers", help="List what the API may answer, by state and caller.")] = False,
    report_dir: Reports = None,
) -> None:
    """List the claims and their latest verdicts."""
    ledger, console = ledger_of_claims.load(), Console()
    if answers:
        print_answers({claim.id for claim in ledger.select(glob)})
    elif excluded:
        rows = ((claim.id, claim.says, claim.excluded) for claim in ledger.excluded())
        table(console, ("claim", "sentence", "not judged because"), rows)
    else:
        run, chosen = latest(report_dir or Path("reports")), ledger.select(glob, by=None)
        texts = {claim.id: run.verdicts.get(claim.id, "not judged") if run else claim.says for claim in chosen}
        rows = ((claim.id, claim.level, texts[claim.id]) for claim in chosen)
        table(console, ("claim", "level", "verdict" if run else "sentence"), rows)
        must = sum(claim.level == "must" for claim in chosen)
        of_load = sum(claim.by == "load" for claim in chosen)
        judges = f"{of_load} judged only by `touchstone load`; " if of_load else ""
        source = f"verdicts of {run.path}" if run else "no run yet: run `touchstone check` for verdicts"
        say(console, f"{len(chosen)} claims, {must} must and {len(chosen) - must} should; {judges}{source}")


@app.command(epilog=examples("explain cancel.in-flight-is-202"))
def explain(
    claim: Annotated[
        str, Argument(metavar="ID", help="Id of a claim, such as cancel.in-flight-is-202.", autocompletion=claim_ids)
    ],
) -> None:
    """Explain one claim: source, checks, verdict, curl command."""
    row, run = ledger_of_claims.load().explain(claim), latest(Path("reports"))
    print_lines(
        Console(),
        "explain.txt.j2",
        claim=row,
        run=run,
        findings=[finding for finding in run.findings if finding.claim == claim] if run else [],
        checks=checks_of(claim),
        faults=catalogue.proving(claim),
        example=example_curl(row),
    )


class Report(NamedTuple):
    """The parts of a report.json that `claims` and `explain` read."""

    path: Path
    verdicts: Mapping[str, str]
    findings: tuple[Finding, ...]


def latest(reports: Path) -> Report | None:
    """Returns the report of the latest run in *reports* or its subfolders; None without a valid report.json."""
    found: list[tuple[datetime, Report]] = []
    for path in [*reports.glob("report.json"), *reports.glob("*/report.json")]:
        with suppress(UsageError, ValueError, OverflowError):
            log = read(path)
            verdicts = {row.claim.id: row.verdict for row in judge(log).claims}
            # The time of the file may be later, because `touchstone report` can write the file again.
            began_at = datetime.fromisoformat(log.header.started_at).astimezone(UTC)
            ended_at = began_at + timedelta(seconds=log.footer.duration_s if log.footer else 0)
            found.append((ended_at, Report(path, verdicts, log.findings)))
    return max(found, key=lambda pair: pair[0], default=(None, None))[1]


def print_answers(claims: Collection[str]) -> None:
    """Prints openapi/answers.yaml as a table, as far as it is about *claims*."""
    known, operations = contract_answers.load(), Contract.load().operations
    parts: list[tuple[str, str, Mapping[str, Answer]]] = []
    for operation, by_state in known.answers.items():
        title = f"{operation}: {operations[operation].method} {operations[operation].path}"
        parts.append((title, "if the version is", {known.states[state]: row for state, row in by_state.items()}))
    others = {
        caller if operation == "any" else f"{caller}, {operation}": row
        for caller, by_operation in known.refusals.items()
        for operation, row in by_operation.items()
    }
    for title, column, answers in [*parts, ("all operations", "if the caller has", others)]:
        rows = [
            (row.claim, state, f"{row} (ambiguity 7.{row.open})" if row.open else f"{row}")
            for state, row in answers.items()
            if row.claim in claims or row.body in claims
        ]
        if rows:
            say(Console(), title)
            table(Console(), ("claim", column, "the answer is"), rows)


def checks_of(claim_id: str) -> list[str]:
    """Returns the ids of the rules that may judge a claim, including the rules for load runs."""
    checks = [rule.id for rule in rules.EXCHANGE_RULES if claim_id in rule.claims]
    checks += [rule.id for rule in rules.STORY_RULES if claim_id in rule.claims]
    checks += [rule_id for rule_id, claim, _ in load_rules.RULES if claim_id == claim]
    return checks + [CHECK] * any(claim_id == statistic.claim for statistic in STATISTICS.values())


def example_curl(claim: Claim) -> str:
    """Returns a curl command that sends an example request for a claim to the documented address of the API."""
    operation = Contract.load().operations[OPERATIONS.get(claim.subject, "getBuild")]
    url = "https://www.orgo.ai/api" + fill(operation.path, "default/claude-code@1.0.0")
    headers = () if "missing-key" in claim.id else (("Authorization", "Bearer <key:primary>"),)
    call = f"{CURL} --no-buffer" if operation.id == "streamBuildEvents" else CURL
    return command(Request(operation.method, url, headers), call=call)
