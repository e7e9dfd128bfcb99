"""What a load run did to each version and what it saw of it, put in order for the load rules.

Starts are the attempts of its clients, and what else the run log holds of starts: those of the set-up and of the client
that asks the limit at the end. Status reads are those that were kept.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import inf
from typing import TypeVar

from touchstone.facts.events import Attempt, Build, BuildEnd, RunLog
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.patience import retry_after_s

# The account that a key belongs to, and the version that it sees under a ref.
Account = str
_Key = TypeVar("_Key", bound=Hashable)
Version = tuple[Account, str]

IDLE = frozenset({"not_built", "ready", "failed"})
STATES = IDLE | {"building"}
_OVER: frozenset[BuildEnd] = frozenset({"ready", "failed", "cancelled", "vanished"})


@dataclass(frozen=True, slots=True)
class Start:
    """One request that may have begun a build.

    Attributes:
        want: See `Attempt`; None for a start that no client of the schedule sent.
        number: Which try of its client.
        fresh: Whether its client knew that the version was not built.
        retry_after_s: What its refusal asked for; None where it asked for nothing valid.
        gave_up: Whether its client tried no more, though it was refused.
    """

    seq: int
    want: int | None
    number: int
    account: Account
    ref: str
    phase: str
    fresh: bool
    sent_at: float
    done_at: float
    status: int
    retry_after_s: float | None = None
    gave_up: bool = False

    @property
    def version(self) -> Version:
        """The version that it is about."""
        return self.account, self.ref

    @property
    def is_served(self) -> bool:
        """Whether it was answered with success."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether a limit refused it."""
        return self.status == 429

    @property
    def may_act(self) -> bool:
        """Whether it may have done something: no 4xx does, and of one that failed or got no answer nobody knows."""
        return not 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Sight:
    """One status read that was kept, and what it showed."""

    seq: int
    sent_at: float
    done_at: float
    state: str


