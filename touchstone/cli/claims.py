"""The commands that tell of claims without a target: claims, explain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.cli.explain import claims_table, explain_claim
from touchstone.cli.options import Reports, examples
from touchstone.contract import claims as ledger_of_claims

app = typer.Typer()


@app.command(name="claims", epilog=examples("claims 'cancel.*'", "claims --excluded"))
def list_claims(
    glob: Annotated[str, typer.Argument(help="Only claims that match this glob.")] = "*",
    excluded: Annotated[
        bool, typer.Option("--excluded", help="Show what is deliberately not judged, and why.")
    ] = False,
    report_dir: Reports = None,
) -> None:
    """List the claims and their latest verdicts."""
    ledger = ledger_of_claims.load()
    claims_table(ledger, glob, excluded=excluded, reports=report_dir or Path("reports"), console=Console())


@app.command(epilog=examples("explain cancel.in-flight-is-202"))
def explain(
    claim: Annotated[str, typer.Argument(metavar="ID", help="A claim, such as cancel.in-flight-is-202.")],
) -> None:
    """Explain one claim: source, checks, verdict, curl."""
    explain_claim(ledger_of_claims.load().explain(claim), reports=Path("reports"), console=Console())
