"""One worker's part of a load run: sends requests, times them, has them judged, and keeps what is worth keeping."""

import gc
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group

from touchstone.check.budget import SPENT, Silence
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, Occurrence, Remark, Worker
from touchstone.facts.exchange import Credential, Response
from touchstone.facts.patience import retry_after_s
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample
from touchstone.facts.wording import plural
from touchstone.loadgen.budget import Budget, Builds, Spent, share_of
from touchstone.loadgen.collector import Collector
from touchstone.loadgen.fingerprint import NOT_REACHED
from touchstone.loadgen.handover import MAX_KEPT, Go
from touchstone.loadgen.inline_judge import INLINE_RULES, Appraiser, Seen
from touchstone.loadgen.lean import Connections
from touchstone.loadgen.plan import Plan, plan
from touchstone.loadgen.prepared_request import Shot, Shots
from touchstone.loadgen.rss import rss_bytes
from touchstone.loadgen.starts import Starts, Tell
from touchstone.loadgen.workloads import INVARIANTS
from touchstone.rules.history import History
from touchstone.rules.judge import said
from touchstone.target.answer import Answer, Head, kept_bytes
from touchstone.target.bounds import Room
from touchstone.target.call import Call, Keys

# Requests under way at once; an arrival beyond them cannot be sent, and is counted so.
MAX_IN_FLIGHT = 10_000

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
    def asked_s(self) -> float | None:
        """Seconds that Retry-After asks to wait, or None."""
        head = self.answer.head
        return retry_after_s(Response(head.status, head.headers)) if head else None


