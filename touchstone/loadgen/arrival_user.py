"""Locust user behind all scenarios, and the actions of its clients: start, back off, poll, cancel, follow.

Due times come from the schedule and never move. So the response time of a late request includes the delay.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser

from touchstone.facts.backoff import back_off_s
from touchstone.facts.events import Attempt, Build, BuildEnd, Remark
from touchstone.facts.exchange import Credential
from touchstone.loadgen.handover import share_of
from touchstone.loadgen.load_run import LoadRun, Reply, Stopped
from touchstone.loadgen.locust_listener import worker_of
from touchstone.loadgen.plan import POLL_S
from touchstone.loadgen.workloads import ACTIONS
from touchstone.target.answer import NOT_REACHED
from touchstone.target.call import Call

# After this many consecutive reads with the status not_built, a build counts as vanished.
_VANISHED_READS = 4

# Maximum jitter of a wait, so that refused clients do not retry in step.
_JITTER_S = 0.25


@dataclass
class Flow:
    """One client of the load, number *want* in the whole run; *paced*: whether the first request is still unsent."""

    run: LoadRun
    want: int
    due_at: float
    keep: bool
    credential: Credential = "primary"
    phase: str = ""
    paced: bool = True
    tries: int = 0

    def send(self, operation: str, ref: str, **more: Any) -> Reply:
        """Sends a request; the response time counts from now, or for the first request from the due time."""
        intended_at, paced, self.paced = self._intended_at(), self.paced, False
        return self.run.send(Call(operation, ref, self.credential, **more), intended_at, paced=paced, keep=self.keep)

    def _intended_at(self) -> float:
        return self.due_at if self.paced else self.run.now()

    def start(self, ref: str, *, fresh: bool | None, patient: bool = True) -> Reply:
        """Starts a build; if it is refused, waits for Retry-After or the documented back-off, and retries.

        A read before and after each wait shows whether the refused start began a build.

        Args:
            fresh: Whether the version is not built yet; None if other clients start and cancel this version as well.
            patient: Whether to retry after a refusal.
        """
        refused_at: float | None = None
        for number, wait_s in enumerate(back_off_s(), start=1):
            self.tries = number
            intended_at = self._intended_at()
            reply = self.send("startBuild", ref)
            done_at = reply.answer.done_at
            pause_s = wait_s if reply.retry_after_s is None else reply.retry_after_s
            refused = reply.status == 429 and patient
            refused_at = done_at if refused_at is None else refused_at
            gave_up = refused and done_at - refused_at + pause_s > self.run.target.patience_s
            self._write_attempt(ref, fresh, intended_at, reply, gave_up)
            if not refused or gave_up:
                break
            if fresh:
                self.send("getBuild", ref)
            jitter_s = self.run.random.uniform(0.0, _JITTER_S)
            if not self.run.rest(done_at + pause_s + jitter_s - self.run.now()):
                break
            if fresh:
                self.send("getBuild", ref)
        return reply

    def _write_attempt(self, ref: str, fresh: bool | None, intended_at: float, reply: Reply, gave_up: bool) -> None:
        self.run.collector.write(
            Attempt(
                want=self.want,
                number=self.tries,
                ref=ref,
                credential=self.credential,
                phase=self.phase,
                fresh=fresh,
                intended_at=round(intended_at, 6),
                sent_at=round(reply.answer.sent_at, 6),
                done_at=round(reply.answer.done_at, 6),
                status=reply.status,
                retry_after_s=reply.retry_after_s,
                gave_up=gave_up,
                seq=reply.seq,
                cut_off=reply.cut_off,
                unsent=reply.answer.head is None and reply.answer.error.startswith(NOT_REACHED),
            ),
        )

    def await_end(self, ref: str, started: Reply, *, cancelled: bool = False) -> None:
        """Polls a build to its end and reports the outcome; *cancelled*: whether a client may have cancelled it."""
        accepted_at = started.answer.done_at
        limit_at = accepted_at + self.run.target.build_timeout_s
        seq, building_at, idle = started.seq, None, 0
        end: BuildEnd = "unfinished"
        while end == "unfinished" and self.run.rest(POLL_S):
            try:
                reply = self.send("getBuild", ref)
            except Stopped:
                break
            if reply.cut_off:
                break
            # A version that no longer exists counts as not built.
            status = reply.body.get("status") if reply.status == 200 else {404: "not_built"}.get(reply.status)
            idle = idle + 1 if status == "not_built" else 0
            if status == "building":
                building_at = reply.answer.done_at
            if status in ("ready", "failed"):
                end = "ready" if status == "ready" else "failed"
            elif status == "not_built" and (cancelled or idle >= _VANISHED_READS):
                end = "cancelled" if cancelled else "vanished"
            elif reply.answer.sent_at > limit_at:
                end = "stuck" if building_at is not None else "unread"
            elif self.run.silence.lasts(self.run.now()):
                end = "silent"
            if end != "unfinished":
                seq = reply.seq
        self.run.collector.write(
            Build(
                want=self.want,
                ref=ref,
                credential=self.credential,
                accepted_at=round(accepted_at, 6),
                ended_at=round(self.run.now(), 6),
                end=end,
                seen_building_at=building_at,
                seq=seq,
            ),
        )

    def until_building(self, ref: str) -> bool:
        """Polls until a build runs; returns False if the build is over before that."""
        limit_at = self.run.now() + self.run.target.build_timeout_s
        while self.run.now() < limit_at:
            status = self.send("getBuild", ref).body.get("status")
            if status == "building":
                return True
            is_over = status in ("ready", "failed") or self.run.silence.lasts(self.run.now())
            if is_over or not self.run.rest(POLL_S):
                return False
        return False

    def follow(self, ref: str) -> Reply:
        """Follows the log of a build to its end, or for as long as a build may take."""
        target = self.run.target
        return self.send("streamBuildEvents", ref, stream_s=target.build_timeout_s + target.cancel_timeout_s)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the schedule, due at a run second; *nth_build* is -1 if it begins no build of its own."""

    number: int
    action: str
    due_at: float
    nth_build: int


