"""Runs and proofs for GitHub Actions: the summary of a step, and annotations.

What a target said stands in a summary only as the content of a `code` element within a block of HTML: no Markdown is
read there, and GitHub makes no link and no mention of it. A block ends at an empty line, which no such text has in it.

Source: docs.github.com, "Workflow commands for GitHub Actions"; actions/runner, ActionCommand.cs.
"""

import re
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from touchstone.contract.files import openapi_dir
from touchstone.facts.wording import clipped, one_line, plural, visible
from touchstone.proof.result import Trial
from touchstone.report import html, proof_report
from touchstone.report.junit import LEDGER
from touchstone.report.proof_view import ProofView, noise, says
from touchstone.report.view import FindingView, Reason, View
from touchstone.rules.verdict import VERDICTS

MAX_SUMMARY_BYTES = 900_000  # GitHub drops a summary of more than 1 MiB
MAX_ANNOTATIONS = 10  # GitHub shows so many of a step
MAX_HEALED = 5  # of them; the reason of the run names ten
MAX_FINDINGS = 200  # rows; whoever wants more opens the report
MAX_CELL_CHARS = 300
MAX_TITLE_CHARS = 200
MAX_MESSAGE_CHARS = 2_000
_ROWS = (MAX_FINDINGS, 100, 50, 20, 5, 1, 0)

# The runner looks for `::` behind blanks and for `##[` anywhere in a line, which a carriage return ends as well.
# Colours are looked through: another runner may drop them first.
_BEGIN = re.compile(r"((?:^|\r)(?:\s|\x1b\[[0-9;]*m)*):(?=:)", flags=re.MULTILINE)

Place = tuple[str, int]


