"""The requests of a client (start, retry, poll, follow a log), and the Locust user that follows a schedule.

A response time counts from the scheduled time of the request, even if the load generator sends the request late.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser

from touchstone.facts.backoff import back_off_s
from touchstone.facts.events import Attempt, Build, BuildEnd, Remark
from touchstone.facts.exchange import Credential
from touchstone.loadgen.handover import share_of
from touchstone.loadgen.load_run import LoadRun, LoadWorker, Stopped
from touchstone.loadgen.plan import POLL_S
from touchstone.loadgen.workloads import ACTIONS
from touchstone.target.call import NOT_REACHED, Answer, Call

# After this many consecutive reads with the status not_built, a build counts as vanished.
_VANISHED_READS = 4

# Maximum random addition to a wait, so that refused clients do not all retry at once.
_JITTER_S = 0.25


@dataclass
class Flow:
    """One client of the load. *want*: its number in the run; *paced*: whether it has not sent a request yet."""

    run: LoadRun
    want: int
    due_at: float
    keep: bool
    credential: Credential = "primary"
    phase: str = ""
    paced: bool = True

    def send(self, operation: str, ref: str, **more: Any) -> Answer:
        """Sends a request. Its response time counts from the due time if it is the first request, else from now."""
        intended_at, paced, self.paced = self._intended_at(), self.paced, False
        return self.run.send(Call(operation, ref, self.credential, **more), intended_at, paced=paced, keep=self.keep)

    def _intended_at(self) -> float:
        return self.due_at if self.paced else self.run.now()

    def start(self, ref: str, *, fresh: bool | None, patient: bool = True) -> Answer:
        """Starts a build and returns the last response. If *patient*, retries after each 429, for patience_s at most.

        Each wait lasts for Retry-After or, without that header, for the documented back-off. *fresh*: the version is
        not built yet, so that a read before and after each wait shows whether the refused start began a build; None if
        other clients start and cancel the same version.
        """
        refused_at: float | None = None
        for number, wait_s in enumerate(back_off_s(), start=1):
            intended_at = self._intended_at()
            reply = self.send("startBuild", ref)
            done_at = reply.done_at
            pause_s = wait_s if reply.retry_after_s is None else reply.retry_after_s
            self.run.was_refused |= reply.status == 429
            refused = reply.status == 429 and patient
            refused_at = done_at if refused_at is None else refused_at
            gave_up = refused and done_at - refused_at + pause_s > self.run.target.patience_s
            self.run.collector.write(
                Attempt(
                    want=self.want,
                    number=number,
                    ref=ref,
                    credential=self.credential,
                    phase=self.phase,
                    fresh=fresh,
                    intended_at=round(intended_at, 6),
                    sent_at=round(reply.sent_at, 6),
                    done_at=round(done_at, 6),
                    status=reply.status,
                    retry_after_s=reply.retry_after_s,
                    gave_up=gave_up,
                    seq=reply.seq,
                    cut_off=reply.cut_off,
                    unsent=reply.head is None and reply.error.startswith(NOT_REACHED),
                )
            )
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

    def await_end(self, ref: str, started: Answer, *, cancelled: bool = False) -> None:
        """Polls a build until it ends or times out, and logs its end. *cancelled*: whether a client may cancel it."""
        accepted_at = started.done_at
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
            status = reply.content.get("status") if reply.status == 200 else {404: "not_built"}.get(reply.status)
            idle = idle + 1 if status == "not_built" else 0
            if status == "building":
                building_at = reply.done_at
            if status in ("ready", "failed"):
                end = "ready" if status == "ready" else "failed"
            elif status == "not_built" and (cancelled or idle >= _VANISHED_READS):
                end = "cancelled" if cancelled else "vanished"
            elif reply.sent_at > limit_at:
                end = "stuck" if building_at is not None else "unread"
            elif self.run.silence.lasts(self.run.now()):
                end = "silent"
            if end != "unfinished":
                seq = reply.seq
        times = round(accepted_at, 6), round(self.run.now(), 6)
        self.run.collector.write(Build(self.want, ref, self.credential, *times, end, building_at, seq))

    def until_building(self, ref: str) -> bool:
        """Polls until a read reports ``building``; returns False if the build ends first or the wait times out."""
        limit_at = self.run.now() + self.run.target.build_timeout_s
        while self.run.now() < limit_at:
            status = self.send("getBuild", ref).content.get("status")
            if status == "building":
                return True
            is_over = status in ("ready", "failed") or self.run.silence.lasts(self.run.now())
            if is_over or not self.run.rest(POLL_S):
                return False
        return False

    def follow(self, ref: str) -> Answer:
        """Streams the log of a build to its end, at most for the time limits of a build and a cancel together."""
        target = self.run.target
        return self.send("streamBuildEvents", ref, stream_s=target.build_timeout_s + target.cancel_timeout_s)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Scheduled action of one client."""

    number: int
    action: str
    due_at: float  # run second
    nth_build: int  # number among the arrivals that build a version of their own, from 0; -1 for other arrivals


class ArrivalUser(User):
    """The only Locust user of a worker: for each arrival, it creates a client of the scenario, and calls do_ACTION."""

    worker: ClassVar[LoadWorker]
    clients: ClassVar[Mapping[str, type[Any]]]  # class of the client by method, such as ``do_start``

    run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Task for Locust: sends this worker's arrivals, and goes on if Locust stops this user to move it."""
        gevent.spawn(self.worker.work, self.send_all, self.after).join()
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
        """Runs the closing steps of a scenario that has some, in one worker after all arrivals of all workers."""
        if "do_after" in self.clients:
            self._do(Arrival(self.run_.part.arrivals, "after", self.run_.now(), -1))

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
        """Closed model: runs clients, each of which takes the next arrival as soon as its previous one is done."""
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
        """Yields all arrivals once, then repeats those that begin no build. The run log says when this begins."""
        run, first = self.run_, list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if not ACTIONS[arrival.action].builds]
        if len(repeated) < len(first) and run.now() < until_at and not run.stopped.is_set():
            spent = f"all {len(first) - len(repeated):,} arrivals of worker {run.part.number} that begin a build"
            at_s = f"by second {run.now() - run.began_at:.1f}"
            run.collector.write(Remark(f"closed model: {spent} were used up {at_s}; only the others repeat"))
        yield from itertools.cycle(repeated)

    def _do(self, arrival: Arrival) -> None:
        name = f"do_{arrival.action}"
        with suppress(StopUser):
            getattr(self.clients[name](self.environment, self.run_, arrival), name)()
