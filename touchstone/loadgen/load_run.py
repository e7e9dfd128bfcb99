"""One worker of a load run, its clients and their requests (start, retry, poll, follow a log), and its reports.

A response time counts from the scheduled time of the request, even if the load generator sends the request late.
"""

import gc
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import gevent
import psutil
from gevent.event import AsyncResult, Event
from gevent.pool import Group

from touchstone import __version__
from touchstone.check.budget import ENDS, SPENT, Budget, Received, Silence
from touchstone.config import TargetSettings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import HarnessError
from touchstone.facts import runlog
from touchstone.facts.backoff import back_off_s
from touchstone.facts.events import Attempt, Build, BuildEnd, Case, Occurrence, Remark, Worker
from touchstone.facts.exchange import Credential
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT, Histogram, Sample, Window
from touchstone.facts.wording import plural
from touchstone.loadgen.client import MAX_CONNECTIONS, Connections, Requests
from touchstone.loadgen.handover import MAX_KEPT, PART, LoadHandover, Part, share_of
from touchstone.loadgen.judge import AnswerJudge
from touchstone.loadgen.metrics import BEHIND_S
from touchstone.loadgen.plan import INVARIANTS, POLL_S, Stopped
from touchstone.rules.history import History
from touchstone.target.bounds import Room
from touchstone.target.call import NOT_REACHED, Answer, Call, Head, OutgoingRequest, kept_bytes

# Maximum number of reads of shared ready versions in the run log, over all workers.
MAX_KEPT_READS = 1_000
# Seconds between two reports of a worker; one report in STATE_EVERY includes the worker's state.
REPORT_S, STATE_EVERY = 0.5, 4
JOIN_S = 1.0
# Seconds to wait after a stop: first for open requests, then for clients whose requests were cut off.
GRACE_S, CUT_S = 0.5, 2.0
AFTERMATH = "aftermath"  # in the names of Locust's rows
# After this many consecutive reads with the status not_built, a build counts as vanished.
_VANISHED_READS = 4

# Maximum random addition to a wait, so that refused clients do not all retry at once.
_JITTER_S = 0.25


