"""
Judges what a limit does: how a 429 looks, and what it does to one's own starts, to other keys and to reads.

The shape of a 429 is judged wherever one is met. The rest needs a driver that provokes one, and that says with each of
its requests what it is for, in the note ``limit``:

    round    number of the round, from 1; rounds of one case belong together
    phase    what the request is for:
        reads      a status read before the burst; only in rounds that ask whether reads are charged
        burst      a start of the driver's own version, which is ready, so that nothing is in flight; sent one after the
                   other until one is refused. In a round with reads the burst goes on at least as long as the one of
                   the plain round before it lasted, refused or not
        other-key  a start by another key of a ready version of its own, while the first key is refused
        confirm    a start by the first key right after that, which shows that it still was refused
        retry      a start after waiting as long as Retry-After says, else 1 s, 2 s, 4 s, ... (api-intro#rate-limits)
    gave_up  true with a retry that was refused when the driver's patience was over

A round ends with a retry that is served, or gave up. Rounds from the second on begin alike: one start was just served,
then the key rests for some time without a start, then come the reads, if any, then the burst. No other start under
the same key runs beside the driver. Three rounds tell everything: one to see the limit and the other key, a plain one
and one with three times as many reads as the plain one had starts served.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise

from touchstone.exchange import Credential, Exchange, Response
from touchstone.finding import Judgement
from touchstone.rules.answers import SUCCESS, announces_json, error_problem, json_problem, told
from touchstone.rules.history import History
from touchstone.rules.requests import operation_of
from touchstone.rules.rule import Rule, broken, held, judged, rule, unclear

# RFC 9110 5.6.7: a date is in the first form; recipients must also accept the two obsolete ones.
_DATE_FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")

# One refusal after an honest wait may be another account's load on the host; the second one in a run is not chance.
_REFUSED_WAITS = 2
# Fewer starts than this are served in a burst by chance.
_SMALLEST_BURST = 3
# An aligned window may serve twice its size in a burst across its edge, so that a third of a burst proves a charge.
_READS_PER_START = 3
# Starts of the other key that lie further back than this, or than the first key needed to recover, cannot count.
_LONGEST_WINDOW_S = 60.0


@rule("limits.shape", "limit.has-the-error-shape")
def limit_shape(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """
    Judges the body of each 429. Broken JSON has a claim of its own.
    """
    response = exchange.response
    if response is None or response.status != 429 or exchange.error or not operation_of(exchange, history.contract):
        return
    if announces_json(response) and json_problem(response.body):
        return
    problem = error_problem(response)
    expected = "a JSON object with a text in error"
    yield judged("limit.has-the-error-shape", not problem, exchange, expected=expected, actual=problem)


@rule("limits.retry-after", "limit.retry-after-is-valid")
def retry_after_valid(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """
    Judges Retry-After wherever it is sent.
    """
    value = exchange.response.header("retry-after") if exchange.response else None
    if value is not None:
        fits = re.fullmatch(r"[0-9]+", value) is not None or _date(value) is not None
        expected = "a whole number of seconds or an HTTP date"
        yield judged("limit.retry-after-is-valid", fits, exchange, expected=expected, actual=repr(value))


@rule("limits.honest", "limit.retry-after-is-honest")
def retry_after_honest(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges each retry that waited as long as it was told to, with nothing else under its key in between.
    """
    claim = "limit.retry-after-is-honest"
    refused: list[tuple[Exchange, Exchange]] = []
    for before, retry in _honest_retries(ref, history):
        if retry.status in SUCCESS:
            yield held(claim, before, retry)
        elif retry.status == 429:
            refused.append((before, retry))
    if len(refused) >= _REFUSED_WAITS:
        before, retry = refused[-1]
        actual = (
            f"{len(refused)} starts refused again after the whole wait, the last after {_gap_s(before, retry):.1f} s"
        )
        yield broken(claim, before, retry, expected="served after waiting as long as Retry-After says", actual=actual)
    elif refused:
        yield unclear(claim, *refused[0], why="refused once after the whole wait; others may have used the host")


