"""The load rules: what can be said of a load run only as a whole, each a pure function from its record to judgements.

A load rule has to be sure without knowing what the target did: requests of many clients overlap, and others may use the
host. Each says in its docstring what it cannot tell.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

from touchstone.contract.claims import Ledger
from touchstone.facts.curl import curl
from touchstone.facts.events import Build, Notice, RunLog
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.key_sources import KeySources
from touchstone.facts.wording import plural, was
from touchstone.loadgen.not_judged import MORE_ROOM, Ruling, again, ending, idle_reason
from touchstone.loadgen.rate_limits import explains
from touchstone.loadgen.record import IDLE, Record, Sight, Start, Version, account_of, waited_in_vain

Judge = Callable[[Record], Iterator[Judgement]]

_READ, _START = "getBuild", "startBuild"
_UNKNOWN = {
    "unread": "no read after its start was answered",
    "silent": "the target answered nobody any more",
    "unfinished": "the run ended first",
}
# One refusal after a whole wait may be somebody else's load on the host; a second one is not taken for chance.
_IN_VAIN = 2
# A limit that counts refused starts, too, ends only after a rest as long as its window. Where it does not say when to
# come back, waits that are shorter prove nothing.
_RESTED_S = 4.0
_FEWEST_STARTS = 5
# One refusal may be chance.
_FEWEST_REFUSALS = 2


@dataclass(frozen=True, slots=True)
class LoadRule:
    """A named judge of one claim."""

    id: str
    claim: str
    judge: Judge

    def __call__(self, record: Record) -> Iterator[Judgement]:
        """The judgements of a run, each signed with the claim and the rule's id."""
        return (replace(judgement, claim=self.claim, check=self.id) for judgement in self.judge(record))


def load_rule(rule_id: str, claim: str) -> Callable[[Judge], LoadRule]:
    """Makes a load rule of a judge, whose judgements need not say the claim."""
    return lambda judge: LoadRule(rule_id, claim, judge)


def _held(operation: str, *evidence: int) -> Judgement:
    """The claim held on this occasion.

    Args:
        evidence: ``seq`` of exchanges, kept or not; the last one shows it.
    """
    return Judgement("", "held", "", operation, evidence)


def _broken(operation: str, *evidence: int, expected: str, actual: str) -> Judgement:
    """The claim was broken; *expected* is the same on each occasion."""
    return Judgement("", "broken", "", operation, evidence, expected, actual)


def _unclear(operation: str, *evidence: int, why: str) -> Judgement:
    """The occasion allows no verdict."""
    return Judgement("", "indeterminate", "", operation, evidence, "", why)


# What became of builds


@load_rule("overall.ends", "status.build-ends")
def build_ends(record: Record) -> Iterator[Judgement]:
    """Judges each accepted build by what its client saw of its end.

    A build that was cancelled was not left to end, and shows nothing. One that the run did not see to its end is
    indeterminate, and so is a start that was accepted and whose client left no word: nobody looked.
    """
    for build in record.log.builds:
        if build.end in ("ready", "failed"):
            yield _held(_READ, build.seq)
        elif build.end == "stuck":
            expected = "ready or failed within the time that the target allows for a build"
            actual = f"still building {build.ended_at - build.accepted_at:.1f} s after its start was accepted"
            yield _broken(_READ, build.seq, expected=expected, actual=actual)
        elif build.end in _UNKNOWN:
            yield _unclear(_READ, build.seq, why=f"how a build ended is not known: {_UNKNOWN[build.end]}")
    for start in record.starts:
        if start.fresh and start.is_served and record.build_of(start) is None:
            yield _unclear(_START, start.seq, why="how a build ended is not known: its client left no word")


