"""Set-up and clean-up of a load or a probe: publishes versions, builds some of them, and removes all at the end."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from touchstone.check.budget import Budget
from touchstone.check.examination import Examination, Ledger, Unsuited, how_ended, transport_to
from touchstone.check.journal import Journal
from touchstone.check.preflight import check_given, smoke
from touchstone.check.run import given_contents
from touchstone.check.sweep import EMBEDDED_URL
from touchstone.check.templates import Template, given
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.events import Remark, RunLog
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.runlog import RunLogWriter
from touchstone.facts.wording import plural
from touchstone.loadgen.metrics import last_reports
from touchstone.loadgen.plan import Need, Stage
from touchstone.rules.history import Content, History
from touchstone.target.call import NOT_REACHED, Call
from touchstone.target.transport import WallClock
from touchstone.types import Progress

SET_UP, CLEAN_UP = "set-up", "clean-up"
PUBLISHING, CANCELLING, DELETING = "publishing", "cancelling what the run left", "deleting templates"

_CHECK_S = 0.1

_NEVER: Callable[[], bool] = bool  # bool() is False: the run is never stopped

_Thing = TypeVar("_Thing")


class Stopped(Exception):
    """The run was stopped during set-up, or again during clean-up."""


class _Clock(WallClock):
    """Clock whose waits raise `Stopped` when the run is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: Callable[[], bool] = _NEVER

    def check(self) -> None:
        if self.stopped():
            raise Stopped

    def rest(self, seconds: float, until: threading.Event | None = None) -> None:
        until_at = self.now() + seconds
        while (left_s := until_at - self.now()) > 0:
            self.check()
            super().rest(min(left_s, _CHECK_S), until)


