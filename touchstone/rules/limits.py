"""Judges the form of a 429, and the effect of a limit on starts, on other keys and on reads.

The form is judged for each 429. The effects are judged in rounds that provoke a limit; `history.py` describes these.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from touchstone.facts.backoff import FIRST_WAIT_S, http_date, retry_after_s
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.events import follows
from touchstone.rules.history import Content, History
from touchstone.rules.messages import SUCCESS, error_problem, excused, operation_of
from touchstone.rules.possible_states import CLOCK_SHARE
from touchstone.rules.rule import broken, describe, held, judged, rule, story_rule, unclear
from touchstone.rules.timeline import may_have_acted, owned, reports_building


@dataclass(frozen=True, slots=True)
class Round:
    """The requests of one round that provokes a limit, by phase (see `history.py`)."""

    case: str
    builds: str
    reads: tuple[Exchange, ...]
    burst: tuple[Exchange, ...]
    retries: tuple[Exchange, ...]
    confirm: Exchange | None
    other_key: Exchange | None

    @property
    def first_refusal(self) -> Exchange | None:
        """The first start of the burst with status 429, if any."""
        return next((e for e in self.burst if e.status == 429), None)

    @property
    def served(self) -> tuple[Exchange, ...]:
        """The accepted starts of the burst: they reused the snapshot or began a build."""
        status = "building" if self.builds else "ready"
        return tuple(e for e in self.burst if e.status in SUCCESS and e.body.get("status") == status)

    @property
    def burst_s(self) -> float:
        """Seconds from the first start of the burst to the last response."""
        return self.burst[-1].done_at - self.burst[0].sent_at

    @property
    def waits(self) -> tuple[tuple[Exchange, Exchange], ...]:
        """Pairs of a refused start and the retry after it."""
        last = self.confirm or self.burst[-1]
        return tuple((a, b) for a, b in pairwise((last, *self.retries)) if a.status == 429)


def rounds(ref: str, history: History) -> Iterator[Round]:
    """Yields the rounds in which the first start of the burst is for *ref*."""
    return (each for each in history.overall(_all_rounds) if each.burst[0].ref == ref)


def _all_rounds(history: History) -> tuple[Round, ...]:
    groups: dict[tuple[str, int], dict[str, list[Exchange]]] = {}
    for exchange in history.exchanges:
        if note := exchange.note.get("limit"):
            phases = groups.setdefault((exchange.case, int(note["round"])), defaultdict(list))
            phases[str(note["phase"])].append(exchange)
    return tuple(
        Round(
            case,
            str(phases["burst"][0].note["limit"].get("builds", "")),
            tuple(e for e in phases["reads"] if e.status in SUCCESS),
            tuple(phases["burst"]),
            tuple(phases["retry"]),
            next(iter(phases["confirm"]), None),
            next((e for e in phases["other-key"] if e.ref != phases["burst"][0].ref), None),
        )
        for (case, _), phases in sorted(groups.items())
        if phases["burst"]
    )


def rested(ref: str, history: History) -> Iterator[tuple[Round, float]]:
    """Yields each round that follows another one up to a refusal, and the pause in seconds between the two rounds."""
    for before, after in pairwise(rounds(ref, history)):
        served = before.case == after.case and before.retries and before.retries[-1].status in SUCCESS
        refused = [e for e in (*before.burst, before.confirm, *before.retries) if e and e.status == 429]
        if not served or not refused or after.first_refusal is None:
            continue
        if not started_beside(refused[-1], after.burst[-1], history):
            yield after, after.burst[0].sent_at - refused[-1].done_at


def waited_enough(before: Exchange, retry: Exchange, default_s: float = float("-inf")) -> bool:
    """Whether *retry* came after the Retry-After of *before* or, without that header, after *default_s* seconds."""
    requested_s = retry_after_s(before.response)
    return gap_s(before, retry) >= (default_s if requested_s is None else requested_s)


def gap_s(before: Exchange, after: Exchange) -> float:
    """Returns the seconds from the end of *before* until *after* was sent."""
    return after.sent_at - before.done_at


def started_beside(first: Exchange, last: Exchange, history: History) -> bool:
    """Whether another start with the key of *last* waited for a response between *first* and *last*."""
    others = (e for e in starts_of(last.credential, history) if e.case != last.case or "limit" not in e.note)
    return any(e.sent_at < last.done_at and e.done_at > first.sent_at for e in others)


def starts_of(credential: Credential, history: History) -> Iterator[Exchange]:
    """Yields all exchanges that may count as starts with the key *credential*, including publishes with auto_build."""
    for exchange in history.exchanges:
        starts = exchange.operation == "startBuild" or exchange.note.get("auto_build") is True
        if starts and exchange.credential == credential:
            yield exchange


_REFUSED_WAITS = 2  # one refusal after the whole wait may be due to another account
_NOT_OF_A_LIMIT = frozenset({401, 404, 429})  # 401 and 404 have claims of their own; 429 is as documented
_SMALLEST_BURST = 3  # fewer accepted starts in a burst may be chance
_READS_PER_START = 3  # a fixed window may accept twice its limit in a burst, so half as many starts prove nothing
_WINDOWS_PER_BURST = 3  # assumed number of windows that one burst uses up; in fact, it spans fewer
_LONGEST_WINDOW_S = 60.0  # older starts with the other key matter only if the first key recovers slowly


@rule("limits.shape", "limit.has-the-error-shape")
def limit_shape(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that each 429 has the documented error body. Invalid JSON has a claim of its own."""
    response = exchange.response
    if response is None or response.status != 429 or exchange.error or not operation_of(exchange, history.contract):
        return
    problem, expected = error_problem(response), "a JSON object with a string in error"
    if problem is not None:
        yield judged("limit.has-the-error-shape", not problem, exchange, expected=expected, actual=problem)


