"""One worker's part of a load run: sends requests, times them, has them judged, and keeps what is worth keeping."""

import gc
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.pool import Group

from touchstone.check.budget import ENDS, SPENT, Received, Silence
from touchstone.check.budget import Budget as BuildBudget
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts import patience
from touchstone.facts.events import Case, Occurrence, Remark, Worker
from touchstone.facts.exchange import Credential, Response
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample
from touchstone.facts.wording import plural
from touchstone.loadgen.client import MAX_CONNECTIONS, Connections
from touchstone.loadgen.handover import MAX_KEPT, Collector, Part, rss_bytes, share_of
from touchstone.loadgen.judge import AnswerJudge
from touchstone.loadgen.wire import PreparedRequest, Requests
from touchstone.loadgen.workloads import INVARIANTS
from touchstone.rules.history import History
from touchstone.target.answer import NOT_REACHED, Answer, Head, kept_bytes
from touchstone.target.bounds import Room
from touchstone.target.call import Call, Keys

# Requests under way at once; an arrival beyond them cannot be sent, and is counted so.
MAX_IN_FLIGHT = MAX_CONNECTIONS

# Reads of the shared ready versions that are kept, in all.
MAX_KEPT_READS = 1_000

# How long what was cut off may take to come to its end.
CUT_S = 2.0


