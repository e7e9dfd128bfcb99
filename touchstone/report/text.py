"""The view of a run on a terminal: load and probe, what is broken and how to see it again, and one last line."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.wording import brief, figure, one_line, plural
from touchstone.loadgen.metrics import Metrics, Times, Traffic, kind_of
from touchstone.report import load_sentences, probe_sentences
from touchstone.report.terminal import (
    KIND_STYLES,
    TABLE_FROM_COLUMNS,
    inert,
    paragraph,
    render,
    say,
    table,
    unbroken,
)
from touchstone.report.view import FindingView, View

_MAX_CELL_CHARS = 300
_MAX_FINDINGS = 40
_SHARES = (0.5, 0.9, 0.99, 0.999)

_STYLES = {
    "upheld": "green",
    "broken": "bold red",
    "could_not_run": "bold yellow",
    "indeterminate": "yellow",
    "not_applicable": "dim",
}


def write(view: View, console: Console, *, ends: bool = True, advises: bool = False) -> None:
    """Writes the report to *console*; the last line is the exit code and its reason.

    Args:
        ends: Whether that line is written; a command with a reason of its own writes another one.
        advises: Whether a probe tells what a client should do.
    """
    load, probe = view.load, view.probe
    has_answers = view.counts["exchanges"] or (load and load.windows) or (probe and probe.answers)
    tables = {"findings": lambda: _findings(view, console)}
    if load:
        tables["requests"] = lambda: _requests(load.numbers, console)
    render(
        console,
        "report.txt.j2",
        tables,
        view=view,
        answered=view.exit_code != 3 or has_answers,
        advises=advises,
        texts=load_sentences.describe(load) if load else {},
        family=probe_sentences.describe_family,
        trouble=[f"{case.id}: {case.message or case.outcome}" for case in view.trouble],
        sent=_sent(view),
        styles=_STYLES,
    )
    if ends:
        style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
        say(console, f"exit {view.exit_code}: {one_line(view.reason)}", style)


def _sent(view: View) -> str:
    """How much was asked of the target; of a load or a probe, only some exchanges are kept whole."""
    kept = view.counts["exchanges"]
    if view.load:
        sent = view.load.numbers.total.whole.count
    elif view.probe:
        sent = view.probe.identity.cost.requests + (view.probe.knee.knee.requests if view.probe.knee else 0)
    else:
        return plural(kept, "exchange")
    return f"{plural(sent, 'request')} and {plural(kept, 'exchange')} kept whole"


def _findings(view: View, console: Console) -> None:
    listed = view.findings[:_MAX_FINDINGS]
    commands: dict[str, list[int]] = {}  # with the numbers of the findings: one run may show several again
    for number, item in enumerate(listed, start=1):
        commands.setdefault(one_line(item.finding.curl), []).append(number)
    if view.header.target.kind == "recording":
        commands = {}  # nobody answers at the address of a recording
    if console.width < TABLE_FROM_COLUMNS:
        for number, item in enumerate(listed, start=1):
            _stacked(console, number, item, commands)
        return
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    grid.add_column("#", justify="right", width=2)
    for title, ratio in (("claim", 5), ("expected", 4), ("actual", 4)):
        grid.add_column(title, ratio=ratio, overflow="fold")
    for number, item in enumerate(listed, start=1):
        sides = (Text(inert(side, _MAX_CELL_CHARS)) for side in (item.finding.expected, item.finding.actual))
        grid.add_row(str(number), _claim(item, "\n"), *sides)
    console.print(grid)
    if commands:
        paragraph(console, "To see them again:", style="dim")
    for command, numbers in commands.items():
        unbroken(console, Text.assemble((f"{', '.join(map(str, numbers)):>2}  ", "bold"), command))


def _claim(item: FindingView, between: str) -> Text:
    known, times = "known, " if item.known else "", f", {item.occurrences} times" if item.occurrences > 1 else ""
    about = f"{known}{item.claim.level}, {one_line(item.finding.operation) or 'request'}{times}"
    return Text.assemble((one_line(item.claim.id), "bold"), between, (about, "dim"))


def _stacked(console: Console, number: int, item: FindingView, commands: dict[str, list[int]]) -> None:
    paragraph(console, Text.assemble((f"{number}  ", "bold"), _claim(item, " ")))
    paragraph(console, f"expected {inert(item.finding.expected, _MAX_CELL_CHARS)}", 3)
    paragraph(console, f"actual   {inert(item.finding.actual, _MAX_CELL_CHARS)}", 3)
    command = one_line(item.finding.curl)
    if command in commands:
        first = commands[command][0]
        unbroken(console, f"   {command}" if number == first else f"   to see it again: as {first}")


def _requests(numbers: Metrics, console: Console) -> None:
    titles = ["requests", ">count", ">per s", *(f">p{100 * share:.6g}" for share in _SHARES), ">service\np99"]
    rows: list[list[str | Text]] = [
        [
            Text(name, style),
            f"{row.count:,}",
            figure(row.rate_per_s),
            *(_time(row.times, share) for share in _SHARES),
            _time(row.service, 0.99),
        ]
        for name, row, style in _rows(numbers)
    ]
    kind = "response" if numbers.timed else "service"
    table(console, titles, rows, f"Requests, with {kind} times", wide=False)


def _rows(numbers: Metrics) -> Iterator[tuple[str, Traffic, str]]:
    for one in numbers.operations:
        yield inert(one.name), one.whole, "bold"
        for row in one.outcomes if len(one.outcomes) > 1 or one.whole.count != one.kinds["served"] else ():
            yield f"  {inert(row.outcome)}", row, KIND_STYLES[kind_of(row.outcome)]
    if len(numbers.operations) > 1:
        yield "all", numbers.total.whole, "bold"


def _time(times: Times | None, share: float) -> str:
    if times is None:
        return "–"
    one = times.at(share)
    return brief(one.value_s).replace(" ", "") + ("" if one.sure else "?")
