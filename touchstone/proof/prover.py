"""Prover: runs a check against many twins, a few at a time, each in its own process."""

import contextlib
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from touchstone.proof import trial
from touchstone.proof.catalogue import Candidate
from touchstone.proof.result import GOOD, Blame, Subject, Trial
from touchstone.proof.trial import Order

# The fork server imports these modules before the first trial.
WARM = ("touchstone.proof.warm", "touchstone.cli.prove")

# A trial that runs longer than this is killed and counts as failed.
LAST_S = trial.TRIAL_SECONDS + 60.0


def prove(
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    jobs: int,
    seed: int,
    whole: bool = False,
    only_own: bool = False,
    keep: bool = False,
    on_outcome: Callable[[Trial], None],
) -> list[Trial]:
    """Runs a trial of each candidate; returns the outcomes in the order of the candidates.

    Run logs of killed faults and surviving variants are removed; all others stay below *folder*.

    Args:
        jobs: Number of trials at a time.
        keep: Whether all run logs stay.
        on_outcome: Called with each outcome when its trial ends. Two calls never overlap.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(WARM))
    outcomes: dict[str, Trial] = {}
    stop = threading.Event()
    with _hypothesis_in(folder / "hypothesis"), ThreadPoolExecutor(jobs) as pool:
        try:
            waiting = [
                pool.submit(
                    _try,
                    context,
                    Order(one.subject, folder / one.subject.name, one.profile, seed, whole, only_own),
                    stop,
                    keep,
                )
                for one in sorted(candidates, key=_is_quick)
            ]
            for future in as_completed(waiting):
                outcome = future.result()
                if outcome is not None:
                    outcomes[outcome.subject.name] = outcome
                    on_outcome(outcome)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                with contextlib.suppress(OSError):
                    process.kill()
            raise
    return [outcomes[c.subject.name] for c in candidates if c.subject.name in outcomes]


def _is_quick(candidate: Candidate) -> tuple[bool, bool]:
    """Sort key: first variants, whose trials run to the end, then stateful faults, which may wait for a lost build."""
    return candidate.subject.is_fault, candidate.subject.kind != "stateful"


@contextlib.contextmanager
def _hypothesis_in(folder: Path) -> Iterator[None]:
    """Sets the storage folder of Hypothesis for all trials; removes it at the end."""
    name = "HYPOTHESIS_STORAGE_DIRECTORY"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        shutil.rmtree(folder, ignore_errors=True)


def _try(context: ForkServerContext, order: Order, stop: threading.Event, keep: bool) -> Trial | None:
    if stop.is_set():
        return None
    folder = order.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = folder / "trial.json"
    process = context.Process(target=trial.main, args=(order, result), daemon=True)
    process.start()
    process.join(LAST_S)
    if process.is_alive():
        process.kill()
        process.join()
    outcome = _outcome(order.subject, result, process.exitcode)
    if outcome.state in GOOD and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _outcome(subject: Subject, result: Path, exit_code: int | None) -> Trial:
    try:
        values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        killed = f"was killed by signal {-exit_code}" if exit_code and exit_code < 0 else f"ended with {exit_code}"
        return Trial(subject, trouble=f"the process of the trial {killed}; see {result.parent}")
    found = values.pop("broken")
    broken = {claim: Blame(**blame | {"checks": tuple(blame["checks"])}) for claim, blame in found.items()}
    del values["subject"]
    return Trial(subject, broken, **values)