@dataclass
class Record:
    """A load run by version, account and client.

    Attributes:
        starts: All of them, in the order in which they were sent.
        slack_s: By how much points in time of two workers may be wrong to each other.
    """

    log: RunLog
    starts: list[Start] = field(init=False)
    slack_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Puts the starts in order."""
        attempts = [_of_attempt(attempt) for attempt in self.log.attempts]
        known = {start.seq for start in attempts}
        others = (
            _of_exchange(e)
            for e in self.log.exchanges
            if (e.operation == "startBuild" or e.note.get("auto_build") is True) and e.seq not in known
        )
        self.starts = sorted((*attempts, *others), key=lambda start: (start.sent_at, start.seq))
        self.slack_s = 2 * max((worker.clock_error_s for worker in self.log.workers), default=0.0)

    @property
    def scenario(self) -> str:
        """The name of the scenario; empty where the log is of no load run."""
        return self.log.workload.scenario if self.log.workload else ""

    @cached_property
    def starts_of(self) -> dict[Version, list[Start]]:
        """The starts of each version."""
        return _grouped(self.starts, lambda start: start.version)

    @cached_property
    def by_account(self) -> dict[Account, list[Start]]:
        """The starts of each account."""
        return _grouped(self.starts, lambda start: start.account)

    @cached_property
    def clients(self) -> list[list[Start]]:
        """The tries of each client, in order."""
        wanted = (start for start in self.starts if start.want is not None)
        clients = _grouped(wanted, lambda start: (start.want, start.version))
        return [sorted(tries, key=lambda start: start.number) for tries in clients.values()]

    @cached_property
    def sights(self) -> dict[Version, list[Sight]]:
        """The status reads of each version that were kept, in order of their answers."""
        found: dict[Version, list[Sight]] = {}
        for exchange in self.log.exchanges:
            if exchange.operation != "getBuild" or exchange.request.method != "GET" or exchange.status != 200:
                continue
            state = exchange.body.get("status")
            if isinstance(state, str) and state in STATES:
                version = (account_of(exchange.credential), exchange.ref or "")
                sight = Sight(exchange.seq, exchange.sent_at, exchange.done_at, state)
                found.setdefault(version, []).append(sight)
        return {version: sorted(sights, key=lambda sight: sight.done_at) for version, sights in found.items()}

    @cached_property
    def own_refs(self) -> frozenset[str]:
        """The versions that the run published: nobody else knows of them."""
        return frozenset(action.ref for action in self.log.templates if action.action == "published")

    @cached_property
    def _builds(self) -> dict[tuple[int, Version], Build]:
        return {(build.want, (account_of(build.credential), build.ref)): build for build in self.log.builds}

    def build_of(self, start: Start) -> Build | None:
        """What became of the build that a start was promised, where its client tells."""
        return None if start.want is None else self._builds.get((start.want, start.version))

    @cached_property
    def over_at(self) -> dict[int, float]:
        """By ``seq`` of a start, when a read had shown first that what it began is over; infinity where none did."""
        found: dict[int, float] = {}
        for version, starts in self.starts_of.items():
            sights = sorted((s for s in self.sights.get(version, ()) if s.state in IDLE), key=lambda s: s.sent_at)
            sent_at = [sight.sent_at for sight in sights]
            shown_at = [*accumulate((sight.done_at for sight in reversed(sights)), min)][::-1]
            for start in starts:
                later = bisect_left(sent_at, start.done_at + self.slack_s) if start.is_served else len(sights)
                found[start.seq] = shown_at[later] if later < len(sights) else inf
        return found

    def begun(self, version: Version) -> "Latest":
        """When what the starts of a version may have begun was over, by when they were sent."""
        starts = self.starts_of.get(version, [])
        return Latest(starts, (self.over_at[start.seq] if start.may_act else -inf for start in starts))

    @cached_property
    def _ready_at(self) -> dict[Version, float]:
        return {
            version: min((sight.done_at for sight in sights if sight.state == "ready"), default=inf)
            for version, sights in self.sights.items()
        }

    def ends_at(self, start: Start) -> float:
        """When whatever a start may have begun was surely over; minus infinity where it can have begun nothing."""
        if not start.may_act or self._ready_at.get(start.version, inf) <= start.sent_at:
            return -inf
        build = self.build_of(start)
        if build is not None and start.is_served:
            return build_over_at(build)
        return self.over_at[start.seq]

    @cached_property
    def _in_flight(self) -> "Latest":
        return Latest(self.starts, map(self.ends_at, self.starts))

    def has_room(self, refused: Start) -> bool:
        """Whether no start of the run can have left a build in flight while a refused one was under way."""
        return self._in_flight.before(refused.done_at + self.slack_s) <= refused.sent_at - self.slack_s

    @cached_property
    def _moments(self) -> dict[Account, tuple[list[float], list[float]]]:
        return {
            account: (sorted(start.sent_at for start in starts), sorted(start.done_at for start in starts))
            for account, starts in self.by_account.items()
        }

    def is_alone(self, before: Start, retry: Start) -> bool:
        """Whether nothing of the run but reads, and starts of other keys, can be what refused a retry.

        Then the account had nothing else under way that may count as a start since the one before, and there was room.
        """
        sent_at, done_at = self._moments[retry.account]
        begun = bisect_left(sent_at, retry.done_at + self.slack_s)
        under_way = begun - bisect_right(done_at, before.sent_at - self.slack_s)
        return under_way == len({before.seq, retry.seq}) and self.has_room(retry)


class Latest:
    """The latest of the ends of all starts that were sent before a moment.

    Args:
        starts: In the order in which they were sent.
    """

    def __init__(self, starts: Sequence[Start], ends: Iterable[float]) -> None:
        self._sent_at = [start.sent_at for start in starts]
        self._latest = [*accumulate(ends, max, initial=-inf)]

    def before(self, at_s: float) -> float:
        """Minus infinity where none was sent before *at_s*."""
        return self._latest[bisect_left(self._sent_at, at_s)]


def _grouped(starts: Iterable[Start], key: Callable[[Start], _Key]) -> dict[_Key, list[Start]]:
    found: dict[_Key, list[Start]] = {}
    for start in starts:
        found.setdefault(key(start), []).append(start)
    return found


def build_over_at(build: Build) -> float:
    """When a build was surely over, in seconds since the run started; infinity where nobody saw it end."""
    return max(build.ended_at, build.accepted_at) if build.end in _OVER else inf


def waited_in_vain(before: Start, retry: Start) -> bool:
    """Whether a start was refused again after as long as Retry-After had said."""
    wait_s = before.retry_after_s if before.is_refused else None
    return retry.is_refused and wait_s is not None and retry.sent_at - before.done_at >= wait_s


def account_of(credential: Credential) -> Account:
    """The account that a key belongs to; whatever belongs to none can start nothing."""
    return credential if credential in ("second", "restricted") else "primary"


def _of_attempt(attempt: Attempt) -> Start:
    shared = ("seq", "want", "number", "ref", "phase", "sent_at", "done_at", "status", "retry_after_s", "gave_up")
    values = {name: getattr(attempt, name) for name in shared}
    return Start(account=account_of(attempt.credential), fresh=bool(attempt.fresh), **values)


def _of_exchange(exchange: Exchange) -> Start:
    return Start(
        seq=exchange.seq,
        want=None,
        number=1,
        account=account_of(exchange.credential),
        ref=exchange.ref or "",
        phase="",
        fresh=False,
        sent_at=exchange.sent_at,
        done_at=exchange.done_at,
        status=exchange.status,
        retry_after_s=retry_after_s(exchange.response),
    )
