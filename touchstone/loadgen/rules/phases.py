"""Judges whom a limit hits: what a key starts alone, and the same again beside a greedy key.

An attempt says in its phase what went on beside it by plan. Versions are ready in these phases, so that nothing but a
rate can refuse a start.
"""

from collections.abc import Iterator
from itertools import pairwise

from touchstone.facts.finding import Judgement
from touchstone.facts.wording import plural, was
from touchstone.loadgen.rules.idle import Idle
from touchstone.loadgen.rules.loadrule import broken, held, load_rule, unclear
from touchstone.loadgen.rules.ratemodel import explains
from touchstone.loadgen.rules.record import Record, Start, waited_in_vain

_START = "startBuild"
_PER_KEY = "limit.is-per-key"
_ALONE, _BESIDE_GREEDY = "alone", "beside-greedy"
_NO_GREEDY = Idle(
    "no key started alone and then beside another one",
    "`touchstone load fairness` does, with a second key",
    ("fairness",),
)

_FEWEST_STARTS = 5
# One refusal may be chance.
_FEWEST_REFUSALS = 2


@load_rule("overall.per-key", _PER_KEY, idle=_NO_GREEDY)
def limit_is_per_key(record: Record) -> Iterator[Judgement]:
    """Judges the modest key: served alone, it has to be served beside the greedy one.

    It is broken where starts were refused beside and none alone, if nothing but the greedy key can be why: either no
    limit of each key by itself explains which starts of both keys were refused, see `ratemodel`, or starts of the
    modest key were refused again after as long as Retry-After had said. It is held only if the greedy key met its limit
    meanwhile. It stays indeterminate where a limit without Retry-After has a window longer than the run, or where the
    greedy key hardly reaches it.
    """
    for alone, beside in _pairs(record):
        begins, ends = beside[0].sent_at, beside[-1].done_at
        greedy = [s for s in record.starts if s.account != beside[0].account and begins <= s.sent_at <= ends]
        met = next((start for start in greedy if start.is_refused), None)
        said = _unequal(alone, beside, record)
        if said is not None:
            yield said
        elif met is None:
            many = plural(len(greedy), "start")
            why = f"the greedy key met no limit with {many} while the modest one started beside it"
            advice = "give it a larger share, or raise the rate"
            yield unclear(_PER_KEY, _START, beside[-1].seq, why=f"{why}; {advice}")
        else:
            yield held(_PER_KEY, _START, met.seq, beside[-1].seq)


def _pairs(record: Record) -> Iterator[tuple[list[Start], list[Start]]]:
    """The starts of each key alone and beside the greedy one, where it has both."""
    for starts in record.by_account.values():
        ready = [start for start in starts if not start.fresh]
        alone = [start for start in ready if start.phase == _ALONE]
        beside = [start for start in ready if start.phase == _BESIDE_GREEDY]
        if alone and beside:
            yield alone, beside


def _unequal(alone: list[Start], beside: list[Start], record: Record) -> Judgement | None:
    """What the starts alone and beside say, where it is not that both were served."""
    refused_alone = sum(start.is_refused for start in alone)
    refused = [start for start in beside if start.is_refused and record.has_room(start)]
    last = (refused or beside)[-1].seq
    if refused_alone:
        many = f"{refused_alone} of {plural(len(alone), 'start')} {was(refused_alone)}"
        why = f"{many} refused alone as well; lower the rate of the modest key"
        return unclear(_PER_KEY, _START, last, why=why)
    if min(len(alone), len(beside)) < _FEWEST_STARTS:
        why = f"{plural(len(alone), 'start')} alone and {len(beside)} beside"
        return unclear(_PER_KEY, _START, last, why=f"{why}; at least {_FEWEST_STARTS} of each: run longer")
    counts = f"{len(refused)} of {len(beside)} starts refused beside the greedy key, none of {len(alone)} alone"
    if len(refused) >= _FEWEST_REFUSALS:
        if _explained(beside, record):
            return unclear(_PER_KEY, _START, last, why=f"{counts}; the key may have used up a rate of its own")
        expected = "starts served beside as they were alone"
        return broken(_PER_KEY, _START, alone[-1].seq, refused[0].seq, last, expected=expected, actual=counts)
    others = sum(not start.is_served for start in beside)
    return unclear(_PER_KEY, _START, last, why=f"{counts}, {others} not served; too few to tell") if others else None


def _explained(beside: list[Start], record: Record) -> bool:
    """Whether the key may have used up a rate of its own."""
    pairs = [pair for pair in pairwise(beside) if waited_in_vain(*pair) and record.is_alone(*pair)]
    if len(pairs) >= _FEWEST_REFUSALS:
        return False
    return explains(list(record.by_account.values()), lambda s: not s.fresh and record.has_room(s), record.slack_s)


RULES = (limit_is_per_key,)
