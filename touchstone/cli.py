"""
The command line: argv in, exit code out. Everything else is somebody else's.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from touchstone import __version__, candidates, cli_compare, cli_load, cli_recordings, proving, runner
from touchstone import claims as ledger_of_claims
from touchstone.errors import HarnessError, UsageError
from touchstone.explain import claims_table, explain_claim
from touchstone.options import Config, MaxBuilds, MaxSeconds, Plan_, ReportDir, Reports, Seed, Strict, Target, Url
from touchstone.planning import print_plan
from touchstone.progress import progress_on, trials_on
from touchstone.report.proof_text import write as write_proof
from touchstone.report.text import write as write_text
from touchstone.report.view import view
from touchstone.report.write import write_reports
from touchstone.runlog import read
from touchstone.settings import Flags, Settings, load
from touchstone.settings_file import PROFILES
from touchstone.sweep import sweep as sweep_journals
from touchstone.twin import DEFAULT_ACCOUNTS, Account, RateLimit, TwinSettings, serve_forever
from touchstone.twin.behaviour import Behaviour
from touchstone.twin.settings import Plan

app = typer.Typer(
    name="touchstone",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Judges a template build API against its documented contract.",
    epilog="Exit codes: 0 no must claim broken, 1 one is broken, 2 bad usage, 3 could not be judged, 130 interrupted.",
)

Profile = Annotated[str | None, typer.Option(help="quick, standard or thorough.")]
Claims = Annotated[str | None, typer.Option(help="Only claims that match this glob, such as 'cancel.*'.")]

Rate = Annotated[str | None, typer.Option(help="Starts per account: LIMIT/SECONDS, or ALGORITHM:LIMIT/SECONDS.")]
Accounts = Annotated[
    list[str] | None, typer.Option(help="KEY:PLAN, plan scale or hacker; repeat.  [default: three test accounts]")
]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        _stdout().print(f"touchstone {__version__}", highlight=False)
        raise typer.Exit


@app.command()
def check(
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: ReportDir = None,
    seed: Seed = None,
    strict: Strict = None,
    plan: Plan_ = None,
    max_builds: MaxBuilds = None,
    max_seconds: MaxSeconds = None,
    profile: Profile = None,
    claims: Claims = None,
) -> None:
    """
    Judge a target against the contract, claim by claim.

    Without --target and --url the embedded twin is started and judged.
    """
    flags = Flags(target, url, config, report_dir, seed, strict, plan, max_builds, max_seconds, profile, claims)
    settings = load(flags, os.environ, Path.cwd())
    if settings.plan:
        _print_plan(settings)
        return
    with progress_on(_stderr()) as progress:
        outcome = runner.check(settings, ["touchstone", *sys.argv[1:]], progress)
    out = _stdout()
    out.print(f"report: {outcome.folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    out.print()
    write_text(view(read(outcome.run_log)), out)
    raise typer.Exit(outcome.exit_code)


@app.command()
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
    list_names: Annotated[bool, typer.Option("--list", help="List what would be tried; try nothing.")] = False,
) -> None:
    """
    Prove that each claim can be broken and is blamed rightly.

    The examination is run against each fault and each variant of the twin.
    """
    chosen = proving.Choice(fault, variant, generated, _choice("--profile", profile, PROFILES), seed or 1)
    if list_names:
        proving.list_candidates(chosen.candidates(), _stdout())
        return
    with trials_on(_stderr()) as told:
        view_of_proof, folder = proving.run(chosen, report_dir, jobs=jobs, whole=whole, told=told)
    write_proof(view_of_proof, _stdout(), folder / proving.HTML_NAME)
    raise typer.Exit(view_of_proof.exit_code)


@app.command()
def report(
    log: Annotated[Path, typer.Argument(help="A run log, or the folder that holds runlog.jsonl.")],
    report_dir: Annotated[Path | None, typer.Option(help="Where to write.  [default: beside the log]")] = None,
) -> None:
    """
    Make the reports of a run log again.
    """
    path = log / "runlog.jsonl" if log.is_dir() else log
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a runlog.jsonl, as `touchstone check` leaves in reports/")
    exit_code = write_reports(path, report_dir or path.parent)
    write_text(view(read(path)), _stdout())
    raise typer.Exit(exit_code)


@app.command(name="claims")
def list_claims(
    glob: Annotated[str, typer.Argument(help="Only claims that match this glob.")] = "*",
    excluded: Annotated[
        bool, typer.Option("--excluded", help="Show what is deliberately not judged, and why.")
    ] = False,
    report_dir: Reports = None,
) -> None:
    """
    List the claims and their latest verdicts.
    """
    ledger = ledger_of_claims.load()
    claims_table(ledger, glob, excluded=excluded, reports=report_dir or Path("reports"), console=_stdout())


@app.command()
def explain(
    claim: Annotated[str, typer.Argument(metavar="ID", help="A claim, such as cancel.in-flight-is-202.")],
) -> None:
    """
    Explain one claim: source, checks, verdict, curl.
    """
    explain_claim(ledger_of_claims.load().explain(claim), reports=Path("reports"), console=_stdout())


@app.command()
def sweep(
    target: Target = None,
    url: Url = None,
    config: Config = None,
    report_dir: Reports = None,
) -> None:
    """
    Remove what killed runs left on a target.

    Only what their journals name is touched.
    """
    settings = load(Flags(target=target, url=url, config=config), os.environ, Path.cwd())
    out = _stdout()
    reports = report_dir or Path("reports")
    folders = (settings.state_dir, reports, *(path for path in reports.glob("*") if path.is_dir()))
    swept = sweep_journals(settings, folders, lambda text: out.print(text, markup=False, highlight=False))
    removed = sum(len(one.removed) for one in swept)
    left = [ref for one in swept for ref in one.left]
    for ref in left:
        out.print(f"could not be removed: {ref}", markup=False, highlight=False)
    code = 3 if left else 0
    out.print(f"exit {code}: {removed} templates removed, {len(left)} left", markup=False, highlight=False)
    raise typer.Exit(code)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.")] = 8123,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    rate: Rate = None,
    capacity: Annotated[int | None, typer.Option(help="Builds in flight at once.")] = None,
    build_s: Annotated[float, typer.Option(help="Seconds that a build takes besides its sleep steps.")] = 0.2,
    settle_s: Annotated[float, typer.Option(help="Seconds until a cancelled build is gone.")] = 0.05,
    latency_s: Annotated[float, typer.Option(help="Seconds added to every answer.")] = 0.0,
    retry_after: Annotated[str, typer.Option(help="seconds, date or none.")] = "seconds",
    build_timeout_s: Annotated[float | None, typer.Option(help="A longer build fails.")] = None,
    digest_scope: Annotated[str, typer.Option(help="document, or content: without name and version.")] = "document",
    base_path: Annotated[str, typer.Option(help="What every path starts with.")] = "/api",
    account: Accounts = None,
    seed: Annotated[int | None, typer.Option(help="Makes request ids repeat.")] = None,
    fault: Annotated[str | None, typer.Option(help="Break a promise; `touchstone prove --list` has the names.")] = None,
    variant: Annotated[str | None, typer.Option(help="Behave otherwise where the documentation lets it.")] = None,
) -> None:
    """
    Serve the twin, a reference server.
    """
    behaviour = _behaviour(fault, variant, seed or 1)
    settings = TwinSettings(
        host=host,
        port=port,
        base_path=base_path,
        accounts=tuple(map(_account, account)) if account else DEFAULT_ACCOUNTS,
        build_s=build_s,
        settle_s=settle_s,
        rate=RateLimit.parse(rate, "--rate") if rate else None,
        capacity=capacity,
        latency_s=latency_s,
        retry_after=_choice("--retry-after", retry_after, ("seconds", "date", "none")),
        build_timeout_s=build_timeout_s,
        digest_scope=_choice("--digest-scope", digest_scope, ("document", "content")),
        seed=seed,
    )

    def announce(text: str) -> None:
        _stdout().print(text, markup=False, highlight=False, soft_wrap=True)

    if behaviour.name:
        announce(f"{'variant' if variant else 'fault'} {behaviour.name}: {behaviour.says}")
    serve_forever(behaviour.twin(settings), announce)


# After the commands above, so that `--help` begins with what the product is for.
app.registered_commands += cli_load.app.registered_commands
app.registered_commands += cli_compare.app.registered_commands
app.registered_commands += cli_recordings.app.registered_commands
app.registered_groups += cli_recordings.app.registered_groups


def main() -> None:
    """
    The entry point; ends the process with an exit code of DESIGN.md, part 4.
    """
    try:
        app(standalone_mode=True)
    except HarnessError as error:
        _stderr().print(f"exit {error.exit_code}: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _stderr().print("exit 130: interrupted", markup=False, highlight=False)
        sys.exit(130)


def _stdout() -> Console:
    return Console()


def _stderr() -> Console:
    return Console(stderr=True)


def _account(text: str) -> Account:
    key, _, plan = text.partition(":")
    if not key:
        raise UsageError(f"--account {text!r}: expected KEY:PLAN with a key, such as sk_live_test_mine:scale")
    chosen: Plan = _choice("--account", plan or "scale", ("scale", "hacker"))
    return Account(key, chosen, key[:16] + "…" if len(key) > 16 else key)


def _behaviour(fault: str | None, variant: str | None, seed: int) -> Behaviour:
    if fault and variant:
        raise UsageError(f"--fault {fault} --variant {variant}: a twin has one of them")
    if fault:
        return candidates.fault(fault, seed)
    return candidates.variant(variant) if variant else Behaviour("", "")


def _choice(flag: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"{flag} {value!r}: expected one of {', '.join(allowed)}")
    return value


def _print_plan(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print_plan(runner.plan(settings, Path(folder)), settings, _stdout())
