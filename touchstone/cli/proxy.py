"""The command `proxy`."""

import os
import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from rich.console import Console
from typer import Typer

from touchstone.cli.live import print_report
from touchstone.cli.options import Place, command, option
from touchstone.cli.recordings import As, without_keys
from touchstone.errors import UsageError
from touchstone.facts.wording import one_line
from touchstone.recordings import reader, traffic
from touchstone.report.terminal import say
from touchstone.report.write import conclude

app = Typer()


@command(app, "proxy --target staging --port 8124", "proxy --url https://api.example.com/v1 --as primary=MY_KEY")
@dataclass(frozen=True, kw_only=True)
class Proxy(Place):
    """Pass other clients' requests to a target, record them, and judge each response.

    Ctrl-C ends it and writes the report.
    """

    keyless: ClassVar[bool] = True

    port: int = option("Port on this machine; 0 for any free one.", default=8124)
    as_: As = None
    max_seconds: float | None = option("Seconds after which the proxy ends.  [default: at a signal]")
    fail_on: Literal["must", "should"] = option(
        "The lowest level whose broken claims give exit code 1.", default="must"
    )

    def run(self) -> int:
        """Serves until a signal arrives, and returns the exit code."""
        console = Console()
        settings = self.settings("")
        if settings.target.embedded:
            raise UsageError("proxy: found no target; give --target NAME or --url URL; `touchstone serve` prints one")
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
        outcome = traffic.run(settings, self.port, accounts, argv, show, conclude)
        say(console, f"recording: {outcome.folder / traffic.RECORDING}")
        print_report(outcome.run_log, outcome.folder, console)
        return outcome.exit_code
