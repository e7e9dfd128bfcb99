"""The load of a run on a terminal: how requests went, the thresholds, the capacity, and how the generator fared."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.figures import brief, figure, percentage
from touchstone.loadgen.metrics import LASTING, Metrics, Times, Traffic, kind_of
from touchstone.report.load_view import LimitLine, LoadView
from touchstone.report.load_words import (
    beyond_words,
    capacity_words,
    closing_words,
    cut_words,
    failed_words,
    generator_words,
    pause_words,
    silence_words,
    timed_words,
)
from touchstone.report.paragraphs import KIND_STYLES, paragraph, told
from touchstone.rules.verdict import plural

_TABLE_FROM_COLUMNS = 76  # below, columns beside each other would be too narrow to read
_SHARES = (0.5, 0.9, 0.99, 0.999)
_VERDICTS = {"broken": "bold red", "indeterminate": "yellow", "kept": "green", "not-applicable": "dim"}


def write(load: LoadView, console: Console) -> None:
    """Writes the load to *console*."""
    if load.silence:
        paragraph(console, silence_words(load.silence, load.workload.began_at), style="bold red")
        console.print()
    if load.pauses:
        paragraph(console, pause_words(load.pauses, load.workload.began_at), style="bold red")
        console.print()
    _requests(load.numbers, console)
    _limits(load.limits, console)
    if load.capacity:
        paragraph(console, "Capacity", style="bold")
        paragraph(console, capacity_words(load.capacity), 2)
        if failed := failed_words(load.attempts):
            paragraph(console, failed, 2)
        paragraph(console, beyond_words(load.capacity), 2, "dim")
        if any(load.asked):
            paragraph(console, closing_words(*load.asked), 2, "dim")
        console.print()
    is_fine = load.kept.kept_up and not load.kept.is_spent
    paragraph(console, generator_words(load.kept, load.workload.began_at), style="" if is_fine else "yellow")
    console.print()


def _requests(numbers: Metrics, console: Console) -> None:
    rows = list(_rows(numbers))
    what = "response" if numbers.timed else "service"
    if console.width < _TABLE_FROM_COLUMNS:
        paragraph(console, f"Requests, with {what} times", style="bold")
        for name, row, style in rows:
            paragraph(console, Text.assemble((name, style), f" {row.count:,}, {figure(row.rate_per_s)} a second"))
            if row.times:
                times = ", ".join(f"{row.times.at(share).name} {_time(row.times, share)}" for share in _SHARES)
                paragraph(console, Text(times), 4)
        _remarks(numbers, console)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("requests", overflow="fold", min_width=17)
    titles = ("count", "per s", *(f"p{100 * share:.6g}" for share in _SHARES), "service\np99")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, row, style in rows:
        cells = [_time(row.times, share) for share in _SHARES]
        table.add_row(Text(name, style), f"{row.count:,}", figure(row.rate_per_s), *cells, _time(row.service, 0.99))
    console.print(table)
    _remarks(numbers, console)


def _rows(numbers: Metrics) -> Iterator[tuple[str, Traffic, str]]:
    for one in numbers.operations:
        yield told(one.name), one.whole, "bold"
        for row in one.outcomes if len(one.outcomes) > 1 or one.whole.count != one.kinds["served"] else ():
            yield f"  {told(row.outcome)}", row, KIND_STYLES[kind_of(row.outcome)]
    if len(numbers.operations) > 1:
        yield "all", numbers.total.whole, "bold"


def _remarks(numbers: Metrics, console: Console) -> None:
    total = numbers.total
    parts = [f"errors {percentage(total.error_share)}", f"refused {percentage(total.refused_share)}"]
    parts += [f"cut off {total.kinds['cut']:,}"] if total.kinds["cut"] else []
    parts += [f"never sent {total.unsent:,}, of which no time is here"] if total.unsent else []
    parts.append(f"per s over {brief(numbers.measured_s)}, to {numbers.until}")
    what = "response times, from due" if numbers.timed else "closed model: service times only"
    times = total.whole.times
    apart = ", followed logs apart" if any(one.name in LASTING for one in numbers.operations) else ""
    never = f"; “never”: {plural(times.never, 'request')} got no answer{apart}" if times and times.never else ""
    paragraph(console, f"{', '.join(parts)}; {what}; “?”: fewer than ten samples lie beyond{never}", style="dim")
    if total.kinds["cut"]:
        paragraph(console, cut_words(numbers), style="yellow")
    if words := timed_words(numbers):
        paragraph(console, words, style="dim")
    console.print()


def _time(times: Times | None, share: float) -> str:
    if times is None:
        return "–"
    one = times.at(share)
    return brief(one.value_s).replace(" ", "") + ("" if one.sure else "?")


def _limits(lines: tuple[LimitLine, ...], console: Console) -> None:
    if not lines:
        return
    paragraph(console, f"Thresholds ({len(lines)})", style="bold")
    for line in lines:
        word = line.reading.verdict
        limit_words = f"{line.says}, {line.operation}: {line.measured}, {line.bound} {line.limit}"
        margin = "" if line.margin_share is None else f" ({line.margin})"
        paragraph(console, Text.assemble((word, _VERDICTS[word]), f" {limit_words}{margin}"), 2)
        if line.reading.reason:
            paragraph(console, line.reading.reason, 4, "dim")
    console.print()
