"""The command that removes what killed runs left: argv in, exit code out."""

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from touchstone.check.sweep import sweep
from touchstone.cli.options import Place, Reports, command
from touchstone.report.terminal import say
from touchstone.report.terminal import say as say_fitted

app = typer.Typer()

# Of what is left for one reason so many are named; the journal has them all.
NAMED = 3


@command(app, "sweep --target staging")
@dataclass(frozen=True, kw_only=True)
class Sweep(Place):
    """Remove what killed runs left on a target.

    Only versions with names of those runs are touched.
    """

    report_dir: Reports = None

    def run(self) -> int:
        """Removes it."""
        settings, out = self.settings(""), Console()
        reports = self.report_dir or Path("reports")
        folders = (settings.state_dir, reports, *(path for path in reports.glob("*") if path.is_dir()))
        swept = sweep(settings, folders, lambda text: say(out, text))
        reasons: dict[str, list[str]] = {}
        for one in swept:
            for ref, why in one.left.items():
                reasons.setdefault(why, []).append(ref)
        for why, refs in reasons.items():
            more = f" and {len(refs) - NAMED} more" if len(refs) > NAMED else ""
            say_fitted(out, f"could not be removed: {', '.join(refs[:NAMED])}{more}: {why}")
        removed, gone, left = (sum(len(getattr(one, part)) for one in swept) for part in ("removed", "gone", "left"))
        ending = f"{removed} templates removed, {left} left"
        ending += f"; {gone} {'was' if gone == 1 else 'were'} gone already" if gone else ""
        silent = next((one.url for one in swept if one.silent), "")
        if silent:
            ending += f"; {silent} did not answer: check the URL and that the server runs, and sweep again"
        elif left:
            ending += "; set right what is told above, and sweep again"
        say_fitted(out, f"exit {3 if left else 0}: {ending}")
        return 3 if left else 0
