"""The view on a terminal: what is broken and how to see it again, what could not be judged, and one last line."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.facts.wording import clipped, one_line, plural
from touchstone.report import load_text, probe_text
from touchstone.report.narrow import TABLE_FROM_COLUMNS, say
from touchstone.report.view import FindingView, Reason, View
from touchstone.rules.verdict import Verdict

_MAX_CELL_CHARS = 300
_MAX_FINDINGS = 40
_MAX_LISTED = 12

_STYLES: dict[Verdict, str] = {
    "broken": "bold red",
    "could-not-run": "bold yellow",
    "indeterminate": "yellow",
    "not-applicable": "dim",
    "upheld": "green",
}


def write(view: View, console: Console, *, ends: bool = True, advises: bool = False) -> None:
    """Writes the report to *console*; the last line is the exit code and its reason.

    Args:
        ends: Whether that line is written; a command with a reason of its own writes another one.
        advises: Whether a probe tells what a client should do.
    """
    if view.exit_code == 3 and not _came_to_it(view):
        if not view.stuck:  # whose reason the last line has
            _grouped(console, "Not applicable", view.idle, _STYLES["not-applicable"])
        _listed(console, "Warnings", list(view.warnings))
        if ends:
            _last(view, console)
        return
    if view.load and view.load.windows:
        load_text.write(view.load, console)
    if view.probe:
        probe_text.write(view.probe, console, advises=advises)
    if view.findings:
        _findings(view, console)
    _listed(console, "Hold again (take their lines out of the baseline)", [claim.claim.id for claim in view.healed])
    _grouped(console, "Must claims without a verdict", view.stuck, _STYLES["could-not-run"])
    _grouped(console, "No clear answer", view.unclear, _STYLES["indeterminate"])
    _grouped(console, "Not applicable", view.idle, _STYLES["not-applicable"], folds=True)
    _listed(console, "Ended without a verdict", [f"{c.id}: {c.message or c.outcome}" for c in view.trouble])
    _listed(console, "Left on the target (touchstone sweep removes them)", list(view.left_behind))
    _listed(console, "May be left on the target (touchstone sweep looks, and removes them)", list(view.may_be_left))
    _listed(console, "Warnings", list(view.warnings))
    _numbers(view, console)
    if ends:
        _last(view, console)


def _came_to_it(view: View) -> bool:
    """Whether the target was asked anything that a report can tell of."""
    loaded, probed = view.load and view.load.windows, view.probe and view.probe.answers
    return bool(view.counts["exchanges"] or loaded or probed)


def _last(view: View, console: Console) -> None:
    """The last line. It is all there is to say of a target that never came to be judged."""
    style = {0: "bold green", 1: "bold red"}.get(view.exit_code, "bold yellow")
    say(console, f"exit {view.exit_code}: {one_line(view.reason)}", style)


def _findings(view: View, console: Console) -> None:
    listed = view.findings[:_MAX_FINDINGS]
    _heading(console, "Broken claims", _STYLES["broken"])
    if console.width >= TABLE_FROM_COLUMNS:
        console.print(_table(listed))
        # Nobody answers at the address of a recording.
        again = () if view.header.target.kind == "recording" else listed
        if again:
            _paragraph(console, Text("To see them again:", "dim"), 0)
        for command, numbers in _commands(again).items():
            _line(console, Text.assemble((f"{', '.join(map(str, numbers)):>2}  ", "bold"), command))
    else:
        told = {} if view.header.target.kind == "recording" else _commands(listed)
        for number, item in enumerate(listed, start=1):
            _stacked(console, number, item, told)
    if len(view.findings) > len(listed):
        more = plural(len(view.findings) - len(listed), "more finding")
        _line(console, Text(f"… and {more}: see report.html or report.json"))
    console.print()


def _table(findings: tuple[FindingView, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    table.add_column("#", justify="right", width=2)
    for title, ratio in (("claim", 5), ("expected", 4), ("actual", 4)):
        table.add_column(title, ratio=ratio, overflow="fold")
    for number, item in enumerate(findings, start=1):
        table.add_row(str(number), _claim(item, "\n"), _cell(item.finding.expected), _cell(item.finding.actual))
    return table


def _claim(item: FindingView, between: str) -> Text:
    times = f", {item.occurrences} times" if item.occurrences > 1 else ""
    about = (
        f"{'known, ' if item.known else ''}{item.claim.level}, {one_line(item.finding.operation) or 'request'}{times}"
    )
    return Text.assemble((one_line(item.claim.id), "bold"), between, (about, "dim"))


def _commands(listed: tuple[FindingView, ...]) -> dict[str, list[int]]:
    """Each command that shows findings again, with their numbers: one run may show several."""
    commands: dict[str, list[int]] = {}
    for number, item in enumerate(listed, start=1):
        commands.setdefault(one_line(item.finding.curl), []).append(number)
    return commands


def _stacked(console: Console, number: int, item: FindingView, commands: dict[str, list[int]]) -> None:
    finding = item.finding
    _paragraph(console, Text.assemble((f"{number}  ", "bold"), _claim(item, " ")), 0)
    _paragraph(console, Text(f"expected {_clip(finding.expected)}"), 3)
    _paragraph(console, Text(f"actual   {_clip(finding.actual)}"), 3)
    command = one_line(finding.curl)
    if command in commands:
        first = commands[command][0]
        _line(console, Text(f"   {command}" if number == first else f"   to see it again: as {first}"))


def _grouped(console: Console, title: str, reasons: tuple[Reason, ...], style: str, *, folds: bool = False) -> None:
    """Each reason once, with the claims that it holds for.

    Args:
        folds: Whether of a reason that very many share only their number is told, last of all.
    """
    if not reasons:
        return
    _heading(console, f"{title} ({sum(len(reason.claims) for reason in reasons)})", style)
    named = [reason for reason in reasons if not (folds and reason.is_common)]
    for reason in named[:_MAX_LISTED]:
        names = ", ".join(map(one_line, reason.claims[:4]))
        more = f" and {len(reason.claims) - 4} more" if len(reason.claims) > 4 else ""
        _paragraph(console, Text(_clip(reason.reason)), 2)
        _paragraph(console, Text(f"{names}{more}", "dim"), 4)
    if len(named) > _MAX_LISTED:
        _line(console, Text(f"  … and {plural(len(named) - _MAX_LISTED, 'more reason')}"))
    for reason in reasons:
        if reason not in named:
            where = f"{len(reason.claims)} claims, listed in report.html and report.json"
            _paragraph(console, Text.assemble(_clip(reason.reason), (f" ({where})", "dim")), 2)
    console.print()


def _listed(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    _heading(console, title, "bold yellow")
    for text in lines[:_MAX_LISTED]:
        _paragraph(console, Text(_clip(text)), 2)
    if len(lines) > _MAX_LISTED:
        _line(console, Text(f"  … and {len(lines) - _MAX_LISTED} more: see report.html or report.json"))
    console.print()


def _numbers(view: View, console: Console) -> None:
    counts = view.counts
    words: tuple[tuple[Verdict, int], ...] = (
        ("upheld", counts["upheld"]),
        ("broken", counts["broken"]),
        ("could-not-run", counts["could_not_run"]),
        ("indeterminate", counts["indeterminate"]),
        ("not-applicable", counts["not_applicable"]),
    )
    text = Text(f"{plural(counts['claims'], 'claim')}: ")
    text.append_text(
        Text(", ").join(Text(f"{number} {word.replace('-', ' ')}", _STYLES[word]) for word, number in words if number)
    )
    _paragraph(console, text, 0)
    name, took_s = _clip(view.target), view.duration_s
    _paragraph(console, Text(f"{_asked(view)} with {name} in {took_s:.1f} s, seed {view.header.seed}"), 0)


def _asked(view: View) -> str:
    """How much was asked of the target; of a load or a probe, only some exchanges are kept whole."""
    kept = view.counts["exchanges"]
    if view.load:
        sent = view.load.numbers.total.whole.count
    elif view.probe:
        sent = view.probe.identity.cost.requests + (view.probe.knee.knee.requests if view.probe.knee else 0)
    else:
        return plural(kept, "exchange")
    return f"{plural(sent, 'request')} and {plural(kept, 'exchange')} kept whole"


def _heading(console: Console, title: str, style: str) -> None:
    _paragraph(console, Text(title, style), 0)


def _paragraph(console: Console, text: Text, indent: int) -> None:
    for piece in text.wrap(console, max(console.width - indent, 10), overflow="fold"):
        piece.rstrip()
        console.print(Text.assemble(" " * indent, piece))


def _line(console: Console, text: Text) -> None:
    # Never broken by us: a command has to survive being copied, and a last line has to stay one line.
    console.print(text, soft_wrap=True)


def _cell(text: str) -> Text:
    return Text(_clip(text))


def _clip(text: str) -> str:
    return clipped(one_line(text), _MAX_CELL_CHARS)