@rule("limits.back-off", "limit.ends-after-back-off")
def ends_after_back_off(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges how each round's retries ended.
    """
    claim = "limit.ends-after-back-off"
    for each in _rounds(ref, history):
        last = each.retries[-1] if each.retries else None
        refused = each.first_refusal
        if last is None or refused is None:
            continue
        if last.status in SUCCESS:
            yield held(claim, refused, last)
        elif last.status == 429 and last.note["limit"].get("gave_up"):
            waited = f"{len(each.retries)} retries in {_gap_s(refused, last):.1f} s"
            if all(_waited_enough(before, retry) for before, retry in each.waits):
                yield broken(
                    claim, refused, last, expected="a start served after backing off", actual=f"429 after {waited}"
                )
            else:
                yield unclear(claim, refused, last, why=f"gave up sooner than Retry-After says: {waited}")


@rule("limits.per-key", "limit.is-per-key")
def per_key(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges a start by another key between two refused ones of the first.
    """
    claim = "limit.is-per-key"
    for each in _rounds(ref, history):
        other = each.other_key
        if other is None or each.confirm is None or each.first_refusal is None or each.confirm.status != 429:
            continue
        evidence = (each.first_refusal, each.confirm, other)
        if other.status in SUCCESS:
            yield held(claim, *evidence)
        elif other.status != 429:
            continue
        elif _may_be_used_up(other, each, history):
            yield unclear(claim, *evidence, why="the other key may have used up a rate of its own")
        else:
            actual = f"{told(other)} after {len(each.served)} starts by the first key"
            yield broken(claim, *evidence, expected="another key's start served", actual=actual)


@rule("limits.reads", "limit.reads-are-not-charged")
def reads_not_charged(ref: str, history: History) -> Iterator[Judgement]:
    """
    Compares the starts served after many reads with those served without, after the same rest.
    """
    claim = "limit.reads-are-not-charged"
    rounds = [each for each in _rounds(ref, history) if each.number > 1 and each.first_refusal and each.alone(history)]
    plain = [each for each in rounds if not each.reads]
    for read in (each for each in rounds if each.reads):
        like = [each for each in plain if each.case == read.case and each.rest_s(history) <= read.rest_s(history)]
        usual = min(like, key=lambda each: len(each.served), default=None)
        if usual is None:
            continue
        many, few = len(usual.served), len(read.served)
        counts = f"{few} starts served after {len(read.reads)} reads, {many} without"
        evidence = (usual.burst[-1], read.reads[-1], read.burst[-1])
        enough = many >= _SMALLEST_BURST and len(read.reads) >= _READS_PER_START * many
        if not enough or read.burst_s < usual.burst_s:
            yield unclear(claim, *evidence, why=f"too little to compare: {counts}")
        elif _READS_PER_START * few < many:
            yield broken(claim, *evidence, expected="as many starts served after reads as without", actual=counts)
        elif 2 * few >= many:
            yield held(claim, *evidence)
        else:
            yield unclear(claim, *evidence, why=f"neither alike nor apart: {counts}")


def retry_after_s(response: Response) -> float | None:
    """
    Seconds that Retry-After asks to wait from the arrival of *response*; None where it asks for none that is valid.

    A date counts from the answer's own Date, so that the clocks of the two sides need not agree.
    """
    value = response.header("retry-after")
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until, now = _date(value), _date(response.header("date") or "")
    return max(0.0, (until - now).total_seconds()) if until and now else None


@dataclass(frozen=True, slots=True)
class _Round:
    """
    The requests of one round, each phase in the order in which it was sent.
    """

    case: str
    number: int
    reads: tuple[Exchange, ...]
    burst: tuple[Exchange, ...]
    retries: tuple[Exchange, ...]
    confirm: Exchange | None
    other_key: Exchange | None

    @property
    def first_refusal(self) -> Exchange | None:
        return next((e for e in self.burst if e.status == 429), None)

    @property
    def served(self) -> tuple[Exchange, ...]:
        """
        The starts that found a finished golden: those of the whole burst, or of a plain one up to its refusal.
        """
        return tuple(e for e in self.burst if e.status in SUCCESS and e.body.get("status") == "ready")

    @property
    def burst_s(self) -> float:
        return self.burst[-1].done_at - self.burst[0].sent_at

    @property
    def waits(self) -> tuple[tuple[Exchange, Exchange], ...]:
        """
        Each retry with the refused start before it.
        """
        last = self.confirm or self.burst[-1]
        return tuple((a, b) for a, b in pairwise((last, *self.retries)) if a.status == 429)

    def rest_s(self, history: History) -> float:
        """
        How long the key had not started anything when the burst began.
        """
        first = self.burst[0]
        before = [e.done_at for e in _starts(first.credential, history) if e.seq < first.seq]
        return first.sent_at - max(before, default=0.0)

    def alone(self, history: History) -> bool:
        """
        Whether no other start under the same key ran during the burst.
        """
        ours = {e.seq for e in self.burst}
        began, ended = self.burst[0].sent_at, self.burst[-1].done_at
        others = (e for e in _starts(self.burst[0].credential, history) if e.seq not in ours)
        return not any(e.sent_at < ended and e.done_at > began for e in others)


def _rounds(ref: str, history: History) -> Iterator[_Round]:
    """
    The rounds that a driver ran on *ref*; those without a burst are left out.
    """
    ours = [e for e in history.story(ref) if "limit" in e.note]
    if not ours:
        return
    others = [e for e in history.exchanges if e.note.get("limit", {}).get("phase") == "other-key"]
    for (case, number), group in groupby(sorted(ours, key=_round_of), key=_round_of):
        phases: dict[str, list[Exchange]] = {"reads": [], "burst": [], "retry": [], "confirm": []}
        for exchange in sorted(group, key=lambda e: e.seq):
            phases.setdefault(exchange.note["limit"]["phase"], []).append(exchange)
        if phases["burst"]:
            yield _Round(
                case,
                number,
                tuple(e for e in phases["reads"] if e.status in SUCCESS),
                tuple(phases["burst"]),
                tuple(phases["retry"]),
                next(iter(phases["confirm"]), None),
                next((e for e in others if _round_of(e) == (case, number) and e.ref != ref), None),
            )


def _round_of(exchange: Exchange) -> tuple[str, int]:
    return exchange.case, int(exchange.note["limit"]["round"])


def _honest_retries(ref: str, history: History) -> Iterator[tuple[Exchange, Exchange]]:
    for each in _rounds(ref, history):
        # A burst that was refused from its first start on shows a full host rather than a rate.
        if not each.served:
            continue
        for before, retry in each.waits:
            asked = before.response is not None and retry_after_s(before.response) is not None
            if asked and _waited_enough(before, retry) and not _started_between(before, retry, history):
                yield before, retry


def _waited_enough(before: Exchange, retry: Exchange) -> bool:
    asked_s = retry_after_s(before.response) if before.response else None
    return asked_s is None or _gap_s(before, retry) >= asked_s


def _gap_s(before: Exchange, after: Exchange) -> float:
    return after.sent_at - before.done_at


def _started_between(before: Exchange, retry: Exchange, history: History) -> bool:
    apart = (e for e in _starts(retry.credential, history) if e.seq not in {before.seq, retry.seq})
    return any(e.sent_at < retry.done_at and e.done_at > before.sent_at for e in apart)


def _may_be_used_up(other: Exchange, each: _Round, history: History) -> bool:
    """
    Whether the other key's own starts can explain its refusal, or its version was not known to be ready.
    """
    ready = any(e.seq < other.seq and e.body.get("status") == "ready" for e in history.story(other.ref or ""))
    refused = each.first_refusal
    recovery_s = each.retries[-1].done_at - refused.done_at if each.retries and refused else 0.0
    horizon_s = max(_LONGEST_WINDOW_S, (len(each.served) + 1) * recovery_s)
    own = [e for e in _starts(other.credential, history) if e.seq < other.seq and _gap_s(e, other) < horizon_s]
    return not ready or len(own) >= len(each.served)


def _starts(credential: Credential, history: History) -> Iterator[Exchange]:
    """
    Everything that may be charged as a start of the key.
    """
    for exchange in history.exchanges:
        starts = exchange.operation == "startBuild" or exchange.note.get("auto_build") is True
        if starts and exchange.credential == credential and exchange.response is not None:
            yield exchange


def _date(value: str) -> datetime | None:
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


RULES: tuple[Rule[Exchange], ...] = (limit_shape, retry_after_valid)
STORY_RULES: tuple[Rule[str], ...] = (retry_after_honest, ends_after_back_off, per_key, reads_not_charged)
