"""Room: after a storm, one client tests whether a start is accepted as soon as a build ends.

A refusal does not show whether the host is full or a rate limit applies: if all builds take equally long,
refusals stop at similar times in both cases. So the client fills the host, then cancels builds at times of its own
choice. Before every second cancel, it waits longer than a start had to wait after the previous cancel.

`touchstone.loadgen.capacity` evaluates the responses. The note of each request names its step.
"""

from aftermath import MARGIN_S
from touchstone.loadgen.load_run import Flow, LoadRun
from touchstone.loadgen.plan import ROOM_TURNS
from touchstone.target.call import Answer

# The wait before every second cancel: its minimum, and its length relative to the time that the last cancel took.
_LEAST_HELD_S = 0.5
_HELD_TIMES = 2.5
_MOST_TRIES = 6
_POLL_S, _LONGEST_POLL_S = 0.05, 1.0


class Room:
    """A client with the first key; no other client sends requests meanwhile."""

    def __init__(self, run: LoadRun) -> None:
        self._run = run
        self._refs = list(run.go.stage.refs("room"))
        self._flow = Flow(run, run.part.arrivals, run.now(), keep=True, paced=False)
        self._inside: list[str] = []

    def probe(self) -> None:
        """Fills the host until a start is refused, tests whether cancels make room, and finally cancels all builds."""
        self._take_turns()
        for ref in self._inside:
            self._send("cancelBuild", ref, "leave")
        until_at = self._gives_up_at()
        for ref in self._inside:
            self._until_gone(ref, "leave", until_at)

    def _take_turns(self) -> None:
        outside = self._fill()
        took_s = 0.0
        for turn in range(1, ROOM_TURNS + 1):
            if outside is None or not self._inside:
                return
            began_at = self._run.now()
            held_s = 0.0 if turn % 2 else max(_LEAST_HELD_S, _HELD_TIMES * took_s)
            if not self._is_held(outside, held_s, turn):
                return
            freed_at = self._run.now()
            outside = self._swap(outside, turn)
            took_s = self._run.now() - (freed_at if held_s else began_at)

    def _fill(self) -> str | None:
        """Starts one version after the other; returns the first version whose start is refused, or None."""
        for ref in self._refs:
            reply = self._send("startBuild", ref, "fill" if self._inside else "first")
            if reply.status == 429 and not self._inside and self._waits(reply):
                reply = self._send("startBuild", ref, "first")
            if not 200 <= reply.status < 300:
                return ref if reply.status == 429 and self._inside else None
            self._inside.append(ref)
        return None

    def _waits(self, refused: Answer) -> bool:
        """Waits as long as a refusal requires, so that a rate limit recovers; returns False if that is too long."""
        advised_s = 1.0 if refused.retry_after_s is None else refused.retry_after_s
        return advised_s <= self._run.target.patience_s and self._run.rest(advised_s + MARGIN_S)

    def _is_held(self, ref: str, held_s: float, turn: int) -> bool:
        """Starts *ref* repeatedly for *held_s* seconds while no build ends; returns whether each start was refused."""
        until_at = self._run.now() + held_s
        while self._send("startBuild", ref, "full", turn).status == 429:
            left_s = until_at - self._run.now()
            if left_s <= 0:
                return True
            if not self._run.rest(min(left_s, held_s / (_MOST_TRIES - 1))):
                return False
        self._inside.append(ref)
        return False

    def _swap(self, outside: str, turn: int) -> str | None:
        """Cancels a build, then starts *outside* (a version); returns the cancelled one, or None after a failure."""
        leaving = self._inside.pop(0)
        cancelled = self._send("cancelBuild", leaving, "cancel", turn)
        if not 200 <= cancelled.status < 300 or not self._until_gone(leaving, "cancel", self._gives_up_at(), turn):
            self._inside.append(leaving)
            return None
        if not 200 <= self._send("startBuild", outside, "again", turn).status < 300:
            return None
        self._inside.append(outside)
        return leaving

    def _gives_up_at(self) -> float:
        """Returns the time until which to wait for the end of a build that is cancelled now."""
        return self._run.now() + self._run.target.cancel_timeout_s

    def _until_gone(self, ref: str, step: str, until_at: float, turn: int = 0) -> bool:
        """Reads the status until a cancelled build has ended, or *until_at*; returns whether a read showed the end."""
        pause_s = _POLL_S
        while True:
            reply = self._send("getBuild", ref, step, turn)
            if reply.status != 200 or reply.content.get("status") != "building":
                return reply.status == 200
            if self._run.now() >= until_at or not self._run.rest(pause_s):
                return False
            pause_s = min(1.5 * pause_s, _LONGEST_POLL_S)

    def _send(self, operation: str, ref: str, step: str, turn: int = 0) -> Answer:
        return self._flow.send(operation, ref, note={"room": {"step": step, "turn": turn}})
