"""The view for GitHub Actions: a summary of the step, and annotations.

What a target said stands in the summary only as the content of a `code` element within a block of HTML: no Markdown is
read there, and GitHub makes no link and no mention of it. A block ends at an empty line, which no such text has in it.
"""

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Literal

from touchstone.facts.wording import brief, clipped, figure, one_line, plural
from touchstone.report.html import SYMBOLS, headline_of
from touchstone.report.load_view import LoadView
from touchstone.report.view import FindingView, Reason, View
from touchstone.report.workflow_commands import annotation
from touchstone.rules.verdict import VERDICTS

# GitHub drops a summary of more than 1 MiB.
MAX_SUMMARY_BYTES = 900_000
MAX_ANNOTATIONS = 10  # GitHub shows so many of a step
MAX_HEALED = 5  # of them; the reason of the run names ten
MAX_CELL_CHARS = 300
MAX_FINDINGS = 200  # rows; whoever wants more opens the report
MAX_COMMANDS = 20
MAX_LISTED = 30

END_BYTES = 4_000  # kept for what stands below every table

Place = tuple[str, int]


class Paper:
    """What is written of a summary, piece by piece, as far as there is room for it.

    Args:
        room_bytes: How long it may become.
    """

    __slots__ = ("_pieces", "_room_bytes")

    def __init__(self, room_bytes: int) -> None:
        self._pieces: list[str] = []
        self._room_bytes = room_bytes

    def add(self, text: str, keep_bytes: int = END_BYTES) -> bool:
        """Whether the text was written: it is not where less than *keep_bytes* of room would be left."""
        size = len(text.encode())
        if self._room_bytes - size < keep_bytes:
            return False
        self._pieces.append(text)
        self._room_bytes -= size
        return True

    def block(self, begin: str, rows: Iterable[str], end: str) -> int:
        """How many of the rows were written, between *begin* and *end*; none where not even one fits."""
        written = 0
        for row in rows:
            # The end of a table is kept room for by what `add` leaves.
            if not self.add(row if written else begin + row):
                break
            written += 1
        if written:
            self.add(end, 0)
        return written

    def text(self) -> str:
        """All that was written."""
        return "".join(self._pieces)


def code(text: str, most: int = MAX_CELL_CHARS) -> str:
    """A text of anybody's as an element that shows it and nothing else."""
    return f"<code>{escape(clipped(one_line(text), most))}</code>"


