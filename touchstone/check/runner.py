"""Runs the contract tests against a target, or on recordings."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from touchstone.check.baseline import read_baseline
from touchstone.check.examination import transport_to
from touchstone.check.handover import BARRED, CHECK, CheckHandover, Errand
from touchstone.check.job import EMBEDDED_TWIN, REACHED_ITS_END, Job, Outcome, child_environment, elsewhere, failed
from touchstone.check.preflight import barred, check_given, smoke
from touchstone.check.run import done
from touchstone.check.sweep import sweep_run
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.contract.files import contract_tests_dir
from touchstone.errors import HarnessError, RunLogError, UsageError
from touchstone.facts.events import Footer, Known, Remark, RunLog
from touchstone.facts.runlog import Event, RunLogWriter, read
from touchstone.facts.wording import one_line
from touchstone.twin import TwinSettings
from touchstone.types import Conclude, Progress

COARSE_S = 0.02
PYTEST = (sys.executable, "-m", "pytest")
_REFUSED = 4  # pytest.ExitCode.USAGE_ERROR
# Type of a progress event that is not in the run log. It has the path of the run log.
BEGUN = "begun"


def check(
    settings: Settings,
    argv: Sequence[str],
    progress: Progress,
    conclude: Conclude,
    twin: TwinSettings = EMBEDDED_TWIN,
    errand: Errand = CHECK,
    earlier: RunLog | None = None,
) -> Outcome:
    """Runs the contract tests and judges every claim. *earlier*: log of a check to continue, in the report folder.

    Raises:
        UsageError: the report folder or the baseline is invalid, or no claim matches the setting ``claims_glob``.
        OutputError: the results cannot be written.
    """
    job = _Check(settings, progress)
    job.ledger.select(settings.claims_glob)
    job.earlier = earlier
    job.twin, job.errand, job.known = twin, errand, _known(settings, errand, job.ledger)
    return job.run(argv, conclude)


class _Check(Job):
    earlier: RunLog | None = None

    def work(self) -> Footer:
        """Runs the preflight checks, then the cases in a child process."""
        errand, settings, latency_s = self.errand, self.settings, 0.0
        if self.earlier:
            with RunLogWriter(self.run_log) as writer:
                writer.write(*facts(self.earlier))
            sweep_run(settings, (settings.state_dir, self.folder), self.earlier.header.run_id)
        with closing(transport_to(settings.target, self.contract)) as transport:
            latency_s = smoke(transport, settings.target.key_sources.primary)
            check_given(transport, settings.target)
        if errand.mode == "record":
            # Templates depend on the latency. It is rounded, so that a renewed recording has the same templates.
            latency_s = math.ceil(latency_s / COARSE_S) * COARSE_S
            self.progress({"type": BEGUN, "run_log": str(self.run_log)})
        run_log, latency_s = str(self.run_log.absolute()), round(latency_s, 6)
        handover = CheckHandover(settings, run_log, self.run_id, latency_s, errand)
        ended = self.run_child([*PYTEST, *pytest_arguments(errand)], handover, settings.max_seconds)
        if ended == BARRED:
            return failed(barred(settings.target))
        output = self.folder / self.child[1]
        if ended == _REFUSED and output.exists():  # the last error is the reason why no case began
            lines = output.read_text("utf-8", "replace").splitlines()
            if reasons := [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]:
                return failed(f"{reasons[-1]}; see {output}")
        return REACHED_ITS_END if ended in (0, 1, 5) else self.ended_with(ended)

    def clear(self) -> bool:
        """Removes leftovers of a child that did not finish; the journal keeps templates that cannot be removed."""
        if self.errand.keep:
            return True
        try:
            left = sweep_run(self.settings, (self.settings.state_dir, self.folder), self.run_id)
        except HarnessError as error:
            left = (str(error),)
        if left and self.run_log.exists():
            with suppress(RunLogError), RunLogWriter(self.run_log, drops=True) as writer:
                writer.write(*(Remark(f"left on the target: {ref}; `touchstone sweep` tries again") for ref in left))
        return not left


def plan(settings: Settings, folder: Path, errand: Errand = CHECK) -> str:
    """Returns the cases of a run as JSON; sends no request. Raises UsageError if cases or baseline are unreadable."""
    _known(settings, errand, ledger_of_claims.load())
    path = folder / "plan.json"
    handover = CheckHandover(settings, str(path.absolute()), errand=replace(errand, mode="plan"))
    environment, command = child_environment(handover, os.environ), [*PYTEST, *pytest_arguments(errand)]
    with elsewhere() as cwd:
        child = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if not path.exists():
        raise UsageError(f"the contract tests could not be listed:\n{child.stdout}{child.stderr}")
    return path.read_text(encoding="utf-8")


def _known(settings: Settings, errand: Errand, ledger: Ledger) -> tuple[Known, ...]:
    """Returns the entries of the baseline; empty without a baseline, and if the run is no check."""
    return read_baseline(settings.baseline, ledger) if settings.baseline and errand.mode == "run" else ()


# Other installed plugins are not loaded, since they may reorder cases. Searching for leaked resources costs time.
_PLUGINS = ("touchstone.check.pytest_plugin", "no:unraisableexception", "no:threadexception", "no:cacheprovider")


def pytest_arguments(errand: Errand = CHECK) -> list[str]:
    """Returns the pytest arguments for the contract tests; working folder and installed plugins have no influence."""
    tests = contract_tests_dir()
    return [
        "--disable-plugin-autoload",
        *(argument for plugin in _PLUGINS for argument in ("-p", plugin)),
        *("-c", str(tests / "pytest.ini")),
        *("--rootdir", str(tests)),
        *("--quiet", "--tb=short", "--assert=plain"),
        str(tests / "test_scenarios.py" if errand.mode == "record" else tests),
    ]


# --- checks that continue one that was cut short --------------------------------------------------------------------


def cut_short(folder: Path, settings: Settings) -> tuple[RunLog, Settings]:
    """Returns the run log of an unfinished check of this target, and *settings* as in it; else raises UsageError."""
    run_log, place = folder / "runlog.jsonl", f"--resume {folder}"
    if not run_log.is_file():
        raise UsageError(f"{place}: has no runlog.jsonl; expected the report folder of a check that was cut short")
    log = read(run_log)
    target, found = settings.target, log.header.target
    if log.header.command != "check" or log.header.contract_sha256 != Contract.load().sha256:
        raise UsageError(f"{place}: expected a check by this version of Touchstone; start a new one without --resume")
    if found.kind != "embedded" if target.embedded else found.url != target.url:
        asked = "the embedded twin" if target.embedded else target.url
        raise UsageError(f"{place}: is a check of {one_line(found.url)}, not of {asked}; give the target of that check")
    if log.footer and not log.footer.interrupted and set(log.selected) <= set(done(log)):
        raise UsageError(f"{place}: that check is complete; start a new one without --resume")
    kept = {name: getattr(log.header, name) for name in ("profile", "claims_glob", "seed")}
    return log, replace(settings, report_dir=folder, strict=settings.strict or log.header.strict, **kept)


def facts(log: RunLog) -> Iterator[Event]:
    """Yields the events that the new run log takes over: all exchanges and findings, and the results of done cases."""
    ended = set(done(log))
    yield Remark(f"continues the check {log.header.run_id}, in which {len(ended)} cases were done")
    yield from log.exchanges
    yield from log.occurrences
    yield from (tally for tally in log.tallies if tally.case in ended)
    yield from (notice for notice in log.notices if notice.case in ended or not notice.case)
    yield from (case for case in log.cases if case.id in ended)
