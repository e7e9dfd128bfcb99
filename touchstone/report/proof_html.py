"""
A proof as one self-contained page: what is proven, the picture of claims × faults, and what did not end well and why.
"""

import shlex
from collections.abc import Sequence
from itertools import groupby

from touchstone.proof.result import State, Trial
from touchstone.report import html
from touchstone.report.proof_matrix import ROW_PX, Shape, matrix
from touchstone.report.proof_view import WRONG, ProofRun, ProofView, Proven, noise, says

MAX_TOLD = 40  # of what did not end well, told with its evidence; the others in short
STATES: tuple[State, ...] = (*WRONG, "killed", "survived")
TONES: dict[State, str] = {
    "missed": "broken",
    "noisy": "indeterminate",
    "accused": "broken",
    "failed": "could-not-run",
    "killed": "upheld",
    "survived": "upheld",
}
SYMBOLS: dict[State, str] = {"missed": "✕", "noisy": "≠", "accused": "✕", "failed": "!", "killed": "✓", "survived": "✓"}
SHAPE_WORDS: dict[Shape, str] = {
    "proves": "the claim to blame, found broken",
    "also": "broken beside it, as the fault may",
    "noise": "blamed without a right",
    "missing": "the claim to blame, not found broken",
}


def render(view: ProofView) -> str:
    """The proof as an HTML page."""
    tone, symbol, headline = headline_of(view)
    wrong = view.wrong
    return html.page(
        "proof.html.j2",
        ("report.css", "proof.css"),
        ("proof.js",),
        view=view,
        run=view.run,
        tone=tone,
        symbol=symbol,
        headline=headline,
        matrix=matrix(view),
        row_px=ROW_PX,
        wrong=wrong[:MAX_TOLD],
        further=wrong[MAX_TOLD:],
        numbers={trial.subject.name: number for number, trial in enumerate(view.trials, start=1)},
        subjects=_subjects(view),
        again={trial.subject.name: again(trial, view.run) for trial in wrong[:MAX_TOLD]},
        noise=noise,
        says=says,
        states=STATES,
        tones=TONES,
        symbols=SYMBOLS,
        shape_words=SHAPE_WORDS,
    )


def again(trial: Trial, run: ProofRun) -> str:
    """The command that tries this server once more, whole."""
    subject = trial.subject
    flag = "--variant" if subject.sort == "variant" else "--fault"
    generated = ["--generated"] if subject.sort in ("generated", "permitted") else []
    words = ["touchstone", "prove", *generated, flag, subject.name, "--whole", "--seed", str(run.seed)]
    return shlex.join(words)


def headline_of(view: ProofView) -> tuple[str, str, str]:
    """Tone, symbol and words."""
    if view.exit_code == 130:
        return "could-not-run", "!", "Interrupted"
    if view.exit_code == 3:
        return "could-not-run", "!", "Could not be carried out"
    if view.exit_code:
        return "broken", "✕", "Not proven"
    if view.run.complete:
        return "upheld", "✓", "Every claim is proven"
    return "upheld", "✓", "All found that was to be found" if view.total.faults else "Nothing accused that is permitted"


def _subjects(view: ProofView) -> list[tuple[str, Sequence[Proven]]]:
    """The claims by subject; where only some faults were asked for, those that a fault broke."""
    rows = [row for row in view.claims if view.run.complete or row.by or row.also]
    return [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.claim.subject)]