class Collector:
    """Facts that one worker has not reported yet, and counters that `touchstone.facts.events.Worker` describes."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._windows: dict[tuple[int, str, str, bool], Window] = {}
        self._events: list[dict[str, Any]] = []
        self.late = Histogram()
        self.sent = self.unsent = self.unwatched = self.over_budget = self.undone = 0
        self.behind_from_s: float | None = None

    def sample(self, sample: Sample, *, paced: bool) -> None:
        """Counts a sample. *paced*: a schedule set its time, so that it also shows how late the generator is."""
        self._window(int(sample.intended_at), sample.operation, sample.outcome, paced).add(sample)
        if paced:
            self.sent += 1
            self.late.add(sample.late_s)
            if sample.late_s > BEHIND_S:
                since_s = self.behind_from_s
                self.behind_from_s = sample.intended_at if since_s is None else min(since_s, sample.intended_at)

    def skip(self, operation: str, intended_at: float, *, over_budget: bool = False) -> None:
        """Counts an arrival that was due and was not sent."""
        self.unsent += 1
        self.over_budget += over_budget
        self._window(int(intended_at), operation, UNSENT, paced=True).count += 1

    def write(self, event: runlog.Event) -> None:
        """Queues an event of the run log."""
        self._events.append(runlog.encode(event))

    def drain(self, fold: Callable[[Window], None] = lambda _window: None) -> list[dict[str, Any]]:
        """Removes and returns all unreported facts as events of the run log; calls *fold* with each sample window."""
        windows, self._windows = self._windows, {}
        events, self._events = self._events, []
        for window in windows.values():
            fold(window)
        return [*map(runlog.encode, windows.values()), *events]

    def _window(self, at_s: int, operation: str, outcome: str, paced: bool) -> Window:
        key = (at_s, operation, outcome, paced)
        if key not in self._windows:
            self._windows[key] = Window(self._worker, at_s, operation, outcome, paced=paced)
        return self._windows[key]


class LoadRun:
    """State shared by all clients of one worker."""

    def __init__(self, part: Part, target: TargetSettings, report_start: Callable[[int, bool], None]) -> None:
        self.part, self.go = part, part.go
        self.rows = part.assigned.tolist()
        self.began_at = 0.0  # run second at which the schedule begins
        self.target = target
        self.case = f"load.{self.go.options.scenario.name}"
        self.random = random.Random(f"{self.go.options.seed}/{part.number}")
        self._prepare_judge()
        self.connections = Connections(target.url or "", target.request_timeout_s, clock=self.now, bounds=target.bounds)
        self.collector = Collector(part.number)
        self.flows = Group()
        self.silence = Silence()
        self.stopped = Event()
        self.was_refused = False
        # By number of a build that watchers follow: run second at which its start was accepted; None if refused.
        self.starts: dict[int, AsyncResult[float | None]] = defaultdict(AsyncResult)
        self._report_start = report_start
        stage = self.go.stage
        self.builds = Budget(part.builds, ready=stage.refs("ready") + stage.refs("ready-second"))
        most = self.go.options.max_requests
        self._most_requests = None if most is None else share_of(most, part.number, self.go.workers)
        self.is_over_budget = False
        self._over_at: float | None = None
        self._numbers = itertools.count(self.go.first_seq + part.number, self.go.workers)
        self._taken = self._in_flight = self._kept = self._kept_reads = 0
        self._room = Room(target.bounds.max_total_bytes // self.go.workers)
        self._cpu_s, self._cpu_at = time.process_time(), 0.0
        self._failures = set[str]()
        self._is_cut = False
        # Takes permanent objects out of garbage collection: each scan of them would stop all clients for some 50 ms.
        gc.collect()
        gc.freeze()

    def _prepare_judge(self) -> None:
        """Creates the judge and fills the caches of its rules, since doing so later would delay requests."""
        target = self.target
        contract, ledger = Contract.load(), ledger_of_claims.load().raised(INVARIANTS)
        self.requests = Requests(target.url or "", target.credentials(), contract)
        history = History.knowing(contract, self.go.stage.contents.values())
        self.judge = AnswerJudge(history, ledger, self.requests, sources=target.key_sources)
        trial = AnswerJudge(history, ledger, self.requests)
        for operation in contract.operations:
            request = self.requests.prepared(Call(operation, "default/none@1.0.0"))
            trial.judge(request, Answer(Head(200, (("content-type", "application/json"),)), b"{}"), 0)

    def now(self) -> float:
        """Seconds since the run started; all times of the run use this clock."""
        return time.monotonic() - self.part.origin

    def rest(self, seconds: float) -> bool:
        """Waits *seconds*, or until the run is stopped; returns False if it was stopped."""
        return not self.stopped.wait(max(seconds, 0.0))

    def keeps(self, story: int) -> bool:
        """Whether the run log keeps all exchanges of the client, or of the shared version, with the number *story*."""
        return story % self.part.keep_every == 0

    def keeps_read(self) -> bool:
        """Counts a read of a shared version; returns whether the run log keeps this read."""
        self._kept_reads += 1
        return self._kept_reads <= MAX_KEPT_READS // self.go.workers

    def settle_start(self, build: int, *, accepted: bool) -> None:
        """Records whether this worker's start of *build* was accepted, and reports it to the other workers."""
        self.note_start(build, accepted=accepted)
        self._report_start(build, accepted)

    def note_start(self, build: int, *, accepted: bool) -> None:
        """Records whether the start of *build* was accepted, whichever worker sent it."""
        self.starts[build].set(self.now() if accepted else None)

    def accepted_at(self, build: int, within_s: float) -> float | None:
        """Waits up to *within_s* seconds until the start of *build* is accepted; returns the time of that, or None."""
        known = self.starts[build]
        gevent.wait((known, self.stopped), timeout=within_s, count=1)
        return known.get(block=False) if known.ready() else None

    def spawn(self, act: Callable[..., Any], *arguments: Any) -> "gevent.Greenlet[..., Any]":
        """Runs *act* in a new greenlet; an exception ends only this greenlet, and is reported."""
        return self.flows.spawn(self._guarded, act, *arguments)

    def _guarded(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - any error: the other clients go on, and the run is no pass
            self.flow_failed(error)

    def stop(self) -> None:
        """Stops sending. Requests still open after GRACE_S are cut off, and get the outcome CUT_OFF."""
        self.collector.undone += len(self.flows)
        self.stopped.set()
        self.connections.leave_streams()
        self.flows.join(timeout=GRACE_S)
        self._is_cut = True
        self.connections.close()
        self.flows.join(timeout=CUT_S)
        self.flows.kill(block=False)

    def admit(self) -> bool:
        """Reserves an arrival's first request; returns False if the request budget or the connections are used up."""
        return self._in_flight < MAX_CONNECTIONS and self._take()

    def _take(self) -> bool:
        most = self._most_requests
        if most is None or self._taken < most:
            self._taken += 1
            return True
        if not self.is_over_budget:
            self.is_over_budget = True
            self._over_at = round(self.now(), 3)
            share = f"worker {self.part.number} had sent its {plural(most, 'request')}"
            at_s = f"by second {self.now() - self.began_at:.1f} of the schedule"
            self.collector.write(Remark(f"--max-requests {self.go.options.max_requests}: {share} {at_s}"))
        return False

    def send(self, call: Call, intended_at: float, *, paced: bool, keep: bool) -> Answer:
        """Sends a request, measures it and judges the response; raises `Stopped` if nothing more may be sent.

        *paced*: whether this is the first request of an admitted arrival; *keep*: whether to log the exchange.
        """
        if self.stopped.is_set() or not (paced or self._take()):
            self.collector.undone += not self.stopped.is_set()
            if paced:
                self.collector.skip(call.operation, intended_at)
            raise Stopped
        is_start = self.builds.may_begin(call)
        if is_start and not self.builds.reserve(self._read):
            self.collector.undone += 1
            self._fail(f"a start was not sent: {SPENT}", self.case)
            raise Stopped
        self.builds.sends(call)
        request = self.requests.prepared(call)
        seq = next(self._numbers)
        self._in_flight += 1
        try:
            answer = self.connections.send(request.method, self.requests.wire(request), call.stream_s)
        finally:
            self._in_flight -= 1
        answer.seq, answer.cut_off = seq, self._is_cut and bool(answer.error)
        self._time(request, answer, intended_at, paced=paced)
        if not answer.cut_off:
            self._judge(request, answer, keep=keep)
        if is_start or call.operation in ENDS or (call.ref or "") in self.builds.doubts:
            self._settle(call, answer, reserved=is_start)
        return answer

    def _read(self, ref: str) -> None:
        content = self.go.stage.contents.get(ref)
        call = Call("getBuild", ref, content.owner if content else "primary")
        self.send(call, self.now(), paced=False, keep=True)

    def _settle(self, call: Call, answer: Answer, *, reserved: bool) -> None:
        ref = call.ref or ""
        content = self.go.stage.contents.get(ref)
        result = answer.status, answer.content, answer.sent_at, answer.done_at
        received = Received(call, call.operation, ref, *result)
        self.builds.receive(received, reserved=reserved, lasts_s=content.sleep_s if content else 0.0)

    def _time(self, request: OutgoingRequest, answer: Answer, intended_at: float, *, paced: bool) -> None:
        outcome = NO_ANSWER if answer.head is None or answer.error else str(answer.head.status)
        outcome = CUT_OFF if answer.cut_off else outcome
        self.silence.record(answer.sent_at, answered=outcome not in (NO_ANSWER, CUT_OFF))
        closed = self.go.options.model == "closed" and paced
        intended_at = answer.sent_at if closed else intended_at
        times = intended_at, answer.sent_at, answer.done_at
        self.collector.sample(Sample(request.operation, outcome, *times, len(answer.body)), paced=paced)

    def _judge(self, request: OutgoingRequest, answer: Answer, *, keep: bool) -> None:
        findings, exchange = self.judge.judge(request, answer, answer.seq, self.case)
        has_room = keep and self._kept < MAX_KEPT // self.go.workers and self._room.take(kept_bytes(answer))
        if findings or request.call.note or has_room:
            self._kept += 1
            self.collector.write(exchange or self.requests.exchange(request, answer, answer.seq, self.case))
        for finding in findings:
            self.collector.write(Occurrence(finding, self.case))

    def report_state(self, state: Literal["running", "done"]) -> None:
        """Queues an event with the worker's state; its CPU share covers the time since the last such event."""
        now_at, cpu_s = self.now(), time.process_time()
        share = (cpu_s - self._cpu_s) / max(now_at - self._cpu_at, 1e-9)
        self._cpu_s, self._cpu_at = cpu_s, now_at
        part, collector = self.part, self.collector
        collector.write(
            Worker(
                *(part.number, state, round(now_at, 3), collector.sent, collector.unsent, len(self.rows)),
                late_p99_s=round(collector.late.quantile_s(0.99), 6),
                behind_from_s=collector.behind_from_s,
                behind_s=round(collector.late.max_s, 6),
                cpu_share=round(min(max(share, 0.0), 99.0), 3),
                rss_bytes=psutil.Process().memory_info().rss,
                clock_offset_s=round(part.origin - self.go.origin, 6),
                clock_error_s=part.clock_error_s,
                unwatched=collector.unwatched,
                over_budget=collector.over_budget,
                spent_at_s=self._over_at,
                undone=collector.undone,
            )
        )

    def report_judged(self) -> None:
        """Queues all results of the judge; called once, at the end."""
        for tally in self.judge.tallies(self.case):
            self.collector.write(tally)
        for name, times in self.judge.occurrences().items():
            if times > 1:
                self.collector.write(Occurrence(self.judge.findings[name], self.case, times - 1))
        if partly := self.judge.partly_judged():
            self.collector.write(Remark(partly))
        for rule_id, error in self.judge.failed.items():
            self._fail(f"the rule {rule_id} failed: {error}", f"rule.{rule_id}")

    def flow_failed(self, error: Exception) -> None:
        """Reports an internal error in a client."""
        self._fail(f"internal error in a client: {type(error).__name__}: {error}", self.case)

    def _fail(self, text: str, case_id: str) -> None:
        """Reports an internal error, but each text only once; a run with such an error never passes."""
        if text not in self._failures:
            self._failures.add(text)
            self.collector.write(Case(case_id, "", "error", 0.0, (), self.requests.secrets.text(text)))


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


@dataclass(eq=False)
class LoadWorker:
    """One worker: does its part, and exchanges the messages that `touchstone.loadgen.master` lists."""

    _handover: LoadHandover
    _scenario: str
    _send: Callable[[dict[str, Any]], None]
    _fold: Callable[[Window], None]
    _leave: Callable[[str], None]
    run: LoadRun | None = None
    phase: str = ""  # part of the names of Locust's rows
    _part: "AsyncResult[Part]" = field(default_factory=AsyncResult)
    _began_at: "AsyncResult[float]" = field(default_factory=AsyncResult)
    _after: "AsyncResult[bool]" = field(default_factory=AsyncResult)
    _entered: bool = False
    _finished: bool = False

    def join(self) -> None:
        """Sends ``join`` to the master repeatedly, until the master sends this worker its part."""
        while not self._part.ready() and not self._finished:
            self._send({"join": {"version": __version__, "scenario": self._scenario}, "sent_at": time.monotonic()})
            self._part.wait(JOIN_S)

    def receive(self, data: dict[str, Any]) -> None:
        """Handles a message from the master."""
        if "refused" in data:
            self._finished = True
            gevent.spawn(self._leave, str(data["refused"]))
        elif "part" in data:
            part = PART.validate_python(data["part"])
            if not self._handover.run_log:  # another machine with another clock, known to half a round trip
                sent_at, now = data["sent_at"], time.monotonic()
                error_s = round((now - sent_at) / 2, 6)
                part = replace(part, origin=(sent_at + now) / 2 - data["now"], clock_error_s=error_s)
            self._part.set(part)
        elif "began_at" in data:
            self._began_at.set(float(data["began_at"]))
        elif "after" in data:
            self._after.set(bool(data["after"]))
        elif "started" in data and self.run is not None:
            build, accepted = data["started"]
            self.run.note_start(int(build), accepted=bool(accepted))
        elif "stop" in data:
            gevent.spawn(self.finish)

    def work(self, send_all: Callable[[LoadRun], None], after: Callable[[], None]) -> None:
        """Does this worker's part. Later calls, which Locust makes after errors or to move users, do nothing."""
        if self._entered:
            return
        self._entered = True
        try:
            self.run = run = LoadRun(
                self._part.get(),
                self._handover.settings.target,
                lambda build, accepted: self._send({"state": "running", "started": [build, accepted]}),
            )
            self._send({"state": "ready"})
            run.began_at = self._began_at.get()
            gevent.spawn(self._report_on)
            send_all(run)
            run.flows.join()
            if not self._finished:
                self._report("drained")
            if self._after.get():
                self.phase = AFTERMATH
                run.builds.builds += run.part.builds_after
                run.spawn(after).join()
            self.finish()
        except Exception as error:  # noqa: BLE001 - any error ends the run, which is then no pass
            self._fail(error)

    def finish(self) -> None:
        """Stops the load and sends the final report; later calls do nothing."""
        if self._finished or self.run is None:
            return
        self._finished = True
        self.run.stop()
        self._after.set(False)
        self.run.report_judged()
        self.run.report_state("done")
        self._report("final")

    def _fail(self, error: Exception) -> None:
        if self.run is not None and self._began_at.ready():
            self.run.flow_failed(error)
            self.finish()
            return
        reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        reason = self._handover.settings.target.credentials().secrets().text(reason)
        self._finished = True
        self._send({"state": "unfit", "reason": reason})
        gevent.spawn(self._leave, reason)

    def _report_on(self) -> None:
        times = 0
        while self.run is not None and not self._finished:
            times += 1
            if times % STATE_EVERY == 0:
                self.run.report_state("running")
            self._report("running")
            self.run.stopped.wait(REPORT_S)

    def _report(self, state: str) -> None:
        assert self.run is not None
        events = self.run.collector.drain(self._fold)
        if events or state != "running":
            self._send({"state": state, "events": events})
