"""The command `prove`: chooses the servers, has them tried, and writes the report."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from touchstone.check.opening import make_folder, new_run_id, utc
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import UsageError
from touchstone.facts.output import write_whole
from touchstone.proof import catalogue
from touchstone.proof.catalogue import Candidate
from touchstone.proof.prover import prove
from touchstone.proof.result import Trial
from touchstone.report import proof_report
from touchstone.report.proof_view import ProofRun, ProofView, proof_view, render_json

JSON_NAME = "proof.json"
HTML_NAME = "proof.html"
Told = Callable[[Trial, int], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be proven.

    Attributes:
        faults: Glob over faults; None for all, or for none where variants are chosen.
        variants: Glob over variants; None for all, or for none where faults are chosen or generated ones are meant.
        generated: Whether *faults* chooses among the generated ones.
        profile: The profile in which variants are examined.
    """

    faults: str | None = None
    variants: str | None = None
    generated: bool = False
    profile: str = "quick"
    seed: int = 1

    @property
    def complete(self) -> bool:
        """Whether all named faults are chosen."""
        return not self.generated and (self.faults, self.variants) == (None, None)

    def candidates(self) -> list[Candidate]:
        """The servers to try.

        Raises:
            UsageError: a glob matches nothing.
        """
        chosen: list[Candidate] = []
        if self.faults or self.variants is None:
            glob = self.faults or "*"
            found = catalogue.derived(glob, self.seed) if self.generated else catalogue.named(glob)
            chosen += _some(found, "--fault", glob)
        if self.variants or (self.faults is None and not self.generated):
            glob = self.variants or "*"
            chosen += _some(catalogue.variants(glob, self.profile), "--variant", glob)
        return chosen


def run(choice: Choice, folder: Path | None, *, jobs: int, whole: bool, told: Told) -> tuple[ProofView, Path]:
    """Tries the chosen servers and writes proof.json and proof.html.

    Args:
        folder: Where the report goes; a new folder below ``reports`` where it is None.
        told: Called with each outcome as it comes, and with how many are still to come.

    Returns:
        The proof, also of a run that was interrupted, and the folder of the report.
    """
    wanted = choice.candidates()
    run_id = new_run_id()
    folder = folder or Path("reports") / f"prove-{run_id}"
    make_folder(folder)
    started_at, began = utc(), time.monotonic()
    trials: list[Trial] = []
    lock = threading.Lock()

    def remember(trial: Trial) -> None:
        with lock:
            trials.append(trial)
            told(trial, len(wanted) - len(trials))

    interrupted = False
    try:
        prove(wanted, (folder / "trials").absolute(), jobs=jobs, seed=choice.seed, whole=whole, told=remember)
    except KeyboardInterrupt:
        interrupted = True
    place = {candidate.subject.name: number for number, candidate in enumerate(wanted)}
    trials.sort(key=lambda trial: place[trial.subject.name])
    about = ProofRun(
        run_id,
        started_at,
        round(time.monotonic() - began, 3),
        jobs,
        choice.seed,
        len(wanted),
        choice.complete,
        whole,
        interrupted,
    )
    view = proof_view(about, trials, ledger_of_claims.load().judged())
    write_whole(folder / JSON_NAME, render_json(view))
    write_whole(folder / HTML_NAME, proof_report.render(view))
    return view, folder


def _some(found: list[Candidate], flag: str, glob: str) -> list[Candidate]:
    if not found:
        raise UsageError(f"{flag} {glob!r}: matches nothing; `touchstone prove --list` shows all names")
    return found


def list_chosen(choice: Choice, console: Console) -> None:
    """Prints each server that would be tried, and the faults that load alone shows, which no proof tries.

    Raises:
        UsageError: a glob matches nothing.
    """
    of_faults = not choice.generated and (choice.faults is not None or choice.variants is None)
    beside = catalogue.under_load(choice.faults or "*") if of_faults else []
    try:
        _list(choice.candidates(), console)
    except UsageError:
        if not beside:
            raise
    if beside:
        console.print("Shown by load alone, and not tried here; `touchstone serve --fault NAME` has them:")
        _list(beside, console)


def _list(chosen: list[Candidate], console: Console) -> None:
    """Prints each server with what it does and what it has to break, or what permits it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("name", "class", "does", "breaks, or permitted by"):
        table.add_column(title, overflow="fold")
    for candidate in chosen:
        subject = candidate.subject
        about = "\n".join(subject.breaks) if subject.is_fault else subject.permits
        table.add_row(Text(subject.name), subject.kind or subject.sort, Text(subject.says), Text(about))
    console.print(table)
