"""One trial: a twin with a fault or a variant, and a complete check of it in the same process.

Each trial is forked from a process that has imported everything, because imports take longer than many trials.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import runpy
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from touchstone.check.handover import CheckHandover
from touchstone.check.job import EMBEDDED_TWIN, at_twin, finish, new_log, new_run_id, passed_on, utc, write_header
from touchstone.check.preflight import smoke
from touchstone.check.run import given_contents
from touchstone.check.runner import pytest_arguments
from touchstone.config import Settings, TargetSettings, Templates
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import HarnessError, TargetError
from touchstone.facts.events import Footer
from touchstone.facts.runlog import read
from touchstone.proof.catalogue import candidate
from touchstone.proof.result import Subject, Trial, tried
from touchstone.rules import verdict
from touchstone.rules.history import Bounds
from touchstone.rules.judge import suffices
from touchstone.target.transport import Transport
from touchstone.twin import RateLimit
from touchstone.twin.serve import Behaviour

# A build of the twin takes 0.1 s, so these timeouts are reached only if something is stuck.
TARGET = TargetSettings(
    build_timeout_s=5.0, cancel_timeout_s=2.0, patience_s=20.0, request_timeout_s=5.0, max_builds=1000
)
TRIAL_SECONDS = 480.0
# The window is wide, so that even on a slow machine a burst exceeds the limit and early retries are refused.
_TWIN = dataclasses.replace(EMBEDDED_TWIN, rate=RateLimit.parse("60/2"))


@dataclass(frozen=True, slots=True)
class Order:
    """Parameters of one trial."""

    subject: Subject
    folder: Path  # of the run log
    profile: str
    seed: int
    whole: bool = False  # whether the check continues after the proof is complete
    only_own: bool = False  # whether only cases about the claims of the fault run; they miss wrongly blamed claims


def run(order: Order, behaviour: Behaviour) -> Trial:
    """Checks a twin with this behaviour; returns the outcome."""
    began = time.monotonic()
    with behaviour.twin(_TWIN) as twin:
        settings = _settings(order, behaviour, twin.url)
        run_log = new_log(order.folder)
        footer = _examined(order, settings, twin.url, run_log)
    elapsed_s = round(time.monotonic() - began, 3)
    finish(run_log, dataclasses.replace(footer, ended_at=utc(), duration_s=elapsed_s))
    log = read(run_log)
    trial, exchanges = tried(order.subject, log, verdict.judge(log), elapsed_s), {e.seq: e for e in log.exchanges}
    bounds = Bounds(settings.target.build_timeout_s, settings.target.cancel_timeout_s)
    given = given_contents(Templates(**log.header.settings["target"]["templates"]))
    for one in (one for one in log.findings if not one.check.startswith("schemathesis.")):
        if not suffices(one, [exchanges[seq] for seq in one.evidence], bounds, given):
            return dataclasses.replace(trial, trouble=f"{one.id}, {one.claim}: its evidence does not suffice")
    return trial


def _settings(order: Order, behaviour: Behaviour, url: str) -> Settings:
    settings = Settings(
        target=TARGET,
        report_dir=order.folder,
        state_dir=order.folder / "state",
        seed=order.seed,
        strict=True,
        profile=order.profile,  # type: ignore[arg-type]  # the profile of the candidate is valid
        max_seconds=TRIAL_SECONDS,
        claims_glob=",".join(order.subject.breaks) if order.only_own else "*",
    )
    settings = at_twin(settings, url)
    # Settings of the fault or variant, such as timeouts or the way of publishing, override the others.
    return dataclasses.replace(settings, target=dataclasses.replace(settings.target, **behaviour.target))


def _examined(order: Order, settings: Settings, url: str, run_log: Path) -> Footer:
    contract, target = Contract.load(), settings.target
    write_header(run_log, new_run_id(), settings, ["touchstone", "prove"], ledger_of_claims.load(), contract)
    transport = Transport(url, target.credentials(), contract, lambda _exchange: None, target.request_timeout_s)
    try:
        latency_s = smoke(transport)
    except TargetError as error:
        return Footer("", 0.0, error.exit_code, str(error))
    finally:
        transport.close()
    quarry = None if order.whole else order.subject.quarry()
    run_id = read(run_log).header.run_id
    ended = _cases(CheckHandover(settings, str(run_log), run_id, latency_s, quarry=quarry))
    if ended not in (0, 1, 5):
        return Footer("", 0.0, 3, f"the contract tests ended with code {ended}; see {run_log.parent / 'pytest.log'}")
    return Footer("", 0.0, 0, "")


def _cases(handover: CheckHandover) -> int:
    """Runs the contract tests with pytest in this process; returns its exit code."""
    environment = passed_on(dict(os.environ)) | handover.environment()
    arguments = ["pytest", *pytest_arguments()]
    with patch.dict(os.environ, environment, clear=True), patch.object(sys, "argv", arguments):
        try:
            runpy.run_module("pytest", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def main(order: Order, result: Path) -> None:
    """Runs one trial in its own process; writes the outcome to *result* atomically."""
    behaviour = candidate(order.subject.name, order.subject.sort, order.seed).behaviour
    threading.Thread(target=_end_with_parent, daemon=True).start()
    order.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(order.folder)
    with (
        (order.folder / "pytest.log").open("w", encoding="utf-8", errors="backslashreplace") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            trial = run(order, behaviour)
        except HarnessError as error:
            trial = Trial(order.subject, trouble=str(error))
    part = result.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(trial)), encoding="utf-8")
    part.replace(result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(3)
