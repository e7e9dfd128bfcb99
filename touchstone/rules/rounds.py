"""What a driver did to a limit: its requests in rounds, and how long each waited.

The driver says with each of its requests what it is for, in the note ``limit``:

    round    number of the round, from 1, no two of a run alike; rounds of one case belong together
    phase    what the request is for:
        beside     a start of another version, whose build runs during the reads; before the key rests
        reads      a read before the burst, of whatever version; only in rounds that ask whether reads are charged
        burst      a start of the driver's own version, which is ready, so that nothing is in flight; sent one after the
                   other until one is refused. In a round with reads the burst goes on at least as long as the one of
                   the plain round before it lasted, refused or not
        other-key  a start by another key of a ready version of its own, while the first key is refused
        confirm    a start by the first key right after that, which shows that it still was refused
        retry      a start after waiting as long as Retry-After says, else 1 s, 2 s, 4 s, ... (api-intro#rate-limits)
    gave_up  true with a retry that was refused when the driver's patience was over
    builds   in a round of builds, what becomes of them; every start of such a round is of a version without a build:
        cancelled  each build but the first is cancelled at once; all are over before other-key and confirm are sent
        kept       each build runs on until other-key and confirm are answered; all are over before the first retry

A round ends with a retry that is served, or gave up; one of builds also with a confirm that is served. The rounds of a
case begin with the same version. Rounds from the second on begin alike: one start was just served,
or two, then the key rests without a start, for the same time in each round, then come the reads, if any, then the
burst. No other start under the same key runs beside the driver. Three rounds tell everything: one to see the limit and
the other key, a plain one and one with three times as many reads as the plain one had starts served.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.patience import retry_after_s
from touchstone.rules.answers import SUCCESS
from touchstone.rules.history import History


@dataclass(frozen=True, slots=True)
class Round:
    """The requests of one round, each phase in the order in which it was sent."""

    case: str
    number: int
    builds: str
    reads: tuple[Exchange, ...]
    burst: tuple[Exchange, ...]
    retries: tuple[Exchange, ...]
    confirm: Exchange | None
    other_key: Exchange | None

    @property
    def first_refusal(self) -> Exchange | None:
        """The start that met the limit, if one did."""
        return next((e for e in self.burst if e.status == 429), None)

    @property
    def served(self) -> tuple[Exchange, ...]:
        """The starts of the burst that were let through: they found the golden, or began a build."""
        status = "building" if self.builds else "ready"
        return tuple(e for e in self.burst if e.status in SUCCESS and e.body.get("status") == status)

    @property
    def burst_s(self) -> float:
        """Seconds from the first start of the burst to the answer of the last."""
        return self.burst[-1].done_at - self.burst[0].sent_at

    @property
    def waits(self) -> tuple[tuple[Exchange, Exchange], ...]:
        """Each retry with the refused start before it."""
        last = self.confirm or self.burst[-1]
        return tuple((a, b) for a, b in pairwise((last, *self.retries)) if a.status == 429)


def rounds(ref: str, history: History) -> Iterator[Round]:
    """The rounds whose burst began with *ref*; those without a burst are left out."""
    return (each for each in history.overall(_all_rounds) if each.burst[0].ref == ref)


def _all_rounds(history: History) -> tuple[Round, ...]:
    return tuple(_grouped([e for e in history.exchanges if "limit" in e.note]))


def _grouped(exchanges: list[Exchange]) -> Iterator[Round]:
    for (case, number), group in groupby(sorted(exchanges, key=_round_of), key=_round_of):
        phases: dict[str, list[Exchange]] = {"reads": [], "burst": [], "retry": [], "confirm": [], "other-key": []}
        for exchange in sorted(group, key=lambda e: e.seq):
            phases.setdefault(_phase(exchange), []).append(exchange)
        if phases["burst"]:
            yield Round(
                case,
                number,
                str(phases["burst"][0].note["limit"].get("builds", "")),
                tuple(e for e in phases["reads"] if e.status in SUCCESS),
                tuple(phases["burst"]),
                tuple(phases["retry"]),
                next(iter(phases["confirm"]), None),
                next((e for e in phases["other-key"] if e.ref != phases["burst"][0].ref), None),
            )


def rested(ref: str, history: History) -> Iterator[tuple[Round, float]]:
    """Each round that met a limit after another one had ended with a start served, and the seconds that its key rested.

    They count from the last refusal, when nothing was left, so a limiter has gained at least as much in a longer rest.
    """
    for before, after in pairwise(rounds(ref, history)):
        served = before.case == after.case and before.retries and before.retries[-1].status in SUCCESS
        refused = [e for e in (*before.burst, before.confirm, *before.retries) if e and e.status == 429]
        if not served or not refused or after.first_refusal is None:
            continue
        if not started_beside(refused[-1], after.burst[-1], history):
            yield after, after.burst[0].sent_at - refused[-1].done_at


def waited_enough(before: Exchange, retry: Exchange) -> bool:
    """Whether *retry* came no sooner than the refusal *before* it asked for, if it asked for anything."""
    asked_s = retry_after_s(before.response) if before.response else None
    return asked_s is None or gap_s(before, retry) >= asked_s


def gap_s(before: Exchange, after: Exchange) -> float:
    """Seconds from the end of one exchange to the beginning of the other."""
    return after.sent_at - before.done_at


def started_beside(first: Exchange, last: Exchange, history: History) -> bool:
    """Whether a start from outside the driver ran under the same key from *first* to *last*."""
    others = (e for e in starts_of(last.credential, history) if e.case != last.case or "limit" not in e.note)
    return any(e.sent_at < last.done_at and e.done_at > first.sent_at for e in others)


def starts_of(credential: Credential, history: History) -> Iterator[Exchange]:
    """Everything that may be charged as a start of the key."""
    for exchange in history.exchanges:
        starts = exchange.operation == "startBuild" or exchange.note.get("auto_build") is True
        if starts and exchange.credential == credential:
            yield exchange


def _phase(exchange: Exchange) -> str:
    return str(exchange.note["limit"]["phase"])


def _round_of(exchange: Exchange) -> tuple[str, int]:
    return exchange.case, int(exchange.note["limit"]["round"])
