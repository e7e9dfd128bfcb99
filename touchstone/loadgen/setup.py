"""Puts on the stage what a load run needs, and clears it again: versions of its own, some of them built beforehand."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from touchstone.check.budget import SILENT_REMOVALS, Budget
from touchstone.check.examination import Examination, Unsuited, how_ended
from touchstone.check.journal import Journal
from touchstone.check.preflight import check_given, smoke
from touchstone.check.run import Journalled
from touchstone.check.sweep import EMBEDDED_URL
from touchstone.check.templates import Template, given, publish_call
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.events import Remark, RunLog, TemplateAction, TemplateDeed
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.runlog import RunLogWriter
from touchstone.facts.wording import plural
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.plan import Need, Stage
from touchstone.rules.history import Content
from touchstone.target.answer import NOT_REACHED
from touchstone.target.call import Keys
from touchstone.target.clock import WallClock
from touchstone.target.transport import Transport
from touchstone.types import Progress

SET_UP, CLEAN_UP = "set-up", "clean-up"

PUBLISHING, CANCELLING, DELETING = "publishing", "cancelling what the run left", "deleting templates"

# Of what is left so many are named in a warning.
_NAMED = 3


# While something is waited for it is looked so often whether the run was stopped.
_LOOK_S = 0.1


class Stopped(Exception):
    """Somebody stopped the run while it was set up, or once more while it was cleared."""


class _Counter:
    """Reports how far the set-up or the clean-up has come, as one more event to whoever shows how a run comes along."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._doing, self._done, self._of = "", 0, 0

    def begin(self, doing: str, of: int) -> None:
        """So many of something are to be done."""
        self._doing, self._done, self._of = doing, 0, of
        if of:
            self._tell()

    def step(self) -> None:
        """One of them is done."""
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        self._progress({"type": "course", "doing": self._doing, "done": self._done, "of": self._of})


def untold(_event: dict[str, Any]) -> None:
    """Tells nobody."""


def never() -> bool:
    """That nobody stops anything."""
    return False


class Waiting(WallClock):
    """Time as it passes, and waits that end when the run is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: Callable[[], bool] = never

    def is_stopped(self) -> bool:
        """Whether the run was stopped."""
        return self.stopped()

    def look(self) -> None:
        """Looks once.

        Raises:
            Stopped: the run was stopped.
        """
        if self.stopped():
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Waits.

        Raises:
            Stopped: the run was stopped meanwhile.
        """
        until_at = self.now() + seconds
        while (left_s := until_at - self.now()) > 0:
            self.look()
            super().rest(min(left_s, _LOOK_S))