def summary(view: View, folder: Path, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """The summary of a step, in Markdown; empty where there is no room for its first lines.

    Args:
        folder: Where the reports are.
        room_bytes: How long it may become, in UTF-8.
    """
    paper = Paper(room_bytes)
    tone, headline = headline_of(view)
    paper.add(f"## {SYMBOLS[tone]} touchstone {view.header.command}: {headline}\n\n{_facts(view)}", 0)
    if view.load:
        _load(view.load, paper)
    if view.probe:
        paper.add(_list("", [view.probe.sentence, *([view.probe.knee.sentence] if view.probe.knee else [])]))
    _findings(view, paper)
    _lines("Hold again (take them out of the baseline)", [item.claim.id for item in view.healed], paper)
    _reasons("Must claims without a verdict", view.stuck, paper)
    _reasons("No clear answer", view.unclear, paper)
    _lines("Ended without a verdict", [f"{case.id}: {case.message or case.outcome}" for case in view.trouble], paper)
    _lines("Left on the target (<code>touchstone sweep</code> removes them)", list(view.left_behind), paper)
    _lines("May be left on the target (<code>touchstone sweep</code> looks)", list(view.may_be_left), paper)
    _lines("Warnings", list(view.warnings), paper)
    paper.add(_end(view, folder), 0)
    return paper.text()


def annotations(view: View, place_of: Callable[[str], Place | None]) -> tuple[str, ...]:
    """At most ten commands for the runner: what ended the run, claims that hold again, findings, then how many more.

    Of the findings ``must`` comes first, and what is in the baseline is left out.

    Args:
        place_of: By id of a claim, the file of the repository that has to do with it, and the line.
    """
    told: list[str] = []
    if view.exit_code not in (0, 1):
        told.append(annotation("error", f"touchstone {view.header.command}: {headline_of(view)[1]}", view.reason))
    told += [_healed(item.claim.id, place_of(item.claim.id)) for item in view.healed[:MAX_HEALED]]
    room = MAX_ANNOTATIONS - len(told)
    findings = tuple(item for item in view.findings if not item.known)
    shown = findings if len(findings) <= room else findings[: room - 1]
    told += [_annotation(item, place_of(item.claim.id)) for item in shown]
    if rest := findings[len(shown) :]:
        more = f"{plural(len(rest), 'more finding')}: see the summary of this step, report.html or report.json"
        told.append(annotation(_kind(rest[0]), f"touchstone {view.header.command}", more))
    return tuple(told)


def _kind(item: FindingView) -> Literal["error", "warning"]:
    return "error" if item.claim.level == "must" else "warning"


def _healed(claim: str, place: Place | None) -> str:
    return annotation("error", f"{claim} holds again", "Take its line out of the baseline.", *(place or ()))


def _annotation(item: FindingView, place: Place | None) -> str:
    finding = item.finding
    met = f" ({item.occurrences:,} times)" if item.occurrences > 1 else ""
    parts = (clipped(part, 2 * MAX_CELL_CHARS) for part in (finding.expected, finding.actual, finding.where))
    expected, actual, where = map(one_line, parts)
    message = f"{item.claim.sentence}\nexpected {expected}; actual {actual}{met}\n{where}"
    return annotation(_kind(item), f"{item.claim.id} is broken", message, *(place or ()))


def _facts(view: View) -> str:
    counts = {verdict: view.verdict.count(verdict) for verdict in VERDICTS}
    told = ", ".join(f"{SYMBOLS[name]} {n:,} {name.replace('-', ' ')}" for name, n in counts.items() if n)
    claims = plural(view.counts["claims"], "claim")
    return (
        f"<p>{code(f'exit {view.exit_code}: {view.reason}')}</p>\n\n"
        f"<p>{claims}{': ' if told else ''}{told}<br>\n"
        f"target {code(view.target)}, {brief(view.duration_s)}, seed {view.header.seed}</p>\n\n"
    )


def _load(load: LoadView, paper: Paper) -> None:
    total = load.numbers.total
    times = ", ".join(
        f"p{100 * share:g} {brief(total.whole.times.at(share).value_s)}" for share in (0.5, 0.99) if total.whole.times
    )
    paper.add(
        f"<p>{plural(total.whole.count, 'request')}, {figure(total.whole.rate_per_s)} a second"
        f"{', ' if times else ''}{times}, {figure(100 * total.error_share)} % errors</p>\n"
    )
    rows = (
        table_row(
            code(line.reading.verdict),
            f"{code(line.says)}, {code(line.operation)}",
            code(line.measured),
            code(f"{line.bound} {line.limit}"),
        )
        for line in load.limits[:MAX_LISTED]
    )
    paper.block(table_head("Thresholds", "verdict", "of what", "measured", "limit"), rows, "</table>\n")


def _findings(view: View, paper: Paper) -> None:
    findings = view.findings
    rows = (
        table_row(
            f"{code(item.claim.id)}<br>{_about(item)}",
            code(item.finding.where.replace(view.header.target.url, "", 1)),
            code(item.finding.expected),
            code(item.finding.actual),
        )
        for item in findings[:MAX_FINDINGS]
    )
    written = paper.block(table_head("Broken claims", "claim", "request", "expected", "actual"), rows, "</table>\n")
    if written < len(findings):
        left = plural(len(findings) - written, "more finding")
        paper.add(f"\n<p>… and {left} without room here: see report.html and report.json.</p>\n", END_BYTES // 2)
    if view.header.target.kind == "recording":
        return  # nobody answers at the address of a recording
    commands = tuple(dict.fromkeys(item.finding.curl for item in findings))[:MAX_COMMANDS]
    begin = "\n<details><summary>To see them again</summary>\n<ul>\n"
    paper.block(begin, (f"<li>{code(one, 1_000)}</li>\n" for one in commands), "</ul>\n</details>\n")


def _about(item: FindingView) -> str:
    times = f", {item.occurrences:,} times" if item.occurrences > 1 else ""
    return f"{item.claim.level}{times}{', known, in the baseline' if item.known else ''}"


def _reasons(title: str, reasons: tuple[Reason, ...], paper: Paper) -> None:
    lines = [
        f"{code(one.reason)} {', '.join(map(code, one.claims[:4]))}{_and_more(len(one.claims) - 4)}"
        for one in reasons[:MAX_LISTED]
    ]
    paper.add(_list(title, [], lines, len(reasons) - len(lines)))


def _lines(title: str, lines: list[str], paper: Paper) -> None:
    paper.add(_list(title, lines[:MAX_LISTED], (), len(lines) - MAX_LISTED))


def _list(title: str, texts: Iterable[str], ready: Iterable[str] = (), more: int = 0) -> str:
    items = [*map(code, texts), *ready, *([f"… and {more:,} more: see report.html"] if more > 0 else [])]
    if not items:
        return ""
    head = f"\n<h3>{title}</h3>\n" if title else ""
    return head + "\n<ul>\n" + "".join(f"<li>{item}</li>\n" for item in items) + "</ul>\n"


def table_head(title: str, *columns: str) -> str:
    """What a table begins with, titles of ours."""
    return f"\n<h3>{title}</h3>\n\n<table>\n<tr>{''.join(f'<th>{name}</th>' for name in columns)}</tr>\n"


def table_row(*cells: str) -> str:
    """A row of cells that are ready."""
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _and_more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""


def _end(view: View, folder: Path) -> str:
    again = f"The same again: {code(view.again, 1_000)}<br>\n" if view.header.command in ("check", "load") else ""
    where = code(str(folder), 1_000)
    return f"\n<p>{again}All of it: report.html, report.json and junit.xml in {where}</p>\n\n"