@load_rule("overall.stays", "status.build-does-not-vanish")
def build_stays(record: Record) -> Iterator[Judgement]:
    """Judges that no accepted build falls back to ``not_built``, unless somebody may have cancelled it.

    What a client does not see, because it stopped reading, is indeterminate.
    """
    cancels = _cancels(record)
    for build in record.log.builds:
        if build.end in ("ready", "failed"):
            yield _held(_READ, build.seq)
        elif build.end in _UNKNOWN:
            yield _unclear(_READ, build.seq, why=f"how a build ended is not known: {_UNKNOWN[build.end]}")
        elif build.end == "vanished":
            if any(sent_at < build.ended_at for sent_at in cancels.get(_version(build), ())):
                yield _unclear(_READ, build.seq, why="somebody cancelled the version, and maybe this build")
            else:
                actual = f"not_built {build.ended_at - build.accepted_at:.1f} s after its start was accepted"
                yield _broken(_READ, build.seq, expected="building, ready or failed", actual=actual)


def _version(build: Build) -> Version:
    return account_of(build.credential), build.ref


def _cancels(record: Record) -> dict[Version, list[float]]:
    """When each version was cancelled: what was kept of cancels, and the builds that clients say they cancelled."""
    found: dict[Version, list[float]] = {}
    for exchange in record.log.exchanges:
        if exchange.operation in ("cancelBuild", "deleteTemplate"):
            found.setdefault((account_of(exchange.credential), exchange.ref or ""), []).append(exchange.sent_at)
    for build in record.log.builds:
        if build.end == "cancelled":
            found.setdefault(_version(build), []).append(build.accepted_at)
    return found


@load_rule("overall.admitted", "load.builds-admitted")
def builds_are_admitted(record: Record) -> Iterator[Judgement]:
    """Judges each kept read of a running build: a start that may have begun it has to be there, and not be over.

    If that holds for each version, no more builds are in flight than were admitted. A start is over once a read that
    was sent after its answer showed the version at rest. A start without an answer, or with a 5xx, explains any build.
    Where the only start since the version was at rest was refused, `refused_start_starts_nothing` judges. Versions that
    the run did not publish may be built by others, and are left out. What was not kept is not seen.
    """
    expected = "building only while a build that was admitted has not ended"
    for version, sights in record.sights.items():
        if version[1] not in record.own_refs:
            continue
        begun = record.begun(version)
        rests = [sight for sight in sights if sight.state in IDLE]
        for sight in sights:
            if sight.state != "building":
                continue
            if begun.before(sight.done_at + record.slack_s) + record.slack_s > sight.sent_at:
                yield _held(_READ, sight.seq)
                continue
            rest = next((one for one in reversed(rests) if one.done_at <= sight.sent_at), None)
            since_at = rest.sent_at if rest else -inf
            starts = record.starts_of.get(version, ())
            if any(start.is_refused and since_at <= start.sent_at < sight.done_at for start in starts):
                continue
            if rest is None:
                yield _broken(_READ, sight.seq, expected=expected, actual="building, and no start had been sent")
            else:
                after_s = sight.sent_at - rest.done_at
                actual = f"building, {after_s:.2f} s after it read {rest.state}, and not started since"
                yield _broken(_READ, rest.seq, sight.seq, expected=expected, actual=actual)


# What a refused start leads to


@load_rule("overall.refused", "limit.refused-start-starts-nothing")
def refused_start_starts_nothing(record: Record) -> Iterator[Judgement]:
    """Judges the reads of a version that only refused starts can have built.

    Either each start of a fresh version was refused so far: then no build or result may show. Or a start was refused
    since a read showed the last build over: then no running build may show. Reads between a refusal and the next try
    have to be kept. A start without an answer, or with a 5xx, explains everything, so that nothing is judged from it
    on. Versions that the run did not publish may be built by others, and are left out.
    """
    for version, starts in record.starts_of.items():
        if any(start.is_refused for start in starts) and version[1] in record.own_refs:
            yield from _built_all_the_same(version, starts, record)


