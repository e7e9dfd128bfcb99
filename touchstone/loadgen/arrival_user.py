"""The Locust user that all scenarios are made of, and what its clients do: start, back off, poll, cancel, follow.

There is one user to a worker, and a client in a greenlet of its own for each arrival. A client asserts nothing; what
came back is judged elsewhere.

Due times come from the schedule and are never moved: an arrival that is sent late is late, and its answer took as long
as whoever was due to be served had to wait for it.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gevent
from locust import User, task
from locust.exception import StopUser

from touchstone.facts.events import Attempt, Build, BuildEnd, Remark
from touchstone.facts.exchange import Credential
from touchstone.facts.patience import back_off_s
from touchstone.loadgen.handover import share_of
from touchstone.loadgen.load_run import LoadRun, Reply, Stopped, call
from touchstone.loadgen.locust_listener import worker_of
from touchstone.loadgen.plan import POLL_S, phase_of
from touchstone.loadgen.worker import LoadWorker
from touchstone.loadgen.workloads import MAY_BUILD, OPERATION_OF

# A build that reads not_built is believed to have vanished after so many reads in a row.
_VANISHED_READS = 4

_GONE: Mapping[int, str] = {404: "not_built"}

# Refused callers do not come back in step: each waits up to so much longer than it was told.
_JITTER_S = 0.25


class Flow:
    """One client.

    Args:
        want: Number of the client in the whole run.
        due_at: When its first request is due, in run seconds.
        keep: Whether its whole story is kept.

    Attributes:
        tries: Starts that were sent for the build that it wanted last.
    """

    def __init__(
        self,
        run: LoadRun,
        want: int,
        due_at: float,
        *,
        keep: bool,
        credential: Credential = "primary",
        phase: str = "",
    ) -> None:
        self.run = run
        self.want = want
        self.due_at = due_at
        self.keep = keep
        self.credential = credential
        self.phase = phase
        self.tries = 0
        self._paced = True

    def unpaced(self) -> None:
        """Says that no schedule set the moment of the first request."""
        self._paced = False

    def send(self, operation: str, ref: str, *, keep: bool | None = None, **more: Any) -> Reply:
        """Sends a request: the first one when the schedule said, any other one now."""
        paced, self._paced = self._paced, False
        intended_at = self.due_at if paced else self.run.now()
        request = call(operation, ref, self.credential, **more)
        kept = self.keep if keep is None else keep
        return self.run.send(request, intended_at, paced=paced, keep=kept)

    # --- starting ----------------------------------------------------------------------------------------------------

    def start(self, ref: str, *, fresh: bool | None, patient: bool = True) -> Reply:
        """Starts a build; where it is refused, waits as it is told, or as the documentation says, and tries again.

        Args:
            fresh: Whether the version is not built yet; None where others start and cancel it as well.
            patient: Whether a refusal is waited out.
        """
        refused_at: float | None = None
        for number, wait_s in enumerate(back_off_s(), start=1):
            intended_at = self.due_at if self._paced else self.run.now()
            reply = self.send("startBuild", ref)
            self.tries = number
            asked_s = wait_s if reply.asked_s is None else reply.asked_s
            refused = reply.status == 429 and patient
            # By the clock: told to come back at once, one still has no more patience than anybody else.
            refused_at = reply.answer.done_at if refused_at is None else refused_at
            waited_s = reply.answer.done_at - refused_at
            gave_up = refused and waited_s + asked_s > self.run.target.patience_s
            self._attempt(ref, number, fresh, intended_at, reply, gave_up)
            if not refused or gave_up or not self._back_off(ref, reply, asked_s, fresh=fresh):
                break
        return reply

    def _back_off(self, ref: str, refused: Reply, asked_s: float, *, fresh: bool | None) -> bool:
        """
        Waits out a refusal; before and after, it is looked whether the refused start began something all the same.
        """
        if fresh:
            self.send("getBuild", ref)
        gone_s = self.run.now() - refused.answer.done_at
        goes_on = self.run.rest(asked_s - gone_s + self.run.random.uniform(0.0, _JITTER_S))
        if goes_on and fresh:
            self.send("getBuild", ref)
        return goes_on

    def _attempt(
        self, ref: str, number: int, fresh: bool | None, intended_at: float, reply: Reply, gave_up: bool
    ) -> None:
        answer = reply.answer
        self.run.collector.write(
            Attempt(
                want=self.want,
                number=number,
                ref=ref,
                credential=self.credential,
                phase=self.phase,
                fresh=fresh,
                intended_at=round(intended_at, 6),
                sent_at=round(answer.sent_at, 6),
                done_at=round(answer.done_at, 6),
                status=reply.status,
                retry_after_s=reply.asked_s,
                gave_up=gave_up,
                seq=reply.seq,
                cut_off=reply.cut_off,
                unsent=reply.unsent,
            ),
        )

    # --- waiting -----------------------------------------------------------------------------------------------------

    def await_end(self, ref: str, started: Reply, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Polls a build to its end and tells what became of it.

        Args:
            cancelled: Whether somebody has cancelled it by now.
        """
        accepted_at = started.answer.done_at
        limit_at = accepted_at + self.run.target.build_timeout_s
        seq, seen_at, idle = started.seq, None, 0
        end: BuildEnd = "unfinished"
        while self.run.rest(POLL_S):
            try:
                reply = self.send("getBuild", ref)
            except Stopped:
                break
            if reply.cut_off:
                break
            # A version that is not there any more is not built either.
            status = reply.body.get("status") if reply.status == 200 else _GONE.get(reply.status)
            idle = idle + 1 if status == "not_built" else 0
            if status == "building":
                seen_at = reply.answer.done_at
            end = _end_of(status, idle, cancelled=cancelled(), over=reply.answer.sent_at > limit_at, seen=seen_at)
            if end == "unfinished" and self.run.silence.lasts(self.run.now()):
                end = "silent"
            if end != "unfinished":
                seq = reply.seq
                break
        self.run.collector.write(
            Build(
                want=self.want,
                ref=ref,
                credential=self.credential,
                accepted_at=round(accepted_at, 6),
                ended_at=round(self.run.now(), 6),
                end=end,
                seen_building_at=seen_at,
                seq=seq,
            ),
        )

    def until_building(self, ref: str) -> bool:
        """Polls until a build is seen running; False where it is over sooner."""
        limit_at = self.run.now() + self.run.target.build_timeout_s
        while self.run.now() < limit_at:
            status = self.send("getBuild", ref).body.get("status")
            if status == "building":
                return True
            is_over = status in ("ready", "failed") or self.run.silence.lasts(self.run.now())
            if is_over or not self.run.rest(POLL_S):
                return False
        return False

    # --- following ---------------------------------------------------------------------------------------------------

    def follow(self, ref: str) -> Reply:
        """Follows the log of a build to its end, or as long as a build may take."""
        target = self.run.target
        limit_s = target.build_timeout_s + target.cancel_timeout_s
        return self.send("streamBuildEvents", ref, stream_s=limit_s)

    def beside(self, what: Callable[[], Any]) -> "gevent.Greenlet[..., Any]":
        """Does something in another greenlet."""
        return self.run.spawn(what)


