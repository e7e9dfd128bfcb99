"""What a load rule is: a pure function from the record of a whole run to judgements, and a word where there are none.

A load rule has to be sure without knowing what the target did: requests of many clients overlap, and others may use the
host. Each says in its docstring what it cannot tell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from touchstone.facts.finding import Judgement
from touchstone.loadgen.rules.idle import Idle
from touchstone.loadgen.rules.record import Record

Judge = Callable[[Record], Iterator[Judgement]]


@dataclass(frozen=True, slots=True)
class LoadRule:
    """A named judge of one claim.

    Attributes:
        idle: Why a run holds no occasion to judge it.
    """

    id: str
    claim: str
    idle: Idle
    judge: Judge

    def __call__(self, record: Record) -> Iterator[Judgement]:
        """The judgements of a run, each signed with the rule's id."""
        for judgement in self.judge(record):
            if judgement.claim != self.claim:
                raise AssertionError(f"rule {self.id} speaks about {judgement.claim}, which it does not declare")
            yield replace(judgement, check=self.id)


def load_rule(rule_id: str, claim: str, *, idle: Idle) -> Callable[[Judge], LoadRule]:
    """Makes a load rule of a judge."""

    def make(judge: Judge) -> LoadRule:
        return LoadRule(rule_id, claim, idle, judge)

    return make


def held(claim: str, operation: str, *evidence: int) -> Judgement:
    """The claim held on this occasion.

    Args:
        evidence: ``seq`` of exchanges, kept or not; the last one shows it.
    """
    return Judgement(claim, "held", "", operation, evidence)


def broken(claim: str, operation: str, *evidence: int, expected: str, actual: str) -> Judgement:
    """The claim was broken; *expected* is the same on each occasion."""
    return Judgement(claim, "broken", "", operation, evidence, expected, actual)


def unclear(claim: str, operation: str, *evidence: int, why: str) -> Judgement:
    """The occasion allows no verdict."""
    return Judgement(claim, "indeterminate", "", operation, evidence, "", why)
