"""
Judges whom a limit hits: what a key starts alone, and the same again beside a greedy key or beside many reads.

An attempt says in its phase what went on beside it by plan. Versions are ready in these phases, so that nothing but a
rate can refuse a start.
"""

import math
from collections.abc import Iterator
from itertools import groupby, pairwise

from touchstone.finding import Judgement
from touchstone.loadrules.loadrule import broken, held, load_rule, unclear
from touchstone.loadrules.ratemodel import explains
from touchstone.loadrules.record import Record, Start, waited_in_vain

_START, _READ = "startBuild", "getBuild"
_PER_KEY = "limit.is-per-key"
_READS = "limit.reads-are-not-charged"
_ALONE, _BESIDE_GREEDY, _BESIDE_READS = "alone", "beside-greedy", "beside-reads"
_NO_GREEDY = "no key started alone and then beside another one; `touchstone load fairness` does, with a second key"
_NO_READS = "no key started alone and then beside many reads; `touchstone load storm` compares both at its end"

_FEWEST_STARTS = 5
# One refusal may be chance.
_FEWEST_REFUSALS = 2
# So many times as many reads as starts of a burst that met the limit would have met it as well.
_READS_PER_START = 3


@load_rule("overall.per-key", _PER_KEY, idle=_NO_GREEDY)
def limit_is_per_key(record: Record) -> Iterator[Judgement]:
    """
    Judges the modest key: served alone, it has to be served beside the greedy one.

    It is broken where starts were refused beside and none alone, if nothing but the greedy key can be why: either no
    limit of each key by itself explains which starts of both keys were refused, see `ratemodel`, or starts of the
    modest key were refused again after as long as Retry-After had said. It is held only if the greedy key met its limit
    meanwhile. It stays indeterminate where a limit without Retry-After has a window longer than the run, or where the
    greedy key hardly reaches it.
    """
    for alone, beside in _pairs(record, _BESIDE_GREEDY):
        begins, ends = beside[0].sent_at, beside[-1].done_at
        greedy = [s for s in record.starts if s.account != beside[0].account and begins <= s.sent_at <= ends]
        met = next((start for start in greedy if start.is_refused), None)
        said = _unequal(alone, beside, record, _PER_KEY, "the greedy key")
        if said is not None:
            yield said
        elif met is None:
            why = f"the greedy key met no limit with {len(greedy)} starts; give it a larger share, or raise the rate"
            yield unclear(_PER_KEY, _START, beside[-1].seq, why=why)
        else:
            yield held(_PER_KEY, _START, met.seq, beside[-1].seq)


@load_rule("overall.reads", _READS, idle=_NO_READS)
def reads_are_not_charged(record: Record) -> Iterator[Judgement]:
    """
    Judges the starts of a key beside many reads by the same key.

    It is broken where starts were refused beside the reads and none alone, nothing but the reads can be why, as in
    `limit_is_per_key`, and no read was refused: a rate of all requests is no breach. It is held only if there were
    three times as many reads, within the time of the largest burst of starts that met a refusal (a second at least), as
    that burst had starts served.
    Reads of other keys in the same seconds are not told apart: there must be none.
    """
    for alone, beside in _pairs(record, _BESIDE_READS):
        seconds = range(math.floor(beside[0].sent_at), math.floor(beside[-1].done_at) + 1)
        reads = dict.fromkeys(seconds, 0)
        refused_reads = 0
        for window in record.log.windows:
            if window.operation == _READ and window.at_s in reads:
                refused_reads += window.count if window.outcome == "429" else 0
                reads[window.at_s] += window.count if window.outcome.startswith("2") else 0
        if refused_reads:
            why = f"{refused_reads} reads were refused as well: a rate of all requests"
            yield unclear(_READS, _START, beside[-1].seq, why=why)
            continue
        said = _unequal(alone, beside, record, _READS, f"{sum(reads.values())} reads")
        yield said or _beside_enough(beside, list(reads.values()), record)