class LoadRun:
    """What the flows of one worker share.

    Attributes:
        plan: The whole schedule; this worker's part is what `Go.number` says.
        collector: What is to be told to the master.
        flows: Everything that sends.
        stopped: Set when nothing more is to be sent.
        budget: Requests that this worker may send.
        silence: Whether the target still answers anybody.
        starts: Which of the builds that many watch were accepted.
        builds: Builds that this worker may begin.
    """

    def __init__(self, go: Go, settings: Settings, url: str, tell: Tell) -> None:
        self.go = go
        self.url = url
        self.settings = settings
        self.target = target = settings.target
        self.case = f"load.{go.options.scenario.name}"
        self.plan: Plan = plan(go.options)
        self.random = random.Random(f"{go.options.seed}/{go.number}")
        keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
        contract = Contract.load()
        self.shots = Shots(url, keys, contract)
        history = History.knowing(contract, go.stage.contents.values())
        ledger = ledger_of_claims.load().raised(INVARIANTS)
        self.appraiser = Appraiser(history, ledger, INLINE_RULES, self.shots, sources=target.key_sources)
        self._warm_up(contract, history)
        self.connections = Connections(url, target.request_timeout_s, clock=self.now, bounds=target.bounds)
        self.collector = Collector(go.number)
        self.flows = Group()
        self.silence = Silence()
        self.stopped = Event()
        self.starts = Starts(tell, self.now, self.stopped)
        self._spent, self._room = Spent(), Room(target.bounds.max_total_bytes // go.workers)
        self.budget = Budget(share_of(go.options.max_requests, go.number, go.workers), self._tell_spent)
        self.builds = Builds(go, self.plan, self._read)
        self._errors: Counter[str] = Counter()
        self._is_cut, self._number = False, 0
        self._whole = self._stories_kept()
        # All that is there by now stays to the end. Looking through it for garbage again and again would stop every
        # client for some 50 ms each time, and the first time as soon as the schedule begins.
        gc.collect()
        gc.freeze()

    def now(self) -> float:
        """Seconds since the run started, the clock of all its times."""
        return time.monotonic() - self.go.origin

    def rest(self, seconds: float) -> bool:
        """Waits; returns whether the run still goes on afterwards."""
        return not self.stopped.wait(max(seconds, 0.0))

    def _warm_up(self, contract: Contract, history: History) -> None:
        """Has the rules compute what they do once, before the first arrival has to wait for it."""
        head = Head(200, (("content-type", "application/json"),), 0, "length", 2, keep_alive=True)
        for operation in contract.operations:
            shot = self.shots.shot(call(operation, "default/none@1.0.0"))
            exchange = self.shots.exchange(shot, Answer(head, b"{}"), 0, "", 0.0)
            for rule in INLINE_RULES:
                said(rule, exchange, history, {})

    def _stories_kept(self) -> int:
        """One story in so many is kept whole: all of them where there is room."""
        cost = self.plan.cost(self.target.build_timeout_s, self.target.patience_s)
        reads = sum(n for name, n in self.plan.schedule.counts.items() if name == "read")
        return max(1, -(-(cost.requests - reads) // MAX_KEPT))

    def keeps(self, story: int) -> bool:
        """Whether the story with this number is one of those that are kept whole."""
        return story % self._whole == 0

    def keeps_read(self) -> bool:
        """Whether one more read of a shared version is kept."""
        self._spent.kept_reads += 1
        return self._spent.kept_reads <= MAX_KEPT_READS // self.go.workers

    # --- beginning and ending ----------------------------------------------------------------------------------------

    def begin(self, began_at: float) -> None:
        """Says when the schedule begins."""
        self.go = replace(self.go, began_at=began_at)

    def spawn(self, act: Callable[..., Any], *arguments: Any) -> "gevent.Greenlet[..., Any]":
        """Does something beside all else. An error of ours in it ends it, and is told; all else goes on."""
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
        return self._spent.in_flight < MAX_IN_FLIGHT and self.budget.take()

    def _tell_spent(self) -> None:
        self._spent.over_at = round(self.now(), 3)
        share = plural(self.budget.most or 0, "request")
        self.collector.write(
            Remark(
                f"--max-requests {self.go.options.max_requests}: worker {self.go.number} had sent its {share} by "
                f"second {self.now() - self.go.began_at:.1f} of the schedule, and sent nothing more"
            )
        )

    def send(self, call: Call, intended_at: float, *, paced: bool, keep: bool, until: Event | None = None) -> Reply:
        """Sends one request, follows it to its end where it is a stream, and has it timed and judged.

        Args:
            paced: Whether it is the first request of an arrival, which was admitted; any other one has to be yet.

        Raises:
            Stopped: nothing more is sent.
        """
        if self.stopped.is_set() or not (paced or self.budget.take()):
            self.collector.undone += not self.stopped.is_set()
            if paced:
                self.collector.skip(call.operation, intended_at)
            raise Stopped
        if not self.builds.admit(call):
            self.collector.undone += 1
            self._fail_once(f"a start was not sent: {SPENT}")
            raise Stopped
        shot = self.shots.shot(call)
        seq = self.next_seq()
        self._spent.in_flight += 1
        try:
            if call.stream_s:
                answer = self.connections.stream(shot.wire, call.stream_s, until)
            else:
                answer = self.connections.send(shot.method, shot.wire)
        finally:
            self._spent.in_flight -= 1
        cut_off = self._is_cut and bool(answer.error)
        self._time(shot, answer, intended_at, paced=paced, cut_off=cut_off)
        if not cut_off:
            self._judge(shot, answer, seq, keep=keep)
        reply = Reply(answer, seq, cut_off)
        if self.builds.heeds(call):
            self.builds.settle(call, reply.status, reply.body, answer.sent_at, answer.done_at)
        return reply

    def _read(self, ref: str, credential: Credential) -> None:
        self.send(Call("getBuild", ref, credential), self.now(), paced=False, keep=True)

    def next_seq(self) -> int:
        """The number of the next exchange, which no other worker gives."""
        self._number += 1
        return self.go.first_seq + (self._number - 1) * self.go.workers + self.go.number

    def _time(self, shot: Shot, answer: Answer, intended_at: float, *, paced: bool, cut_off: bool) -> None:
        outcome = NO_ANSWER if answer.head is None or answer.error else str(answer.head.status)
        outcome = CUT_OFF if cut_off else outcome
        self.silence.hear(answer.sent_at, answered=outcome not in (NO_ANSWER, CUT_OFF))
        closed = self.go.options.model == "closed" and paced
        intended_at = answer.sent_at if closed else intended_at
        sample = Sample(shot.operation, outcome, intended_at, answer.sent_at, answer.done_at, len(answer.body))
        self.collector.sample(sample, paced=paced)

    def _judge(self, shot: Shot, answer: Answer, seq: int, *, keep: bool) -> None:
        seen = self.appraiser.see(shot, answer, seq, self.case)
        # Few requests have a note, and what it tells nothing else does.
        has_room = keep and self._spent.kept < MAX_KEPT // self.go.workers and self._room.take(kept_bytes(answer))
        if seen.findings or shot.note or has_room:
            self.keep(shot, answer, seq, seen)

    def keep(self, shot: Shot, answer: Answer, seq: int, seen: Seen) -> None:
        """Keeps an exchange, and what was found in it."""
        self._spent.kept += 1
        self.collector.write(seen.exchange or self.shots.exchange(shot, answer, seq, self.case, 0.0))
        for finding in seen.findings:
            self.collector.write(Occurrence(finding, self.case))

    def count_elsewhere(self, cpu_s: float, rss_bytes: int) -> None:
        """Counts what a process beside this one has spent so far."""
        self._spent.cpu_beside_s, self._spent.rss_beside_bytes = cpu_s, rss_bytes

    # --- telling -----------------------------------------------------------------------------------------------------

    def fares(self, state: str, assigned: int) -> Worker:
        """How the worker fares, since it was asked last."""
        now_at, cpu_s = self.now(), time.process_time() + self._spent.cpu_beside_s
        elapsed_s = now_at - self._spent.at_s
        share = (cpu_s - self._spent.cpu_s) / elapsed_s if elapsed_s > 0 else 0.0
        self._spent.cpu_s, self._spent.at_s = cpu_s, now_at
        collector = self.collector
        return Worker(
            number=self.go.number,
            state=state,  # type: ignore[arg-type]  # callers give one of the three
            at_s=round(now_at, 3),
            sent=collector.sent,
            unsent=collector.unsent,
            assigned=assigned,
            late_p99_s=round(collector.late.quantile_s(0.99), 6),
            behind_from_s=collector.behind_from_s,
            behind_s=round(collector.late.max_s, 6),
            cpu_share=round(min(share, 99.0), 3),
            rss_bytes=rss_bytes() + self._spent.rss_beside_bytes,
            clock_offset_s=self.go.clock_offset_s,
            clock_error_s=self.go.clock_error_s,
            unwatched=collector.unwatched,
            over_budget=collector.over_budget,
            spent_at_s=self._spent.over_at,
            undone=collector.undone,
        )

    def tell_judged(self) -> None:
        """Puts what the appraiser counted among what is to be told; once, at the end."""
        for tally in self.appraiser.tallies(self.case):
            self.collector.write(tally)
        for name, times in self.appraiser.occurrences().items():
            if times > 1:
                self.collector.write(Occurrence(self.appraiser.findings[name], self.case, times - 1))
        if self.appraiser.told():
            self.collector.write(Remark(self.appraiser.told()))
        for rule_id, error in self.appraiser.failed.items():
            self.fail(f"the rule {rule_id} failed: {error}", f"rule.{rule_id}")
        for text, times in self._errors.items():
            if times > 1:
                self.collector.write(Remark(self.shots.secrets.text(f"{times:,} times: {text}")))

    def flow_failed(self, error: Exception) -> None:
        """Tells of an error of ours in a flow, each once however many clients meet it."""
        self._fail_once(f"a flow failed: {type(error).__name__}: {error}")

    def _fail_once(self, text: str) -> None:
        self._errors[text] += 1
        if self._errors[text] == 1:
            self.fail(text)

    def fail(self, text: str, case_id: str = "") -> None:
        """Tells of an error of ours: the run must not look like a pass."""
        case = Case(case_id or self.case, "", "error", 0.0, (), self.shots.secrets.text(text))
        self.collector.write(case)


def call(operation: str, ref: str, credential: Credential = "primary", **more: Any) -> Call:
    """A request of a flow."""
    return Call(operation, ref, credential, **more)
