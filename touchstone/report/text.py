"""Terminal report of a run: load, probe, broken claims with their requests, and a last line with the exit code."""

from rich.console import Console
from rich.text import Text

from touchstone.facts.wording import brief, figure, one_line
from touchstone.loadgen.metrics import Kind, Metrics, Times, Traffic, kind_of
from touchstone.report.terminal import inert, render, say, table
from touchstone.report.view import View

_KIND_STYLES: dict[Kind, str] = {"refused": "yellow", "error": "bold red", "cut": "yellow", "unsent": "yellow"}
_SHARES = (0.5, 0.9, 0.99, 0.999)


def write(view: View, console: Console, *, ends: bool = True, advises: bool = False) -> None:
    """Writes the report to *console*. *advises* adds advice for clients; *ends* adds the last line (exit code)."""
    load, probe = view.load, view.probe
    has_answers = view.counts["exchanges"] or (load and load.windows) or (probe and probe.answers)
    tables = {"requests": lambda: _requests(load.numbers, console)} if load else {}
    answered = view.exit_code != 3 or has_answers
    render(console, "report.txt.j2", tables, view=view, answered=answered, advises=advises)
    if ends:
        style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
        say(console, f"exit {view.exit_code}: {one_line(view.reason)}", style)


def _requests(numbers: Metrics, console: Console) -> None:
    titles = ["requests", ">count", ">per s", *(f">p{100 * share:.6g}" for share in _SHARES), ">service\np99"]
    kind = "response" if numbers.timed else "service"
    rows = []
    for one in numbers.operations:
        rows.append(_row(one.name, one.whole, "bold"))
        if len(one.outcomes) > 1 or one.whole.count != one.kinds["served"]:
            for outcome in one.outcomes:
                style = _KIND_STYLES.get(kind_of(outcome.outcome), "")
                rows.append(_row(f"  {outcome.outcome}", outcome, style))
    if len(numbers.operations) > 1:
        rows.append(_row("all operations", numbers.total.whole, "bold"))
    table(console, titles, rows, f"Requests, with {kind} times", wide=False)


def _row(name: str, row: Traffic, style: str) -> list[str | Text]:
    times = [_time(row.times, share) for share in _SHARES]
    return [Text(inert(name), style), f"{row.count:,}", figure(row.rate_per_s), *times, _time(row.service, 0.99)]


def _time(times: Times | None, share: float) -> str:
    if times is None:
        return "–"
    one = times.at(share)
    return brief(one.value_s).replace(" ", "") + ("" if one.sure else "?")
