"""Sends what a probe asks for: each request no sooner than it is due, on a connection that is there already."""

from collections.abc import Callable

import gevent

from touchstone.facts.exchange import Response
from touchstone.facts.observed import Answer
from touchstone.facts.patience import retry_after_s
from touchstone.facts.probe_events import Answered, in_order
from touchstone.facts.stimulus import Segment, Stimulus
from touchstone.limiter.probe.budget import Bounds
from touchstone.limiter.probe.connections import ProbeLink
from touchstone.limiter.probe.pool import Pool
from touchstone.limiter.probe.quota_fields import quota, retry_in_s
from touchstone.loadgen.prepared_request import Shot
from touchstone.target.answer import Answer as Wired

# So long before a request is due its connection is looked at, and from here on nothing is slept through.
AHEAD_S, AWAKE_S = 0.3, 0.002

STARTS = "startBuild"

Tell = Callable[[Answered, Shot, Wired], None]


class Sender:
    """Sends stimuli.

    Args:
        pool: The versions to be started; None where nothing is.
        ref: The version that is read where nothing is started.
        tell: Is given each limited request and what came of it, as soon as that is there.
        utc: Seconds since 1970 at a run second.
        first_seq: Requests are numbered from here.
    """

    def __init__(
        self,
        operation: str,
        link: ProbeLink,
        pool: Pool | None,
        ref: str,
        bounds: Bounds,
        tell: Tell,
        now: Callable[[], float],
        utc: Callable[[float], float],
        first_seq: int,
    ) -> None:
        self._operation, self._link, self._pool, self._ref = operation, link, pool, ref
        self._bounds, self._tell, self._now, self._utc = bounds, tell, now, utc
        self._seq = first_seq
        self._number = 0
        self._answers: list[Answered] = []

    def next_seq(self) -> int:
        """The number of the next exchange, which is another one then."""
        self._seq += 1
        return self._seq

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
        """Whether the probe goes on after it."""
        done_at, took_s = 0.0, []
        for at in segment.at:
            if segment.alone and self._pool:
                self._pool.settle()
            refs = self._ready(at, 1)
            if not refs:
                return False
            answered = self._one(refs[0], max(at, done_at), segment, 0)
            answer = answered.answer
            done_at = answer.done_at
            took_s += [answer.done_at - answer.sent_at] if answer.accepted else []
            if answered.heeded and segment.ends_with(accepted=answer.accepted, took_s=took_s):
                break
        return not self._bounds.ended.is_set()

    def _together(self, segment: Segment) -> bool:
        """The same with none of them waiting for another one."""
        count, before = len(segment.at), len(self._answers)
        refs = self._ready(segment.at[0], count)
        flights: list[gevent.Greenlet] = []
        for ref, at in zip(refs, segment.at, strict=False):
            if not self._goes_on(segment, at, before):
                break
            flights.append(gevent.spawn(self._one, ref, at, segment, len(flights)))
        gevent.joinall(flights, raise_error=True)
        if self._pool:
            self._pool.give_back(*refs[len(flights) :])
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
        while self._now() < at:
            gevent.sleep(0)
        return True

    def _ready(self, at: float, count: int) -> list[str]:
        """The versions for so many requests, now that they are due; fewer where there is room for fewer, or no time."""
        count = min(count, self._bounds.room(at))
        refs = self._pool.take(count, self._bounds.ended) if self._pool else [self._ref] * count
        if count and not refs and not self._bounds.ended.is_set():
            self._bounds.end("interrupted", "no version is left that can be started: builds do not end when cancelled")
        if refs and self._is_due(at, refs):
            return refs
        if self._pool:
            self._pool.give_back(*refs)
        return []

    def _is_due(self, at: float, refs: list[str]) -> bool:
        if not self._bounds.rest_until(at, AHEAD_S):
            return False
        self._link.prepare(len(refs))
        for ref in refs:
            self._link.shot(self._operation, ref)  # made now, and not when it is due
        return self._awaits(at) and self._bounds.room(at) > 0

    def _one(self, ref: str, due_at: float, segment: Segment, stream: int) -> Answered:
        """Sends one request."""
        shot = self._link.shot(self._operation, ref)
        seq = self.next_seq()
        wired = self._link.limited(shot)
        status = 0 if wired.error else wired.status
        answered = Answered(
            stimulus=self._number,
            answer=self._heard(wired, status, stream),
            status=status,
            late_s=round(wired.sent_at - due_at, 6),
            seq=seq,
            ref=ref,
        )
        self._settle(ref, answered, holds=segment.holds)
        self._answers.append(answered)
        self._bounds.take(answered)
        self._tell(answered, shot, wired)
        return answered

    def _heard(self, wired: Wired, status: int, stream: int) -> Answer:
        headers = tuple(wired.head.headers) if wired.head else ()
        asked_s = retry_after_s(Response(status, headers))
        return Answer(
            sent_at=round(wired.sent_at, 6),
            done_at=round(wired.done_at, 6),
            accepted=is_let_through(self._operation, status),
            retry_after_s=retry_in_s(headers) if asked_s is None else asked_s,
            quota=quota(headers, self._utc(wired.done_at)),
            stream=stream,
        )

    def _settle(self, ref: str, answered: Answered, *, holds: bool) -> None:
        """What was refused is looked at; of what was not answered nobody knows whether it began."""
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
