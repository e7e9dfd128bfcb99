"""
How often tests fail where nothing is wrong: `make steady` runs them again and again, in random order, on busy cores.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "reports" / "steadiness"
# What turns for its own sake ends with its parent, whatever ends that.
BUSY = (
    "import os, sys\nos.nice(int(sys.argv[1]))\nparent = os.getppid()\n"
    "while os.getppid() == parent:\n    sum(range(100_000))\n"
)
_COUNTED = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the tests.

    Attributes:
        failed: The lines of pytest's summary that name what failed.
    """

    seed: int
    code: int
    passed: int
    skipped: int
    failed: tuple[str, ...]
    seconds: float

    @property
    def steady(self) -> bool:
        """Whether every test that ran passed, and any ran."""
        return self.code == 0 and self.passed > 0 and not self.failed


@contextmanager
def busy(processes: int, niceness: int = 0) -> Iterator[None]:
    """Keeps as many processors busy as long as it lasts.

    Args:
        niceness: How readily it makes room for the tests, up to 19.
    """
    turning = [subprocess.Popen([sys.executable, "-c", BUSY, str(niceness)]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in turning:
            process.kill()
            process.wait()


def summed_up(seed: int, code: int, printed: str, seconds: float) -> Round:
    """What pytest printed in one run."""
    last = printed.rstrip().rpartition("\n")[2]
    counts = {word: int(number) for number, word in _COUNTED.findall(last)}
    failed = tuple(line for line in printed.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    return Round(seed, code, counts.get("passed", 0), counts.get("skipped", 0), failed, seconds)


def run(seed: int, arguments: Sequence[str]) -> Round:
    """Runs the tests in the order that *seed* makes; all that they print is kept beside the reports."""
    log = LOGS / f"seed-{seed}.log"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "randomly", f"--randomly-seed={seed}", *arguments]
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        code = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    return summed_up(seed, code, log.read_text(encoding="utf-8", errors="replace"), time.monotonic() - began)


def told(one: Round) -> str:
    """A line about one run, and one for each failure."""
    skipped = f", {one.skipped} skipped" if one.skipped else ""
    ended = "" if one.steady else f", exit {one.code}"
    line = f"seed {one.seed}: {one.passed:,} passed, {len(one.failed)} failed{skipped}{ended}, {one.seconds:.0f} s"
    return "\n  ".join([line, *one.failed])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tests as often as is asked; 0 where none failed in any run."""
    parser = argparse.ArgumentParser(prog="python -m tests.steadiness", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how often (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first run (default: %(default)s)")
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1, help="processes beside (default: %(default)s)")
    parser.add_argument("--nice", type=int, default=0, help="how readily those make room (default: %(default)s)")
    options, rest = parser.parse_known_args(arguments)
    LOGS.mkdir(parents=True, exist_ok=True)
    rounds: list[Round] = []
    try:
        with busy(options.busy, options.nice):
            for seed in range(options.first, options.first + options.runs):
                rounds.append(run(seed, rest))
                typer.echo(told(rounds[-1]))
    except KeyboardInterrupt:
        typer.echo("interrupted")
    unsteady = sum(not one.steady for one in rounds)
    passed = sum(one.passed for one in rounds)
    typer.echo(f"{len(rounds)} of {options.runs} runs, {passed:,} passed, {unsteady} with failures")
    return 0 if len(rounds) == options.runs and not unsteady else 1


if __name__ == "__main__":
    sys.exit(main())