def _built_all_the_same(version: Version, starts: list[Start], record: Record) -> Iterator[Judgement]:
    first_acting_at = min((start.sent_at for start in starts if start.may_act), default=inf)
    begun = record.begun(version)
    refusals = sorted((start for start in starts if start.is_refused), key=lambda start: start.done_at)
    refused_at = [start.done_at for start in refusals]
    rest: Sight | None = None
    for sight in record.sights.get(version, ()):
        number = bisect_right(refused_at, sight.sent_at)
        refused = refusals[number - 1] if number else None
        if refused is not None and sight.done_at + record.slack_s <= first_acting_at:
            if sight.state == "not_built":
                yield _held(_READ, refused.seq, sight.seq)
            elif starts[0].fresh:
                yield _all_the_same(refused, sight)
        elif refused is not None and rest is not None and sight.state == "building":
            begun_later = begun.before(sight.done_at + record.slack_s) + record.slack_s > sight.sent_at
            if refused.sent_at >= rest.sent_at and not begun_later:
                yield _all_the_same(refused, sight)
        rest = sight if sight.state in IDLE else rest


def _all_the_same(refused: Start, sight: Sight) -> Judgement:
    actual = f"{sight.state} {sight.sent_at - refused.done_at:.2f} s after the refusal, and no other start was accepted"
    return _broken(_READ, refused.seq, sight.seq, expected="no build of a refused start", actual=actual)


@load_rule("overall.back-off", "limit.ends-after-back-off")
def ends_after_back_off(record: Record) -> Iterator[Judgement]:
    """Judges each client that was refused: it is served in the end, or nothing of ours can explain why it is not.

    Under load a client may be unlucky on a correct server: others of its key are served in the meantime, builds keep
    the host full, and a limit may count refused starts as well. So giving up breaks the claim only where the client
    waited each time as long as Retry-After said, and where during its last two waits (of four seconds at least, if
    nothing said how long) its key started nothing else, and no build of the run can have been in flight when it tried
    again. Otherwise it is indeterminate.
    """
    for tries in record.clients:
        refused = [start for start in tries if start.is_refused]
        if refused and tries[-1].is_served:
            yield _held(_START, refused[0].seq, tries[-1].seq)
        elif refused and tries[-1].gave_up:
            yield _gave_up(tries, record)
        elif tries[-1].is_refused and len(tries) > 1:
            ended = ending(record.log)
            why = f"was refused {plural(len(refused), 'time')}, and {ended.words if ended else 'the run ended'}"
            yield _unclear(_START, refused[0].seq, tries[-1].seq, why=f"{why} before it was served")


def _gave_up(tries: list[Start], record: Record) -> Judgement:
    first, last = tries[0], tries[-1]
    waits = list(pairwise(tries))
    if not waits:
        why = "was to wait longer than patience_s of the target allows, and did not; raise it"
        return _unclear(_START, first.seq, why=why)
    waited = f"{'1 retry' if len(waits) == 1 else f'{len(waits)} retries'} in {last.sent_at - first.done_at:.1f} s"
    if not all(_waited_enough(*wait) for wait in waits):
        return _unclear(_START, first.seq, last.seq, why=f"gave up sooner than Retry-After says: {waited}")
    in_vain = [
        (before, retry)
        for before, retry in waits[-_IN_VAIN:]
        if record.is_alone(before, retry)
        and (before.retry_after_s is not None or retry.sent_at - before.done_at >= _RESTED_S)
    ]
    if len(in_vain) < _IN_VAIN:
        why = f"gave up after {waited}; other clients of the run may have been in its way, or it may be impatient"
        return _unclear(_START, first.seq, last.seq, why=f"{why}; {MORE_ROOM}")
    expected = "a start served after backing off, with nothing else of the run in its way"
    return _broken(_START, first.seq, last.seq, expected=expected, actual=f"429 after {waited}")