def _end_of(status: object, idle: int, *, cancelled: bool, over: bool, seen: float | None) -> BuildEnd:
    """What a read says of the end of a build; ``unfinished`` where it goes on."""
    if status in ("ready", "failed"):
        return "ready" if status == "ready" else "failed"
    if status == "not_built" and cancelled:
        return "cancelled"
    if status == "not_built" and idle >= _VANISHED_READS:
        return "vanished"
    if over:
        return "stuck" if seen is not None or status == "building" else "unread"
    return "unfinished"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the schedule.

    Attributes:
        number: Which one of the whole run, from 0.
        action: What its client does; see `touchstone.loadgen.workloads.Action`.
        due_at: When it is due, in run seconds.
        nth_build: Which of the arrivals that begin a build of their own it is; -1 for any other.
    """

    number: int
    action: str
    due_at: float
    nth_build: int


class ArrivalUser(User):
    """One worker's share of the arrivals. A scenario has a method ``do_ACTION`` for each of its actions."""

    abstract = True
    scenario: ClassVar[str] = ""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._worker: LoadWorker = worker_of(self.environment)
        self.run_: LoadRun

    @task
    def arrivals(self) -> None:
        """Has this worker's share sent, once: Locust would begin again after an error, and without end.

        It deals its users anew where a worker comes or goes, and kills this one when another is to have it. The share
        stays where it is.
        """
        if self._worker.enter():
            gevent.spawn(self._work).join()
        raise StopUser

    def _work(self) -> None:
        try:
            self._arrivals()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends and is no pass
            self._worker.failed(error)

    def _arrivals(self) -> None:
        """Sends this worker's share, waits until all of it is over, and does what comes after."""
        self.run_ = run = self._worker.prepare()
        rows = self._rows()
        self._worker.begin()
        began_at = run.go.began_at
        due = (Arrival(number, action, began_at + due_s, nth) for number, action, due_s, nth in rows)
        if run.go.options.model == "closed":
            self._closed(due)
        else:
            self._open(due)
        run.flows.join()
        if self._worker.drained():
            run.spawn(self.after).join()
        self._worker.finish()

    def after(self) -> None:
        """What one worker does when all arrivals of all workers are over."""

    # --- for the methods of scenarios --------------------------------------------------------------------------------

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary") -> Flow:
        """The client that an arrival is."""
        phase = phase_of(self.run_.go.options, arrival.due_at - self.run_.go.began_at)
        return Flow(self.run_, arrival.number, arrival.due_at, keep=keep, credential=credential, phase=phase)

    def own(self, arrival: Arrival) -> str:
        """The version that is this arrival's own."""
        refs = self.run_.go.stage.refs("own")
        return refs[arrival.nth_build % len(refs)]

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def _open(self, due: Iterator[Arrival]) -> None:
        run = self.run_
        for arrival in due:
            early_s = arrival.due_at - run.now()
            if early_s > 0 and not run.is_over_budget:
                gevent.sleep(early_s)
            if run.stopped.is_set():
                return
            if run.admit():
                run.spawn(self._one, arrival)
            else:
                run.collector.skip(OPERATION_OF[arrival.action], arrival.due_at, over_budget=run.is_over_budget)

    def _closed(self, due: Iterator[Arrival]) -> None:
        """Some clients, each of which begins with the next arrival as soon as it is done with the one before."""
        run = self.run_
        began_at, options = run.go.began_at, run.go.options
        run.rest(began_at - run.now())
        until_at = began_at + options.duration_s
        arrivals = self._again(due, until_at)
        for _ in range(share_of(options.users, run.part.number, run.go.workers) or 0):
            run.spawn(self._client, arrivals, until_at)

    def _client(self, arrivals: Iterator[Arrival], until_at: float) -> None:
        run = self.run_
        for arrival in arrivals:
            if run.now() >= until_at or run.stopped.is_set():
                return
            if not run.admit():
                run.collector.undone += 1
                return
            # No schedule says when it is due: it is as soon as there is somebody to send it.
            self._one(replace(arrival, due_at=run.now()))

    def _again(self, arrivals: Iterator[Arrival], until_at: float) -> Iterator[Arrival]:
        """The arrivals in order, and again those that begin no build; a warning where only those are left."""
        run, first = self.run_, list(arrivals)
        yield from first
        repeated = [arrival for arrival in first if arrival.action not in MAY_BUILD]
        if len(repeated) < len(first) and run.now() < until_at and not run.stopped.is_set():
            rest = " and ".join(sorted({arrival.action for arrival in repeated})) or "none"
            note = (
                f"closed model: by second {run.now() - run.go.began_at:.1f} the clients of worker {run.part.number} "
                f"had taken up all {len(first) - len(repeated):,} arrivals of its plan that begin a build, and went on "
                f"with {rest}"
            )
            run.collector.write(Remark(note))
        yield from itertools.cycle(repeated)

    def _rows(self) -> Iterator[tuple[int, str, float, int]]:
        """
        Number, action, second of the schedule and build of each arrival. What takes long is done before the first one.
        """
        mine, builds = self.run_.part.schedule, self.run_.part.nth_build
        rows = zip(mine.numbers.tolist(), mine.actions.tolist(), mine.due_s.tolist(), strict=True)
        return ((number, mine.names[action], due_s, builds.get(number, -1)) for number, action, due_s in rows)

    def _one(self, arrival: Arrival) -> None:
        """One client."""
        getattr(self, f"do_{arrival.action}")(arrival)
