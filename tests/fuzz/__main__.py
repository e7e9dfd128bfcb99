"""Fuzzes our readers, one after the other: python -m tests.fuzz [--seconds 600] [--jobs 1] [TARGET ...].

What is found is kept in reports/fuzz/TARGET/: the input as .bin beside its traceback as .txt, or, where an input took
the process with it, as timeout-…, oom-… or crash-…. Exits with 1 where there is any, and with 130 after Ctrl-C.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.registry import TARGETS

ROOT = Path(__file__).resolve().parent.parent.parent
FINDINGS = ("*.bin", "timeout-*", "oom-*", "crash-*", "leak-*")
_COVERED = re.compile(rb"cov: (\d+)")


@dataclass(slots=True)
class Fuzzing:
    """One target that is being fuzzed, as far as it came."""

    name: str
    folder: Path
    inputs: int = 0
    seconds: float = 0.0
    problem: str = ""
    began_at: float = field(default_factory=time.time)

    def run(self, seconds: int) -> None:
        """Fuzzes for so long; a process that an input has killed is followed by another one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.began_at = started_at = time.time()
        while seconds - self.seconds >= 1 and not self.problem:
            before = self.inputs
            code = self._process(round(seconds - self.seconds), before)
            self.seconds = time.time() - started_at
            if code and self.inputs == before:
                self.problem = f"ended with {code} before the first input; see {self.folder / 'log.txt'}"

    def _process(self, seconds: int, before: int) -> int:
        told = self.folder / "inputs.json"
        told.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.fuzz.child", self.name, str(self.folder), str(seconds)]
        with (self.folder / "log.txt").open("ab") as log:
            # A session of its own: Ctrl-C is for this process, which ends the others.
            child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        try:
            while child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.5)
                with contextlib.suppress(OSError, ValueError):
                    self.inputs = before + json.loads(told.read_text())
                if stopping:
                    break
        finally:
            child.kill()
            child.wait()
        return child.returncode

    @property
    def findings(self) -> list[Path]:
        """What this run has found."""
        found = {path for form in FINDINGS for path in self.folder.glob(form)}
        return sorted(path for path in found if path.stat().st_mtime >= self.began_at - 1)

    def __str__(self) -> str:
        covered = _COVERED.findall((self.folder / "log.txt").read_bytes()) if self.folder.exists() else []
        branches = int(covered[-1]) if covered else 0
        counts = f"{self.inputs:>11,} inputs {self.seconds:>6.0f} s {branches:>6,} branches"
        return f"{self.name:12} {counts}  {self.problem or f'{len(self.findings)} findings'}"


# Set by Ctrl-C; the threads that wait for children look at it.
stopping: list[bool] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes what the command line names, and says what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets side by side")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    asked = parser.parse_args(arguments)
    for name in asked.targets:
        if name not in TARGETS:
            parser.error(f"{name!r}: no such target; expected some of {', '.join(TARGETS)}")
    # Whoever is started in the background gets no Ctrl-C, and should end its children as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runs = [Fuzzing(name, ROOT / "reports" / "fuzz" / name) for name in asked.targets or TARGETS]
    with ThreadPoolExecutor(asked.jobs) as pool:
        told: list[Fuzzing] = []
        waiting = [(run, pool.submit(run.run, asked.seconds)) for run in runs]
        try:
            for run, future in waiting:
                future.result()
                print(run, flush=True)
                told.append(run)
        except KeyboardInterrupt:
            stopping.append(True)
            for _, future in waiting:
                future.cancel()
    if stopping:
        print("".join(f"{run}  interrupted\n" for run, future in waiting if not future.cancelled() and run not in told))
        return 130
    for path in (path for run in runs for path in run.findings):
        print(f"  {path.relative_to(ROOT)}")
    return int(any(run.findings or run.problem for run in runs))


if __name__ == "__main__":
    sys.exit(main())