def _pairs(record: Record, phase: str) -> Iterator[tuple[list[Start], list[Start]]]:
    """
    The starts of each key alone and in a phase, where it has both.
    """
    for starts in record.by_account.values():
        ready = [start for start in starts if not start.fresh]
        alone = [start for start in ready if start.phase == _ALONE]
        beside = [start for start in ready if start.phase == phase]
        if alone and beside:
            yield alone, beside


def _unequal(alone: list[Start], beside: list[Start], record: Record, claim: str, disturbance: str) -> Judgement | None:
    """
    What the starts alone and beside say, where it is not that both were served.
    """
    refused_alone = sum(start.is_refused for start in alone)
    refused = [start for start in beside if start.is_refused and record.has_room(start)]
    last = (refused or beside)[-1].seq
    if refused_alone:
        why = f"{refused_alone} of {len(alone)} starts were refused alone as well; lower the rate of the modest key"
        return unclear(claim, _START, last, why=why)
    if min(len(alone), len(beside)) < _FEWEST_STARTS:
        why = f"{len(alone)} starts alone and {len(beside)} beside; at least {_FEWEST_STARTS} of each: run longer"
        return unclear(claim, _START, last, why=why)
    counts = f"{len(refused)} of {len(beside)} starts refused beside {disturbance}, none of {len(alone)} alone"
    if len(refused) >= _FEWEST_REFUSALS:
        if _explained(beside, record):
            return unclear(claim, _START, last, why=f"{counts}; the key may have used up a rate of its own")
        expected = "starts served beside as they were alone"
        return broken(claim, _START, alone[-1].seq, refused[0].seq, last, expected=expected, actual=counts)
    others = sum(not start.is_served for start in beside)
    return unclear(claim, _START, last, why=f"{counts}, {others} not served; too few to tell") if others else None


def _explained(beside: list[Start], record: Record) -> bool:
    """
    Whether the key may have used up a rate of its own.
    """
    pairs = [pair for pair in pairwise(beside) if waited_in_vain(*pair) and record.is_alone(*pair)]
    if len(pairs) >= _FEWEST_REFUSALS:
        return False
    return explains(list(record.by_account.values()), lambda s: not s.fresh and record.has_room(s), record.slack_s)


def _beside_enough(beside: list[Start], reads: list[int], record: Record) -> Judgement:
    """
    Whether the reads would have used up the rate of starts, had they counted.
    """
    served, length_s = _largest_burst(record, beside[0].account)
    if not served:
        why = (
            "no burst of starts met a refusal, so that nobody knows how many reads are enough; raise the rate of starts"
        )
        return unclear(_READS, _START, beside[-1].seq, why=why)
    width = min(max(1, math.ceil(length_s)), len(reads))
    most = max(sum(reads[first : first + width]) for first in range(len(reads) - width + 1))
    if most >= _READS_PER_START * served:
        return held(_READS, _START, beside[-1].seq)
    why = (
        f"{most} reads within {width} s, but a burst has {served} starts served; send {_READS_PER_START} times as many"
    )
    return unclear(_READS, _START, beside[-1].seq, why=why)


def _largest_burst(record: Record, account: str) -> tuple[int, float]:
    """
    How many starts were served before the first refusal of a phase, and how long that took.

    It is the largest burst of this key, or of the others where this one never was refused.
    """
    bursts: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    for key, starts in record.by_account.items():
        for phase, group in groupby(starts, key=lambda start: start.phase):
            served: list[Start] = []
            for start in group if phase != _BESIDE_READS else ():
                if start.is_refused:
                    length_s = start.sent_at - served[0].sent_at if served else 0.0
                    bursts[key == account].append((len(served), length_s))
                    break
                served += [start] if start.is_served else []
    return max(bursts[True] or bursts[False], default=(0, 0.0))


RULES = (limit_is_per_key, reads_are_not_charged)
