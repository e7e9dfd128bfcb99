"""A comparison of two runs on a terminal; the last line says what it comes to."""

from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.finding import Finding
from touchstone.facts.visible import clipped
from touchstone.loadgen.thresholds import named
from touchstone.report.compare_loads import (
    NOISE,
    TOO_FEW,
    UNCERTAIN,
    AnswerTimes,
    Change,
    LoadComparison,
    OperationChange,
)
from touchstone.report.compare_words import apart_words, method_words, run_words, statistic_words, value_words
from touchstone.report.comparison import GROUPS, ClaimChanges, Comparison, Turn
from touchstone.report.load_words import capacity_words
from touchstone.report.narrow import say
from touchstone.report.paragraphs import paragraph, told
from touchstone.rules.verdict import plural

_TABLE_FROM_COLUMNS = 76  # below, columns beside each other would be too narrow to read
_MAX_LISTED = 20
_STYLES = {"slower": "bold red", "faster": "bold green", "more": "bold", "less": "bold"}
_STYLES |= dict.fromkeys((NOISE, UNCERTAIN, TOO_FEW), "dim")


def write(comparison: Comparison, console: Console, page: Path | None = None, exit_code: int = 0) -> None:
    """Writes the comparison to *console*.

    Args:
        page: Where the report for a browser is.
    """
    for letter, log in (("A", comparison.before), ("B", comparison.after)):
        paragraph(console, Text.assemble((letter, "bold"), f"  {told(run_words(log))}"))
    console.print()
    if comparison.unlike:
        paragraph(console, "The two had not the same to do; a difference may come from that:", style="bold yellow")
        for unlike in comparison.unlike:
            paragraph(console, told(f"{unlike.what}: A {unlike.before}, B {unlike.after}"), 2)
        console.print()
    if comparison.load:
        _load(comparison.load, console)
    _claims(comparison.claims, console)
    _answers(comparison, console)
    if page is not None:
        console.print(Text(f"report: {page}"), soft_wrap=True)
    say(console, f"exit {exit_code}: {comparison.reason}", "bold")


def _answers(comparison: Comparison, console: Console) -> None:
    """How long a target took that was not loaded; what is noise or too little to tell is told in a line."""
    if comparison.load:
        return
    differing = [one for one in comparison.answers if one.differ]
    _listed(console, "Answer times beyond noise", (_times(one) for one in differing))
    took = (log.footer.duration_s if log.footer else 0.0 for log in (comparison.before, comparison.after))
    whole = " and ".join(f"{seconds:.1f} s" for seconds in took)
    others = len(comparison.answers) - len(differing)
    rest = (
        f"; answer times of {plural(others, 'operation')} do not differ beyond noise, or are too few" if others else ""
    )
    paragraph(console, f"The runs took {whole}{rest}.", style="dim")
    console.print()


def _times(one: AnswerTimes) -> str:
    told_of = (
        f"{statistic_words(change)} {value_words(change, change.before)}, {value_words(change, change.after)}: "
        f"{apart_words(change)}, {change.verdict}"
        for change in one.changes
        if change.apart
    )
    return f"{one.operation} ({one.counts[0]:,} and {one.counts[1]:,} answers): {'; '.join(told_of)}"


def _load(load: LoadComparison, console: Console) -> None:
    if console.width < _TABLE_FROM_COLUMNS:
        for one in load.operations:
            _stacked(one, console)
    else:
        console.print(_table(load))
    console.print()
    paragraph(console, method_words(load), style="dim")
    console.print()
    for letter, found in zip("AB", load.capacities, strict=True):
        if found:
            paragraph(console, f"Capacity in {letter}: {capacity_words(found)}")
    if any(load.capacities):
        console.print()


def _changes(one: OperationChange) -> list[Change]:
    """Those that say something: p95 says little beside its neighbours."""
    return [change for change in (*one.times, *one.counted) if change.statistic != "p95_s" and change.tells]


def _table(load: LoadComparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("response time" if load.timed else "service time", no_wrap=True)
    for title in ("A", "B"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("difference", overflow="fold")
    table.add_column("", overflow="fold")
    for one in load.operations:
        table.add_row(Text(told(named(one.name)), "bold"), *(_count(side) for side in (one.before, one.after)))
        for change in _changes(one):
            values = (value_words(change, value) for value in (change.before, change.after))
            verdict = Text(change.verdict.removesuffix(" beyond noise"), _STYLES[change.verdict])
            table.add_row(f"  {statistic_words(change)}", *values, apart_words(change), verdict)
    return table


def _count(side: object) -> str:
    whole = getattr(side, "whole", None)
    return f"{whole.count:,}" if whole else "–"


def _stacked(one: OperationChange, console: Console) -> None:
    counts = f"{_count(one.before)} and {_count(one.after)} requests"
    paragraph(console, Text.assemble((told(named(one.name)), "bold"), f" {counts}"))
    for change in _changes(one):
        values = f"{value_words(change, change.before)}, {value_words(change, change.after)}"
        paragraph(console, Text(f"{statistic_words(change)}: {values}"), 2)
        paragraph(
            console, Text.assemble(f"{apart_words(change)} ".lstrip(), (change.verdict, _STYLES[change.verdict])), 4
        )


def _claims(claims: ClaimChanges, console: Console) -> None:
    if claims.unasked:
        paragraph(console, f"{plural(claims.unasked, 'claim')} only one of the two was asked for, by --claims.")
        console.print()
    if claims.are_alike:
        paragraph(console, "Claims: the same verdicts and the same findings.")
        console.print()
        return
    for group in GROUPS:
        _listed(console, f"Claims {group}", map(_turn, claims.turned_by(group)))
    _listed(console, "New findings, in B only", map(_finding, claims.new))
    _listed(console, "Gone findings, in A only", map(_finding, claims.gone))
    _listed(console, "Claims that B does not know", (f"{i.claim.id}: {i.verdict}" for i in claims.only_before))
    _listed(console, "Claims that A does not know", (f"{i.claim.id}: {i.verdict}" for i in claims.only_after))


def _turn(turn: Turn) -> str:
    reason = f" ({clipped(turn.after.reason, 120)})" if turn.after.reason else ""
    return f"{told(turn.after.claim.id)}: {turn.before.verdict} → {turn.after.verdict}{told(reason)}"


def _finding(finding: Finding) -> str:
    return f"{finding.claim}: {finding.operation or 'request'}, expected {finding.expected}; actual {finding.actual}"


def _listed(console: Console, title: str, lines: Iterable[str]) -> None:
    texts = list(lines)
    if not texts:
        return
    paragraph(console, f"{title} ({len(texts)})", style="bold")
    for text in texts[:_MAX_LISTED]:
        paragraph(console, text, 2)
    if len(texts) > _MAX_LISTED:
        paragraph(console, f"… and {len(texts) - _MAX_LISTED} more", 2)
    console.print()
