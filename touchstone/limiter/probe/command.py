"""Runs a probe from beginning to end: target, set-up, a child process that sends, clean-up, judgement, reports.

The parent sends only what sets the stage and clears it; the child writes what happened in between.
"""

import dataclasses
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.check.child import passed_on, signals, watched
from touchstone.check.embedded import LOAD_TWIN
from touchstone.check.handover import UNWRITTEN
from touchstone.check.opening import Errand, new_log, new_run_id, utc, write_header
from touchstone.check.preflight import REF
from touchstone.check.runner import Outcome, at_target
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import RunLogError, UsageError, unsent
from touchstone.facts.events import Footer, RunLog
from touchstone.facts.probe_events import KneeTerms, ProbeStory, Probing
from touchstone.facts.runlog import RunLogWriter
from touchstone.limiter.probe.judge import judge_probe_run
from touchstone.limiter.probe.loop import CASE, ProbeHandover
from touchstone.limiter.terms import Terms
from touchstone.loadgen.loading import SLACK_S, check_allowed
from touchstone.loadgen.plan import Need
from touchstone.loadgen.session import Session, stopped_by
from touchstone.loadgen.setup import SettingUp
from touchstone.types import Conclude, Progress

PROBE = Errand(command="probe")
OPERATIONS = ("startBuild", "getBuild", "getTemplate")

# What the child prints.
CHILD_LOG = "probe.log"

