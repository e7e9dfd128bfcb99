"""Load rules: they judge a load run as a whole. Each is a function from a `Record` to judgements, without I/O.

If overlapping requests, or other users of the host, may explain a result, the judgement is indeterminate.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import inf

import numpy as np
from numpy.typing import NDArray

from touchstone.contract.answers import AT_REST
from touchstone.contract.claims import Ledger
from touchstone.facts.backoff import retry_after_s
from touchstone.facts.curl import curl
from touchstone.facts.events import Attempt, Build, BuildEnd, Notice, RunLog
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.key_sources import KeySources
from touchstone.facts.wording import plural, was
from touchstone.loadgen.metrics import grouped
from touchstone.loadgen.not_judged import MORE_ROOM, Ruling, again, ending, idle_reason
from touchstone.rules.judge import finding_at
from touchstone.rules.timeline import first_ends, is_status_read

Version = tuple[str, str]  # the account that owns the version, and the ref

_READ, _START = "getBuild", "startBuild"
_OVER: frozenset[BuildEnd] = frozenset({"ready", "failed", "cancelled", "vanished"})
_UNKNOWN = {
    "unread": "no read of its status succeeded",
    "silent": "the target stopped responding",
    "unfinished": "the run ended first",
}
_REFUSALS_AFTER_WAIT = 2  # a single refusal after a full wait may have another cause: load from outside the run
_RESTED_S = 4.0  # without Retry-After, a refusal after a shorter wait proves nothing
_FEWEST_STARTS = 5
_FEWEST_REFUSALS = 2  # one refusal may be chance
_NOBODY = -1  # client number of starts outside the schedule


class Record:
    """Starts and reads of a load run by version, account and client."""

    def __init__(self, log: RunLog) -> None:
        self.log = log
        known = {attempt.seq for attempt in log.attempts}
        begins = (e for e in log.exchanges if e.operation == _START or e.note.get("auto_build") is True)
        others = (_attempt_of(exchange) for exchange in begins if exchange.seq not in known)
        self.starts = sorted((*log.attempts, *others), key=lambda start: (start.sent_at, start.seq))
        self.starts_of = grouped(self.starts, _version)
        self.by_account = grouped(self.starts, lambda start: account_of(start.credential))
        wanted = (start for start in self.starts if start.want != _NOBODY)
        clients = grouped(wanted, lambda start: (start.want, _version(start)))
        self.clients = [sorted(tries, key=lambda start: start.number) for tries in clients.values()]
        reads = sorted(filter(is_status_read, log.exchanges), key=lambda read: read.done_at)
        self.reads = grouped(reads, _version)
        self.own_refs = frozenset(action.ref for action in log.templates if action.action == "published")
        # Maximum difference between the clocks of two workers.
        self.slack_s = 2 * max((worker.clock_error_s for worker in log.workers), default=0.0)
        self._builds = {(build.want, _version(build)): build for build in log.builds}
        at_rest = grouped((read for read in reads if read.body["status"] in AT_REST), _version)
        self._rest_ends = {version: first_ends(rests) for version, rests in at_rest.items()}
        ready = (read for read in reads if read.body["status"] == "ready")
        self._ready_at = {version: own[0].done_at for version, own in grouped(ready, _version).items()}
        self._moments = {
            account: (sorted(start.sent_at for start in starts), sorted(start.done_at for start in starts))
            for account, starts in self.by_account.items()
        }
        self._full_until = _latest(self.starts, map(self._ends_at, self.starts))

    def build_of(self, start: Attempt) -> Build | None:
        """Build that a start began; None if its client reported no build."""
        return self._builds.get((start.want, _version(start)))

    def over_at(self, start: Attempt) -> float:
        """When a read first showed that the build of a start was over; infinity if no read did."""
        sent_at, ended_at = self._rest_ends.get(_version(start), ([], []))
        later = bisect_left(sent_at, start.done_at + self.slack_s) if start.is_served else len(sent_at)
        return ended_at[later] if later < len(sent_at) else inf

    def begun(self, version: Version) -> Callable[[float], float]:
        """Returns f(t): when all builds were over that starts of *version* sent before t may have begun."""
        starts = self.starts_of.get(version, [])
        return _latest(starts, (self.over_at(start) if start.may_act else -inf for start in starts))

    def _ends_at(self, start: Attempt) -> float:
        """When the build of a start was certainly over; minus infinity if the start cannot have begun a build."""
        if not start.may_act or self._ready_at.get(_version(start), inf) <= start.sent_at:
            return -inf
        build = self.build_of(start)
        return build_over_at(build) if build is not None and start.is_served else self.over_at(start)

    def has_room(self, refused: Attempt) -> bool:
        """Whether certainly no build of the run was in flight during the start *refused*."""
        return self._full_until(refused.done_at + self.slack_s) <= refused.sent_at - self.slack_s

    def is_alone(self, before: Attempt, retry: Attempt) -> bool:
        """Whether the run does not explain a refused retry: its key sent no other start, and no build ran."""
        from_at, to_at = before.sent_at - self.slack_s, retry.done_at + self.slack_s
        sent_at, done_at = self._moments[account_of(retry.credential)]
        under_way = bisect_left(sent_at, to_at) - bisect_right(done_at, from_at)
        return under_way == len({before.seq, retry.seq}) and self.has_room(retry)


def _latest(starts: Sequence[Attempt], ends: Iterable[float]) -> Callable[[float], float]:
    """Returns f(t): the latest of the *ends* of all starts sent before t; minus infinity if there are none."""
    sent_at = [start.sent_at for start in starts]
    latest = [*accumulate(ends, max, initial=-inf)]
    return lambda at_s: latest[bisect_left(sent_at, at_s)]


def account_of(credential: Credential) -> str:
    """Account of a key. For a missing or invalid key, which can start nothing, it is ``primary``."""
    return credential if credential in ("second", "restricted") else "primary"


def _version(about: Attempt | Build | Exchange) -> Version:
    return account_of(about.credential), about.ref or ""


def build_over_at(build: Build) -> float:
    """When a build was certainly over, in run seconds; infinity if no client observed its end."""
    return max(build.ended_at, build.accepted_at) if build.end in _OVER else inf


def _attempt_of(e: Exchange) -> Attempt:
    times, wait_s = (e.sent_at, e.sent_at, e.done_at), retry_after_s(e.response)
    return Attempt(_NOBODY, 1, e.ref or "", e.credential, "", False, *times, e.status, wait_s, gave_up=False, seq=e.seq)


_SHORTEST_S = 0.001
_STEP = 1.05  # factor between one tested window length and the next
_STRADDLED = 2
_LEFT_OUT = 1  # number of refusals that load from outside the run may have caused

_Times = NDArray[np.float64]


def rate_explains(
    keys: Sequence[Sequence[Attempt]], is_of_rate: Callable[[Attempt], bool] = lambda _start: True, slack_s: float = 0.0
) -> bool:
    """Whether a rate limit, the same for each key, can explain all refusals, or all but one.

    A limit of N starts per window accepts at most 2 N starts in any time as long as a window: N at the end of one
    window, N at the start of the next. It refuses a start only after N starts. So a window length is impossible if more
    starts were accepted in such a time than twice the fewest starts before a refusal. If every length is impossible,
    no rate limit explains the refusals. The function tests limits that count refused starts, and limits that do not.

    *keys*: starts of each key, in the order in which they were sent; *is_of_rate*: whether only a rate limit can have
    refused a start; *slack_s*: maximum error of the times, in seconds.
    """
    longest_s = _STEP * max([_SHORTEST_S, *(max(s.done_at for s in key) - key[0].sent_at for key in keys if key)])
    steps = math.ceil(math.log(longest_s / _SHORTEST_S, _STEP)) + 1
    lengths_s = _SHORTEST_S * _STEP ** np.arange(steps + 1)
    for every in (False, True):
        counted = [_Counted(key, is_of_rate, every=every) for key in keys]
        for shorter_s, longer_s in pairwise(lengths_s):
            before = np.sort(np.concatenate([[], *(key.before_refusals(longer_s + slack_s) for key in counted)]))
            most = max((key.most_served(shorter_s - slack_s) for key in counted), default=0)
            if len(before) <= _LEFT_OUT or most <= _STRADDLED * before[_LEFT_OUT]:
                return True
    return False


class _Counted:
    """Starts of one key in four groups: those a limit may count, those it certainly counts, accepted, refused."""

    def __init__(self, starts: Sequence[Attempt], is_of_rate: Callable[[Attempt], bool], *, every: bool) -> None:
        self._may_count = np.sort(_times(start for start in starts if every or start.may_act), axis=0)
        counts = (start for start in starts if start.is_served or (every and start.is_refused))
        self._counts = np.sort(_times(counts), axis=0)
        self._served = _times(start for start in starts if start.is_served)
        self._refused = _times(start for start in starts if start.is_refused and is_of_rate(start))
        self._itself = int(every)

    def before_refusals(self, window_s: float) -> _Times:
        """For each refusal, the number of starts that a limit may have counted in the window before it."""
        begun = np.searchsorted(self._may_count[:, 0], self._refused[:, 1], side="right")
        gone = np.searchsorted(self._may_count[:, 1], self._refused[:, 0] - window_s, side="left")
        return np.asarray(begun - gone - self._itself, dtype=np.float64)

    def most_served(self, window_s: float) -> int:
        """Largest number of starts that a limit certainly counted in any window that ends with an accepted start."""
        over = np.searchsorted(self._counts[:, 1], self._served[:, 0], side="right")
        early = np.searchsorted(self._counts[:, 0], self._served[:, 1] - window_s, side="left")
        return int(np.max(np.maximum(over - early, 0))) + 1 if len(self._served) else 0


def _times(starts: Iterable[Attempt]) -> _Times:
    return np.array([(start.sent_at, start.done_at) for start in starts], dtype=np.float64).reshape(-1, 2)


def _held(operation: str, *evidence: int) -> Judgement:
    """Judgement that the claim held; *evidence*: ``seq`` of exchanges, which the run log may lack."""
    return Judgement("", "held", "", operation, evidence)


def _broken(operation: str, *evidence: int, expected: str, actual: str) -> Judgement:
    return Judgement("", "broken", "", operation, evidence, expected, actual)


def _unclear(operation: str, *evidence: int, why: str) -> Judgement:
    return Judgement("", "indeterminate", "", operation, evidence, "", why)


def build_ends(record: Record) -> Iterator[Judgement]:
    """Judges that each accepted build ends in time, as its client observed; not of cancelled and vanished builds."""
    yield from _known_ends(record)
    for build in record.log.builds:
        if build.end == "stuck":
            expected = "ready or failed within the time that the target allows for a build"
            actual = f"still building {build.ended_at - build.accepted_at:.1f} s after its start was accepted"
            yield _broken(_READ, build.seq, expected=expected, actual=actual)
    for start in record.starts:
        if start.fresh and start.is_served and record.build_of(start) is None:
            yield _unclear(_START, start.seq, why="the end of a build is unknown: its client reported none")


def build_stays(record: Record) -> Iterator[Judgement]:
    """Judges that the status of an accepted build does not return to ``not_built`` without a cancel."""
    yield from _known_ends(record)
    kept = (e for e in record.log.exchanges if e.operation in ("cancelBuild", "deleteTemplate"))
    cancels = [(_version(exchange), exchange.sent_at) for exchange in kept]
    cancels += [(_version(build), build.accepted_at) for build in record.log.builds if build.end == "cancelled"]
    cancels_of = grouped(cancels, lambda cancel: cancel[0])
    for build in record.log.builds:
        own = cancels_of.get(_version(build), ())
        if build.end == "vanished" and any(at_s < build.ended_at for _, at_s in own):
            yield _unclear(_READ, build.seq, why="the version was cancelled, perhaps during this build")
        elif build.end == "vanished":
            actual = f"not_built {build.ended_at - build.accepted_at:.1f} s after its start was accepted"
            yield _broken(_READ, build.seq, expected="building, ready or failed", actual=actual)


def _known_ends(record: Record) -> Iterator[Judgement]:
    for build in record.log.builds:
        if build.end in ("ready", "failed"):
            yield _held(_READ, build.seq)
        elif build.end in _UNKNOWN:
            yield _unclear(_READ, build.seq, why=f"the end of a build is unknown: {_UNKNOWN[build.end]}")


def builds_are_admitted(record: Record) -> Iterator[Judgement]:
    """Judges each recorded read that reports ``building``: a start must explain the build.

    An accepted start explains such reads until a later read reports that the build is over. A start without a response,
    or with a 5xx, explains all later reads, since it may take effect at any time. Versions that the run did not publish
    are left out, since others may start them.
    """
    expected = "building only while an admitted build has not ended"
    for version, reads in record.reads.items():
        if version[1] not in record.own_refs:
            continue
        begun = record.begun(version)
        rests = [read for read in reads if read.body["status"] in AT_REST]
        for read in reads:
            if read.body["status"] != "building":
                continue
            if begun(read.done_at + record.slack_s) + record.slack_s > read.sent_at:
                yield _held(_READ, read.seq)
                continue
            rest = next((one for one in reversed(rests) if one.done_at <= read.sent_at), None)
            since_at = rest.sent_at if rest else -inf
            starts = record.starts_of.get(version, ())
            if any(start.is_refused and since_at <= start.sent_at < read.done_at for start in starts):
                continue
            if rest is None:
                yield _broken(_READ, read.seq, expected=expected, actual="building, and no start had been sent")
            else:
                after_s = read.sent_at - rest.done_at
                actual = f"building, {after_s:.2f} s after a read showed {rest.body['status']}, with no start since"
                yield _broken(_READ, rest.seq, read.seq, expected=expected, actual=actual)


def refused_start_starts_nothing(record: Record) -> Iterator[Judgement]:
    """Judges that no refused start begins a build, by the reads after the refusal.

    As long as all starts of a fresh version were refused, reads must report ``not_built``. If all starts since the end
    of the last build were refused, reads must not report ``building``. A start without a response, or with a 5xx,
    explains any status. Versions that the run did not publish are left out.
    """
    for version, starts in record.starts_of.items():
        if any(start.is_refused for start in starts) and version[1] in record.own_refs:
            yield from _built_all_the_same(version, starts, record)


def _built_all_the_same(version: Version, starts: list[Attempt], record: Record) -> Iterator[Judgement]:
    first_acting_at = min((start.sent_at for start in starts if start.may_act), default=inf)
    begun = record.begun(version)
    refusals = sorted((start for start in starts if start.is_refused), key=lambda start: start.done_at)
    rest: Exchange | None = None
    for read in record.reads.get(version, ()):
        state = read.body["status"]
        number = bisect_right(refusals, read.sent_at, key=lambda start: start.done_at)
        is_wrong = False
        if number and read.done_at + record.slack_s <= first_acting_at:
            if state == "not_built":
                yield _held(_READ, refusals[number - 1].seq, read.seq)
            is_wrong = state != "not_built" and bool(starts[0].fresh)
        elif number and rest is not None and state == "building":
            begun_later = begun(read.done_at + record.slack_s) + record.slack_s > read.sent_at
            is_wrong = refusals[number - 1].sent_at >= rest.sent_at and not begun_later
        if is_wrong:
            after_s = read.sent_at - refusals[number - 1].done_at
            actual = f"{state} {after_s:.2f} s after the refusal, and no other start was accepted"
            evidence = (refusals[number - 1].seq, read.seq)
            yield _broken(_READ, *evidence, expected="no build from a refused start", actual=actual)
        rest = read if state in AT_REST else rest


def ends_after_back_off(record: Record) -> Iterator[Judgement]:
    """Judges that for each refused client, one of its retries is accepted.

    A client that gave up breaks the claim on two conditions. First, it always waited as long as Retry-After. Second,
    during its last two waits, its key started nothing else, and no build of the run was in flight. Without Retry-After,
    each of these two waits must take four seconds. If a condition is not met, the judgement is indeterminate.
    """
    for tries in record.clients:
        refused = [start for start in tries if start.is_refused]
        if refused and tries[-1].is_served:
            yield _held(_START, refused[0].seq, tries[-1].seq)
        elif refused and tries[-1].gave_up:
            yield _gave_up(tries, record)
        elif tries[-1].is_refused and len(tries) > 1:
            ended = ending(record.log)
            why = f"{plural(len(refused), 'refusal')}, and {ended.cause if ended else 'the run ended'}"
            yield _unclear(_START, refused[0].seq, tries[-1].seq, why=f"{why} before the client was served")


def _gave_up(tries: list[Attempt], record: Record) -> Judgement:
    first, last = tries[0], tries[-1]
    if not (waits := list(pairwise(tries))):
        why = "the client gave up: the wait is longer than patience_s of the target; raise it"
        return _unclear(_START, first.seq, why=why)
    waited = f"{'1 retry' if len(waits) == 1 else f'{len(waits)} retries'} in {last.sent_at - first.done_at:.1f} s"
    if not all(_waited_enough(*wait) for wait in waits):
        return _unclear(_START, first.seq, last.seq, why=f"the client did not wait as long as Retry-After: {waited}")
    unexplained = [
        (before, retry)
        for before, retry in waits[-_REFUSALS_AFTER_WAIT:]
        if record.is_alone(before, retry)
        and (before.retry_after_s is not None or retry.sent_at - before.done_at >= _RESTED_S)
    ]
    if len(unexplained) < _REFUSALS_AFTER_WAIT:
        why = f"the client gave up after {waited}; other load of the run, or short waits, may explain that"
        return _unclear(_START, first.seq, last.seq, why=f"{why}; {MORE_ROOM}")
    expected = "a start served after back-off, without other load of the run"
    return _broken(_START, first.seq, last.seq, expected=expected, actual=f"429 after {waited}")


def _waited_enough(before: Attempt, retry: Attempt) -> bool:
    return before.retry_after_s is None or retry.sent_at - before.done_at >= before.retry_after_s


def _refused_after_wait(before: Attempt, retry: Attempt) -> bool:
    has_advice = before.is_refused and before.retry_after_s is not None
    return retry.is_refused and has_advice and _waited_enough(before, retry)


def retry_after_is_honest(record: Record) -> Iterator[Judgement]:
    """Judges that a retry is accepted if the client waited as long as Retry-After.

    Two refused retries break the claim. They count only if a start with the key was accepted before, and if no other
    request of the run explains them. A single refused retry is indeterminate, since others may use the host.
    """
    refused: dict[str, list[tuple[Attempt, Attempt]]] = {}
    served_at = {
        account: min((start.done_at for start in starts if start.is_served), default=inf)
        for account, starts in record.by_account.items()
    }
    for before, retry in (pair for tries in record.clients for pair in pairwise(tries)):
        account = account_of(retry.credential)
        has_waited = before.retry_after_s is not None and _waited_enough(before, retry)
        if before.is_refused and retry.is_served and has_waited:
            yield _held(_START, before.seq, retry.seq)
        was_served = served_at[account] <= before.sent_at
        if _refused_after_wait(before, retry) and was_served and record.is_alone(before, retry):
            refused.setdefault(account, []).append((before, retry))
    for pairs in refused.values():
        before, retry = max(pairs, key=lambda pair: pair[1].sent_at)
        if len(pairs) < _REFUSALS_AFTER_WAIT:
            why = "refused once after the full wait; other load on the host may explain that"
            yield _unclear(_START, before.seq, retry.seq, why=why)
        else:
            last_s = retry.sent_at - before.done_at
            actual = f"{len(pairs)} retries refused after that wait, the last after {last_s:.1f} s"
            expected = "a retry served after the wait in Retry-After"
            yield _broken(_START, before.seq, retry.seq, expected=expected, actual=actual)


def limit_is_per_key(record: Record) -> Iterator[Judgement]:
    """Judges that a modest key's starts of ready versions are accepted as often beside a greedy key as alone.

    The claim is broken if modest starts were refused only beside the greedy key, unless a rate limit per key explains
    the refusals (`rate_explains`). Refusals after the full wait in Retry-After break it in any case. The claim holds
    only if the greedy key reached its limit at the same time.
    """
    for account, starts in record.by_account.items():
        ready = [start for start in starts if not start.fresh]
        alone = [start for start in ready if start.phase == "alone"]
        beside = [start for start in ready if start.phase == "beside-greedy"]
        if not (alone and beside):
            continue
        begins, ends = beside[0].sent_at, beside[-1].done_at
        others = (s for other, own in record.by_account.items() if other != account for s in own)
        greedy = [start for start in others if begins <= start.sent_at <= ends]
        refused = next((start for start in greedy if start.is_refused), None)
        unequal = _unequal(alone, beside, record)
        if unequal is not None:
            yield unequal
        elif refused is None:
            many = plural(len(greedy), "start")
            why = f"the greedy key was not refused in {many} beside the modest key"
            yield _unclear(_START, beside[-1].seq, why=f"{why}; give it a larger share, or raise the rate")
        else:
            yield _held(_START, refused.seq, beside[-1].seq)


def _unequal(alone: list[Attempt], beside: list[Attempt], record: Record) -> Judgement | None:
    refused_alone = sum(start.is_refused for start in alone)
    refused = [start for start in beside if start.is_refused and record.has_room(start)]
    last = (refused or beside)[-1].seq
    if refused_alone:
        many = f"{refused_alone} of {plural(len(alone), 'start')} {was(refused_alone)}"
        why = f"{many} refused alone as well; lower the rate of the modest key"
        return _unclear(_START, last, why=why)
    if min(len(alone), len(beside)) < _FEWEST_STARTS:
        why = f"{plural(len(alone), 'start')} alone and {len(beside)} beside"
        return _unclear(_START, last, why=f"{why}; expected at least {_FEWEST_STARTS} of each; run longer")
    counts = f"{len(refused)} of {len(beside)} starts refused beside the greedy key, none of {len(alone)} alone"
    if len(refused) >= _FEWEST_REFUSALS:
        refused_again = [pair for pair in pairwise(beside) if _refused_after_wait(*pair) and record.is_alone(*pair)]
        keys = list(record.by_account.values())
        if len(refused_again) < _FEWEST_REFUSALS and rate_explains(
            keys, lambda start: not start.fresh and record.has_room(start), record.slack_s
        ):
            return _unclear(_START, last, why=f"{counts}; a rate limit of the key alone may explain that")
        expected = "starts served as often beside the greedy key as alone"
        return _broken(_START, alone[-1].seq, refused[0].seq, last, expected=expected, actual=counts)
    others = sum(not start.is_served for start in beside)
    return _unclear(_START, last, why=f"{counts}, {others} not served; too few to judge") if others else None


# For each rule: its id, the claim that it judges, and the function that judges a run.
RULES: tuple[tuple[str, str, Callable[[Record], Iterator[Judgement]]], ...] = (
    ("overall.ends", "status.build-ends", build_ends),
    ("overall.stays", "status.build-does-not-vanish", build_stays),
    ("overall.admitted", "load.builds-admitted", builds_are_admitted),
    ("overall.refused", "limit.refused-start-starts-nothing", refused_start_starts_nothing),
    ("overall.back-off", "limit.ends-after-back-off", ends_after_back_off),
    ("overall.retry-after", "limit.retry-after-is-honest", retry_after_is_honest),
    ("overall.per-key", "limit.is-per-key", limit_is_per_key),
)


def judge_load(log: RunLog, ledger: Ledger) -> Ruling:
    """Judgements of all load rules. If a rule raises an error, its claim could not run; other rules still judge."""
    record, ruling = Record(log), Ruling()
    exchanges = {exchange.seq: exchange for exchange in log.exchanges}
    moments = {build.seq: (build.ref, build.ended_at) for build in log.builds}
    moments |= {start.seq: (start.ref, start.sent_at) for start in record.starts}

    def finding(judgement: Judgement) -> Finding:
        """Finding that points to the last exchange, or to its time if the run log does not have that exchange."""
        seq = judgement.evidence[-1]
        if (exchange := exchanges.get(seq)) is None:
            return finding_at(judgement, ledger, "{}, {:.1f} s into the run".format(*moments[seq]), again(log.header))
        command = curl(exchange, KeySources.of(log.header.settings))
        return finding_at(judgement, ledger, f"{exchange.request.method} {exchange.request.url}", command)

    for rule_id, claim, judge in RULES:
        try:
            found = [replace(judgement, claim=claim, check=rule_id) for judgement in judge(record)]
        except Exception as error:  # noqa: BLE001 - any error: the other rules still judge
            reason = f"the rule {rule_id} failed: {type(error).__name__}: {error}"
            ruling.notices.append(Notice(claim, "could-not-run", reason))
            continue
        ruling.findings.extend(finding(judgement) for judgement in found if judgement.outcome == "broken")
        ruling.judgements.extend(judgement for judgement in found if judgement.outcome != "broken")
        if not found:
            ruling.notices.append(Notice(claim, "not-applicable", idle_reason(claim, log)))
    return ruling
