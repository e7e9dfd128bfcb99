"""What clients of the API do under load, one method each: start, back off, poll, cancel, follow.

A flow is one client in a greenlet of its own. It asserts nothing; what came back is judged elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gevent

from touchstone.facts.events import Attempt, Build, BuildEnd
from touchstone.facts.exchange import Credential
from touchstone.facts.patience import back_off_s
from touchstone.loadgen.load_run import LoadRun, Reply, Stopped, call
from touchstone.loadgen.plan import POLL_S

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
            )
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
            )
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
