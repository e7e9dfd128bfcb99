"""The command `prove`, which runs the check against each fault and each variant of the twin."""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from rich.console import Console
from rich.text import Text
from typer import Typer

from touchstone.check.job import make_folder, new_run_id, utc
from touchstone.cli.live import changing_on, is_watched
from touchstone.cli.options import command, option, say
from touchstone.config import Profile
from touchstone.contract import claims as ledger_of_claims
from touchstone.errors import UsageError
from touchstone.facts.output import write_whole
from touchstone.proof import catalogue, coverage, prover
from touchstone.proof.catalogue import Candidate
from touchstone.proof.coverage import CELLS, DIMENSIONS, Cell
from touchstone.proof.result import GOOD, Trial
from touchstone.report import github, proof_report
from touchstone.report.proof_report import ProofRun, ProofView, proof_view, render_json
from touchstone.report.proof_report import write as write_proof
from touchstone.report.terminal import table
from touchstone.twin.serve import BESIDE

app = Typer()


@command(app, "prove --list", "prove --fault 'cancel-*'", "prove --generated --jobs 8", "prove --coverage")
@dataclass(frozen=True, kw_only=True)
class Prove:
    """Prove that the check finds every known fault.

    The check runs against each fault and each variant of the twin. It must blame the right claims and no others.
    """

    fault: str | None = option("Try only faults that match this glob, such as 'cancel-*'.")
    variant: str | None = option("Try only variants that match this glob.")
    generated: bool = option("Try faults derived from the contract instead.", "--generated", default=False)
    pairs: int | None = option("Try this many random pairs of named faults instead.", min=1)
    coverage: bool = option("Show how many situations the checks of the twin itself meet.", "--coverage", default=False)
    jobs: int = option("Number of concurrent checks.", min=1, max=64, default=2)
    whole: bool = option("Run each check to its end, also after its fault is found.", "--whole", default=False)
    profile: Profile = option("Effort of the check of a variant.", default="standard")
    seed: int = option("Seed of all generated data.", default=1)
    report_dir: Path | None = option("Folder for the results.  [default: reports/prove-<id>]")
    list_names: bool = option("List the faults and variants; run nothing.", "--list", default=False)

    def run(self) -> int:
        """Runs the proof and returns the exit code."""
        if self.coverage and (self.fault or self.variant or self.generated or self.pairs):
            raise UsageError(
                "--coverage: checks the twin itself; leave out --fault, --variant, --generated and --pairs"
            )
        if self.pairs and (self.variant or self.generated):
            raise UsageError("--pairs: takes named faults only; leave out --variant and --generated")
        if self.list_names:
            self._list()
            return 0
        with _progress_on(Console(stderr=True)) as progress:
            if self.coverage:
                return self._cover(progress)
            proof, folder = self.proven(progress)
        github.publish(proof, folder)
        write_proof(proof, Console(), folder / "proof.html")
        return proof.exit_code

    def candidates(self) -> list[Candidate]:
        """Returns all faults and variants, or those that match a glob; raises UsageError if a glob matches nothing."""
        chosen: dict[str, list[Candidate]] = {}
        if self.pairs:
            chosen[f"--pairs {self.pairs}"] = catalogue.pairs(self.pairs, self.seed, self.fault or "*")
        elif glob := self.fault or ("*" if self.variant is None else ""):
            found = catalogue.derived(glob, self.seed) if self.generated else catalogue.listed_faults(glob)
            chosen[f"--fault {glob!r}"] = found
        if glob := self.variant or ("*" if self.fault is None and not self.generated and not self.pairs else ""):
            chosen[f"--variant {glob!r}"] = catalogue.variants(glob, self.profile)
        for flag, found in chosen.items():
            if not found:
                raise UsageError(f"{flag}: matches nothing; `touchstone prove --list` shows all names")
        return list(chain.from_iterable(chosen.values()))

    def proven(self, progress: Callable[[Trial, int], None]) -> tuple[ProofView, Path]:
        """Runs all trials; returns the result and its folder. Writes proof.json and proof.html, also after Ctrl-C."""
        wanted, run_id = self.candidates(), new_run_id()
        folder = self._folder(run_id)
        started_at, began = utc(), time.monotonic()
        trials: list[Trial] = []

        def remember(trial: Trial) -> None:
            trials.append(trial)
            progress(trial, len(wanted) - len(trials))

        interrupted = False
        try:
            results = (folder / "trials").absolute()
            prover.prove(wanted, results, jobs=self.jobs, seed=self.seed, whole=self.whole, on_outcome=remember)
        except KeyboardInterrupt:
            interrupted = True
        names = [candidate.subject.name for candidate in wanted]
        trials.sort(key=lambda trial: names.index(trial.subject.name))
        about = ProofRun(
            id=run_id,
            started_at=started_at,
            duration_s=round(time.monotonic() - began, 3),
            jobs=self.jobs,
            seed=self.seed,
            asked=len(wanted),
            complete=not self.generated and (self.fault, self.variant, self.pairs) == (None, None, None),
            whole=self.whole,
            interrupted=interrupted,
        )
        proof = proof_view(about, trials, ledger_of_claims.load().judged())
        write_whole(folder / "proof.json", render_json(proof))
        write_whole(folder / "proof.html", proof_report.render(proof))
        return proof, folder

    def _folder(self, run_id: str) -> Path:
        folder = self.report_dir or Path("reports") / f"prove-{run_id}"
        make_folder(folder)
        return folder

    def _cover(self, progress: Callable[[Trial, int], None]) -> int:
        folder, remaining = self._folder(new_run_id()), iter((2, 1, 0))
        results = (folder / "trials").absolute()
        met = coverage.checked(results, self.jobs, self.seed, lambda trial: progress(trial, next(remaining)))
        document = {"cells": len(CELLS), "met": {profile: sorted(cells) for profile, cells in met.items()}}
        write_whole(folder / "coverage.json", json.dumps(document) + "\n")
        _print_coverage(met, Console(), folder)
        return 0

    def _list(self) -> None:
        of_faults = not self.generated and not self.pairs and (self.fault is not None or self.variant is None)
        under_load = catalogue.under_load(self.fault or "*") if of_faults else []
        console = Console()
        try:
            _print(self.candidates(), console)
        except UsageError:
            if not under_load:
                raise
        if under_load:
            say(console, "Found only under load, and not tried here (`touchstone serve --fault NAME` serves one):")
            _print(under_load, console)