# Versions that may be started besides those whose builds are left in flight: so many builds may be on their way to end.
SPARE = 32
# Builds of a probe last until they are cancelled.
BUILD_S, BUILD_SHARE = 300.0, 0.9


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be found out, and how.

    Attributes:
        allows: The host that may be probed though it is not this machine.
        past: The run log of an interrupted probe that is to go on; None for a new one.
        knee: Where the knee of the reads is looked for too.
    """

    operation: str
    terms: Terms
    allows: str = ""
    past: RunLog | None = None
    knee: KneeTerms | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """The versions that stand ready: one to be read, or many to be started."""

    needs: tuple[Need, ...]


def needs(settings: Settings, terms: Terms) -> Needs:
    """
    What a probe needs of a target: versions whose builds last as long as the target lets them, or those that it has.
    """
    target = settings.target
    if not terms.starts and target.publish == "never":
        return Needs((Need("own", "read"),) * bool(target.templates.buildable))
    if not terms.starts:
        return Needs((Need("own", "read"),))
    if target.publish == "never":
        return Needs((Need("own", "pool"),) * len(dict.fromkeys(target.templates.buildable)))
    return Needs((Need("own", "pool", sleep_s=builds_s(settings)),) * min(terms.most_builds, terms.most_held + SPARE))


def builds_s(settings: Settings) -> float:
    """How long a build of a version lasts that the probe publishes; 0 where it publishes none."""
    target = settings.target
    if target.publish == "never":
        return 0.0
    return BUILD_S if target.embedded else min(BUILD_S, round(BUILD_SHARE * target.build_timeout_s, 1))


def check_terms(settings: Settings, wish: Wish) -> None:
    """Makes sure that the target may be probed.

    Raises:
        UsageError: it may not, or has nothing to be started.
    """
    target = settings.target
    if target.url:
        check_allowed(target.url, wish.allows)
    if wish.terms.starts and target.publish == "never" and not target.templates.buildable:
        raise UsageError(
            "probe: starts builds, publishing is switched off, and no version is named; name some in "
            "templates.buildable, or probe with --operation getBuild"
        )


def probe(settings: Settings, wish: Wish, argv: Sequence[str], progress: Progress, conclude: Conclude) -> Outcome:
    """Finds out which limiter is behind the target of *settings*, as far as *wish* lets it.

    Raises:
        UsageError: the target may not be probed.
    """
    ledger, contract = ledger_of_claims.load(), Contract.load()
    with unsent():
        check_terms(settings, wish)
    settings = dataclasses.replace(settings, claims_glob="*")
    run_id = new_run_id()
    folder = settings.report_dir or Path("reports") / run_id
    run_log = new_log(folder)
    began = time.monotonic()
    with signals() as interrupted:
        with at_target(settings, LOAD_TWIN) as settings:
            write_header(run_log, run_id, settings, argv, ledger, contract, PROBE)
            session = Session(settings, run_id, run_log, progress, interrupted)
            footer = session.run(_Run(session, wish).work, _number_on)
        with suppress(RunLogError):  # told where the run is concluded
            footer = judge_probe_run(run_log, settings, footer)
        footer = stopped_by(interrupted) or footer
        footer = dataclasses.replace(footer, ended_at=utc(), duration_s=round(time.monotonic() - began, 3))
        return Outcome(conclude(run_log, footer, folder), folder, run_log)


def _number_on(stage: SettingUp, log: RunLog) -> None:
    """Has exchanges of the clean-up numbered from where those of the child ended."""
    answers = log.probe.answers if log.probe else ()
    numbers = [each.seq for each in answers] + [each.seq for each in log.exchanges]
    stage.last_seq = max([stage.last_seq, *numbers])


@dataclass
class _Run:
    """What a probe does between set-up and clean-up."""

    session: Session
    wish: Wish

    def work(self, stage: SettingUp) -> Footer:
        """Stages, and has a child process ask."""
        session = self.session
        until_at = self._begin(stage)
        smoked_s = stage.smoke(session.stopped)
        built = stage.stage(needs(session.settings, self.wish.terms), smoked_s, session.stopped)
        if session.stopped():
            return Footer("", 0.0, 0, "")
        most = session.settings.target.max_builds
        handover = ProbeHandover(
            settings=session.settings.to_json(),
            url=session.settings.target.url or "",
            run_log=str(session.run_log.absolute()),
            # Of a version that does not exist a read is answered as well, with 404, unless it is refused.
            refs=tuple(dict.fromkeys(built.refs("own"))) or (REF,),
            origin=stage.clock.origin,
            until_at=until_at,
            first_seq=stage.last_seq + 1,
            spent_builds=most - stage.builds_left(most) if self.wish.terms.starts else 0,
        )
        code = self._child(handover, until_at - stage.clock.now())
        footer = session.ended(UNWRITTEN if code == UNWRITTEN else 0)
        if code and not footer.reason:
            log = session.run_log.parent / CHILD_LOG
            return dataclasses.replace(footer, exit_code=3, reason=f"the probe's process ended with {code}; see {log}")
        return footer

    def _begin(self, stage: SettingUp) -> float:
        """Writes what is asked for, and what an earlier session heard; when the seconds are over, in run seconds."""
        terms = self.wish.terms
        origin_utc = round(time.time() - stage.clock.now(), 6)
        plain = dataclasses.asdict(terms)
        probing = Probing(self.wish.operation, terms.seed, plain, origin_utc, knee=self.wish.knee)
        past = self.wish.past
        if past is not None and past.probe is not None:
            story = past.probe
            stage.clock.origin = time.monotonic() - (time.time() - story.probing.origin_utc)
            numbers = [each.seq for each in story.answers]
            numbers += [each.seq for each in past.exchanges if each.case == CASE]
            stage.transport.number_from(1 + max(numbers, default=0))
            spent_s = story.probing.spent_s + max(0.0, story.last_at - story.probing.began_at)
            began_at = round(stage.clock.now(), 6)
            probing = dataclasses.replace(story.probing, spent_s=round(spent_s, 6), began_at=began_at)
        with RunLogWriter(self.session.run_log) as writer:
            writer.write(probing)
            if past is not None and past.probe is not None:
                _recall(past, past.probe, writer)
        return probing.began_at + max(0.0, terms.most_s - probing.spent_s)

    def _child(self, handover: ProbeHandover, left_s: float) -> int:
        session = self.session
        past = self.wish.past.probe if self.wish.past else None
        recalled = Counter({"stimulus": len(past.sent), "tried": len(past.tried)}) if past else Counter[str]()

        def progress(event: dict[str, Any]) -> None:
            kind = event.get("type", "")
            if recalled[kind] > 0:
                recalled[kind] -= 1
            else:
                session.progress(event)

        return watched(
            probe_command(),
            passed_on(os.environ) | handover.environment() | {"PYTHONUNBUFFERED": "1"},
            session.run_log.parent / CHILD_LOG,
            session.run_log,
            progress,
            session.interrupted,
            left_s + SLACK_S,
        )


def _recall(past: RunLog, story: ProbeStory, writer: RunLogWriter) -> None:
    """Writes down once more what an earlier session sent and received."""
    writer.write(*story.sent, *story.answers, *story.heard, *story.tried)
    for exchange in past.exchanges:
        if exchange.case == CASE:
            writer.write(exchange)


def probe_command() -> list[str]:
    """The command line of the child process."""
    return [sys.executable, "-m", "touchstone.limiter.probe"]