@load_rule("overall.retry-after", "limit.retry-after-is-honest")
def retry_after_is_honest(record: Record) -> Iterator[Judgement]:
    """Judges each retry that waited as long as Retry-After says, if nothing of ours can be what refused it again.

    Its key sent no other start from the refused one to the retry, had been served before, and no build of the run can
    have been in flight during the retry. Two such refusals of one key break the claim; one is indeterminate, since
    others may use the host. A retry that is served upholds it, whatever went on beside.
    """
    refused: dict[str, list[tuple[Start, Start]]] = {}
    served_at = {
        account: min((start.done_at for start in starts if start.is_served), default=inf)
        for account, starts in record.by_account.items()
    }
    for before, retry in (pair for tries in record.clients for pair in pairwise(tries)):
        has_waited = before.retry_after_s is not None and _waited_enough(before, retry)
        if before.is_refused and retry.is_served and has_waited:
            yield _held(_START, before.seq, retry.seq)
        was_served = served_at[retry.account] <= before.sent_at
        if waited_in_vain(before, retry) and was_served and record.is_alone(before, retry):
            refused.setdefault(retry.account, []).append((before, retry))
    for pairs in refused.values():
        before, retry = max(pairs, key=lambda pair: pair[1].sent_at)
        if len(pairs) < _IN_VAIN:
            why = "refused once after the whole wait; others may have used the host"
            yield _unclear(_START, before.seq, retry.seq, why=why)
        else:
            last_s = retry.sent_at - before.done_at
            actual = f"{len(pairs)} starts refused again after it, the last after {last_s:.1f} s"
            expected = "served after waiting as long as Retry-After says"
            yield _broken(_START, before.seq, retry.seq, expected=expected, actual=actual)


def _waited_enough(before: Start, retry: Start) -> bool:
    return before.retry_after_s is None or retry.sent_at - before.done_at >= before.retry_after_s


# Whom a limit hits: what a key starts alone, and the same again beside a greedy key


@load_rule("overall.per-key", "limit.is-per-key")
def limit_is_per_key(record: Record) -> Iterator[Judgement]:
    """Judges the modest key: served alone, it has to be served beside the greedy one.

    An attempt says in its phase what went on beside it by plan. Versions are ready in these phases, so that nothing but
    a rate can refuse a start. The claim is broken where starts were refused beside and none alone, if nothing but the
    greedy key can be why: either no limit of each key by itself explains which starts of both keys were refused, see
    `touchstone.loadgen.rate_limits`, or starts of the modest key were refused again after as long as Retry-After had
    said. It is held only if the greedy key met its limit meanwhile. It stays indeterminate where a limit without
    Retry-After has a window longer than the run, or where the greedy key hardly reaches it.
    """
    for starts in record.by_account.values():
        ready = [start for start in starts if not start.fresh]
        alone = [start for start in ready if start.phase == "alone"]
        beside = [start for start in ready if start.phase == "beside-greedy"]
        if not (alone and beside):
            continue
        begins, ends = beside[0].sent_at, beside[-1].done_at
        greedy = [s for s in record.starts if s.account != beside[0].account and begins <= s.sent_at <= ends]
        refused = next((start for start in greedy if start.is_refused), None)
        unequal = _unequal(alone, beside, record)
        if unequal is not None:
            yield unequal
        elif refused is None:
            many = plural(len(greedy), "start")
            why = f"the greedy key met no limit with {many} while the modest one started beside it"
            yield _unclear(_START, beside[-1].seq, why=f"{why}; give it a larger share, or raise the rate")
        else:
            yield _held(_START, refused.seq, beside[-1].seq)


