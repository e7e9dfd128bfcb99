"""
Mutation testing of what judges: `make mutate`, or `make mutate ARGS="cancels walk"` for single modules.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from tests.mutation.survivors import DOCUMENT, listed
from tests.mutation.trial import Outcome, Trial

ROOT = Path(__file__).resolve().parent.parent.parent
JUDGES = ("touchstone/rules/*.py", "touchstone/lifecycle.py", "touchstone/verdict.py")
TESTS = ("tests/rules", "tests/test_lifecycle.py", "tests/test_verdict.py", "tests/test_verdict_words.py")
# Mutants are killed by the clock of the trial; a second pytest in one process finds everything imported.
QUIETLY = (
    "-q -x -s --assert=plain --no-header --no-summary -p no:cacheprovider -p no:logging -o timeout=0"
    " -W ignore::pytest.PytestAssertRewriteWarning"
)
ASKED_SHARE = 0.9


class Tally:
    """
    Counts outcomes by file, and remembers the survivors.

    Attributes:
        survivors: The names of the mutants that no test noticed.
        ended: The names of those that no test noticed before their time was up: on a faster machine they may survive.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        self.survivors: list[str] = []
        self.ended: Counter[str] = Counter()
        self._began = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.mutant.path][outcome.killed] += 1
        if not outcome.killed:
            self.survivors.append(outcome.mutant.name)
        elif not outcome.killer:
            self.ended[outcome.mutant.name] += 1
        done = sum(count.total() for count in self.counts.values())
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} mutants, {len(self.survivors)} survive, {time.monotonic() - self._began:.0f} s")
            sys.stderr.flush()

    def share(self) -> float:
        """
        The share of killed mutants.
        """
        total = sum(count.total() for count in self.counts.values())
        return 1 - len(self.survivors) / total if total else 0.0

    def table(self) -> str:
        """
        Killed and survived mutants and the share of the killed ones, a line a file.
        """
        rows = [(path, count[True], count[False]) for path, count in sorted(self.counts.items())]
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        lines = [f"{'file':<34} {'killed':>7} {'survived':>9} {'share':>7}"]
        lines += [f"{path:<34} {k:>7} {s:>9} {100 * k / max(k + s, 1):>6.1f}%" for path, k, s in rows]
        return "\n".join(lines)


def chosen(names: Sequence[str]) -> list[Path]:
    """
    The files to change: all that judge, or those whose path has one of *names* in it.
    """
    paths = [path for pattern in JUDGES for path in sorted(ROOT.glob(pattern))]
    return [path for path in paths if not names or path.stem in names or path.relative_to(ROOT).as_posix() in names]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Examines mutants, prints what became of them, and returns 0 where enough of them were killed.
    """
    parser = argparse.ArgumentParser(prog="make mutate", description="Mutation testing of what judges.")
    parser.add_argument("modules", nargs="*", help="such as cancels or touchstone/verdict.py; all that judge if none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants examined at a time")
    parser.add_argument("--all", action="store_true", help="print the survivors that are listed, too")
    options = parser.parse_args(argv)
    paths = chosen(options.modules)
    if not paths:
        parser.error(f"{' '.join(options.modules)}: no such module among those that judge")
    os.chdir(ROOT)
    os.nice(10)
    tally = Tally()
    trial = Trial(ROOT, paths, [*QUIETLY.split(), *TESTS], options.jobs, tally.add)
    code = pytest.main(trial.arguments, plugins=[trial])
    if code != pytest.ExitCode.OK:
        return 2
    return report(tally, listed(), paths, every=options.all)


def report(tally: Tally, known: Counter[str], paths: Sequence[Path], *, every: bool = False) -> int:
    """
    Prints the table and in what the list of survivors differs from those that were found.

    Args:
        known: The names in the list.
        paths: The files that were examined; what the list says of others is left alone.
        every: Prints the survivors that are listed, too.

    Returns:
        0 where enough mutants were killed and the list is right, 1 otherwise.
    """
    survivors, files = Counter(tally.survivors), {path.relative_to(ROOT).as_posix() for path in paths}
    unlisted = survivors - known
    gone = {name for name in known - survivors - tally.ended if name.split(" ")[0] in files}
    typer.echo(tally.table())
    for name in sorted(survivors & known if every else ()):
        typer.echo(f"survives: {name}")
    for name in sorted(unlisted):
        typer.echo(f"survives, but is not in {DOCUMENT}: {name}")
    for name in sorted(gone):
        typer.echo(f"in {DOCUMENT}, but no survivor: {name}")
    typer.echo(f"{100 * tally.share():.1f} % of the mutants were killed; asked for are {100 * ASKED_SHARE:.0f} %")
    return 0 if tally.share() >= ASKED_SHARE and not unlisted and not gone else 1


if __name__ == "__main__":
    sys.exit(main())
