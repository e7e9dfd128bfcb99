"""Judges what a refused start leads to: no build, and an end of the refusals for whoever waits."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from touchstone.facts.finding import Judgement
from touchstone.facts.wording import plural
from touchstone.loadgen.rules.idle import Idle, unrefused
from touchstone.loadgen.rules.loadrule import broken, held, load_rule, unclear
from touchstone.loadgen.rules.record import IDLE, Latest, Record, Sight, Start, Version, waited_in_vain

_READ, _START = "getBuild", "startBuild"
_NOTHING_READ = Idle(
    "no version was read after a refused start and before the next one",
    "`touchstone load storm` reads them, where it meets a limit",
    ("storm",),
    unrefused,
)
_NOBODY_WAITED = Idle(
    "no client that was refused came back",
    "those of `touchstone load storm` do, where it meets a limit",
    ("storm",),
    unrefused,
)

_MORE_ROOM = "start fewer builds at once or shorter ones (--build-s), or raise patience_s of the target"


def _refused_beside(record: Record) -> str:
    """That starts were refused again after the whole wait, and what of the run may be why; empty where none was."""
    again = [retry for tries in record.clients for before, retry in pairwise(tries) if waited_in_vain(before, retry)]
    if not again:
        return ""
    beside = sum(not record.has_room(retry) for retry in again)
    counted = (
        (beside, "while a build of the run may have been in flight"),
        (len(again) - beside, "beside other starts of their key, or before it was served at all"),
    )
    parts = " and ".join(f"{number:,} {when}" for number, when in counted if number)
    return (
        f"after as long as Retry-After had said {plural(len(again), 'start')} came back, and none was served: {parts}, "
        f"which may be why; {record.ending.whole if record.ending else _MORE_ROOM}"
    )


def _untold(record: Record) -> str:
    """Why nobody came back after the whole wait."""
    refused = [start for start in record.starts if start.is_refused]
    if refused and all(start.retry_after_s is None for start in refused):
        return f"{plural(len(refused), 'refusal')} came without a Retry-After that can be read"
    if gave_up := sum(start.gave_up for start in refused):
        return (
            f"{plural(gave_up, 'client')} gave up, told to wait longer than patience_s of the target allows; raise it"
        )
    return unrefused(record)


_NOBODY_TOLD = Idle(
    "no client that was refused was served, or refused alone, after as long as Retry-After had said",
    "those of `touchstone load storm` come back, where it meets a limit",
    ("storm",),
    _untold,
    _refused_beside,
)

_NOTHING = "limit.refused-start-starts-nothing"
_ENDS = "limit.ends-after-back-off"
_HONEST = "limit.retry-after-is-honest"
# One refusal after a whole wait may be somebody else's load on the host; a second one is not taken for chance.
_IN_VAIN = 2
# A limit that counts refused starts, too, ends only after a rest as long as its window. Where it does not say when to
# come back, waits that are shorter prove nothing.
_RESTED_S = 4.0


@load_rule("overall.refused", _NOTHING, idle=_NOTHING_READ)
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
    first_acting_at = min((start.sent_at for start in starts if start.may_act), default=float("inf"))
    begun = Latest(starts, (record.over_at[s.seq] if s.may_act else float("-inf") for s in starts))
    refusals = sorted((start for start in starts if start.is_refused), key=lambda start: start.done_at)
    refused_at = [start.done_at for start in refusals]
    rest: Sight | None = None
    for sight in record.sights.get(version, ()):
        number = bisect_right(refused_at, sight.sent_at)
        refused = refusals[number - 1] if number else None
        if refused is not None and sight.done_at + record.slack_s <= first_acting_at:
            if sight.state == "not_built":
                yield held(_NOTHING, _READ, refused.seq, sight.seq)
            elif starts[0].fresh:
                yield _all_the_same(refused, sight)
        elif refused is not None and rest is not None and sight.state == "building":
            begun_later = begun.before(sight.done_at + record.slack_s) + record.slack_s > sight.sent_at
            if refused.sent_at >= rest.sent_at and not begun_later:
                yield _all_the_same(refused, sight)
        rest = sight if sight.state in IDLE else rest


def _all_the_same(refused: Start, sight: Sight) -> Judgement:
    actual = f"{sight.state} {sight.sent_at - refused.done_at:.2f} s after the refusal, and no other start was accepted"
    return broken(_NOTHING, _READ, refused.seq, sight.seq, expected="no build of a refused start", actual=actual)


@load_rule("overall.back-off", _ENDS, idle=_NOBODY_WAITED)
def ends_after_back_off(record: Record) -> Iterator[Judgement]:
    """Judges each client that was refused: it is served in the end, or nothing of ours can explain why it is not.

    Under load a client may be unlucky on a correct server: others of its key are served in the meantime, builds keep
    the host full, and a limit may count refused starts as well. So giving up breaks the claim only where the client
    waited each time as it was told, and where during its last two waits (of four seconds at least, if it was told
    nothing) its key started nothing else, and no build of the run can have been in flight when it tried again.
    Otherwise it is indeterminate.
    """
    for tries in record.clients:
        refused = [start for start in tries if start.is_refused]
        if refused and tries[-1].is_served:
            yield held(_ENDS, _START, refused[0].seq, tries[-1].seq)
        elif refused and tries[-1].gave_up:
            yield _gave_up(tries, record)
        elif tries[-1].is_refused and len(tries) > 1:
            why = f"was refused {plural(len(refused), 'time')}, and {_ended(record)} before it was served"
            yield unclear(_ENDS, _START, refused[0].seq, tries[-1].seq, why=why)


def _ended(record: Record) -> str:
    return record.ending.words if record.ending else "the run ended"


def _gave_up(tries: list[Start], record: Record) -> Judgement:
    first, last = tries[0], tries[-1]
    waits = list(pairwise(tries))
    if not waits:
        why = "was to wait longer than patience_s of the target allows, and did not; raise it"
        return unclear(_ENDS, _START, first.seq, why=why)
    waited = f"{'1 retry' if len(waits) == 1 else f'{len(waits)} retries'} in {last.sent_at - first.done_at:.1f} s"
    if not all(_waited_enough(*wait) for wait in waits):
        return unclear(_ENDS, _START, first.seq, last.seq, why=f"gave up sooner than Retry-After says: {waited}")
    in_vain = [wait for wait in waits[-_IN_VAIN:] if record.is_alone(*wait) and _is_long(*wait)]
    if len(in_vain) < _IN_VAIN:
        why = f"gave up after {waited}; other clients of the run may have been in its way, or it may be impatient; "
        why += _MORE_ROOM
        return unclear(_ENDS, _START, first.seq, last.seq, why=why)
    expected = "a start served after backing off, with nothing else of the run in its way"
    return broken(_ENDS, _START, first.seq, last.seq, expected=expected, actual=f"429 after {waited}")


@load_rule("overall.retry-after", _HONEST, idle=_NOBODY_TOLD)
def retry_after_is_honest(record: Record) -> Iterator[Judgement]:
    """Judges each retry that waited as long as Retry-After says, if nothing of ours can be what refused it again.

    Its key sent no other start from the refused one to the retry, had been served before, and no build of the run can
    have been in flight during the retry. Two such refusals of one key break the claim; one is indeterminate, since
    others may use the host. A retry that is served upholds it, whatever went on beside.
    """
    refused: dict[str, list[tuple[Start, Start]]] = {}
    served_at = {
        account: min((start.done_at for start in starts if start.is_served), default=float("inf"))
        for account, starts in record.by_account.items()
    }
    for before, retry in (pair for tries in record.clients for pair in pairwise(tries)):
        has_waited = before.retry_after_s is not None and _waited_enough(before, retry)
        if before.is_refused and retry.is_served and has_waited:
            yield held(_HONEST, _START, before.seq, retry.seq)
        was_served = served_at[retry.account] <= before.sent_at
        if waited_in_vain(before, retry) and was_served and record.is_alone(before, retry):
            refused.setdefault(retry.account, []).append((before, retry))
    for again in refused.values():
        yield _refused_again(again)


def _refused_again(again: list[tuple[Start, Start]]) -> Judgement:
    before, retry = max(again, key=lambda pair: pair[1].sent_at)
    if len(again) < _IN_VAIN:
        why = "refused once after the whole wait; others may have used the host"
        return unclear(_HONEST, _START, before.seq, retry.seq, why=why)
    actual = f"{len(again)} starts refused again after it, the last after {retry.sent_at - before.done_at:.1f} s"
    expected = "served after waiting as long as Retry-After says"
    return broken(_HONEST, _START, before.seq, retry.seq, expected=expected, actual=actual)


def _is_long(before: Start, retry: Start) -> bool:
    return before.retry_after_s is not None or retry.sent_at - before.done_at >= _RESTED_S


def _waited_enough(before: Start, retry: Start) -> bool:
    return before.retry_after_s is None or retry.sent_at - before.done_at >= before.retry_after_s


RULES = (refused_start_starts_nothing, ends_after_back_off, retry_after_is_honest)
