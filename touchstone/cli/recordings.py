"""The commands about recordings: record, replay, drift, recordings lint."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Exit, Option, Typer

from touchstone.check import runner
from touchstone.check.handover import Errand
from touchstone.check.job import Outcome
from touchstone.cli.live import print_plan, print_report, progress_on
from touchstone.cli.options import ReportDir, Run, command, examples
from touchstone.config import Settings, TargetSettings, keys_in
from touchstone.facts.runlog import read
from touchstone.facts.wording import one_line, plural
from touchstone.recordings import drifting, linting, reader, recorder
from touchstone.recordings.recording import BASE_URL
from touchstone.recordings.replay import KEYS
from touchstone.report.terminal import say, table
from touchstone.report.write import conclude

app = Typer()

_BUNDLED = "the recordings of the twin that come with Touchstone"

Files = Annotated[
    list[Path] | None, Argument(help="HAR files, or folders of them.  [default: the recordings of the twin]")
]
As = Annotated[
    list[str] | None,
    Option(
        "--as",
        metavar="ROLE=KEY",
        help="Whose a key in a file of others is: primary, second, restricted or unknown; a key or its variable.",
    ),
]


@command(app, "record --list", "record fresh-build reuse --plan", "record --target staging --out recordings/staging")
@dataclass(frozen=True, kw_only=True)
class Record(Run):
    """Record scenarios with a target, one file each.

    A scenario that is answered otherwise than it expects is not recorded.
    """

    scenarios: Annotated[list[str] | None, Argument(help="Scenarios.  [default: all]")] = None
    out: Annotated[
        Path | None,
        Option(help="Folder for the recordings.  [default: tests/recordings; recordings/TARGET if not the twin]"),
    ] = None
    list_names: Annotated[bool, Option("--list", help="List the scenarios; send nothing.")] = False

    def run(self) -> int:
        """Records them."""
        console = Console()
        if self.list_names:
            table(console, ("scenario", "shows"), recorder.scenarios().items())
            return 0
        settings = self.settings("recording")
        names = recorder.chosen(self.scenarios or ())
        if self.plan:
            print_plan(recorder.planned(settings, names), settings, console, shared=False)
            return 0
        folder = self.out or recorder.folder_of(settings.target)
        recorder.check_folder(folder)
        with progress_on(Console(stderr=True)) as progress:
            argv = ["touchstone", *sys.argv[1:]]
            outcome, written = recorder.record(settings, names, folder, argv, progress, conclude)
        footer = read(outcome.run_log).footer
        ended = (outcome.exit_code, footer.reason if footer else "")
        return _end(console, outcome, map(str, written), *recorder.ending(*ended, written, self.scenarios or ()))


@app.command(epilog=examples("replay", "replay session.har --as primary=ORGO_API_KEY --strict"))
def replay(
    files: Files = None,
    as_: As = None,
    speed: Annotated[
        float, Option(help="How many times as fast as recorded streams come; 0 for at once.", min=0)
    ] = 0.0,
    report_dir: ReportDir = None,
    strict: Annotated[
        bool | None,
        Option(
            "--strict/--no-strict",
            help="Broken should claims fail the run, too.  [default: where no file was made by others]",
        ),
    ] = None,
) -> None:
    """Judge recordings offline by the rules of a check.

    Files of browsers, proxies and schemathesis are judged as they are.
    """
    paths, accounts = reader.found(files or ()), reader.accounts_of(as_ or (), os.environ)
    # A fault in a file ends the command before anything runs.
    origins = {reader.read(path, accounts).origin for path in paths}
    strict = origins == {"touchstone"} if strict is None else strict
    # Bodies may hold keys of the environment that recorded them.
    unused = (*keys_in(os.environ).values(), *accounts)
    keys = (KEYS["primary"], KEYS["second"], KEYS["restricted"])
    target = TargetSettings("recordings" if files else _BUNDLED, BASE_URL, *keys, unused_keys=unused)
    settings = Settings(target=target, report_dir=report_dir, strict=strict)
    errand = Errand(
        "replay",
        "replay",
        tuple(str(path.absolute()) for path in paths),
        speed,
        "touchstone.recordings.replay_run",
        accounts,
    )
    console = Console()
    with progress_on(Console(stderr=True)) as progress:
        argv = [_without_keys(word, as_ or ()) for word in sys.argv[1:]]
        outcome = runner.check(settings, ["touchstone", *argv], progress, conclude, errand=errand)
    print_report(outcome.run_log, outcome.folder, console)
    raise Exit(outcome.exit_code)


@command(app, "drift --target staging --plan", "drift --target staging recordings/staging")
@dataclass(frozen=True, kw_only=True)
class Drift(Run):
    """Compare what a live target answers with recordings.

    Exit code 1 if a claim is broken, 0 with a list of what has changed otherwise.
    """

    files: Files = None

    def run(self) -> int:
        """Compares it."""
        console = Console()
        settings = self.settings("comparing with")
        before = drifting.chosen(self.files or ())
        if self.plan:
            print_plan(recorder.planned(settings, tuple(before)), settings, console, shared=False)
            return 0
        with progress_on(Console(stderr=True)) as progress:
            found = drifting.compare(settings, before, ["touchstone", *sys.argv[1:]], progress, conclude)
        lines = [*found.changes, *(f"{name}: not compared: {why}" for name, why in found.uncompared.items())]
        return _end(console, found.outcome, lines, found.exit_code, found.reason)


def _end(console: Console, outcome: Outcome, lines: Iterable[str], code: int, reason: str) -> int:
    """Prints the report of a run, the results of its scenarios, and the last line."""
    print_report(outcome.run_log, outcome.folder, console, ends=False)
    console.print()
    for line in [*lines, f"exit {code}: {reason}"]:
        say(console, one_line(line))
    return code


def _without_keys(word: str, options: Iterable[str]) -> str:
    """A word of the command line, with a marker in place of a key of the account *options*."""
    for option in options:
        role, _, key = option.partition("=")
        if key not in os.environ:
            word = word.replace(option, f"{role}=<key:{role}>")
    return word


recordings_app = Typer(no_args_is_help=True, help="Look after recordings.")
app.add_typer(recordings_app, name="recordings")


@recordings_app.command(epilog=examples("recordings lint", "recordings lint recordings/staging --max-age 90"))
def lint(
    files: Files = None,
    as_: As = None,
    max_age: Annotated[
        float | None, Option(help="Days from which on the age of a recording is a fault.", min=0)
    ] = None,
) -> None:
    """Look for what is wrong with recordings: format, contract, rules, secrets, age."""
    remarks = linting.lint(
        files or (), keys_in(os.environ), datetime.now(UTC), max_age, reader.accounts_of(as_ or (), os.environ)
    )
    console = Console()
    for remark in remarks:
        say(console, one_line(str(remark)))
    faults = sum(remark.is_fault for remark in remarks)
    numbers = {"recording": len(reader.found(files or ())), "fault": faults, "warning": len(remarks) - faults}
    say(console, f"exit {int(faults > 0)}: {', '.join(plural(number, noun) for noun, number in numbers.items())}")
    raise Exit(int(faults > 0))