def summary(view: View, folder: Path, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """The summary of a step, in Markdown; empty where there is no room for it without any list.

    Args:
        folder: Where the reports are.
        room_bytes: How long it may become, in UTF-8.
    """
    tone, headline = html.headline_of(view)
    counts = {verdict: view.verdict.count(verdict) for verdict in VERDICTS}
    is_live = view.header.target.kind != "recording"  # nobody answers at the address of a recording
    sections = {
        "Hold again (take them out of the baseline)": [code(item.claim.id) for item in view.healed],
        "Must claims without a verdict": list(map(_reason, view.stuck)),
        "No clear answer": list(map(_reason, view.unclear)),
        "Ended without a verdict": [code(f"{case.id}: {case.message or case.outcome}") for case in view.trouble],
        Markup("Left on the target (<code>touchstone sweep</code> removes them)"): list(map(code, view.left_behind)),
        Markup("May be left on the target (<code>touchstone sweep</code> looks)"): list(map(code, view.may_be_left)),
        "Warnings": list(map(code, view.warnings)),
    }
    values = {
        "view": view,
        "title": f"{html.SYMBOLS[tone]} touchstone {view.header.command}: {headline}",
        "claims": ", ".join(f"{html.SYMBOLS[name]} {n:,} {name.replace('-', ' ')}" for name, n in counts.items() if n),
        "commands": list(dict.fromkeys(item.finding.curl for item in view.findings)) if is_live else [],
        "sections": list(sections.items()),
        "folder": folder,
    }
    return _fitting("github.md.j2", room_bytes, values)


def _reason(one: Reason) -> Markup:
    more = f" and {len(one.claims) - 4:,} more" if len(one.claims) > 4 else ""
    return code(one.reason) + " " + Markup(", ").join(map(code, one.claims[:4])) + more


def proof_summary(view: ProofView, folder: Path, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """The summary of a step that was a proof; see `summary`."""
    _, symbol, headline = proof_report.headline_of(view)
    values = {"view": view, "title": f"{symbol} touchstone prove: {headline}", "folder": folder}
    values |= {"symbols": proof_report.SYMBOLS, "why": _why, "again": proof_report.again}
    return _fitting("github_proof.md.j2", room_bytes, values)


def _fitting(template: str, room_bytes: int, values: dict[str, Any]) -> str:
    """The template with as many rows in each list as there is room for."""
    for rows in _ROWS:
        text = html.environment().get_template(template).render(values, rows=rows, code=code) + "\n"
        if len(text.encode()) <= room_bytes:
            return text
    return ""


def code(text: object, most: int = MAX_CELL_CHARS) -> Markup:
    """A text of anybody's as an element that shows it and nothing else."""
    return Markup(f"<code>{escape(clipped(one_line(str(text)), most))}</code>")


def annotations(view: View, place_of: Callable[[str], Place | None]) -> tuple[str, ...]:
    """At most ten commands for the runner: what ended the run, claims that hold again, findings, then how many more.

    Of the findings ``must`` comes first, and what is in the baseline is left out.

    Args:
        place_of: By id of a claim, the file of the repository that has to do with it, and the line.
    """
    lines: list[str] = []
    command = f"touchstone {view.header.command}"
    if view.exit_code not in (0, 1):
        lines.append(annotation("error", f"{command}: {html.headline_of(view)[1]}", view.reason))
    for item in view.healed[:MAX_HEALED]:
        place = place_of(item.claim.id) or ()
        lines.append(annotation("error", f"{item.claim.id} holds again", "Take its line out of the baseline.", *place))
    room = MAX_ANNOTATIONS - len(lines)
    findings = tuple(item for item in view.findings if not item.known)
    listed = findings if len(findings) <= room else findings[: room - 1]
    lines += [_finding_annotation(item, place_of(item.claim.id)) for item in listed]
    if rest := findings[len(listed) :]:
        more = f"{plural(len(rest), 'more finding')}: see the summary of this step, report.html or report.json"
        lines.append(annotation(_kind(rest[0]), command, more))
    return tuple(lines)


def proof_annotations(view: ProofView) -> tuple[str, ...]:
    """At most ten commands for the runner: the trials that did not end well, the worst first, then how many more."""
    wrong = view.wrong
    listed = wrong if len(wrong) <= MAX_ANNOTATIONS else wrong[: MAX_ANNOTATIONS - 1]
    lines = [annotation("error", f"{one.subject.name}: {one.state}", f"{says(one)}\n{_why(one)}") for one in listed]
    if rest := len(wrong) - len(listed):
        more = f"{plural(rest, 'more trial')}: see proof.html or proof.json"
        lines.append(annotation("error", "touchstone prove", more))
    if not lines and view.exit_code:
        lines.append(annotation("error", "touchstone prove", view.reason))
    return tuple(lines)


def _why(trial: Trial) -> str:
    """What was lacking, blamed without a right, or in the way."""
    parts = [f"not found broken: {', '.join(trial.lacking)}"] if trial.state == "missed" else []
    unrelated = noise(trial)
    parts += [f"blamed without a right: {', '.join(unrelated)}"] if unrelated else []
    return "; ".join([*parts, *([trial.trouble] if trial.trouble else [])])


def _kind(item: FindingView) -> Literal["error", "warning"]:
    return "error" if item.claim.level == "must" else "warning"


def _finding_annotation(item: FindingView, place: Place | None) -> str:
    finding = item.finding
    times = f" ({item.occurrences:,} times)" if item.occurrences > 1 else ""
    parts = (clipped(part, 2 * MAX_CELL_CHARS) for part in (finding.expected, finding.actual, finding.where))
    expected, actual, where = map(one_line, parts)
    message = f"{item.claim.sentence}\nexpected {expected}; actual {actual}{times}\n{where}"
    return annotation(_kind(item), f"{item.claim.id} is broken", message, *(place or ()))


def annotation(kind: Literal["error", "warning"], title: str, message: str, file: str = "", line: int = 0) -> str:
    """The command that puts a remark beside a line of a file, or beside the run where no file is named.

    Args:
        line: From 1.
    """
    place = {"file": file, "line": str(line)} if file else {}
    properties = place | {"title": clipped(one_line(title), MAX_TITLE_CHARS)}
    pairs = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {pairs}::{_data(clipped(visible(message), MAX_MESSAGE_CHARS))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def inert(text: str) -> str:
    """The text, in which no line is a command to the runner: a blank stands where one would begin."""
    return _BEGIN.sub(r"\1: ", text).replace("##[", "# #[")


def place_of(claim: str, checkout: Path | None, workflow: str) -> Place | None:
    """The file that states a claim, and its line from 1; the workflow where that file is not of this repository.

    Args:
        checkout: Folder of the repository; None where nobody knows.
        workflow: File of the workflow that runs the command, as a path in the repository; empty where nobody knows.
    """
    if checkout is None:
        return None
    ledger = openapi_dir() / "claims.yaml"
    line = _lines(ledger).get(claim)
    # An installed package may lie in the checkout, too, in a place that the repository knows nothing of.
    if line and ledger == checkout.resolve() / LEDGER:
        return LEDGER, line
    return (workflow, 1) if workflow and (checkout / workflow).is_file() else None


@cache
def _lines(ledger: Path) -> dict[str, int]:
    """By id of a claim, the line that its row begins with."""
    rows = enumerate(ledger.read_text("utf-8").splitlines(), start=1)
    return {match[1]: number for number, text in rows if (match := re.match(r"\s*- id: (\S+)$", text))}
