"""The command that breaks the twin and sees whether it is found out: argv in, exit code out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from touchstone.cli import proving
from touchstone.cli.github_job import tell_proof
from touchstone.cli.options import Seed, examples, one_of
from touchstone.cli.progress import trials_on
from touchstone.config_file import PROFILES
from touchstone.report.proof_report import write as write_proof

app = typer.Typer()


@app.command(epilog=examples("prove --list", "prove --fault 'cancel-*'", "prove --generated --jobs 8"))
def prove(
    fault: Annotated[str | None, typer.Option(help="Only faults that match this glob, such as 'cancel-*'.")] = None,
    variant: Annotated[str | None, typer.Option(help="Only variants that match this glob.")] = None,
    generated: Annotated[
        bool, typer.Option("--generated", help="The derived faults instead of the named ones.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Examinations at a time.", min=1, max=64)] = 2,
    whole: Annotated[bool, typer.Option("--whole", help="Go on after a fault is proven.")] = False,
    profile: Annotated[str, typer.Option(help="Profile for variants: quick, standard or thorough.")] = "quick",
    seed: Seed = None,
    report_dir: Annotated[
        Path | None, typer.Option(help="Folder for the results.  [default: reports/prove-<id>]")
    ] = None,
    list_names: Annotated[bool, typer.Option("--list", help="List what would be tried, and faults for load.")] = False,
) -> None:
    """Prove that each claim can be broken and is blamed rightly.

    The examination is run against each fault and each variant of the twin.
    """
    chosen = proving.Choice(fault, variant, generated, one_of("--profile", profile, *PROFILES), seed or 1)
    if list_names:
        proving.list_chosen(chosen, Console())
        return
    with trials_on(Console(stderr=True)) as told:
        view_of_proof, folder = proving.run(chosen, report_dir, jobs=jobs, whole=whole, told=told)
    tell_proof(view_of_proof, folder)
    write_proof(view_of_proof, Console(), folder / proving.HTML_NAME)
    raise typer.Exit(view_of_proof.exit_code)