@story_rule("limits.otherwise", "limit.has-the-error-shape")
def refused_otherwise(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a limit answers a refused start with 429: reports other statuses that only a limit can explain."""
    for served, refused, after in _refused_between(ref, history):
        expected, actual = "429: only a limit can refuse a start between served ones", describe(refused)
        yield broken("limit.has-the-error-shape", served, after, refused, expected=expected, actual=actual)


def is_limited_otherwise(start: Exchange, history: History) -> bool:
    """Whether a limit refused any start of the run with the status of *start*, although 429 is documented."""
    return start.status in history.overall(_statuses_of_limits)


def _statuses_of_limits(history: History) -> frozenset[int]:
    refs = {content.ref for content in history.all_contents()}
    return frozenset(refused.status for ref in refs for _, refused, _ in _refused_between(ref, history))


def _refused_between(ref: str, history: History) -> Iterator[tuple[Exchange, Exchange, Exchange]]:
    """Yields starts that show a limit: accepted, refused, accepted; of a ready version, or in a round with *builds*."""
    served: Exchange | None = None
    refused: Exchange | None = None
    for exchange in history.story(ref):
        if exchange.operation == "startBuild" and exchange.body.get("status") == "ready" and owned(exchange, history):
            if served and refused:
                yield served, refused, exchange
            served, refused = exchange, None
        elif exchange.operation not in {"getBuild", "getTemplate", "streamBuildEvents"} and may_have_acted(exchange):
            served, refused = None, None
        elif served and _refuses_a_start(exchange, history) and exchange.sent_at >= served.done_at:
            refused = refused or exchange
    for each in rounds(ref, history):
        refused = next((e for e in each.burst if _refuses_a_start(e, history)), None)
        after = next((e for e in (each.confirm, *each.retries) if e and e.status in SUCCESS), None)
        if each.builds and each.served and refused and after:
            yield each.served[0], refused, after


@rule("limits.retry-after", "limit.retry-after-is-valid")
def retry_after_valid(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that each Retry-After header has a whole number of seconds or an HTTP date."""
    if exchange.response and exchange.response.header("retry-after") is not None:
        # RFC 9110 5.3: this header may appear only once. Several are joined with commas, which makes them invalid.
        value = ", ".join(v for name, v in exchange.response.headers if name.lower() == "retry-after")
        fits = re.fullmatch(r"[0-9]+", value) is not None or http_date(value) is not None
        expected = "a whole number of seconds or an HTTP date"
        yield judged("limit.retry-after-is-valid", fits, exchange, expected=expected, actual=repr(value))


@story_rule("limits.chance", "limit.ends-after-back-off", "limit.retry-after-is-honest")
def served_after_a_wait(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the next start after a 429 and a wait, outside rounds. A success counts; a second 429 proves nothing."""
    starts = [e for e in history.story(ref) if e.operation == "startBuild" and "limit" not in e.note]
    for refused, after in pairwise(sorted(starts, key=lambda e: e.sent_at)):
        waited = refused.status == 429 and after.sent_at >= refused.done_at and waited_enough(refused, after)
        if waited and after.status in SUCCESS and after.credential == refused.credential:
            yield held("limit.ends-after-back-off", refused, after)
            if retry_after_s(refused.response) is not None:
                yield held("limit.retry-after-is-honest", refused, after)


@story_rule("limits.honest", "limit.retry-after-is-honest")
def retry_after_honest(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a retry after the whole Retry-After is accepted, if no other start used the key meanwhile."""
    claim = "limit.retry-after-is-honest"
    refused: list[tuple[Exchange, Exchange]] = []
    # If even the first start of a burst is refused, the host is full; no rate was exceeded.
    for before, retry in (pair for each in rounds(ref, history) if each.served for pair in each.waits):
        waited = retry_after_s(before.response) is not None and waited_enough(before, retry)
        if not waited or started_beside(before, retry, history):
            continue
        if retry.status in SUCCESS:
            yield held(claim, before, retry)
        elif retry.status == 429:
            refused.append((before, retry))
    if len(refused) >= _REFUSED_WAITS:
        before, retry = refused[-1]
        last_s = gap_s(before, retry)
        actual = f"{len(refused)} retries refused after the whole Retry-After, the last after {last_s:.1f} s"
        yield broken(claim, before, retry, expected="a start served after Retry-After", actual=actual)
    elif refused:
        yield unclear(claim, *refused[0], why="refused once after Retry-After; others may have used the host")


@story_rule("limits.back-off", "limit.ends-after-back-off")
def ends_after_back_off(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the last retry of each round is accepted."""
    claim = "limit.ends-after-back-off"
    for each in rounds(ref, history):
        last = each.retries[-1] if each.retries else each.confirm if each.builds else None
        refused = each.first_refusal
        if last is None or refused is None:
            continue
        if last.status in SUCCESS:
            yield held(claim, refused, last)
        elif last.status == 429 and last.note["limit"].get("gave_up"):
            waited = f"{len(each.retries)} retries in {gap_s(refused, last):.1f} s"
            if all(waited_enough(before, retry) for before, retry in each.waits):
                expected, actual = "a start served after the back-off", f"429 after {waited}"
                yield broken(claim, refused, last, expected=expected, actual=actual)
            else:
                yield unclear(claim, refused, last, why=f"gave up before Retry-After was over: {waited}")


@story_rule("limits.per-key", "limit.is-per-key")
def per_key(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a second key is served while the first is refused. A full host may explain one refusal, not two."""
    claim = "limit.is-per-key"
    others_refused = 0
    for each in rounds(ref, history):
        other = each.other_key
        if other is None or each.confirm is None or each.first_refusal is None or each.confirm.status != 429:
            continue
        evidence = (each.first_refusal, each.confirm, other)
        if other.status in SUCCESS:
            yield held(claim, *evidence)
        elif other.status != 429:
            continue
        elif each.builds == "kept":
            yield unclear(claim, *evidence, why="the builds in flight may have filled the host for all keys")
        elif _may_be_used_up(other, each.first_refusal, each, history):
            yield unclear(claim, *evidence, why="the other key may have exceeded its own limit")
        elif each.builds and (others_refused := others_refused + 1) < _REFUSED_WAITS:
            yield unclear(claim, *evidence, why="refused once; the host may have been full")
        else:
            actual = f"{describe(other)} after {len(each.served)} starts by the first key"
            yield broken(claim, *evidence, expected="a start with another key served", actual=actual)


@story_rule("limits.reads", "limit.reads-are-not-charged")
def reads_not_charged(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that reads do not count against the limit of starts: compares bursts after reads with other bursts."""
    claim = "limit.reads-are-not-charged"
    comparable = list(rested(ref, history))
    for read, rest_s in comparable:
        like = [each for each, its_s in comparable if not each.reads and each.case == read.case and its_s <= rest_s]
        usual = min(like, key=lambda each: len(each.served), default=None)
        if not read.reads or usual is None:
            continue
        many, few = len(usual.served), len(read.served)
        counts = f"{few} starts served after {len(read.reads)} reads, {many} without reads"
        evidence = (usual.burst[-1], read.reads[-1], read.burst[-1])
        enough = many >= _SMALLEST_BURST and len(read.reads) >= _READS_PER_START * many
        if not enough or read.burst_s < usual.burst_s:
            yield unclear(claim, *evidence, why=f"too few to compare: {counts}")
        elif _READS_PER_START * few < many:
            yield broken(claim, *evidence, expected="as many starts served after reads as without reads", actual=counts)
        elif 2 * few >= many:
            yield held(claim, *evidence)
        else:
            yield unclear(claim, *evidence, why=f"the difference is inconclusive: {counts}")


def _refuses_a_start(exchange: Exchange, history: History) -> bool:
    operation = operation_of(exchange, history.contract)
    if operation is None or operation.id != "startBuild" or not owned(exchange, history):
        return False
    refuses = 400 <= exchange.status < 500 and exchange.status not in _NOT_OF_A_LIMIT
    return refuses and exchange.status not in excused(exchange, history.contract)


def _may_be_used_up(other: Exchange, refused: Exchange, each: Round, history: History) -> bool:
    """Whether the other key may have used up its own limit, or may have started a version that is not ready."""
    ready = any(e.seq < other.seq and e.body.get("status") == "ready" for e in history.story(other.ref or ""))
    if not ready and not each.builds:
        return True
    number = len(each.served)
    recovery_s = each.retries[-1].done_at - refused.done_at if each.retries else 0.0
    gaps_s = [gap_s(e, other) for e in starts_of(other.credential, history) if e.seq < other.seq]
    gains = [(max(_LONGEST_WINDOW_S, (number + 1) * recovery_s), number)]
    # A key at rest regains at least as many starts as the first key had regained at a later burst.
    later = (one for one in history.overall(_all_rounds) if one.burst[0].sent_at > refused.done_at)
    gains += [(gap_s(refused, one.served[-1]), len(one.served) // _WINDOWS_PER_BURST) for one in later if one.served]
    return all(sum(its_s < within_s for its_s in gaps_s) >= number for within_s, number in gains)


_ROOM_CLAIM = "limit.ends-after-back-off"
_IN_VAIN = 2  # consecutive waits without success; one may be due to another user of the host


@rule("room.free", _ROOM_CLAIM)
def room_is_free(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges a start at a moment when no build of the run can still run: it must be accepted after documented waits.

    Such a moment comes when the last accepted start is longer ago than the maximum times of a build and a cancel.
    """
    if exchange.operation != "startBuild" or exchange.status != 429:
        return
    longest_s = history.bounds.build_timeout_s + history.bounds.cancel_timeout_s
    starts = (e for e in history.exchanges if e.operation == "startBuild" or e.note.get("auto_build") is True)
    before = [e for e in starts if e.seq != exchange.seq and e.done_at <= exchange.sent_at]
    recent = [e for e in before if e.done_at > exchange.sent_at - longest_s]
    own = [e for e in recent if e.credential == exchange.credential]
    if len(recent) == len(before) or not own or any(may_have_acted(e) for e in recent):
        return
    refused = [*own[-_IN_VAIN:], exchange]
    backed_off = (a.status == 429 and waited_enough(a, b, FIRST_WAIT_S) for a, b in pairwise(refused))
    if len(refused) > _IN_VAIN and all(backed_off):
        yield broken(_ROOM_CLAIM, *refused, expected=f"a start served: none was for {longest_s:g} s")


_WAIT_CLAIM = "start.does-not-wait"
_CONCLUSIVE_S = 0.2  # a slow network also explains a shorter wait
_TIMES_AS_LONG = 3  # a start counts as waiting if it takes so many times as long as others
_FEWEST = 2  # fewer slow responses may be chance

_Beside = tuple[Exchange, Exchange, float]  # a start, the build or log that it may have waited for, and when that ended


@story_rule("waiting.running", _WAIT_CLAIM)
def waits_for_a_running_build(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a start does not wait until another build, or an open log, has ended.

    A slow start is a finding only if most starts beside a build or log were slow, and the others much faster.
    """
    starts, builds = history.overall(_accepted_starts), history.overall(_builds)
    for other, start in pairwise(starts):
        if start.ref == ref and other.seq in builds:
            found = _build_beside(start, (builds[other.seq],), history, own=other.ref == ref)
            if found and start.done_at < found[2]:
                yield held(_WAIT_CLAIM, other, start)
    slow = [start for start in starts if start.ref == ref and start.elapsed_s >= _CONCLUSIVE_S]
    for beside in history.overall(_beside) if slow else ():
        waited = [found for found in beside.values() if found[0].done_at >= found[2]]
        if len(waited) < _FEWEST or 2 * len(waited) <= len(beside):
            continue
        usual_s = median([start.elapsed_s for start in starts if start.seq not in beside] or [0.0])
        for start, other, _ in waited:
            if start.ref == ref and start.elapsed_s >= _TIMES_AS_LONG * usual_s:
                what = "log" if other.operation == "streamBuildEvents" else "build"
                actual = f"{describe(start)} after {start.elapsed_s:.2f} s, at the end of the {what} of {other.ref}"
                yield broken(_WAIT_CLAIM, other, start, expected="a response while builds run", actual=actual)


def _accepted_starts(history: History) -> tuple[Exchange, ...]:
    return tuple(e for e in history.exchanges if e.operation == "startBuild" and e.status in SUCCESS)


def _builds(history: History) -> dict[int, tuple[Exchange, Content]]:
    """Returns the starts that began or joined a build, by *seq*, each with the document that was built."""
    starts = (start for start in history.overall(_accepted_starts) if reports_building(start))
    built = ((start, history.content(start.ref or "", start.sent_at)) for start in starts)
    return {start.seq: (start, content) for start, content in built if content}


def _beside(history: History) -> tuple[dict[int, _Beside], ...]:
    """Returns what may have delayed each start, by its *seq*: a build of another version, of the same one, or a log."""
    starts, builds = history.overall(_accepted_starts), tuple(history.overall(_builds).values())
    logs = [e for e in history.exchanges if follows(e)]
    return (
        {start.seq: found for start in starts if (found := _build_beside(start, builds, history, own=False))},
        {start.seq: found for start in starts if (found := _build_beside(start, builds, history, own=True))},
        {start.seq: found for start in starts if (found := _log_beside(start, logs))},
    )


def _log_beside(start: Exchange, logs: Iterable[Exchange]) -> _Beside | None:
    own = (e for e in logs if e.credential == start.credential and e.head_at <= start.sent_at)
    last = max((e for e in own if e.done_at >= start.sent_at + _CONCLUSIVE_S), key=lambda e: e.done_at, default=None)
    return (start, last, last.done_at) if last else None


def _build_beside(
    start: Exchange, builds: Iterable[tuple[Exchange, Content]], history: History, *, own: bool
) -> _Beside | None:
    """Returns an earlier build that can have delayed *start*: of the same version if *own*, else of another version."""
    for other, content in builds:
        ends_at = other.sent_at + content.sleep_s * CLOCK_SHARE
        if ends_at - start.sent_at < _CONCLUSIVE_S or other.done_at > start.sent_at:
            continue
        cancels = (c for c in history.cancels if c.ref == other.ref)
        cancelled = any(other.sent_at < c.done_at and c.sent_at < start.done_at for c in cancels)
        if (other.ref == start.ref) == own and content.until_at >= start.done_at and not cancelled:
            return start, other, ends_at
    return None
