"""What one limiter would have answered to everything that was sent, beside what was answered; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.facts.identity import Interval
from touchstone.facts.observed import Moment
from touchstone.limiter.cells import Cells
from touchstone.limiter.kinds import Array, Kind, begins
from touchstone.limiter.others import Known

# Of 95 % of a normal distribution.
_Z = 1.959964
# A hint in whole seconds is off by one at most, and a little for the network.
_HINT_S = 1.1
# So many of the hints have to be off before that is more than chance.
_LEAST_OFF, _OFF_SHARE = 2, 0.2


@dataclass(frozen=True, slots=True)
class Candidate:
    """One limiter: a kind with numbers."""

    kind: Kind
    params: dict[str, Array]

    @classmethod
    def of(cls, cells: Cells) -> "Candidate":
        """The likeliest cell."""
        best = int(np.argmax(cells.masses()))
        return cls(cells.kind, {name: value[best : best + 1] for name, value in cells.params().items()})


@dataclass(frozen=True, slots=True)
class Compared:
    """One moment, and when this limiter would have let the request in, give or take some."""

    moment: Moment
    free_at: float
    slack_s: float = 0.0

    @property
    def disagrees_s(self) -> float:
        """By how much the answer contradicts the limiter, in seconds; 0 or less where it does not."""
        ahead_s = self.free_at - self.moment.at if self.moment.accepted else self.moment.at - self.free_at
        return min(ahead_s, 1e6) - 2 * self.moment.blur_s - self.slack_s


def compare(candidate: Candidate, moments: Sequence[Moment], loose: float = 0.0) -> list[Compared]:
    """Each moment beside what the limiter would have said.

    Args:
        loose: How far its times and its phase may be from where they are thought to be, as a share of themselves.
    """
    kind, params = candidate.kind, candidate.params
    moments = moments[begins(kind, moments) :]
    if not moments:
        return []
    state, found, wide = kind.start(params, moments[0].at), [], np.array([loose])
    for moment in moments:
        free_at, slack_s = kind.free_at(params, state), kind.slack_s(params, state, moment.at, wide, wide)
        found.append(Compared(moment, float(np.ravel(free_at)[0]), float(np.ravel(slack_s)[0])))
        state = kind.update(params, state, moment.at, moment.accepted)
    return found


def against(candidate: Candidate, moments: Sequence[Moment]) -> str:
    """The answer that contradicts a limiter most clearly, in words; empty where none does."""
    clear = max(compare(candidate, moments), key=lambda one: one.disagrees_s, default=None)
    if clear is None or clear.disagrees_s <= 0:
        return ""
    at = f"{clear.moment.at - moments[0].at:.3f}"
    if clear.moment.accepted:
        return f"it would have refused the request at second {at}, which was let through"
    return f"it would have let the request at second {at} through, which was refused"


def hints(candidate: Candidate, moments: Sequence[Moment]) -> tuple[str, ...]:
    """What Retry-After says that the limiter does not do, in words."""
    kind, params = candidate.kind, candidate.params
    short, long, count = [], [], 0
    moments = moments[begins(kind, moments) :]
    state = kind.start(params, moments[0].at) if moments else {}
    for moment in moments:
        state = kind.update(params, state, moment.at, moment.accepted)
        if moment.hint_s is None:
            continue
        count += 1
        wait_s = float(np.ravel(kind.free_at(params, state))[0]) - moment.at
        if moment.hint_s < wait_s - 2 * moment.blur_s - 0.1:
            short.append((wait_s - moment.hint_s, moment.hint_s, wait_s))
        elif moment.hint_s > wait_s + _HINT_S:
            long.append((moment.hint_s - wait_s, moment.hint_s, wait_s))
    least = max(_LEAST_OFF, _OFF_SHARE * count)
    told = []
    for word, off in (("less", short), ("more", long)):
        if len(off) >= least:
            _, said_s, wait_s = max(off)
            told.append(
                f"Retry-After says {word} than is left in {len(off)} of {count} refusals: "
                f"at worst {said_s:g} s where it takes {wait_s:.2f} s"
            )
    return tuple(told)


def taken(candidate: Candidate, moments: Sequence[Moment]) -> Interval:
    """The share of what the limiter gives that somebody else took: the room that it had when it refused all the same.

    What they had at the last refusal and have still counts once.

    Source: the interval is that of E. B. Wilson, 1927, for as many requests as the limiter gave in all.
    """
    kind, params = candidate.kind, candidate.params
    moments = moments[begins(kind, moments) :]
    state, known = kind.start(params, moments[0].at) if moments else {}, Known.nothing(1)
    gone = given = 0.0
    for moment in moments:
        left = kind.room(params, state, np.full(1, moment.at - 2 * moment.blur_s))
        given += moment.accepted
        if not moment.accepted:
            still = known.had * (1 - known.gone(kind, params, moment.at))
            gone += max(0.0, float((left - still)[0]))
        state = kind.update(params, state, moment.at, moment.accepted)
        shut_until = kind.shut_until(params, state, moment.at)
        known = known.accepted(left) if moment.accepted else known.refused(kind, left, moment.at, shut_until)
    count = given + gone
    if not count:
        return Interval(0.0, 0.0, 0.0)
    share, squared = gone / count, _Z * _Z / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))
