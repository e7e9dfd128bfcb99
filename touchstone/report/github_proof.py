"""
A proof for GitHub Actions: a summary of the step, and annotations; see github.py for what keeps others out of them.
"""

from html import escape
from pathlib import Path

from touchstone.facts.wording import plural
from touchstone.proof.result import Trial
from touchstone.report.github import (
    END_BYTES,
    MAX_ANNOTATIONS,
    MAX_FINDINGS,
    MAX_SUMMARY_BYTES,
    Paper,
    code,
    table_head,
    table_row,
)
from touchstone.report.proof_html import SYMBOLS, again, headline_of
from touchstone.report.proof_view import ProofView, noise, says
from touchstone.report.workflow_commands import annotation

_TITLE = "touchstone prove"


def summary(view: ProofView, folder: Path, room_bytes: int = MAX_SUMMARY_BYTES) -> str:
    """The summary of a step, in Markdown; empty where there is no room for its first lines.

    Args:
        folder: Where the reports are.
        room_bytes: How long it may become, in UTF-8.
    """
    paper = Paper(room_bytes)
    _, symbol, headline = headline_of(view)
    reason = code(f"exit {view.exit_code}: {view.reason}")
    paper.add(f"## {symbol} {_TITLE}: {headline}\n\n<p>{reason}</p>\n\n", 0)
    kinds = (
        table_row(escape(one.kind), *(f"{number:,}" for number in (one.faults, one.killed, one.missed, one.noisy)))
        for one in (*view.kinds, view.total)
    )
    paper.block(table_head("Faults by class", "class", "faults", "killed", "missed", "noisy"), kinds, "</table>\n")
    wrong = view.wrong
    rows = (
        table_row(
            f"{SYMBOLS[one.state]} {one.state}", code(one.subject.name), code(_why(one)), code(again(one, view.run))
        )
        for one in wrong[:MAX_FINDINGS]
    )
    head = table_head("What did not end well", "state", "server", "why", "to try it again")
    written = paper.block(head, rows, "</table>\n")
    if written < len(wrong):
        left = plural(len(wrong) - written, "more trial")
        paper.add(f"\n<p>… and {left} without room here: see proof.html and proof.json.</p>\n", END_BYTES // 2)
    gaps = [code(one.claim.id) for one in view.gaps[:MAX_FINDINGS]]
    if gaps:
        paper.add(f"\n<p>{plural(len(view.gaps), 'claim')} without a proof: {', '.join(gaps)}</p>\n")
    paper.add(f"\n<p>All of it: proof.html and proof.json in {code(str(folder), 1_000)}</p>\n\n", 0)
    return paper.text()


def annotations(view: ProofView) -> tuple[str, ...]:
    """At most ten commands for the runner: the trials that did not end well, the worst first, then how many more."""
    wrong = view.wrong
    shown = wrong if len(wrong) <= MAX_ANNOTATIONS else wrong[: MAX_ANNOTATIONS - 1]
    told = [annotation("error", f"{one.subject.name}: {one.state}", f"{says(one)}\n{_why(one)}") for one in shown]
    if rest := len(wrong) - len(shown):
        told.append(annotation("error", _TITLE, f"{plural(rest, 'more trial')}: see proof.html or proof.json"))
    if not told and view.exit_code:
        told.append(annotation("error", _TITLE, view.reason))
    return tuple(told)


def _why(trial: Trial) -> str:
    """What was lacking, blamed without a right, or in the way."""
    parts = [f"not found broken: {', '.join(trial.lacking)}"] if trial.state == "missed" else []
    unrelated = noise(trial)
    parts += [f"blamed without a right: {', '.join(unrelated)}"] if unrelated else []
    return "; ".join([*parts, *([trial.trouble] if trial.trouble else [])])
