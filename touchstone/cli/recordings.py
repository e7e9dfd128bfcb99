"""The commands about recordings: `record`, `replay`, `drift`, `proxy` and `recordings lint`."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from rich.console import Console
from typer import Argument, Exit, Option, Typer

from touchstone.check.handover import Errand
from touchstone.check.job import Outcome
from touchstone.cli.live import CheckState, print_plan, print_report, progress_on
from touchstone.cli.options import Place, ReportDir, Run, command, examples, flag, option
from touchstone.config import Settings, TargetSettings, keys_in
from touchstone.errors import UsageError
from touchstone.facts.runlog import read
from touchstone.facts.wording import one_line, plural
from touchstone.recordings import drifting, linting, reader, recorder, replaying, traffic
from touchstone.recordings.conversation import KEY, Conversation
from touchstone.recordings.recording import BASE_URL
from touchstone.report.terminal import say
from touchstone.report.write import conclude
from touchstone.twin.serve import until_signal

app = Typer()

Files = Annotated[
    list[Path] | None, Argument(help="HAR files, or folders of them.  [default: the recordings of the twin]")
]
As = Annotated[
    list[str] | None,
    Option(
        "--as",
        metavar="ROLE=KEY",
        help="Role of a key in requests of other tools: primary, second, restricted or unknown. KEY is the key or its "
        "variable.",
    ),
]


@command(app, "record --list", "record fresh-build reuse --plan", "record --target staging --out recordings/staging")
@dataclass(frozen=True, kw_only=True)
class Record(Run):
    """Record scenarios on a target, one file each.

    A scenario with an unexpected response is not recorded.
    """

    scenarios: Annotated[list[str] | None, Argument(help="Scenarios to record.  [default: all]")] = None
    out: Path | None = option(
        "Folder for the recordings.  [default: tests/recordings for the twin, else recordings/TARGET]"
    )
    list_names: bool = flag("List the scenarios; send nothing.", "--list")

    def run(self) -> int:
        """Records the scenarios and returns the exit code."""
        console = Console()
        if self.list_names:
            scenarios = recorder.scenarios()
            width = max(map(len, scenarios)) + 2
            for name, story in scenarios.items():
                say(console, f"{name:<{width}}{story}")
            return 0
        settings = self.settings("recording")
        names = recorder.chosen(self.scenarios or ())
        if self.plan:
            print_plan(recorder.planned(settings, names), settings, console, shared=False)
            return 0
        folder = self.out or recorder.folder_of(settings.target)
        recorder.check_folder(folder)
        with progress_on(Console(stderr=True), CheckState()) as progress:
            argv, errand = ["touchstone", *sys.argv[1:]], Errand("record", "record", names)
            outcome, written = recorder.record(settings, errand, folder, argv, progress, conclude)
        footer = read(outcome.run_log).footer
        ended = (outcome.exit_code, footer.reason if footer else "")
        return _end(console, outcome, map(str, written), *recorder.ending(*ended, written, self.scenarios or ()))


@app.command(
    epilog=examples("replay", "replay session.har --as primary=ORGO_API_KEY --strict", "replay --serve 8125 rate-limit")
)
def replay(
    files: Files = None,
    as_: As = None,
    speed: Annotated[
        float, Option(help="With --serve: speed of streams; 1 for the original speed, 0 for no waits.", min=0)
    ] = 0.0,
    serve: Annotated[
        bool,
        Option("--serve", help="Serve recordings to HTTP clients instead: an optional port, scenarios, HAR files."),
    ] = False,
    report_dir: ReportDir = None,
    strict: Annotated[
        bool | None,
        Option(
            "--strict/--no-strict",
            help="A broken should-level claim fails the run, too.  [default: --strict if Touchstone wrote all files]",
        ),
    ] = None,
) -> None:
    """Judge recordings offline with the rules of a check.

    HAR files of browsers, proxies and schemathesis work, too.
    """
    if serve:
        _serve(list(files or ()), speed)
        return
    paths, accounts = reader.found(files or ()), reader.accounts_of(as_ or (), os.environ)
    # An invalid file ends the command before anything runs.
    recordings = [reader.read(path, accounts) for path in paths]
    strict = {one.origin for one in recordings} == {"touchstone"} if strict is None else strict
    # The recorded bodies may contain keys of this environment, so these are redacted, too.
    unused = (*keys_in(os.environ).values(), *accounts)
    name = "recordings" if files else "the bundled recordings of the twin"
    target = TargetSettings(name, BASE_URL, KEY, unused_keys=unused)
    settings = Settings(target=target, report_dir=report_dir, strict=strict)
    argv = ["touchstone", *(without_keys(word, as_ or ()) for word in sys.argv[1:])]
    outcome, console = replaying.replay(settings, recordings, argv, conclude), Console()
    print_report(outcome.run_log, outcome.folder, console)
    raise Exit(outcome.exit_code)


def _serve(files: list[Path], speed: float) -> None:
    """Serves recordings until a signal arrives. The first of *files* may be a port; the others may be scenarios."""
    from touchstone.recordings import servers  # noqa: PLC0415 - slow, and only needed here

    console = Console()
    port = int(str(files.pop(0))) if files and str(files[0]).isdecimal() else 0
    if not files:
        raise UsageError("--serve: no recording; expected PORT or nothing, then scenarios or HAR files")
    conversation = Conversation([servers.read(str(file)) for file in files], speed)
    with until_signal() as wait, servers.served(conversation, port, partial(say, console)):
        say(console, f"recordings at {conversation.url}")
        say(console, f"keys: {', '.join(f'{role} {key}' for role, key in conversation.keys.items())}")
        for ref in conversation.refs:
            say(console, f"version {ref}")
        wait()


@command(
    app,
    "drift --target staging --plan",
    "drift --target staging recordings/staging",
    "drift --target staging recordings/staging --out recordings/staging --fail-on breaking",
)
@dataclass(frozen=True, kw_only=True)
class Drift(Run):
    """Compare the responses of a target with recordings.

    Exit code 1 if a claim is broken, or a change is as severe as --fail-on.
    """

    files: Files = None
    fail_on: drifting.Severity | None = option("Least severity of a change that gives exit code 1.  [default: none]")
    out: Path | None = option("Folder for new recordings, made by the same run.")

    def run(self) -> int:
        """Compares the responses and returns the exit code."""
        console = Console()
        settings = self.settings("comparing with")
        before = drifting.chosen(self.files or ())
        if self.out:
            recorder.check_folder(self.out)
        if self.plan:
            print_plan(recorder.planned(settings, tuple(before)), settings, console, shared=False)
            return 0
        with progress_on(Console(stderr=True), CheckState()) as progress:
            argv = ["touchstone", *sys.argv[1:]]
            found = drifting.compare(settings, before, argv, progress, conclude, fail_on=self.fail_on, out=self.out)
        lines = [f"{severity}: {change}" for change, severity in found.changes.items()]
        lines += (f"{name}: not compared: {why}" for name, why in found.uncompared.items())
        lines += map(str, found.written)
        return _end(console, found.outcome, lines, found.exit_code, found.reason)


@command(app, "proxy --target staging --port 8124", "proxy --url https://api.example.com/v1 --as primary=MY_KEY")
@dataclass(frozen=True, kw_only=True)
class Proxy(Place):
    """Pass other clients' requests to a target, record them, and judge each response.

    Ctrl-C ends it and writes the report.
    """

    keyless: ClassVar[bool] = True

    port: int = option("Port on this machine; 0 for any free one.", default=8124)
    as_: As = None
    fail_on: Literal["must", "should"] = option(
        "The lowest level whose broken claims give exit code 1.", default="must"
    )

    def run(self) -> int:
        """Serves until a signal arrives, and returns the exit code."""
        console = Console()
        settings = self.settings("")
        if settings.target.embedded:
            advice = "give --target NAME or --url URL; `touchstone serve` prints the URL of a twin"
            raise UsageError(f"proxy: no target; {advice}")
        settings = replace(settings, strict=self.fail_on == "should")

        def show(event: dict[str, Any]) -> None:
            if event["type"] == "listening":
                say(console, f"proxy at {event['url']}, passes requests to {event['target']}; Ctrl-C ends it")
            elif event["type"] == traffic.NOT_JUDGED:
                say(console, one_line(f"not judged: exchanges {event['text']}"))
            elif event["type"] == traffic.FINDING:
                say(console, one_line(f"broken {event['claim']} ({event['level']}): {event['text']}"))

        accounts = reader.accounts_of(self.as_ or (), os.environ)
        argv = ["touchstone", *(without_keys(word, self.as_ or ()) for word in sys.argv[1:])]
        outcome = traffic.ProxyJob(settings, self.port, accounts, show).run(argv, conclude)
        say(console, f"recording: {outcome.folder / traffic.RECORDING}")
        print_report(outcome.run_log, outcome.folder, console)
        return outcome.exit_code


def _end(console: Console, outcome: Outcome, lines: Iterable[str], code: int, reason: str) -> int:
    print_report(outcome.run_log, outcome.folder, console, ends=False)
    console.print()
    for line in [*lines, f"exit {code}: {reason}"]:
        say(console, one_line(line))
    return code


def without_keys(word: str, options: Iterable[str]) -> str:
    """Replaces keys in a word of the command line by placeholders. *options*: the values of --as, ROLE=KEY each."""
    for given in options:
        role, _, key = given.partition("=")
        if key not in os.environ:
            word = word.replace(given, f"{role}=<key:{role}>")
    return word


recordings_app = Typer(no_args_is_help=True, help="Maintain recordings.")
app.add_typer(recordings_app, name="recordings")


@recordings_app.command(epilog=examples("recordings lint", "recordings lint recordings/staging --max-age 90"))
def lint(
    files: Files = None,
    as_: As = None,
    max_age: Annotated[
        float | None, Option(help="Maximum age of a recording in days; older ones are faults.", min=0)
    ] = None,
) -> None:
    """Check recordings: format, contract, rules, secrets and age."""
    accounts = reader.accounts_of(as_ or (), os.environ)
    remarks = linting.lint(files or (), keys_in(os.environ), datetime.now(UTC), max_age, accounts)
    console = Console()
    for remark in remarks:
        say(console, one_line(str(remark)))
    faults = sum(remark.is_fault for remark in remarks)
    numbers = {"recording": len(reader.found(files or ())), "fault": faults, "warning": len(remarks) - faults}
    say(console, f"exit {int(faults > 0)}: {', '.join(plural(number, noun) for noun, number in numbers.items())}")
    raise Exit(int(faults > 0))
