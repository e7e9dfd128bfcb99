"""The view of a run on a terminal: load and probe, what is broken and how to see it again, and one last line."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.wording import brief, chance_words, figure, one_line, percentage, plural
from touchstone.loadgen.metrics import LASTING, Metrics, Times, Traffic, kind_of
from touchstone.report import load_sentences
from touchstone.report.load_view import LimitLine, LoadView
from touchstone.report.probe_sentences import (
    describe_family,
    describe_free,
    describe_limiter,
    describe_others,
    readings,
)
from touchstone.report.probe_view import ProbeView
from touchstone.report.terminal import (
    KIND_STYLES,
    TABLE_FROM_COLUMNS,
    inert,
    paragraph,
    say,
    section,
    table,
    unbroken,
)
from touchstone.report.view import FindingView, Reason, View
from touchstone.rules.verdict import Verdict

_MAX_CELL_CHARS = 300
_MAX_FINDINGS = 40
_MAX_LISTED = 12
_MORE = ": see report.html or report.json"
_SHARES = (0.5, 0.9, 0.99, 0.999)

_STYLES: dict[Verdict, str] = {
    "broken": "bold red",
    "could-not-run": "bold yellow",
    "indeterminate": "yellow",
    "not-applicable": "dim",
    "upheld": "green",
}
_LIMIT_STYLES = {"broken": "bold red", "indeterminate": "yellow", "kept": "green", "not-applicable": "dim"}


def write(view: View, console: Console, *, ends: bool = True, advises: bool = False) -> None:
    """Writes the report to *console*; the last line is the exit code and its reason.

    Args:
        ends: Whether that line is written; a command with a reason of its own writes another one.
        advises: Whether a probe tells what a client should do.
    """
    if view.exit_code == 3 and not _has_answers(view):
        if not view.stuck:  # whose reason the last line has
            _grouped(console, "Not applicable", view.idle, _STYLES["not-applicable"])
        _listed(console, "Warnings", view.warnings)
    else:
        if view.load and view.load.windows:
            write_load(view.load, console)
        if view.probe:
            write_probe(view.probe, console, advises=advises)
        _write_claims(view, console)
    if ends:
        style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
        say(console, f"exit {view.exit_code}: {one_line(view.reason)}", style)


def _has_answers(view: View) -> bool:
    loaded, probed = view.load and view.load.windows, view.probe and view.probe.answers
    return bool(view.counts["exchanges"] or loaded or probed)


def _write_claims(view: View, console: Console) -> None:
    if view.findings:
        _findings(view, console)
    _listed(console, "Hold again (take their lines out of the baseline)", [item.claim.id for item in view.healed])
    _grouped(console, "Must claims without a verdict", view.stuck, _STYLES["could-not-run"])
    _grouped(console, "No clear answer", view.unclear, _STYLES["indeterminate"])
    _grouped(console, "Not applicable", view.idle, _STYLES["not-applicable"], folds=True)
    _listed(console, "Ended without a verdict", [f"{c.id}: {c.message or c.outcome}" for c in view.trouble])
    _listed(console, "Left on the target (touchstone sweep removes them)", view.left_behind)
    _listed(console, "May be left on the target (touchstone sweep looks, and removes them)", view.may_be_left)
    _listed(console, "Warnings", view.warnings)
    _counts(view, console)


def _listed(console: Console, title: str, lines: list[str] | tuple[str, ...]) -> None:
    section(console, title, map(_clip, lines), "bold yellow", _MAX_LISTED, _MORE)


def _findings(view: View, console: Console) -> None:
    listed = view.findings[:_MAX_FINDINGS]
    paragraph(console, "Broken claims", style=_STYLES["broken"])
    commands: dict[str, list[int]] = {}  # with the numbers of the findings: one run may show several again
    for number, item in enumerate(listed, start=1):
        commands.setdefault(one_line(item.finding.curl), []).append(number)
    if view.header.target.kind == "recording":
        commands = {}  # nobody answers at the address of a recording
    if console.width >= TABLE_FROM_COLUMNS:
        grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
        grid.add_column("#", justify="right", width=2)
        for title, ratio in (("claim", 5), ("expected", 4), ("actual", 4)):
            grid.add_column(title, ratio=ratio, overflow="fold")
        for number, item in enumerate(listed, start=1):
            sides = (Text(_clip(side)) for side in (item.finding.expected, item.finding.actual))
            grid.add_row(str(number), _claim(item, "\n"), *sides)
        console.print(grid)
        if commands:
            paragraph(console, "To see them again:", style="dim")
        for command, numbers in commands.items():
            unbroken(console, Text.assemble((f"{', '.join(map(str, numbers)):>2}  ", "bold"), command))
    else:
        for number, item in enumerate(listed, start=1):
            _stacked(console, number, item, commands)
    if len(view.findings) > len(listed):
        unbroken(console, f"… and {plural(len(view.findings) - len(listed), 'more finding')}{_MORE}")
    console.print()


def _claim(item: FindingView, between: str) -> Text:
    known, times = "known, " if item.known else "", f", {item.occurrences} times" if item.occurrences > 1 else ""
    about = f"{known}{item.claim.level}, {one_line(item.finding.operation) or 'request'}{times}"
    return Text.assemble((one_line(item.claim.id), "bold"), between, (about, "dim"))


def _stacked(console: Console, number: int, item: FindingView, commands: dict[str, list[int]]) -> None:
    paragraph(console, Text.assemble((f"{number}  ", "bold"), _claim(item, " ")))
    paragraph(console, f"expected {_clip(item.finding.expected)}", 3)
    paragraph(console, f"actual   {_clip(item.finding.actual)}", 3)
    command = one_line(item.finding.curl)
    if command in commands:
        first = commands[command][0]
        unbroken(console, f"   {command}" if number == first else f"   to see it again: as {first}")


def _grouped(console: Console, title: str, reasons: tuple[Reason, ...], style: str, *, folds: bool = False) -> None:
    """Each reason once, with the claims that it holds for.

    Args:
        folds: Whether of a reason that very many share only their number is told, last of all.
    """
    if not reasons:
        return
    paragraph(console, f"{title} ({sum(len(reason.claims) for reason in reasons)})", style=style)
    detailed = [reason for reason in reasons if not (folds and reason.is_common)]
    for reason in detailed[:_MAX_LISTED]:
        more = f" and {len(reason.claims) - 4} more" if len(reason.claims) > 4 else ""
        paragraph(console, _clip(reason.reason), 2)
        paragraph(console, f"{', '.join(map(one_line, reason.claims[:4]))}{more}", 4, "dim")
    if len(detailed) > _MAX_LISTED:
        unbroken(console, f"  … and {plural(len(detailed) - _MAX_LISTED, 'more reason')}")
    for reason in reasons:
        if reason not in detailed:
            where = f"{len(reason.claims)} claims, listed in report.html and report.json"
            paragraph(console, Text.assemble(_clip(reason.reason), (f" ({where})", "dim")), 2)
    console.print()


def _counts(view: View, console: Console) -> None:
    counts: tuple[Verdict, ...] = ("upheld", "broken", "could-not-run", "indeterminate", "not-applicable")
    numbers = [(verdict, view.verdict.count(verdict)) for verdict in counts]
    parts = [Text(f"{number} {verdict.replace('-', ' ')}", _STYLES[verdict]) for verdict, number in numbers if number]
    paragraph(console, Text(f"{plural(view.counts['claims'], 'claim')}: ").append_text(Text(", ").join(parts)))
    paragraph(console, f"{_sent(view)} with {_clip(view.target)} in {view.duration_s:.1f} s, seed {view.header.seed}")


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


def _clip(text: str) -> str:
    return inert(text, _MAX_CELL_CHARS)


def write_load(load: LoadView, console: Console) -> None:
    """Writes how requests went, the thresholds, the capacity, and how the generator fared."""
    began_at = load.workload.began_at
    for text in (
        load_sentences.describe_silence(load.silence, began_at) if load.silence else "",
        load_sentences.describe_pause(load.pauses, began_at),
    ):
        if text:
            paragraph(console, text, style="bold red")
            console.print()
    _requests(load.numbers, console)
    _limits(load.limits, console)
    if load.capacity:
        paragraph(console, "Capacity", style="bold")
        paragraph(console, load_sentences.describe_capacity(load.capacity), 2)
        if failed := load_sentences.describe_failed(load.attempts):
            paragraph(console, failed, 2)
        paragraph(console, load_sentences.describe_beyond(load.capacity), 2, "dim")
        if any(load.asked):
            paragraph(console, load_sentences.describe_closing(*load.asked), 2, "dim")
        console.print()
    is_fine = load.kept.kept_up and not load.kept.is_spent
    paragraph(console, load_sentences.describe_generator(load.kept, began_at), style="" if is_fine else "yellow")
    console.print()


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
    _remarks(numbers, console)


def _rows(numbers: Metrics) -> Iterator[tuple[str, Traffic, str]]:
    for one in numbers.operations:
        yield inert(one.name), one.whole, "bold"
        for row in one.outcomes if len(one.outcomes) > 1 or one.whole.count != one.kinds["served"] else ():
            yield f"  {inert(row.outcome)}", row, KIND_STYLES[kind_of(row.outcome)]
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
        paragraph(console, load_sentences.describe_cut(numbers), style="yellow")
    if text := load_sentences.describe_timed(numbers):
        paragraph(console, text, style="dim")
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
        verdict, margin = line.reading.verdict, "" if line.margin_share is None else f" ({line.margin})"
        text = f" {line.says}, {line.operation}: {line.measured}, {line.bound} {line.limit}{margin}"
        paragraph(console, Text.assemble((verdict, _LIMIT_STYLES[verdict]), text), 2)
        if line.reading.reason:
            paragraph(console, line.reading.reason, 4, "dim")
    console.print()


def write_probe(probe: ProbeView, console: Console, *, advises: bool = False) -> None:
    """Writes what was found, why it is no other, how to have the same, and with *advises* what clients should do."""
    identity = probe.identity
    paragraph(console, probe.sentence, style="bold green" if identity.sure else "bold yellow")
    if not identity.sure and identity.tiers:
        paragraph(console, f"likeliest: {describe_limiter(readings(identity.tiers), probe.noun)}", 2)
    for text in describe_free(identity) if identity.tiers else ():
        paragraph(console, text, 2)
    for runner in identity.families[1 : 2 if identity.sure else None]:
        odds = f" ({chance_words(runner.probability)}, at best {inert(runner.text)})" if runner.text else ""
        lost = f": {inert(runner.lost)}" if runner.lost else ""
        name = (inert(describe_family(runner.family)), "bold")
        paragraph(console, Text.assemble("not " if identity.sure else "or ", name, odds, lost), 2)
    if identity.tiers:
        unbroken(console, f"  touchstone serve --rate {one_line(identity.text)}")
    if text := describe_others(identity.others_share):
        paragraph(console, text, 2, "yellow")
    if probe.knee:
        paragraph(console, probe.knee.sentence, style="bold green" if probe.knee.knee.told else "bold yellow")
    console.print()
    section(console, "What answers say of the limit, and it does not do", identity.findings, "bold yellow")
    section(console, "Notes", identity.notes)
    if advises:
        section(console, "What a client should do", probe.advice.lines)