class Stopped(Exception):
    """Nothing more is sent: the run was stopped, or its budget is spent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, as a flow looks at it.

    Attributes:
        cut_off: Whether there is none since the run was stopped.
    """

    answer: Answer
    seq: int
    cut_off: bool = False

    @property
    def status(self) -> int:
        """The status code, or 0 where no complete answer came."""
        return 0 if self.answer.error and not self.answer.closed else self.answer.status

    @property
    def unsent(self) -> bool:
        """Whether no connection came about, so that the request did not go out."""
        return self.answer.head is None and self.answer.error.startswith(NOT_REACHED)

    @property
    def body(self) -> Mapping[str, Any]:
        """The answer as a JSON object, or an empty one where it is anything else."""
        try:
            value = json.loads(self.answer.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that Retry-After asks to wait, or None."""
        head = self.answer.head
        return patience.retry_after_s(Response(head.status, head.headers)) if head else None


@dataclass
class Spent:
    """What a worker has used up, and when it had no requests left."""

    requests: int = 0
    in_flight: int = 0
    kept: int = 0
    kept_reads: int = 0
    cpu_s: float = 0.0
    at_s: float = 0.0
    over_at: float | None = None


class LoadRun:
    """What the clients of one worker share.

    Attributes:
        part: What this worker does; *go* is what all do.
        collector: What is to be reported to the master.
        flows: Everything that sends.
        stopped: Set when nothing more is to be sent.
        silence: Whether the target still answers anybody.
        starts: Which of the builds that many watch were accepted.
        builds: Builds that this worker may begin.
        is_over_budget: Whether --max-requests left no room for a request: nothing more will be sent.
    """

    def __init__(self, part: Part, settings: Settings, url: str, report_start: Callable[[int, bool], None]) -> None:
        self.part, self.go = part, part.go
        self.settings = settings
        self.target = target = settings.target
        self.case = f"load.{self.go.options.scenario.name}"
        self.random = random.Random(f"{self.go.options.seed}/{part.number}")
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        contract = Contract.load()
        self.requests = Requests(url, keys, contract)
        history = History.knowing(contract, self.go.stage.contents.values())
        ledger = ledger_of_claims.load().raised(INVARIANTS)
        self.judge = AnswerJudge(history, ledger, self.requests, sources=target.key_sources)
        self._warm_up(contract, history, ledger)
        self.connections = Connections(url, target.request_timeout_s, clock=self.now, bounds=target.bounds)
        self.collector = Collector(part.number)
        self.flows = Group()
        self.silence = Silence()
        self.stopped = Event()
        self.starts = Starts(report_start, self.now, self.stopped)
        self._spent = Spent(cpu_s=time.process_time())
        self._room = Room(target.bounds.max_total_bytes // self.go.workers)
        self._most_requests = share_of(self.go.options.max_requests, part.number, self.go.workers)
        self.builds = Builds(part, self._read)
        self.is_over_budget = False
        self._errors: Counter[str] = Counter()
        self._is_cut, self._number = False, 0
        # All that is there by now stays to the end. Looking through it for garbage again and again would stop every
        # client for some 50 ms each time, and the first time as soon as the schedule begins.
        gc.collect()
        gc.freeze()

    def now(self) -> float:
        """Seconds since the run started, the clock of all its times."""
        return time.monotonic() - self.part.origin

    def rest(self, seconds: float) -> bool:
        """Waits; returns whether the run still goes on afterwards."""
        return not self.stopped.wait(max(seconds, 0.0))

    def _warm_up(self, contract: Contract, history: History, ledger: ledger_of_claims.Ledger) -> None:
        """Has the rules compute what they do once, before the first arrival has to wait for it."""
        judge = AnswerJudge(history, ledger, self.requests)
        for operation in contract.operations:
            request = self.requests.prepared(call(operation, "default/none@1.0.0"))
            judge.judge(request, Answer(Head(200, (("content-type", "application/json"),)), b"{}"), 0)

    def keeps(self, story: int) -> bool:
        """Whether the story with this number is one of those that are kept whole."""
        return story % self.part.keep_every == 0

    def keeps_read(self) -> bool:
        """Whether one more read of a shared version is kept."""
        self._spent.kept_reads += 1
        return self._spent.kept_reads <= MAX_KEPT_READS // self.go.workers

    # --- ending ------------------------------------------------------------------------------------------------------

    def spawn(self, act: Callable[..., Any], *arguments: Any) -> "gevent.Greenlet[..., Any]":
        """Does something beside all else. An error of ours in it ends it, and is reported; all else goes on."""
        return self.flows.spawn(self._guarded, act, *arguments)

    def _guarded(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and the run is no pass
            self.flow_failed(error)

    def stop(self, grace_s: float) -> None:
        """Has nothing more sent. What is under way is waited for a little and then cut off, and is counted so."""
        self.collector.undone += len(self.flows)
        self.stopped.set()
        self.connections.leave_streams()
        self.flows.join(timeout=grace_s)
        self._is_cut = True
        self.connections.close()
        self.flows.join(timeout=CUT_S)
        self.flows.kill(block=False)

    # --- sending -----------------------------------------------------------------------------------------------------

    def admit(self) -> bool:
        """
        Takes an arrival's first request out of the budget, if that and the bound on requests under way leave room.
        """
        return self._spent.in_flight < MAX_IN_FLIGHT and self._take()

    def _take(self) -> bool:
        """Takes one request out of the budget; whether there was room for it."""
        most = self._most_requests
        if most is None or self._spent.requests < most:
            self._spent.requests += 1
            return True
        if not self.is_over_budget:
            self.is_over_budget = True
            self._spent.over_at = round(self.now(), 3)
            self.collector.write(
                Remark(
                    f"--max-requests {self.go.options.max_requests}: worker {self.part.number} had sent "
                    f"its {plural(most, 'request')} by second {self.now() - self.go.began_at:.1f} of the schedule, and "
                    "sent nothing more"
                )
            )
        return False

    def send(self, call: Call, intended_at: float, *, paced: bool, keep: bool) -> Reply:
        """Sends one request, follows it to its end where it is a stream, and has it timed and judged.

        Args:
            paced: Whether it is the first request of an arrival, which was admitted; any other one has to be yet.

        Raises:
            Stopped: nothing more is sent.
        """
        if self.stopped.is_set() or not (paced or self._take()):
            self.collector.undone += not self.stopped.is_set()
            if paced:
                self.collector.skip(call.operation, intended_at)
            raise Stopped
        if not self.builds.admit(call):
            self.collector.undone += 1
            self._fail_once(f"a start was not sent: {SPENT}")
            raise Stopped
        request = self.requests.prepared(call)
        self._number += 1
        # No other worker gives the same number.
        seq = self.go.first_seq + (self._number - 1) * self.go.workers + self.part.number
        self._spent.in_flight += 1
        try:
            answer = self.connections.send(request.method, request.wire, call.stream_s)
        finally:
            self._spent.in_flight -= 1
        cut_off = self._is_cut and bool(answer.error)
        self._time(request, answer, intended_at, paced=paced, cut_off=cut_off)
        if not cut_off:
            self._judge(request, answer, seq, keep=keep)
        reply = Reply(answer, seq, cut_off)
        if self.builds.heeds(call):
            self.builds.settle(call, reply)
        return reply

    def _read(self, ref: str, credential: Credential) -> None:
        self.send(Call("getBuild", ref, credential), self.now(), paced=False, keep=True)

    def _time(
        self, request: PreparedRequest, answer: Answer, intended_at: float, *, paced: bool, cut_off: bool
    ) -> None:
        outcome = NO_ANSWER if answer.head is None or answer.error else str(answer.head.status)
        outcome = CUT_OFF if cut_off else outcome
        self.silence.hear(answer.sent_at, answered=outcome not in (NO_ANSWER, CUT_OFF))
        closed = self.go.options.model == "closed" and paced
        intended_at = answer.sent_at if closed else intended_at
        sample = Sample(request.operation, outcome, intended_at, answer.sent_at, answer.done_at, len(answer.body))
        self.collector.sample(sample, paced=paced)

    def _judge(self, request: PreparedRequest, answer: Answer, seq: int, *, keep: bool) -> None:
        findings, exchange = self.judge.judge(request, answer, seq, self.case)
        # Few requests have a note, and what it says nothing else does.
        has_room = keep and self._spent.kept < MAX_KEPT // self.go.workers and self._room.take(kept_bytes(answer))
        if findings or request.note or has_room:
            self._spent.kept += 1
            self.collector.write(exchange or self.requests.exchange(request, answer, seq, self.case))
        for finding in findings:
            self.collector.write(Occurrence(finding, self.case))

    # --- reporting ---------------------------------------------------------------------------------------------------

    def state_of_worker(self, state: str, assigned: int) -> Worker:
        """How the worker fares; its share of a CPU is since the last call."""
        now_at, cpu_s, spent = self.now(), time.process_time(), self._spent
        elapsed_s = now_at - spent.at_s
        share = (cpu_s - spent.cpu_s) / elapsed_s if elapsed_s > 0 else 0.0
        spent.cpu_s, spent.at_s = cpu_s, now_at
        collector = self.collector
        return Worker(
            number=self.part.number,
            state=state,  # type: ignore[arg-type]  # callers give one of the three
            at_s=round(now_at, 3),
            sent=collector.sent,
            unsent=collector.unsent,
            assigned=assigned,
            late_p99_s=round(collector.late.quantile_s(0.99), 6),
            behind_from_s=collector.behind_from_s,
            behind_s=round(collector.late.max_s, 6),
            cpu_share=round(min(share, 99.0), 3),
            rss_bytes=rss_bytes(),
            clock_offset_s=self.part.clock_offset_s,
            clock_error_s=self.part.clock_error_s,
            unwatched=collector.unwatched,
            over_budget=collector.over_budget,
            spent_at_s=spent.over_at,
            undone=collector.undone,
        )

    def report_judged(self) -> None:
        """Puts what was judged among what is to be reported; once, at the end."""
        for tally in self.judge.tallies(self.case):
            self.collector.write(tally)
        for name, times in self.judge.occurrences().items():
            if times > 1:
                self.collector.write(Occurrence(self.judge.findings[name], self.case, times - 1))
        if partly := self.judge.partly_judged():
            self.collector.write(Remark(partly))
        for rule_id, error in self.judge.failed.items():
            self.fail(f"the rule {rule_id} failed: {error}", f"rule.{rule_id}")
        for text, times in self._errors.items():
            if times > 1:
                self.collector.write(Remark(self.requests.secrets.text(f"{times:,} times: {text}")))

    def flow_failed(self, error: Exception) -> None:
        """Reports an error of ours in a client, each once however many clients run into it."""
        self._fail_once(f"a flow failed: {type(error).__name__}: {error}")

    def _fail_once(self, text: str) -> None:
        self._errors[text] += 1
        if self._errors[text] == 1:
            self.fail(text)

    def fail(self, text: str, case_id: str = "") -> None:
        """Reports an error of ours: the run must not look like a pass."""
        case = Case(case_id or self.case, "", "error", 0.0, (), self.requests.secrets.text(text))
        self.collector.write(case)


class Builds:
    """A worker's builds.

    Args:
        read: Reads the status of a version, with the key that it belongs to, and has the answer settled.
    """

    def __init__(self, part: Part, read: Callable[[str, Credential], None]) -> None:
        stage = part.go.stage
        self._budget = BuildBudget(part.builds, ready=stage.refs("ready") + stage.refs("ready-second"))
        self._contents = stage.contents
        self._read = read

    def add(self, builds: int) -> None:
        """Adds to what may begin."""
        self._budget.builds += builds

    def admit(self, call: Call) -> bool:
        """Whether a request may be sent; reserves a build for one that may begin it."""
        admitted = not self._budget.may_begin(call) or self._budget.reserve(self._look)
        if admitted:
            self._budget.sends(call)
        return admitted

    def heeds(self, call: Call) -> bool:
        """Whether the answer to a request may change the budget."""
        return self._budget.may_begin(call) or call.operation in ENDS or self._budget.is_doubtful(call.ref or "")

    def settle(self, call: Call, reply: Reply) -> None:
        """Updates the budget by an answer."""
        ref = call.ref or ""
        lasts_s = self._contents[ref].sleep_s if ref in self._contents else 0.0
        times = reply.answer.sent_at, reply.answer.done_at
        received = Received(call, call.operation, ref, reply.status, reply.body, *times)
        self._budget.receive(received, reserved=self._budget.may_begin(call), lasts_s=lasts_s)

    def _look(self, ref: str) -> None:
        self._read(ref, self._contents[ref].owner if ref in self._contents else "primary")


class Starts:
    """Which of the builds that many watch were accepted: whoever watches one waits for that, also on another worker.

    Args:
        report: Tells all other workers that the start of a build was accepted, or never will be.
        now: The time in run seconds.
        stopped: Set when nobody is to wait any more.
    """

    def __init__(self, report: Callable[[int, bool], None], now: Callable[[], float], stopped: Event) -> None:
        self._report = report
        self._now = now
        self._stopped = stopped
        # By build: when it was accepted, in run seconds; None where its start is given up.
        self._accepted: dict[int, AsyncResult[float | None]] = {}

    def settle(self, build: int, *, accepted: bool) -> None:
        """This worker's own start of a build was accepted, or is given up."""
        self.receive(build, accepted=accepted)
        self._report(build, accepted)

    def receive(self, build: int, *, accepted: bool) -> None:
        """Takes note that a start was accepted, or is given up."""
        self._of(build).set(self._now() if accepted else None)

    def accepted_at(self, build: int, within_s: float) -> float | None:
        """
        When the start of a build was accepted; waits for it. None where it is given up, or nothing is known in time.
        """
        known = self._of(build)
        gevent.wait((known, self._stopped), timeout=within_s, count=1)
        return known.get(block=False) if known.ready() else None

    def _of(self, build: int) -> "AsyncResult[float | None]":
        return self._accepted.setdefault(build, AsyncResult())


def call(operation: str, ref: str, credential: Credential = "primary", **more: Any) -> Call:
    """A request of a client."""
    return Call(operation, ref, credential, **more)
