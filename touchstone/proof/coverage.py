"""Coverage: how many of all situations the check of a correct twin meets.

A *cell* is one operation in one situation. The cells of a check are derived from its run log alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, combinations, product, starmap
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, get_args

from touchstone.config import Profile
from touchstone.errors import TargetError
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Credential, Exchange
from touchstone.facts.runlog import read
from touchstone.proof import catalogue, prover
from touchstone.proof.result import Trial
from touchstone.rules.events import log_of, phase_of
from touchstone.rules.messages import SUCCESS

# A request within this time after a change comes just after it. A short build of the twin takes as long.
JUST_AFTER_S = 0.05
# From this one on, requests of a caller for the same operation on the same version are repeated.
REPEATED_FROM = 5
# In the order of the fields of a cell.
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "operation": (
        *("publishTemplate", "getTemplate", "deleteTemplate", "startBuild", "getBuild", "cancelBuild"),
        "streamBuildEvents",
    ),
    "state": ("absent", "not_built", "building", "ready", "failed", "cancelled"),
    "caller": ("owner", "other account", "no valid key"),
    "moment": ("before any change", "during a change", "just after", "long after"),
    "time": ("early", "repeated"),
    "neighbour": ("no other build", "beside a build"),
}
_CHANGING = frozenset({"publishTemplate", "deleteTemplate", "startBuild", "cancelBuild"})


class Cell(NamedTuple):
    """One operation in one situation; the values are those of DIMENSIONS.

    *state* is what responses to the owner had last shown when the request was sent. A version is absent if it was never
    published, or deleted; it is cancelled from an accepted cancel until a start. *moment* relates the request to the
    nearest change of its version: an accepted request that changes its state or its document, or the first response
    that shows the end of its build. During a change: both overlap. A request for a log that overlaps a change only
    after the head of the response meets two cells. *time* counts the requests of this caller for this operation on this
    version. *neighbour*: whether a build of another version of the same account surely ran during the request.
    """

    operation: str
    state: str
    caller: str
    moment: str
    time: str
    neighbour: str

    @property
    def is_possible(self) -> bool:
        """Whether the situation can occur: each version is absent before its first change."""
        return self.state == "absent" or self.moment != "before any change"


CELLS = tuple(cell for cell in starmap(Cell, product(*DIMENSIONS.values())) if cell.is_possible)


class _Change(NamedTuple):
    sent_at: float
    done_at: float
    seq: int  # of the request; 0 for the end of a build


class _Version:
    """What one version went through, as far as the responses to its owner show."""

    def __init__(self, story: list[Exchange]) -> None:
        publishers = (e.credential for e in story if e.operation == "publishTemplate" and e.status in SUCCESS)
        self.owner: Credential = next(publishers, "primary")
        self.changes: list[_Change] = []
        self.builds: list[list[float]] = []  # for each build, two times between which it surely ran
        self._states = [(float("-inf"), "absent")]
        answered = (e for e in story if e.status in SUCCESS and self.caller(e) == "owner")
        for exchange in sorted(answered, key=attrgetter("done_at")):
            self._acknowledge(exchange)

    def _acknowledge(self, exchange: Exchange) -> None:
        acts, before = exchange.operation in _CHANGING, self._states[-1][1]
        if not acts and self.changes and exchange.sent_at < self.changes[-1].done_at:
            return  # the response may be older than the last change
        state = _acknowledged(exchange, before)
        if before == "building":
            is_log = exchange.operation == "streamBuildEvents"
            if is_log or state == "building" or exchange.operation == "cancelBuild":
                self.builds[-1][1] = max(self.builds[-1][1], exchange.done_at if is_log else exchange.sent_at)
        elif state == "building":
            self.builds.append([exchange.done_at, exchange.done_at])
        if state != before or exchange.note.get("force"):
            since_at, seq = (exchange.sent_at, exchange.seq) if acts else (exchange.done_at, 0)
            self.changes.append(_Change(since_at, exchange.done_at, seq))
            self._states.append((exchange.done_at, state))

    def caller(self, exchange: Exchange) -> str:
        """Who sent the request, seen from this version."""
        if exchange.credential in REFUSED_CREDENTIALS:
            return "no valid key"
        account = "primary" if exchange.credential == "lowercase-scheme" else exchange.credential
        return "owner" if account == self.owner else "other account"

    def state(self, at: float) -> str:
        """The state that was last acknowledged at that time."""
        return next(state for since_at, state in reversed(self._states) if since_at <= at)

    def moments(self, exchange: Exchange) -> Iterator[str]:
        """How the request relates to the changes of this version."""
        others = [change for change in self.changes if change.seq != exchange.seq]
        until_at = exchange.head_at if exchange.operation == "streamBuildEvents" else exchange.done_at
        overlapped = [c for c in others if c.sent_at < exchange.done_at and exchange.sent_at < c.done_at]
        if overlapped:
            yield "during a change"
        if not any(change.sent_at < until_at for change in overlapped):
            last_at = max((c.done_at for c in others if c.done_at <= exchange.sent_at), default=None)
            since_s = exchange.sent_at - last_at if last_at is not None else None
            yield "before any change" if since_s is None else "just after" if since_s <= JUST_AFTER_S else "long after"


def _acknowledged(exchange: Exchange, state: str) -> str:
    """The state of a version after a success of its owner; *state*: the state before."""
    if exchange.operation in ("deleteTemplate", "cancelBuild"):
        return "absent" if exchange.operation == "deleteTemplate" else "cancelled"
    found: object = None
    if exchange.operation == "publishTemplate":
        state = "not_built" if state == "absent" or exchange.note.get("force") else state
        found = exchange.body.get("auto_build")
    elif exchange.operation in ("startBuild", "getBuild"):
        found = exchange.body.get("status")
    elif log := log_of(exchange):
        failed = log.last.get("level") == "error" and phase_of(log.last) != "cancel"
        found = "ready" if phase_of(log.last) == "ready" else "failed" if failed else None
    if state == "cancelled" and exchange.operation not in _CHANGING and found != "ready":
        return state  # a cancelled build is read as building at first, then as not built or failed
    return found if isinstance(found, str) and found in DIMENSIONS["state"] else state


def checked(folder: Path, jobs: int, seed: int, on_outcome: Callable[[Trial], None]) -> dict[Profile, set[Cell]]:
    """Checks the correct twin with each profile, and returns the cells that each check met; run logs stay in *folder*.

    Raises:
        TargetError: a check did not reach its end.
    """
    candidates = [catalogue.correct(profile) for profile in get_args(Profile)]
    trials = prover.prove(candidates, folder, jobs=jobs, seed=seed, keep=True, on_outcome=on_outcome)
    for trial in trials:
        if trial.trouble:
            raise TargetError(f"the {trial.subject.name} check of the twin failed: {trial.trouble}")
    return {profile: cells(read(folder / profile / "runlog.jsonl")) for profile in get_args(Profile)}


def cells(log: RunLog) -> set[Cell]:
    """Returns the cells that a run met. Versions that it neither published nor found absent are left out."""
    given = set(chain.from_iterable(log.header.of_target("templates").values()))
    stories: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in sorted(log.exchanges, key=attrgetter("seq")):
        ref = exchange.ref or "system/"
        if exchange.operation in DIMENSIONS["operation"] and ref not in given and not ref.startswith("system/"):
            stories[ref].append(exchange)
    versions = {ref: _Version(story) for ref, story in stories.items()}
    builds = [(version.owner, ref, build) for ref, version in versions.items() for build in version.builds]
    found, times = set[Cell](), Counter[tuple[str, str, str]]()
    for ref, story in stories.items():
        version = versions[ref]
        others = [build for owner, other, build in builds if owner == version.owner and other != ref]
        for exchange in story:
            caller = version.caller(exchange)
            key = ref, exchange.operation, caller
            times[key] += 1
            time = DIMENSIONS["time"][times[key] >= REPEATED_FROM]
            beside = any(since < exchange.done_at and exchange.sent_at < until for since, until in others)
            state, neighbour = version.state(exchange.sent_at), DIMENSIONS["neighbour"][beside]
            moments = version.moments(exchange)
            found |= {Cell(exchange.operation, state, caller, moment, time, neighbour) for moment in moments}
    return found


def groups(met: Collection[Cell], *names: str) -> dict[tuple[str, ...], tuple[int, int]]:
    """Counts cells that agree in the dimensions *names*: for each group, how many are met, and how many there are."""

    def values(cell: Cell) -> tuple[str, ...]:
        return tuple(getattr(cell, name) for name in names)

    counts = Counter(map(values, met))
    return {group: (counts[group], total) for group, total in Counter(map(values, CELLS)).items()}


def emptiest(met: Collection[Cell]) -> Iterator[tuple[str, int, int]]:
    """Yields groups of cells that agree in two dimensions, those with the smallest share of met cells first."""
    pairs = chain.from_iterable(groups(met, *names).items() for names in combinations(DIMENSIONS, 2))
    for group, (number, total) in sorted(pairs, key=lambda pair: (pair[1][0] / pair[1][1], -pair[1][1])):
        yield " × ".join(group), number, total