@contextmanager
def _progress_on(console: Console) -> Iterator[Callable[[Trial, int], None]]:
    """Yields a function that shows results of trials; outside a terminal, only failures and a count every 50 trials."""
    with changing_on(console) as change:

        def show(trial: Trial, remaining: int) -> None:
            if trial.state not in GOOD:
                say(console, f"{trial.state}: {trial.subject.name}")
            elif remaining and remaining % 50 == 0 and not is_watched(console):
                say(console, f"{remaining} trials remaining")
            change(f"{remaining} trials remaining; {trial.state}: {trial.subject.name}")

        yield show


def _print(chosen: list[Candidate], console: Console) -> None:
    rows = [
        (
            Text(one.name.replace(BESIDE, f"{BESIDE.rstrip()}\n")),
            one.kind or one.sort,
            one.says,
            ", ".join(one.breaks) if one.is_fault else one.permits,
        )
        for one in (candidate.subject for candidate in chosen)
    ]
    table(console, ("name", "class", "behaviour", "breaks, or permitted by"), rows)


def _print_coverage(met: Mapping[Profile, Collection[Cell]], console: Console, folder: Path) -> None:
    rows = [
        (profile, f"{len(cells):,}", f"{len(CELLS):,}", f"{len(cells) / len(CELLS):.0%}")
        for profile, cells in met.items()
    ]
    say(console, "Situations (cells) that a check of the twin meets")
    table(console, ("check", ">cells met", ">of", ">share"), rows, wide=False)
    say(console, f"Share of the cells in percent, in the checks {', '.join(met)}")
    counts = [coverage.groups(cells, "operation", "state") for cells in met.values()]

    def shares(*group: str) -> str:
        return "/".join(f"{100 * number / total:.0f}" for number, total in (each[group] for each in counts))

    states = DIMENSIONS["state"]
    by_operation = [(one, *(shares(one, state) for state in states)) for one in DIMENSIONS["operation"]]
    table(console, ("operation", *(f">{state}" for state in states)), by_operation, wide=False)
    *_, (last, cells) = met.items()
    say(console, f"Emptiest groups of the {last} check")
    emptiest = [(group, str(number), str(total)) for group, number, total in islice(coverage.emptiest(cells), 15)]
    table(console, ("cells with", ">met", ">of"), emptiest, wide=False)
    say(console, f"all cells that were met: {folder / 'coverage.json'}")
    say(console, f"exit 0: a {last} check meets {len(cells):,} of {len(CELLS):,} cells")