class Needing(Protocol):
    """A run that needs versions which stand ready."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """What is published before it."""


class _Ledger(Journalled):
    """The same, and each removal is told of."""

    def __init__(self, *arguments: Any, counter: _Counter, look: Callable[[], None]) -> None:
        super().__init__(*arguments)
        self._counter = counter
        self._look = look

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        """*template* was deleted, or could not be.

        Raises:
            Stopped: no more is to be deleted.
        """
        super().removed(template, gone=gone, sure=sure)
        self._counter.step()
        self._look()

    def left(self, template: Template, *, sure: bool) -> None:
        """*template* is left as it is, since the clean-up was stopped; *sure* is whether it ever was on the target."""
        action: TemplateDeed = "left" if sure else "may-be-left"
        self._log.write(TemplateAction(template.ref, self._purpose(template), "", action, self._now()))


class SettingUp:
    """What the parent of a load run sends itself: before the load, and after it.

    Args:
        progress: Is told how far each of the two has come.
    """

    def __init__(self, settings: Settings, run_id: str, run_log: Path, progress: Progress = untold) -> None:
        target = settings.target
        self._settings = settings
        self._log = RunLogWriter(run_log, drops=True)
        self._owners: dict[str, Credential] = {}
        self._silent = 0
        self.last_seq = 0
        # Of a server that is not known to be the API yet: nothing that another one says is to be judged.
        self._unsure: list[Exchange] | None = None
        self.clock = Waiting()
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        asked = (target.url or "", keys, Contract.load(), self._record, target.request_timeout_s)
        self.transport = Transport(*asked, clock=self.clock, stopped=self.clock.is_stopped, bounds=target.bounds)
        url = EMBEDDED_URL if target.embedded else target.url or ""
        self._journal = Journal.open(run_id, url, settings.state_dir, run_log.parent)
        self._counter = _Counter(progress)
        written = (run_id, self._journal, self._log, self.transport)
        self._ledger = _Ledger(*written, counter=self._counter, look=self.clock.look)
        self._exam = Examination(self.transport, target, run_id, self._ledger, Budget(target.max_builds), case=SET_UP)

    def _record(self, exchange: Exchange) -> None:
        self.last_seq = max(self.last_seq, exchange.seq)
        if self._unsure is None:
            self._log.write(exchange)
        else:
            self._unsure.append(exchange)

    def smoke(self, stopped: Callable[[], bool]) -> float:
        """Makes sure that the target can be judged, unless *stopped* is true meanwhile; see `check.smoke`."""
        self.clock.stopped = stopped
        self._unsure = []
        try:
            latency_s = round(smoke(self.transport, self._settings.target.key_sources.primary), 6)
            check_given(self.transport, self._settings.target)
            for exchange in self._unsure:
                self._log.write(exchange)
            return latency_s
        finally:
            self.clock.stopped, self._unsure = never, None

    def stage(self, plan: Needing, latency_s: float, stopped: Callable[[], bool]) -> Stage:
        """
        Publishes what *plan* needs and builds what has to be ready; no more than a part of it once *stopped* is true.

        Raises:
            TargetError: the target did not do its part.
        """
        roles: dict[str, list[str]] = {}
        contents: dict[str, Content] = {}
        self.clock.stopped = stopped
        self._counter.begin(PUBLISHING, len(plan.needs))
        ref = ""
        try:
            for need in plan.needs:
                self.clock.look()
                template = self._template(need, roles)
                ref = template.ref
                contents[template.ref] = self._published(template)
                role = f"{need.role}-second" if need.second else need.role
                roles.setdefault(role, []).append(template.ref)
                self._owners[template.ref] = template.owner
                if need.role == "ready":
                    self._build(template)
                self._counter.step()
        except Stopped:
            pass
        except Unsuited as error:
            if not stopped():
                where = f"{ref}: " if ref and ref not in error.reason else ""
                raise TargetError(f"the load could not be set up: {where}{error.reason}") from error
        finally:
            self.clock.stopped = never
        self._journal.started(*(ref for role, refs in roles.items() if not role.startswith("ready") for ref in refs))
        return Stage({role: tuple(refs) for role, refs in roles.items()}, contents, latency_s)

    def _template(self, need: Need, roles: dict[str, list[str]]) -> Template:
        """A template for *need*; where nothing may be published, the next one that the user named."""
        if self._settings.target.publish == "never":
            named = self._settings.target.templates.buildable
            if not named:
                raise Unsuited("not-applicable", "publishing is switched off; name templates in templates.buildable")
            return given(named[sum(map(len, roles.values())) % len(named)])
        owner: Credential = "second" if need.second else "primary"
        template = self._exam.template(need.purpose, sleep_s=need.sleep_s, fails=need.fails, owner=owner)
        return replace(template, halved=need.halved, more_lines=need.more_lines)

    def _published(self, template: Template) -> Content:
        if self._settings.target.publish == "never":
            return Content(template.ref, template.owner, f"given:{template.ref}", "ready", 0.0, "", 0, 0.0, 0.0)
        exchange = self._exam.publish(template)
        if not 200 <= exchange.status < 300:
            told = exchange.error or f"{exchange.status} {exchange.body}"
            raise Unsuited("could-not-run", f"publishing {template.ref} failed: {told}")
        if self._exam.budget.is_doubtful(template.ref):
            # Before its build is started only this shows that publishing begins none, and so costs none.
            self._exam.look(template.ref)
        return _content(template, exchange)

    def _build(self, template: Template) -> None:
        self._journal.started(template.ref)
        self._exam.start(template.ref, template.owner)
        ended = self._exam.wait(template.ref)
        if ended.body.get("status") != "ready":
            raise Unsuited("could-not-run", f"{how_ended(template.ref, ended)}; it had to be ready")
        self._journal.settled(template.ref)

    def builds_left(self, planned: int) -> int:
        """How many builds may still begin. Where fewer than *planned* are left, unclear starts are read first."""
        budget = self._exam.budget
        if budget.builds < planned:
            budget.look_through(self._exam.look)
        return max(0, budget.builds)

    @property
    def is_lost(self) -> bool:
        """Whether the run log takes no more."""
        return self._log.lost is not None

    def clear(self, log: RunLog | None, stopped: Callable[[], bool] = never) -> bool:
        """Cancels what may be building and deletes what was published; what cannot be removed stays in the journal.

        Args:
            log: What the run saw: what it saw end needs no cancel, nor what no worker started. None where it is lost.
            stopped: Once it is true, all else is left to a sweep.

        Returns:
            Whether nothing is left.
        """
        seen = [*(e.seq for e in log.exchanges), *(a.seq for a in log.attempts)] if log else []
        self.transport.number_from(max([*seen, self.last_seq]) + 1)
        self._exam.case = CLEAN_UP
        self.clock.stopped = stopped
        try:
            clean = self._cleared(_idle(log, self._journal.builds) if log else set())
        except Stopped:
            clean = self._warn_left()
        finally:
            self.clock.stopped = never
        self._journal.close()
        return clean and not self._journal.builds

    def _cleared(self, idle: set[str]) -> bool:
        """Whether nothing is left."""
        self._journal.settled(*(ref for ref in self._journal.builds if ref in idle))
        self._counter.begin(CANCELLING, len(self._journal.builds))
        for ref in self._journal.builds:
            self.clock.look()
            if self._cancelled(ref):
                self._journal.settled(ref)
            self._counter.step()
        self._counter.begin(DELETING, len(self._exam.templates))
        clean = self._exam.clean_up()
        running = sorted(self._journal.builds)
        if running:
            more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
            told = f"{plural(len(running), 'build')} may still be running, as cancels were not answered: "
            self._log.write(Remark(f"{told}{', '.join(running[:_NAMED])}{more}; `touchstone sweep` tries again"))
        return clean

    def _warn_left(self) -> bool:
        """Tells what a clean-up leaves that was stopped; whether that is nothing."""
        refs = {*self._journal.refs}
        for template in self._exam.templates:
            if template.ref in refs:
                self._ledger.left(template, sure=self._exam.publications.standing(template) == "there")
        number = len(refs.union(self._journal.builds))
        if number:
            self._log.write(
                Remark(
                    f"the clean-up was stopped: {plural(number, 'version')} may be left, and builds of them; "
                    "`touchstone sweep` removes them"
                )
            )
        return not number

    def _cancelled(self, ref: str) -> bool:
        if self._silent >= SILENT_REMOVALS:
            return False
        try:
            exchange = self._exam.cancel(ref, self._owners.get(ref, "primary"))
        except Unsuited:
            return False
        self._silent = 0 if exchange.response else self._silent + 1
        return 200 <= exchange.status < 300 or exchange.status in (404, 409)

    def close(self) -> None:
        """Closes connections and files."""
        self._journal.close()
        self.transport.close()
        if remark := self.transport.remark:
            self._log.write(Remark(remark))
        self._log.close()


def _idle(log: RunLog, refs: Iterable[str]) -> set[str]:
    """Those of *refs* that surely nothing builds.

    What a worker did not tell to its end it may have started as well. A start without a connection began nothing.
    """
    last = {worker.number: worker.state for worker in log.workers if worker.number != TARGET}
    started = {attempt.ref for attempt in log.attempts if not attempt.unsent}
    sent = [exchange for exchange in log.exchanges if not exchange.error.startswith(NOT_REACHED)]
    started |= {exchange.ref for exchange in sent if exchange.operation == "startBuild" and exchange.ref}
    unstarted = set(refs) - started if last and all(state == "done" for state in last.values()) else set()
    return unstarted | {build.ref for build in log.builds if build.end in ("ready", "failed", "cancelled")}


def _content(template: Template, exchange: Exchange) -> Content:
    digest = exchange.body.get("digest")
    call = publish_call(template, wrapped=False)
    return Content(
        ref=template.ref,
        owner=template.owner,
        key=str(call.note["content"]),
        outcome=template.outcome,
        sleep_s=template.sleep_s,
        marker=str(call.note["marker"]),
        published_seq=exchange.seq,
        from_at=exchange.sent_at,
        sure_at=exchange.done_at,
        digest=digest if isinstance(digest, str) else "",
    )
