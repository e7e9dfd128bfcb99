"""Puts the same faults before our examination and before plain `schemathesis run`, and prints both beside each other.

`make bench ARGS="--faults 40"` takes a larger sample than usual, ``--all`` takes every named fault and every variant.
``--keep FILE`` writes each measurement to FILE and takes from there what was measured before, so that a long run can be
done in parts; ``--until SECONDS`` ends such a part.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import ours, plain
from tests.bench.compared import EXAMINERS, Comparison, Measured, sampled
from touchstone.proof import catalogue
from touchstone.proof.result import Subject

ROOT = Path(__file__).resolve().parent.parent.parent
WARM = (
    "touchstone.proof.trial",
    "touchstone.check.schemathesis_hooks",
    "touchstone.check.pytest_plugin",
    "tests.bench.plain",
    "tests.bench.ours",
)
FAULTS, VARIANTS, CORRECT = 8, 2, 2
JOBS = 2


@dataclass(frozen=True, slots=True)
class Job:
    """One examiner before one server.

    Attributes:
        subject: None for the correct twin.
    """

    examiner: str
    subject: Subject | None
    seed: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What it has in common with what came of it."""
        return self.examiner, self.sort, self.server, self.seed

    @property
    def server(self) -> str:
        """The name of the server."""
        return self.subject.name if self.subject else "correct"

    @property
    def sort(self) -> str:
        """The sort of the server."""
        return self.subject.sort if self.subject else "correct"


def jobs_for(options: argparse.Namespace) -> list[Job]:
    """What is to be measured: the correct twin first, then fault by fault, the three examiners one after the other."""
    faults = [one.subject for one in catalogue.named_faults()]
    variants = [one.subject for one in catalogue.variants()]
    if not options.all:
        faults = sampled(faults, options.faults, options.seed)
        variants = sampled(variants, options.variants, options.seed)
    jobs = [Job(name, None, options.seed + turn) for turn in range(options.correct) for name in EXAMINERS]
    return jobs + [Job(name, subject, options.seed) for subject in [*faults, *variants] for name in EXAMINERS]


def measured(job: Job, folder: Path, context: Any) -> Measured:
    """Does one job."""
    kind = job.subject.kind if job.subject and job.subject.is_fault else ""
    about = (job.examiner, job.server, job.sort, kind, job.seed)
    own = folder / "-".join(map(str, job.key))
    if job.examiner == "touchstone":
        our = ours.our_run(ours.Order(job.subject, job.seed, own), context)
        found = our.found if kind else None
        result = Measured(
            *about, our.blamed, found, len(our.strange) if kind else 0, our.requests, our.seconds, our.ended
        )
    else:
        preset: plain.Preset = "best" if job.examiner == "best" else "default"
        run = plain.plain_run(plain.Order(job.subject, preset, job.seed, own), context)
        said = tuple(str(alarm) for alarm in sorted(run.alarms))
        result = Measured(*about, said, None, 0, run.requests, run.seconds, run.ended)
    shutil.rmtree(own, ignore_errors=True)
    return result


def kept(path: Path | None) -> list[Measured]:
    """What was measured before."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Measured(**row | {"said": tuple(row["said"])}) for row in rows]


def run(jobs: Sequence[Job], options: argparse.Namespace, folder: Path) -> Iterator[Measured]:
    """Does all jobs, a few at a time; those that have not begun when the time is over stay undone."""
    os.environ["PYTHONPATH"] = str(ROOT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(WARM))
    until = time.monotonic() + options.until

    def done(job: Job) -> Measured | None:
        return measured(job, folder, context) if time.monotonic() < until else None

    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(done, job) for job in jobs]
        try:
            for future in as_completed(waiting):
                result = future.result()
                if result is not None:
                    yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                with contextlib.suppress(OSError):
                    process.kill()
            raise


def report(comparison: Comparison, options: argparse.Namespace, total: int) -> str:
    """Everything that is printed."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("touchstone", "schemathesis", "hypothesis"))
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    size = f"{len(comparison.lines('fault'))} of {total} named faults"
    return "\n\n".join(
        [
            f"{size}, seed {options.seed}, {options.jobs} at a time; {day}; {versions}; {machine}",
            comparison.matrix(),
            comparison.totals(),
            comparison.false_alarms(),
            comparison.words(),
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 0, since nothing here is asserted."""
    parser = argparse.ArgumentParser(prog="bench_faults", description="Our examination beside plain Schemathesis.")
    parser.add_argument("--faults", type=int, default=FAULTS, help="size of the sample (default: %(default)s)")
    parser.add_argument("--variants", type=int, default=VARIANTS, help="of variants (default: %(default)s)")
    parser.add_argument("--correct", type=int, default=CORRECT, help="runs on the correct twin (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="every named fault and every variant; takes hours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--keep", type=Path, help="a file with measurements to continue")
    parser.add_argument("--until", type=float, default=float("inf"), help="seconds after which nothing is begun")
    options = parser.parse_args(argv)
    before = {(row.examiner, row.sort, row.server, row.seed): row for row in kept(options.keep)}
    wanted = jobs_for(options)
    todo = [job for job in wanted if job.key not in before]
    results = [before[job.key] for job in wanted if job.key in before]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number, result in enumerate(run(todo, options, Path(folder)), start=1):
            results.append(result)
            line = f"{number} of {len(todo)}: {result.examiner}, {result.server}: {result.seconds:.1f} s"
            print(line, file=sys.stderr, flush=True)
            if options.keep:
                with options.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(result)) + "\n")
    print(report(Comparison(results), options, len(catalogue.named_faults())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
