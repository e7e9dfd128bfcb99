"""One examination of ours of one server, in a process of its own, and what it blamed.

It is the trial of `touchstone prove`, but the whole of it: what stops at the first proof would be compared with what
goes on to its end.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.plain import end_with_parent, output_to
from touchstone.errors import HarnessError
from touchstone.proof import trial
from touchstone.proof.catalogue import candidate
from touchstone.proof.result import Subject, Trial
from touchstone.twin.serve import Behaviour

LAST_S = trial.TRIAL_SECONDS + 30.0
CORRECT = Subject("correct", "variant", "It is the twin as it is.")


@dataclass(frozen=True, slots=True)
class Order:
    """What one examination is to do.

    Attributes:
        subject: The server; None for the correct twin.
        folder: Of this examination alone.
    """

    subject: Subject | None
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class OurRun:
    """What came of one examination.

    Attributes:
        found: Whether every claim that the fault has to break was found broken, and the exit code says so.
        blamed: All claims that were found broken.
        strange: Those of them that have nothing to do with the fault.
        requests: All that were made.
        ended: Whether it came to its end.
    """

    found: bool
    blamed: tuple[str, ...]
    strange: tuple[str, ...]
    requests: int
    seconds: float
    ended: bool


def our_run(order: Order, context: Any) -> OurRun:
    """Examines it in a new process, for LAST_S at the most."""
    shutil.rmtree(order.folder, ignore_errors=True)
    order.folder.mkdir(parents=True)
    began = time.monotonic()
    process = context.Process(target=main, args=(order,), daemon=True)
    process.start()
    process.join(LAST_S)
    if process.is_alive():
        process.kill()
        process.join()
    try:
        said = json.loads((order.folder / "said.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return OurRun(found=False, blamed=(), strange=(), requests=0, seconds=time.monotonic() - began, ended=False)
    return OurRun(**said | {"blamed": tuple(said["blamed"]), "strange": tuple(said["strange"])})


def main(order: Order) -> None:
    """The body of the process."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.chdir(order.folder)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(order.folder / "hypothesis")
    behaviour, subject, profile = Behaviour("correct", ""), CORRECT, "quick"
    if order.subject is not None:
        chosen = candidate(order.subject.name, order.subject.sort, order.seed)
        behaviour, subject, profile = chosen.behaviour, chosen.subject, chosen.profile
    with output_to(order.folder / "output.txt"), contextlib.suppress(HarnessError):
        outcome = trial.run(trial.Order(subject, order.folder, profile, order.seed, whole=True), behaviour)
        part = order.folder / "said.part"
        part.write_text(json.dumps(said_by(outcome)), encoding="utf-8")
        part.replace(order.folder / "said.json")


def said_by(outcome: Trial) -> dict[str, Any]:
    """The fields of an OurRun."""
    is_found = outcome.subject.is_fault and outcome.exit_code == 1 and not outcome.lacking
    return {
        "found": is_found,
        "blamed": list(outcome.broken),
        "strange": list(outcome.noise),
        "requests": outcome.exchanges,
        "seconds": outcome.seconds,
        "ended": not outcome.trouble,
    }
