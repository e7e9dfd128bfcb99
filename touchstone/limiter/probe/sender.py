"""Sends what a probe asks for: within its budget, each request no sooner than it is due, on an open connection."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from itertools import groupby
from typing import Any

from touchstone.facts.exchange import Response
from touchstone.facts.identity import Why
from touchstone.facts.observed import Answer
from touchstone.facts.patience import FIRST_WAIT_S, back_off_s, poll_s, retry_after_s
from touchstone.facts.probe_events import Answered, in_order
from touchstone.facts.stimulus import Segment, Stimulus
from touchstone.limiter.probe.connections import Line, Link, Prepared, Reply
from touchstone.limiter.probe.quota_fields import quota, retry_in_s
from touchstone.limiter.terms import Terms

STARTS = "startBuild"

# So many answers in a row that tell nothing of a limiter are no accident.
MOST_OTHERS = 5
_NO_ENTRY = frozenset({401, 403})

# So long before a request is due its connection is looked at, and from here on nothing is slept through.
AHEAD_S, AWAKE_S = 0.3, 0.002

# Before anything is asked, and before a start that is to be alone, builds that were cancelled are waited for so long.
SETTLE_S = 5.0
_CANCELS = 5
# Cancels that may be on their way at once without one that waits for a connection.
_BESIDE = 8
# Of a version whose start was refused: nothing builds it.
_IDLE = frozenset({"not_built", "ready"})

Record = Callable[[Answered, Prepared, Reply], None]


class Bounds:
    """The budget of a probe in requests, builds and seconds; usable from several threads.

    Args:
        until_at: When the seconds are over, in run seconds.
        spent_builds: Builds that began before, or may have.

    Attributes:
        ended: Set when nothing more is to be sent.
        why: Why that is so.
        failure: In a sentence, where the target cannot be judged.
        requests: Limited requests that were sent, of this session and those before it.
        refused: Those of them that were refused.
        builds: Starts that were accepted.
    """

    def __init__(self, terms: Terms, until_at: float, now: Callable[[], float], spent_builds: int = 0) -> None:
        self.ended = threading.Event()
        self.why: Why = ""
        self.failure = ""
        self.requests = self.refused = self.builds = 0
        self._terms, self._until_at, self._now = terms, until_at, now
        self._lock = threading.RLock()
        self._perhaps = spent_builds
        self._others = 0

    def end(self, why: Why, failure: str = "") -> None:
        """Has nothing more sent; the first reason counts."""
        with self._lock:
            if not self.ended.is_set():
                self.why, self.failure = why, failure
                self.ended.set()

    def room(self, at: float) -> int:
        """How many requests may be sent at a moment to come; 0 ends the probe."""
        if self.ended.is_set():
            return 0
        terms = self._terms
        left = terms.most_requests - self.requests
        if terms.starts:
            left = min(left, terms.most_builds - self.spent_builds)
        if left <= 0 or max(at, self._now()) >= self._until_at:
            self.end("budget")
            return 0
        return left

    def rest_until(self, at: float, margin_s: float) -> bool:
        """Waits until shortly before a moment; whether the probe still goes on then."""
        left_s = at - margin_s - self._now()
        return not (self.ended.wait(left_s) if left_s > 0 else self.ended.is_set())

    def recall(self, answered: Answered) -> None:
        """Counts one request of an earlier session. What told nothing may have begun a build all the same."""
        with self._lock:
            self.requests += 1
            self.refused += answered.status == 429
            if self._terms.starts:
                self.builds += answered.answer.accepted
                self._perhaps += not answered.status or answered.status >= 500

    @property
    def spent_builds(self) -> int:
        """Builds that began, or may have."""
        return self.builds + self._perhaps

    def began_nothing(self) -> None:
        """Gives a build back: a read has shown that a start which was refused began none."""
        with self._lock:
            self._perhaps -= 1

    def take(self, answered: Answered) -> None:
        """Counts one request, whatever was answered; too many answers that tell nothing end the probe."""
        with self._lock:
            self.recall(answered)
            # A refusal does not show that nothing began; a read of the version does.
            self._perhaps += self._terms.starts and answered.status == 429
            self._others = 0 if answered.heeded else self._others + 1
        if answered.heeded:
            return
        what = f"status {answered.status}" if answered.status else "no answer"
        if answered.status in _NO_ENTRY:
            self.end("interrupted", f"a request was answered with {what}: the key may not do this; give another one")
        elif self._others >= MOST_OTHERS:
            self.end("interrupted", f"{self._others} requests in a row told nothing of a limiter, the last with {what}")


class Pool:
    """The versions that a probe starts, each again only when its last build was cancelled and is seen to have ended.

    A start that joins a build which still runs says nothing about a limiter.

    Args:
        link: Sends requests that are not limited.
        settle_s: A build that reads as running for so much longer after its cancel is given up.
        began_nothing: Called where a read shows that a start which was refused began no build.

    Attributes:
        held: Those whose builds are left in flight, the first one first.
    """

    def __init__(self, refs: Iterable[str], link: Link, settle_s: float, began_nothing: Callable[[], None]) -> None:
        self._free = deque(refs)
        self.held: deque[str] = deque()
        self._link, self._settle_s, self._began_nothing = link, settle_s, began_nothing
        self._leaving: set[Future[Any]] = set()
        self._closed = threading.Event()

    def take(self, count: int, stopped: threading.Event) -> list[str]:
        """So many versions that can be started, as soon as there are; fewer where no more will come."""
        while len(self._free) < count and self._leaving and not stopped.is_set():
            time.sleep(0.005)
        return [self._free.popleft() for _ in range(min(count, len(self._free)))]

    def give_back(self, *refs: str) -> None:
        """These were not started after all."""
        self._free.extendleft(reversed(refs))

    def started(self, ref: str, *, holds: bool) -> None:
        """A build of *ref* runs, or may: it is left in flight, or cancelled at once beside all else."""
        if holds:
            self.held.append(ref)
        else:
            # Now, and not when a thread comes round to it: a target may have room for few builds.
            self._spawn(self._leave, ref, self._link.beside("cancelBuild", ref))

    def refused(self, ref: str) -> None:
        """A start of *ref* was refused; it may be started again once a read has shown that it began no build."""
        self._spawn(self._recheck, ref)

    def release(self, count: int) -> None:
        """Cancels so many of the builds in flight, and waits until they have ended."""
        wait([self._spawn(self._leave, self.held.popleft()) for _ in range(min(count, len(self.held)))])

    def settle(self, within_s: float = SETTLE_S) -> None:
        """Waits until no build is on its way to end, so that none takes room from what is sent next."""
        wait(self._leaving.copy(), within_s)

    def close(self, within_s: float) -> None:
        """Cancels all that is in flight; what takes longer is left to whoever clears up."""
        while self.held:
            self._spawn(self._leave, self.held.popleft())
        self.settle(within_s)
        self._closed.set()

    def _spawn(self, work: Callable[..., None], *arguments: Any) -> "Future[Any]":
        future = self._link.spawn(work, *arguments)
        self._leaving.add(future)
        future.add_done_callback(self._leaving.discard)
        return future

    def _recheck(self, ref: str) -> None:
        reply = self._link.answer(self._link.beside("getBuild", ref))
        if reply.whole_status == 404 or (reply.whole_status == 200 and reply.build_status in _IDLE):
            self._began_nothing()
            self._free.appendleft(ref)
        else:
            self._leave(ref)

    def _leave(self, ref: str, cancel: Line | None = None) -> None:
        """Cancels the build of *ref*, or goes on with a cancel that was sent, and waits for its end."""
        if self._cancelled(ref, cancel) and self._ended(ref):
            self._free.append(ref)

    def _cancelled(self, ref: str, cancel: Line | None) -> bool:
        for wait_s, _ in zip(back_off_s(), range(_CANCELS), strict=False):
            reply = self._link.answer(cancel or self._link.beside("cancelBuild", ref))
            cancel = None
            if 200 <= reply.whole_status < 300 or reply.whole_status in (404, 409):
                return True
            if self._closed.wait(wait_s if reply.retry_after_s is None else reply.retry_after_s):
                break
        return False

    def _ended(self, ref: str) -> bool:
        """Whether the build of *ref* is seen not to run any more, and another one can be started."""
        began_at = self._link.now()
        while (waited_s := self._link.now() - began_at) <= self._settle_s and not self._closed.is_set():
            reply = self._link.answer(self._link.beside("getBuild", ref))
            status = reply.whole_status
            if status == 404 or (status == 200 and reply.build_status != "building"):
                # A version whose build is there is not started again: a start would begin none.
                return status == 404 or reply.build_status != "ready"
            self._closed.wait(poll_s(waited_s) if status == 200 else reply.retry_after_s or FIRST_WAIT_S)
        return False


class Sender:
    """Sends stimuli.

    Args:
        pool: The versions to be started; None where nothing is.
        ref: The version that is read where nothing is started.
        record: Is given each limited request and what came of it, as soon as that is there.
        utc: Seconds since 1970 at a run second.
        first_seq: Requests are numbered from here.
    """

    def __init__(
        self,
        operation: str,
        link: Link,
        pool: Pool | None,
        ref: str,
        bounds: Bounds,
        record: Record,
        utc: Callable[[float], float],
        first_seq: int,
    ) -> None:
        self._operation, self._link, self._pool, self._ref = operation, link, pool, ref
        self._bounds, self._record, self._utc = bounds, record, utc
        self._seq, self._number = first_seq, 0
        self._answers: list[Answered] = []
        self._lock = threading.Lock()

    def next_seq(self) -> int:
        """The number of the next exchange, which is another one then."""
        self._seq += 1
        return self._seq - 1

    def send(self, number: int, stimulus: Stimulus) -> tuple[Answer, ...]:
        """
        Sends a stimulus, as much of it as there is room for; what was answered, in the order in which it was sent.
        """
        self._number, self._answers = number, []
        if self._pool and stimulus.frees:
            self._pool.release(stimulus.frees)
        for segment in stimulus.segments:
            if not (self._together(segment) if segment.together else self._in_turn(segment)):
                break
        return in_order(self._answers)

    def _in_turn(self, segment: Segment) -> bool:
        """Sends each after the answer to the one before it; whether the probe goes on after it."""
        done_at, took_s = 0.0, []
        for at in segment.at:
            if segment.alone and self._pool:
                self._pool.settle()
            refs, lines = self._ready(at, 1)
            if not refs:
                return False
            prepared = self._link.prepared(self._operation, refs[0])
            lines[0].send(prepared)
            answered = self._answered(lines[0], prepared, self.next_seq(), max(at, done_at), segment, 0)
            answer = answered.answer
            done_at = answer.done_at
            took_s += [answer.done_at - answer.sent_at] if answer.accepted else []
            if answered.heeded and segment.ends_with(accepted=answer.accepted, took_s=took_s):
                break
        return not self._bounds.ended.is_set()

    def _together(self, segment: Segment) -> bool:
        """The same with none of them waiting for another one: what is due at once is written by one thread."""
        count, before = len(segment.at), len(self._answers)
        refs, lines = self._ready(segment.at[0], count)
        flights: list[Future[Any]] = []
        for at, group in groupby(zip(segment.at, refs, lines, strict=False), key=lambda each: each[0]):
            if not self._goes_on(segment, at, before):
                break
            sent = []
            for _, ref, line in group:
                prepared = self._link.prepared(self._operation, ref)
                line.send(prepared)
                sent.append((line, prepared, self.next_seq()))
            for each in sent:
                flights.append(self._link.spawn(self._answered, *each, at, segment, len(flights)))
        wait(flights)
        for flight in flights:
            flight.result()
        if self._pool:
            self._pool.give_back(*refs[len(flights) :])
        self._link.give_back(lines[len(flights) :])
        return len(refs) == count and not self._bounds.ended.is_set()

    def _goes_on(self, segment: Segment, at: float, before: int) -> bool:
        """Whether the next one is sent at all, now that it is due: one of those before it may have been what ends it.

        Args:
            before: Answers that were there before the first one of the segment.
        """
        if at > segment.at[0] and not self._awaits(at):
            return False
        new = (answered for answered in self._answers[before:] if answered.heeded)
        return not any(segment.until == ("accepted" if one.answer.accepted else "refused") for one in new)

    def _awaits(self, at: float) -> bool:
        """Waits until a moment; whether the probe still goes on then."""
        if not self._bounds.rest_until(at, AWAKE_S):
            return False
        while self._link.now() < at:
            time.sleep(0)
        return True

    def _ready(self, at: float, count: int) -> tuple[list[str], list[Line]]:
        """
        The versions and connections for so many requests, now that they are due; fewer where there is room for fewer.
        """
        bounds, pool, lines = self._bounds, self._pool, list[Line]()
        count = min(count, bounds.room(at))
        refs = pool.take(count, bounds.ended) if pool else [self._ref] * count
        if count and not refs and not bounds.ended.is_set():
            bounds.end("interrupted", "no version is left that can be started: builds do not end when cancelled")
        if refs and bounds.rest_until(at, AHEAD_S):
            if pool and self._link.now() < at:
                self._link.open_beside(_BESIDE)
            lines = self._link.take(len(refs))
            for ref in refs:
                self._link.prepared(self._operation, ref)  # made now, and not when it is due
            if self._awaits(at) and bounds.room(at) > 0:
                return refs, lines
        if pool:
            pool.give_back(*refs)
        self._link.give_back(lines)
        return [], []

    def _answered(
        self, line: Line, prepared: Prepared, seq: int, due_at: float, segment: Segment, stream: int
    ) -> Answered:
        """What comes of a request that was sent."""
        reply = line.receive()
        status = reply.whole_status
        answered = Answered(
            stimulus=self._number,
            answer=self._answer(reply, status, stream),
            status=status,
            late_s=round(reply.sent_at - due_at, 6),
            seq=seq,
            ref=prepared.ref or "",
        )
        with self._lock:
            self._settle(prepared.ref or "", answered, holds=segment.holds)
            self._link.give_back([line])
            self._answers.append(answered)
            self._bounds.take(answered)
            self._record(answered, prepared, reply)
        return answered

    def _answer(self, reply: Reply, status: int, stream: int) -> Answer:
        asked_s = retry_after_s(Response(status, reply.headers))
        return Answer(
            sent_at=round(reply.sent_at, 6),
            done_at=round(reply.done_at, 6),
            accepted=is_let_through(self._operation, status),
            retry_after_s=retry_in_s(reply.headers) if asked_s is None else asked_s,
            quota=quota(reply.headers, self._utc(reply.done_at)),
            stream=stream,
        )

    def _settle(self, ref: str, answered: Answered, *, holds: bool) -> None:
        """What was refused is read again; of what was not answered nobody knows whether it began."""
        if self._pool is None:
            return
        if answered.answer.accepted:
            self._pool.started(ref, holds=holds)
        elif not answered.status or answered.status >= 500:
            self._pool.started(ref, holds=False)
        elif answered.status == 429:
            self._pool.refused(ref)
        else:
            self._pool.give_back(ref)


def is_let_through(operation: str, status: int) -> bool:
    """
    Whether an answer shows that a limiter let its request through: a build that is promised, a read that is answered.

    What a key may not do no limiter has seen.
    """
    if operation == STARTS:
        return 200 <= status < 300
    return 200 <= status < 500 and status not in (401, 403, 429)
