"""Search for caps on concurrent requests and on builds in flight, after the rate limit is known; no I/O."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from touchstone.facts.identity import Interval, Tier
from touchstone.facts.probe import Answer, Segment, Stimulus, volley
from touchstone.limiter.belief import plain
from touchstone.limiter.rate_inference import AFTER_S
from touchstone.limiter.story import in_turn_s

# Function of a time: how many requests the rate limit accepts then, and when it has recovered completely.
Room = Callable[[float], tuple[int, float]]

_TESTS, _MORE_TESTS, _FEW = 2, 3, 8  # tests of a cap; more tests if the rate limit accepts few starts
# Pause in seconds before a start that a cap must refuse; if _EXTRA such starts are accepted, there is no cap.
_STILL_S, _EXTRA = 0.3, 2
# Pauses in seconds before a start that was refused after a cancel is sent again: the first one, and the longest.
_LEAST_LATE_S, _MOST_LATE_S = 0.1, 2.0
_MOST_WAITS = 2  # most waits until the rate limit accepts a start


@dataclass
class Held:
    """Search for a build cap: starts builds until one is refused; then a cancelled build must let in just one start."""

    room: Room
    most: int
    lasts_s: float = 0.0  # least duration of a build in seconds; 0 if unknown
    cap: int = 0  # builds in flight at a refusal that the rate limit does not explain
    holds_to: int = 0  # most builds in flight so far
    at_once: int = 0  # builds of a volley of which a part was refused
    edges: list[bool] = field(default_factory=list)  # per test: whether a cancelled build let in just one start
    over: bool = False
    disproved: bool = False  # whether the refusals have another cause than a cap
    waits: bool = False  # whether a start that is refused after a cancel is sent again
    late_s: float = 0.0  # longest time in seconds from a cancel to an accepted start, if others were refused between
    _late: bool = False  # whether such a start is due
    _freed_at: float = 0.0  # time of the cancel
    _pause_s: float = 0.0
    _held: int = 0
    _first_at: float = math.inf
    _frees: bool = False
    _tests: bool = False
    _extra: int = 0  # accepted starts before which no build was cancelled
    _last_at: float = 0.0
    _short: bool = False  # whether the rate limit accepts fewer starts than are needed
    _stuck: int = 0

    def begin_anew(self) -> None:
        """Restarts an unfinished search after all held builds have ended."""
        if not self.over:
            self._held, self.cap, self._first_at = 0, 0, math.inf
            self._frees = self._tests = self._late = False
            self.edges.clear()

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus; None at the end of the search, whether a cap was found or not."""
        if self.over or left < 2:
            return None
        want = 1 if self.cap else self.most - self._held
        at = now_at
        if self._frees:
            at += self.late_s
        elif self.cap or self._late:
            at = max(at, self._last_at + (self._pause_s if self._late else _STILL_S + 2 * self.late_s))
        room, at = room_for(min(want, 2), self.room, at)
        self._short = room < want
        count = min(want, room, left)
        ended = self.lasts_s > 0 and not self.cap and at >= self._first_at + self.lasts_s
        if count < 1 or ended:
            return None
        more = "start one more" if self.cap else f"start {count} builds and keep them in flight"
        name = "cancel one, start one" if self._frees else more
        part = Segment((at,) * count, "refused", holds=True)
        return Stimulus(name, (part,), frees=int(self._frees), stage="builds")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the search with the responses to the stimulus that it proposed."""
        if not answers:
            self._stuck += 1
            self.over = self._stuck > _MOST_WAITS
            return
        accepted = sum(answer.accepted for answer in answers)
        self._last_at = max(answer.done_at for answer in answers)
        if freed := self._frees or self._late or not (self.cap or self._held or accepted):
            self._observe_freed(answers[0])
        if freed and (self.cap or self._late):
            pass  # whether there is a cap is still open
        elif not self.cap:
            self._held += accepted
            self._first_at = min(self._first_at, answers[0].sent_at) if accepted else self._first_at
            self.holds_to = max(self.holds_to, self._held)
            self.cap = 0 if answers[-1].accepted else self._held
            self.over = self._held >= self.most if answers[-1].accepted else not self._held
        elif accepted:
            # A rate limit accepts requests again after some time; a cap does not until a build ends.
            self._extra += 1
            self.holds_to = max(self.holds_to, self.cap + self._extra)
            self.disproved = self._extra >= _EXTRA
        else:
            self.edges += [not self._extra] if self._tests else []
            self._frees, self._extra = True, 0
            few = self.room(answers[0].sent_at)[0] < _FEW and not self.lasts_s
            tests = _MORE_TESTS if few else _TESTS
            self.over = len(self.edges) >= 2 * tests or (len(self.edges) >= tests and all(self.edges[-tests:]))
        if self.disproved:
            self.over, self.cap = True, 0

    def _observe_freed(self, answer: Answer) -> None:
        """Handles the response to a start after a cancel; a refused one is sent again, after a longer pause."""
        self._freed_at = self._freed_at if self._late else answer.sent_at - self.late_s
        late_s = answer.sent_at - self._freed_at
        self._late = not answer.accepted and self.waits and late_s < _MOST_LATE_S
        self.late_s = late_s if answer.accepted else self.late_s
        self._pause_s, self._frees, self._tests = max(late_s, _LEAST_LATE_S), False, self.cap > 0
        self.disproved = not answer.accepted and not self._late

    def hidden(self, *, spent: bool) -> str:
        """Sentence that the rate limit prevented the search for a cap above *holds_to*; empty if it did not."""
        if self.cap or self.disproved or not self._short or not self.holds_to:
            return ""
        why = "within the budget" if spent else f"within the {self.lasts_s:g} s of a build"
        return f"the rate limit hides any build cap above {self.holds_to}: it accepted no more starts {why}"

    def tier(self) -> Tier | None:
        """The cap; None if there is no cap or its value is uncertain."""
        if not self._proven:
            return None
        late = {"late": f"{self.late_s:.2g}"} if self.late_s else {}
        return Tier("builds", f"builds:{self.cap}", {"limit": Interval(self.cap, self.cap, self.cap)}, late)

    @property
    def doubt(self) -> str:
        """Why the refusals are not reported as a cap; empty if a cap is reported or nothing was refused."""
        if self.sure:
            return ""
        if self.late_s:
            late = f"after a cancel, starts were refused for up to {self.late_s:.2g} s"
            return f"{late}: an ended build may keep its place"
        return f"a start was refused with {self.cap} builds in flight; cancelling one did not prove a build cap"

    @property
    def disturbed(self) -> bool:
        """Whether a start was accepted that the cap had to refuse: another limit may have refused starts."""
        return self._extra > 0 or self.disproved

    @property
    def sure(self) -> bool:
        """Whether the result is certain: there is no cap or a proven one, and a cancel frees a place at once."""
        return not self.late_s and (not self.cap or self._proven)

    @property
    def _proven(self) -> bool:
        """Whether the last tests confirm a cap, and it was never higher."""
        tested = bool(self.edges) and all(self.edges[-_TESTS:])
        return self.cap > 0 and tested and self.cap >= self.at_once


def room_for(count: int, room: Room, at: float) -> tuple[int, float]:
    """Number of requests that the rate limit accepts, and the time: *at* if it accepts *count* then, else later."""
    now, full_at = room(at)
    if now >= count or full_at <= at:
        return now, at
    return room(full_at + AFTER_S)[0], full_at + AFTER_S


AT_ONCE = 16  # size of the first volley
_AGREE, _MOST_REFUSED = 3, 9  # volleys that must show the same cap; maximum number of volleys with refusals
_REST_S, _REST_TIMES = 0.2, 2.0
_LEAST_S = 0.002  # least error of response times, in seconds
_LEAST_PACE_S = 0.005  # a shorter interval between responses may be due to the machine alone


@dataclass
class InFlight:
    """Search for a concurrency cap: sends volleys (concurrent requests)."""

    room: Room
    uncapped_to: int = 0  # largest volley without a refusal
    volley_caps: list[int] = field(default_factory=list)  # accepted requests of each volley with refusals
    over: bool = False
    disproved: bool = False  # whether the refusals have another cause than a cap
    taken_back: bool = False  # whether the last volley disproved an earlier cap
    _checks: bool = False
    _free_at: float = 0.0
    _in_turn_s: float = 0.0
    _served_s: list[float] = field(default_factory=list)
    _refused_s: list[float] = field(default_factory=list)

    def propose(self, now_at: float, left: int) -> Stimulus | None:
        """Next stimulus; None at the end of the search, whether a cap was found or not."""
        if self.over:
            return None
        most = max(self.volley_caps, default=0)
        want = most + (1 if self._checks else 2) if self.volley_caps else AT_ONCE
        room, at = room_for(want, self.room, max(now_at, self._free_at))
        count = min(want, room, left)
        if self._checks:
            part = Segment((at,) * max(1, count), "refused")
            return Stimulus(f"{len(part.at)} one by one", (part,), stage="in flight")
        if count < 2 or count <= (most if self.volley_caps else self.uncapped_to):
            return None
        return Stimulus(f"{count} at once", (volley(at, count),), stage="in flight")

    def observe(self, answers: Sequence[Answer]) -> None:
        """Updates the search with the responses to the stimulus that it proposed."""
        if not answers:
            return
        accepted = sum(answer.accepted for answer in answers)
        self.disproved = not accepted or (self._checks and accepted < len(answers))
        rest_s = max(_REST_S, _REST_TIMES * max(answer.took_s for answer in answers))
        self._free_at = max(answer.done_at for answer in answers) + rest_s
        if self._checks or self.disproved:
            self._checks, self.over = False, self.over or self.disproved
        elif accepted == len(answers):
            self.uncapped_to = max(self.uncapped_to, accepted)
            self.over = True
            self.taken_back = any(one < accepted for one in self.volley_caps)
            self.volley_caps = [one for one in self.volley_caps if one >= accepted]
        else:
            self.volley_caps.append(accepted)
            self._in_turn_s = in_turn_s(answers)
            self._served_s += [answer.took_s for answer in answers if answer.accepted]
            self._refused_s += [answer.took_s for answer in answers if not answer.accepted]
            self._checks = len(self.volley_caps) == 1
            agree = len(self.volley_caps) >= _AGREE and len(set(self.volley_caps[-_AGREE:])) == 1
            self.over = agree or len(self.volley_caps) >= _MOST_REFUSED

    @property
    def doubt(self) -> str:
        """Why the refusals are not reported as a cap; empty if a cap is reported or nothing was refused."""
        if self.sure:
            return ""
        if self._is_queue and self._agree:
            return (
                f"{self.volley_caps[0]} of the requests sent at once were accepted and answered one after the other, "
                f"{self._in_turn_s:.3g} s apart: this may be a concurrency cap or a queue"
            )
        least, most = min(self.volley_caps), max(self.volley_caps)
        few = f"{least}" if least == most else f"{least} to {most}"
        return f"{few} of the requests sent at once were accepted, the rest refused: no cap fits all volleys"

    def tier(self) -> Tier | None:
        """The cap; None if there is no cap or its value is uncertain."""
        if not self.volley_caps or self.disproved or not self.sure:
            return None
        value = self.volley_caps[0]
        # A request counts against the cap for the time by which accepted responses take longer than refused ones.
        takes_s = statistics.median(self._served_s) - statistics.median(self._refused_s)
        half_s = max(_LEAST_S, (max(self._served_s) - min(self._served_s)) / 2)
        options = {"takes": plain(Interval(takes_s, takes_s - half_s, takes_s + half_s))} if takes_s > half_s else {}
        text = f"concurrency:{value}" + "".join(f",takes={takes}" for takes in options.values())
        return Tier("concurrency", text, {"limit": Interval(value, value, value)}, options)

    @property
    def sure(self) -> bool:
        """Whether the result is certain: there is no cap, or enough volleys agree on the cap."""
        return self.disproved or not self.volley_caps or (self._agree and not self._is_queue)

    @property
    def _agree(self) -> bool:
        return len(self.volley_caps) >= _AGREE and len(set(self.volley_caps)) == 1

    @property
    def _is_queue(self) -> bool:
        return self._in_turn_s >= _LEAST_PACE_S