def _unequal(alone: list[Start], beside: list[Start], record: Record) -> Judgement | None:
    """What the starts alone and beside show, where it is not that both were served."""
    refused_alone = sum(start.is_refused for start in alone)
    refused = [start for start in beside if start.is_refused and record.has_room(start)]
    last = (refused or beside)[-1].seq
    if refused_alone:
        many = f"{refused_alone} of {plural(len(alone), 'start')} {was(refused_alone)}"
        why = f"{many} refused alone as well; lower the rate of the modest key"
        return _unclear(_START, last, why=why)
    if min(len(alone), len(beside)) < _FEWEST_STARTS:
        why = f"{plural(len(alone), 'start')} alone and {len(beside)} beside"
        return _unclear(_START, last, why=f"{why}; at least {_FEWEST_STARTS} of each: run longer")
    counts = f"{len(refused)} of {len(beside)} starts refused beside the greedy key, none of {len(alone)} alone"
    if len(refused) >= _FEWEST_REFUSALS:
        if _explained(beside, record):
            return _unclear(_START, last, why=f"{counts}; the key may have used up a rate of its own")
        expected = "starts served beside as they were alone"
        return _broken(_START, alone[-1].seq, refused[0].seq, last, expected=expected, actual=counts)
    others = sum(not start.is_served for start in beside)
    return _unclear(_START, last, why=f"{counts}, {others} not served; too few to tell") if others else None


def _explained(beside: list[Start], record: Record) -> bool:
    """Whether the key may have used up a rate of its own."""
    pairs = [pair for pair in pairwise(beside) if waited_in_vain(*pair) and record.is_alone(*pair)]
    if len(pairs) >= _FEWEST_REFUSALS:
        return False
    return explains(list(record.by_account.values()), lambda s: not s.fresh and record.has_room(s), record.slack_s)


RULES: tuple[LoadRule, ...] = (
    build_ends,
    build_stays,
    builds_are_admitted,
    refused_start_starts_nothing,
    ends_after_back_off,
    retry_after_is_honest,
    limit_is_per_key,
)


def judge_load(log: RunLog, ledger: Ledger) -> Ruling:
    """What all load rules say of a run; one that fails is a fault of ours and no pass, and the others still judge."""
    record = Record(log)
    places = _Places(record)
    findings: list[Finding] = []
    judgements: list[Judgement] = []
    notices: list[Notice] = []
    for rule in RULES:
        try:
            found = list(rule(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the other rules their say
            reason = f"the rule {rule.id} failed: {type(error).__name__}: {error}"
            notices.append(Notice(rule.claim, "could-not-run", reason))
            continue
        findings += [places.finding(judgement, ledger) for judgement in found if judgement.outcome == "broken"]
        judgements += [judgement for judgement in found if judgement.outcome != "broken"]
        notices += [] if found else [Notice(rule.claim, "not-applicable", idle_reason(rule.claim, record))]
    return Ruling(tuple(findings), tuple(judgements), tuple(notices))


class _Places:
    """Where a finding was made, and how to see it again, whether its exchanges were kept or not."""

    def __init__(self, record: Record) -> None:
        self._header = record.log.header
        self._exchanges = {exchange.seq: exchange for exchange in record.log.exchanges}
        self._moments = {build.seq: (build.ref, build.ended_at) for build in record.log.builds}
        self._moments |= {start.seq: (start.ref, start.sent_at) for start in record.starts}

    def finding(self, judgement: Judgement, ledger: Ledger) -> Finding:
        """The finding that a broken judgement becomes."""
        seq = judgement.evidence[-1]
        if exchange := self._exchanges.get(seq):
            where, command = (
                f"{exchange.request.method} {exchange.request.url}",
                curl(exchange, KeySources.of(self._header.settings)),
            )
        else:
            where, command = "{}, {:.1f} s into the run".format(*self._moments[seq]), again(self._header)
        return Finding(
            id=finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected),
            claim=judgement.claim,
            level=ledger[judgement.claim].level,
            operation=judgement.operation,
            check=judgement.check,
            expected=judgement.expected,
            actual=judgement.actual,
            where=where,
            curl=command,
            evidence=judgement.evidence,
        )