class SettingUp:
    """Set-up and clean-up of one run; reports the progress of both to *progress*."""

    def __init__(
        self, settings: Settings, run_id: str, run_log: Path, progress: Progress = lambda _event: None
    ) -> None:
        target = settings.target
        self._settings = settings
        self._log = RunLogWriter(run_log, drops=True)
        self._progress = progress
        self._deleted = 0
        self.last_seq = 0
        # Exchanges of the smoke test; logged only if the target is the API, since the run does not judge other servers.
        self._held: list[Exchange] | None = None
        self._contract = Contract.load()
        self.clock = _Clock()
        known = (target, self._contract, self._record)
        self.transport = transport_to(*known, stopped=lambda: self.clock.stopped())  # noqa: PLW0108 - it is replaced
        self.transport.clock = self.clock
        url = EMBEDDED_URL if target.embedded else target.url or ""
        self._journal = Journal.open(run_id, url, settings.state_dir, run_log.parent)
        self._ledger = Ledger(run_id, self._journal, self._log, self.transport)
        ledger = replace(self._ledger, on_removal=self._count_deleted)
        self._exam = Examination(self.transport, target, run_id, ledger, Budget(target.max_builds), case=SET_UP)
        self._owners: dict[str, Credential] = {}

    def _record(self, exchange: Exchange) -> None:
        self.last_seq = max(self.last_seq, exchange.seq)
        if self._held is None:
            self._log.write(exchange)
        else:
            self._held.append(exchange)

    def smoke(self, stopped: Callable[[], bool]) -> None:
        """Checks that the target can be judged, as `check.preflight.smoke` does; ends early if *stopped* is true."""
        self.clock.stopped = stopped
        self._held = []
        try:
            smoke(self.transport, self._settings.target.key_sources.primary)
            check_given(self.transport, self._settings.target)
            self._log.write(*self._held)
        finally:
            self.clock.stopped, self._held = _NEVER, None

    def stage(self, needs: Sequence[Need], stopped: Callable[[], bool]) -> Stage:
        """Publishes *needs* and builds those with role ``ready``, until *stopped*; a failure raises `TargetError`."""
        roles: dict[str, tuple[str, ...]] = {}
        contents: dict[str, Content] = {}
        self.clock.stopped = stopped
        ref = ""
        try:
            for number, need in self._each(PUBLISHING, list(enumerate(needs))):
                template = self._template(need, number)
                ref = template.ref
                contents[ref] = self._published(template)
                role = f"{need.role}-second" if need.second else need.role
                roles[role] = (*roles.get(role, ()), ref)
                self._owners[ref] = template.owner
                if need.role == "ready":
                    self._build(template)
        except Stopped:
            pass
        except Unsuited as error:
            if not stopped():
                where = f"{ref}: " if ref and ref not in error.reason else ""
                raise TargetError(f"the load could not be set up: {where}{error.reason}") from error
        finally:
            self.clock.stopped = _NEVER
        self._journal.started(*(ref for role, refs in roles.items() if not role.startswith("ready") for ref in refs))
        return Stage(roles, contents)

    def _each(self, doing: str, things: Sequence[_Thing]) -> Iterator[_Thing]:
        for done, thing in enumerate(things):
            self._report(doing, done, len(things))
            self.clock.check()
            yield thing
        self._report(doing, len(things), len(things))

    def _report(self, doing: str, done: int, of: int) -> None:
        if of:
            self._progress({"type": "progress", "doing": doing, "done": done, "of": of})

    def _count_deleted(self) -> None:
        self._deleted += 1
        self._report(DELETING, self._deleted, len(self._exam.templates))
        self.clock.check()

    def _template(self, need: Need, number: int) -> Template:
        """Template for *need*; if the target forbids publishing, the next template in templates.buildable."""
        if self._settings.target.publish == "never":
            buildable = self._settings.target.templates.buildable
            if not buildable:
                raise Unsuited("not-applicable", "publishing is switched off; name templates in templates.buildable")
            return given(buildable[number % len(buildable)])
        owner: Credential = "second" if need.second else "primary"
        template = self._exam.template(need.purpose, sleep_s=need.sleep_s, fails=need.fails, owner=owner)
        return replace(template, halved=need.halved, more_lines=need.more_lines)

    def _published(self, template: Template) -> Content:
        if self._settings.target.publish == "never":
            return given_contents(self._settings.target.templates)[template.ref]
        exchange = self._exam.publish(template)
        if not 200 <= exchange.status < 300:
            answer = exchange.error or f"{exchange.status} {exchange.body}"
            raise Unsuited("could-not-run", f"publishing {template.ref} failed: {answer}")
        if template.ref in self._exam.budget.doubts:
            # Only this read shows whether publishing began a build, which would cost budget.
            self._exam.read_uncertain(template.ref)
        history = History(self._contract)
        history.add(exchange)
        return history.contents(template.ref)[-1]

    def _build(self, template: Template) -> None:
        self._journal.started(template.ref)
        self._exam.start(template.ref, template.owner)
        ended = self._exam.wait(template.ref)
        if ended.body.get("status") != "ready":
            raise Unsuited("could-not-run", f"{how_ended(template.ref, ended)}; expected ready")
        self._journal.settled(template.ref)

    def builds_left(self, planned: int) -> int:
        """Number of builds that may still begin. If it is below *planned*, reads first settle uncertain starts."""
        budget = self._exam.budget
        if budget.builds < planned:
            budget.resolve(self._exam.read_uncertain)
        return max(0, budget.builds)

    def clear(self, log: RunLog | None, stopped: Callable[[], bool] = _NEVER) -> bool:
        """Cancels builds that may be running and deletes what was published; returns whether nothing is left.

        *log* makes some cancels unnecessary; None if the run log is lost. Once *stopped* returns True, the rest is left
        to `touchstone sweep`.
        """
        numbers = [*(e.seq for e in log.exchanges), *(a.seq for a in log.attempts)] if log else []
        numbers += [answered.seq for answered in log.probe.answers] if log and log.probe else []
        self.transport.number_from(max([*numbers, self.last_seq]) + 1)
        self._exam.case = CLEAN_UP
        self._journal.settled(*(_idle(log, self._journal.builds) if log else ()))
        self.clock.stopped = stopped
        try:
            self._cancel()
            self.clock.check()
            self._report(DELETING, 0, len(self._exam.templates))
            self._exam.clean_up()
        except Stopped:
            self._warn_left()
        finally:
            self.clock.stopped = _NEVER
        self._journal.close()
        return not self._journal.refs and not self._journal.builds

    def _cancel(self) -> None:
        """Cancels builds that may be running; stops after several consecutive cancels without a response."""
        for ref in self._each(CANCELLING, self._journal.builds):
            exchange = self._exam.tried(Call("cancelBuild", ref, self._owners.get(ref, "primary")))
            if exchange and (200 <= exchange.status < 300 or exchange.status in (404, 409)):
                self._journal.settled(ref)
        if running := sorted(self._journal.builds):
            left = f"{plural(len(running), 'build')} may still be running, because cancels failed"
            self._log.write(Remark(f"{left}, such as {running[0]}; `touchstone sweep` tries again"))

    def _warn_left(self) -> None:
        left = {*self._journal.refs}
        for template in self._exam.templates:
            if template.ref in left:
                sure = self._exam.publications.standing(template) == "there"
                self._ledger.removed(template, gone=False, sure=sure)
        if number := len(left.union(self._journal.builds)):
            left_behind = f"{plural(number, 'version')} may be left, and builds of them"
            self._log.write(Remark(f"the clean-up was stopped: {left_behind}; `touchstone sweep` removes them"))

    def close(self) -> bool:
        """Closes connections and files; returns whether the run log could be written to the end."""
        self._journal.close()
        self.transport.close()
        if remark := self.transport.remark:
            self._log.write(Remark(remark))
        self._log.close()
        return self._log.lost is None


def _idle(log: RunLog, refs: Iterable[str]) -> list[str]:
    """Versions among *refs* without a running build: their builds ended, or all workers reported and sent no start."""
    last = last_reports(log.workers)
    is_whole = last and all(worker.state == "done" for worker in last)
    started = {attempt.ref for attempt in log.attempts if not attempt.unsent}
    sent = [exchange for exchange in log.exchanges if not exchange.error.startswith(NOT_REACHED)]
    started |= {exchange.ref for exchange in sent if exchange.operation == "startBuild" and exchange.ref}
    ended = {build.ref for build in log.builds if build.end in ("ready", "failed", "cancelled")}
    return [ref for ref in refs if ref in ended or (is_whole and ref not in started)]