class ArrivalUser(User):
    """One worker's share of the arrivals. A scenario has a method ``do_ACTION`` for each action."""

    abstract = True
    scenario: ClassVar[str] = ""

    run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Sends this worker's share of the arrivals, even after Locust stops this user to redistribute its users."""
        gevent.spawn(worker_of(self.environment).work, self.send_all, self.after).join()
        raise StopUser

    def send_all(self, run: LoadRun) -> None:
        """Sends this worker's share of the arrivals."""
        self.run_ = run
        names = tuple(ACTIONS)
        due = (Arrival(number, names[action], run.began_at + due_s, nth) for number, action, due_s, nth in run.rows)
        if run.go.options.model == "closed":
            self._send_in_turn(due)
        else:
            self._send_when_due(due)

    def after(self) -> None:
        """Closing steps of one worker, after all arrivals of all workers."""

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary") -> Flow:
        """Client of an arrival."""
        options, phase = self.run_.go.options, ""
        if options.scenario.name == "fairness":
            is_alone = arrival.due_at - self.run_.began_at < options.duration_s / 2
            phase = "alone" if is_alone else "beside-greedy"
        return Flow(self.run_, arrival.number, arrival.due_at, keep, credential, phase)

    def build(self, arrival: Arrival) -> tuple[str, Flow, Reply]:
        """Starts the version of this arrival; returns the version, its client, and the last response."""
        refs = self.run_.go.stage.refs("own")
        ref = refs[arrival.nth_build % len(refs)]
        flow = self.flow(arrival, keep=self.run_.keeps(arrival.nth_build))
        return ref, flow, flow.start(ref, fresh=True)

    def _send_when_due(self, due: Iterator[Arrival]) -> None:
        run = self.run_
        for arrival in due:
            early_s = arrival.due_at - run.now()
            if early_s > 0 and not run.is_over_budget:
                gevent.sleep(early_s)
            if run.stopped.is_set():
                return
            if run.admit():
                run.spawn(self._do, arrival)
            else:
                run.collector.skip(ACTIONS[arrival.action].operation, arrival.due_at, over_budget=run.is_over_budget)

    def _send_in_turn(self, due: Iterator[Arrival]) -> None:
        """Runs clients that each take the next arrival as soon as the last one is done."""
        run = self.run_
        began_at, options = run.began_at, run.go.options
        run.rest(began_at - run.now())
        until_at = began_at + options.duration_s
        arrivals = self._again(due, until_at)
        for _ in range(share_of(options.users, run.part.number, run.go.workers)):
            run.spawn(self._client, arrivals, until_at)

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        run = self.run_
        for arrival in arrivals:
            if run.now() >= until_at or run.stopped.is_set():
                return
            if not run.admit():
                run.collector.undone += 1
                return
            self._do(replace(arrival, due_at=run.now()))

    def _again(self, arrivals: Iterator[Arrival], until_at: float) -> Iterator[Arrival]:
        """Arrivals in order, then repeatedly those that begin no build, with a remark about the change."""
        run, first = self.run_, list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if not ACTIONS[arrival.action].builds]
        if len(repeated) < len(first) and run.now() < until_at and not run.stopped.is_set():
            spent = f"all {len(first) - len(repeated):,} arrivals of worker {run.part.number} that begin a build"
            at_s = f"by second {run.now() - run.began_at:.1f}"
            run.collector.write(Remark(f"closed model: {spent} were used up {at_s}; only the others repeat"))
        yield from itertools.cycle(repeated)

    def _do(self, arrival: Arrival) -> None:
        getattr(self, f"do_{arrival.action}")(arrival)
