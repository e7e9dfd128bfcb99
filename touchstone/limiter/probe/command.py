"""Runs a probe from beginning to end: target, set-up, a child process that sends, clean-up, judgement, reports.

The parent sends only what sets the stage and clears it; the child writes what happened in between.
"""

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.check.handover import Errand
from touchstone.check.job import REACHED_ITS_END, Outcome
from touchstone.check.preflight import REF
from touchstone.config import Settings
from touchstone.errors import UsageError, unsent
from touchstone.facts.events import Footer, RunLog
from touchstone.facts.probe_events import KneeTerms, ProbeStory, Probing
from touchstone.facts.runlog import RunLogWriter
from touchstone.limiter.probe.judge import judge_probe_run
from touchstone.limiter.probe.loop import CASE, ProbeHandover
from touchstone.limiter.terms import Terms
from touchstone.loadgen.loading import SLACK_S, StagedJob, check_allowed
from touchstone.loadgen.plan import Need
from touchstone.loadgen.setup import SettingUp
from touchstone.types import Conclude, Progress

OPERATIONS = ("startBuild", "getBuild", "getTemplate")

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


def needs(settings: Settings, terms: Terms) -> tuple[Need, ...]:
    """
    What a probe needs of a target: versions whose builds last as long as the target lets them, or those that it has.
    """
    target = settings.target
    if not terms.starts and target.publish == "never":
        return (Need("own", "read"),) * bool(target.templates.buildable)
    if not terms.starts:
        return (Need("own", "read"),)
    if target.publish == "never":
        return (Need("own", "pool"),) * len(dict.fromkeys(target.templates.buildable))
    return (Need("own", "pool", sleep_s=builds_s(settings)),) * min(terms.most_builds, terms.most_held + SPARE)


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
    with unsent():
        check_terms(settings, wish)
    return _Probe(settings, progress, wish).run(argv, conclude)


class _Probe(StagedJob):
    """A probe, or what is left of one that was interrupted."""

    errand = Errand(command="probe")
    child = ("the probe's process", "probe.log")

    def __init__(self, settings: Settings, progress: Progress, wish: Wish) -> None:
        super().__init__(settings, progress)
        self._wish = wish
        past = wish.past.probe if wish.past else None
        # What is written down once more, and is no news.
        self._recalled = Counter({"stimulus": len(past.sent), "tried": len(past.tried)} if past else {})
        self._show, self.progress = self.progress, self._progress

    def _progress(self, event: dict[str, Any]) -> None:
        kind = event.get("type", "")
        if self._recalled[kind] > 0:
            self._recalled[kind] -= 1
        else:
            self._show(event)

    def send(self, stage: SettingUp) -> Footer:
        """Has the versions ready that the probe needs, and a child process ask."""
        until_at = self._begin(stage)
        stage.smoke(self.is_stopped)
        built = stage.stage(needs(self.settings, self._wish.terms), self.is_stopped)
        if self.is_stopped():
            return REACHED_ITS_END
        most = self.settings.target.max_builds
        handover = ProbeHandover(
            settings=self.settings,
            run_log=str(self.run_log.absolute()),
            # Of a version that does not exist a read is answered as well, with 404, unless it is refused.
            refs=tuple(dict.fromkeys(built.refs("own"))) or (REF,),
            origin=stage.clock.origin,
            until_at=until_at,
            first_seq=stage.last_seq + 1,
            spent_builds=most - stage.builds_left(most) if self._wish.terms.starts else 0,
        )
        return self.child_ended(self.run_child(probe_command(), handover, until_at - stage.clock.now() + SLACK_S))

    def before_clearing(self, stage: SettingUp, log: RunLog) -> None:
        """Has exchanges of the clean-up numbered from where those of the child ended."""
        answers = log.probe.answers if log.probe else ()
        stage.last_seq = max([stage.last_seq, *(a.seq for a in answers), *(e.seq for e in log.exchanges)])

    def judge(self, footer: Footer) -> Footer:
        """Judges what the probe received."""
        return judge_probe_run(self.run_log, self.settings, footer)

    def _begin(self, stage: SettingUp) -> float:
        """Writes what is asked for, and what an earlier session received; when the seconds are over, in run seconds."""
        terms, past, origin_utc = self._wish.terms, self._wish.past, round(time.time() - stage.clock.now(), 6)
        plain = dataclasses.asdict(terms)
        probing = Probing(self._wish.operation, terms.seed, plain, origin_utc, knee=self._wish.knee)
        with RunLogWriter(self.run_log) as writer:
            if past is None or past.probe is None:
                writer.write(probing)
            else:
                probing = _resumed(past.probe, stage)
                exchanges = [exchange for exchange in past.exchanges if exchange.case == CASE]
                numbers = [*(a.seq for a in past.probe.answers), *(e.seq for e in exchanges)]
                stage.transport.number_from(1 + max(numbers, default=0))
                story = past.probe
                writer.write(probing, *story.sent, *story.answers, *story.heard, *story.tried, *exchanges)
        return probing.began_at + max(0.0, terms.most_s - probing.spent_s)


def _resumed(story: ProbeStory, stage: SettingUp) -> Probing:
    """What an earlier session was to find out, gone on with now: the clock of the run goes on as well."""
    stage.clock.origin = time.monotonic() - (time.time() - story.probing.origin_utc)
    spent_s = story.probing.spent_s + max(0.0, story.last_at - story.probing.began_at)
    return dataclasses.replace(story.probing, spent_s=round(spent_s, 6), began_at=round(stage.clock.now(), 6))


def probe_command() -> list[str]:
    """The command line of the child process."""
    return [sys.executable, "-m", "touchstone.limiter.probe"]
