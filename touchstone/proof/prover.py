"""Puts many servers before the examination, a few at a time, each in a process of its own."""

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

# What the process that trials are forked from imports before the first one.
WARM = "touchstone.proof.warm"

# A trial ends by itself before this; what does not is killed and counts as failed.
LAST_S = trial.TRIAL_SECONDS + 60.0


def prove(
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    jobs: int,
    seed: int,
    whole: bool = False,
    only_own: bool = False,
    on_outcome: Callable[[Trial], None],
) -> list[Trial]:
    """Tries all *candidates*, *jobs* at a time; the outcomes in the order of the candidates.

    Run logs of those that did not end well stay below *folder*; the others are removed.

    Args:
        on_outcome: Called with each outcome as it comes, from one thread at a time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WARM])
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
    """Whether a trial may stop early, and whether no lost build has to be waited for: the others come first."""
    return candidate.subject.is_fault, candidate.subject.kind != "stateful"


@contextlib.contextmanager
def _hypothesis_in(folder: Path) -> Iterator[None]:
    """Hypothesis keeps its tables in a folder that is gone afterwards; the processes of the trials inherit it."""
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


def _try(context: ForkServerContext, order: Order, stop: threading.Event) -> Trial | None:
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
    if outcome.state in GOOD:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _outcome(subject: Subject, result: Path, exit_code: int | None) -> Trial:
    try:
        values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Trial(subject, trouble=f"the process of the trial ended with {exit_code}; see {result.parent}")
    found = values.pop("broken")
    broken = {claim: Blame(**blame | {"checks": tuple(blame["checks"])}) for claim, blame in found.items()}
    del values["subject"]
    return Trial(subject, broken, **values)
