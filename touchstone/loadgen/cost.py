"""What a load run costs in builds, requests and seconds, where nothing is refused and at worst; pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from touchstone.facts.patience import poll_s
from touchstone.loadgen.schedule import Schedule
from touchstone.loadgen.workloads import BUILDS, Options

# A flow reads the status of its build so often.
POLL_S = 0.25

# What a build takes besides its steps is not known beforehand; so much is reckoned with.
_OVERHEAD_S = 0.5

# What storm does at its end on one version that is ready: bursts up to this length, to be refused and served again.
AFTERMATH_BURST = 120
# Three such bursts, three times as many reads, and as much again while the last burst is drawn out. After each burst it
# waits for its way back, and before the second and the third one as long as that took the first time. Where the first
# one is served to its end there is nothing to wait for, and that is all.
_AFTERMATH_MOST = 9 * AFTERMATH_BURST
_AFTERMATH_BURSTS, _AFTERMATH_WAITS = 3, 5

# Before that, where somebody was refused, one client waits for its turn, fills the host, and in each of so many turns
# cancels a build and starts another one: see load/room.py.
ROOM_TURNS = 4
_LEAST_ROOM, _MOST_ROOM = 3, 100
# Starts of a turn that are refused, the cancel, and the start that follows; and reads until a cancelled build has
# ended, which come fast at first and then once a second.
_ROOM_REQUESTS, _ROOM_READS = 8, 9
# Of the time that a cancel may take: once in each turn, two and a half times in two of them, and once at the end.
_ROOM_WAITS = 10

# Requests before and after the run: of the smoke test and one look at a version that was published, and about each
# version, which is published and deleted, and cancelled where it may be building, and once more where it was.
_SMOKE, _MOST_SMOKE, _AROUND, _CANCELS = 3, 7, 2, 2
# Reads while a version is built beforehand come fast at first and then once a second: see `touchstone.patience`.
_EARLY_READS = 50
# Before a build that runs is known to, and where it ends, besides the polls in between.
_MORE_POLLS = 3
# The start of a version of its own that is refused is followed by two reads: did it begin something all the same?
PER_REFUSAL = 3
# By so much a wait may end after patience is over, since a client never comes back before it was told to; and the last
# answer may come after the last arrival.
_BEYOND_S = 2.0
# Whoever cancels is done with a build before its steps are.
_TO_THE_END: frozenset[str] = BUILDS - {"cancel"}
_FOLLOWS: frozenset[str] = frozenset({"stream", "watch"})
# What follows a start besides polls: a cancel, a log, or of a race the cancel and a read.
_FOLLOW_UPS: Mapping[str, int] = {"cancel": 1, "stream": 1, "race": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run costs where nothing is refused, and at worst.

    How much a target admits nobody knows before the run, and whoever is refused comes back again and again: far more
    builds than are admitted at once cost a multiple of *requests*. At worst each build takes as long as the target
    allows, and each start is refused once a second for as long as it is waited for. What a target costs more that
    refuses publishes, cancels and deletes as well is not counted.

    Attributes:
        builds: At most.
        requests: Where nothing is refused, set-up and clean-up included.
        most_requests: At worst; None where a closed model sends as many as are answered.
        around: The part of *requests* that sets up and clears up, one after the other.
        per_refusal: Requests that a refused start costs until it comes back; 0 where nobody comes back.
        least_seconds: Without set-up and clean-up; steps of builds and arrivals take so long where nothing else does.
        most_seconds: At worst, without set-up and clean-up and the time that answers take.
    """

    builds: int
    requests: int
    most_requests: int | None
    around: int
    per_refusal: int
    least_seconds: float
    most_seconds: float


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What a cost follows from.

    Attributes:
        versions: How many are published before the run.
        ready: How many of them are built beforehand.
    """

    options: Options
    schedule: Schedule
    versions: int
    ready: int

    def cost(self, build_timeout_s: float, patience_s: float, cancel_timeout_s: float = 0.0) -> Cost:
        """What the run costs on a target that lets a build take *build_timeout_s* and is waited for *patience_s*.

        Args:
            cancel_timeout_s: For so much longer the log of a build is followed that does not end.
        """
        refusals, races = math.ceil(patience_s), self._races
        around = self._around()
        most_around = (
            _MOST_SMOKE
            + (_AROUND + _CANCELS) * self.versions
            + (1 + _EARLY_READS + math.ceil(build_timeout_s) + refusals) * self.ready
        )
        most_polls = math.ceil(build_timeout_s / POLL_S) + _MORE_POLLS
        most = self._firsts() + (most_polls + PER_REFUSAL * refusals) * self._own_builds + refusals * races
        if self._is_storm:
            most += _AFTERMATH_MOST + _AFTERMATH_BURSTS * refusals + self._room(math.ceil(cancel_timeout_s))
        bounded = self.options.model == "open" or self.options.max_requests is not None
        return Cost(
            builds=self.builds(),
            requests=around + self._within(self.sends()),
            most_requests=most_around + self._within(most) if bounded else None,
            around=around,
            per_refusal=PER_REFUSAL if self._own_builds else min(races, 1),
            least_seconds=self._least_s(),
            most_seconds=self._most_s(build_timeout_s, patience_s + _BEYOND_S, cancel_timeout_s),
        )

    def _room(self, reads: int) -> int:
        """
        What filling the host costs at worst: a cancel is waited for in each turn, and at the end all of them together.
        """
        waits = (ROOM_TURNS + 1) * (_ROOM_READS + reads)
        return 3 * rooms(self.schedule) + ROOM_TURNS * _ROOM_REQUESTS + waits

    def sends(self) -> int:
        """How many requests the load sends where nothing is refused, without what sets up and clears up."""
        polls = math.ceil((self.options.build_s + _OVERHEAD_S) / POLL_S)
        return self._firsts() + polls * self._own_builds + self._is_storm * AFTERMATH_BURST

    def _firsts(self) -> int:
        """The arrivals, and what follows each of them besides polls."""
        counts = self.schedule.counts
        return len(self.schedule) + sum(_FOLLOW_UPS.get(name, 0) * number for name, number in counts.items())

    def _around(self) -> int:
        """What sets up and clears up. What clients race for is cancelled, since nobody has seen it end."""
        raced = self.versions if self._races else 0
        return _SMOKE + _AROUND * self.versions + (1 + _reads_until(_OVERHEAD_S)) * self.ready + raced

    def _within(self, requests: int) -> int:
        """So many of the load's requests as ``--max-requests`` lets through."""
        most = self.options.max_requests
        return requests if most is None else min(requests, most)

    def _least_s(self) -> float:
        schedule, build_s = self.schedule, self.options.build_s
        if self.options.model == "closed":
            return schedule.duration_s if len(schedule) > self._own_builds + self._races else build_s
        lasting = np.isin(schedule.actions, [n for n, name in enumerate(schedule.names) if name in _TO_THE_END])
        return math.floor(10 * float(np.max(schedule.due_s + build_s * lasting))) / 10

    def _most_s(self, build_timeout_s: float, wait_s: float, cancel_timeout_s: float) -> float:
        most_s = self.schedule.duration_s + _BEYOND_S
        if self._own_builds:
            most_s += wait_s + build_timeout_s
        elif self._races:
            most_s += wait_s + self.options.build_s
        if not _FOLLOWS.isdisjoint(self.schedule.counts):
            most_s += cancel_timeout_s
        if self._is_storm:
            most_s += (1 + _AFTERMATH_WAITS) * wait_s + _ROOM_WAITS * cancel_timeout_s
        return math.ceil(most_s)

    def builds(self) -> int:
        """How many builds the run may begin."""
        return self.ready + self.after + self._own_builds + self._races

    @property
    def after(self) -> int:
        """How many of them may begin when all arrivals are over."""
        return 1 + rooms(self.schedule) + ROOM_TURNS if self._is_storm else 0

    @property
    def _own_builds(self) -> int:
        return sum(number for name, number in self.schedule.counts.items() if name in BUILDS)

    @property
    def _is_storm(self) -> bool:
        """Whether something comes after the arrivals: see load/aftermath.py. One more version is built then."""
        return self.options.scenario.name == "storm"

    @property
    def _races(self) -> int:
        return self.schedule.counts.get("race", 0)


def _reads_until(lasts_s: float) -> int:
    """How many reads see a version built that takes so long."""
    reads, waited_s = 1, 0.0
    while waited_s < lasts_s:
        waited_s += poll_s(waited_s)
        reads += 1
    return reads


def rooms(storm: Schedule) -> int:
    """How many builds may fill the host after a storm; with one more than the host admits their client is refused."""
    return min(max(_LEAST_ROOM, len(storm) // 2 - 2), _MOST_ROOM)
