"""What a rule is: a pure function from exchanges to judgements that names the claims it may judge.

Two kinds: an exchange rule sees one new exchange, a story rule sees all exchanges about one version. Both read the
history of the run and change nothing. A rule judges only what it can be sure of: an exchange without a response, or a
429 met by chance, is evidence of nothing but itself.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History

Subject = TypeVar("Subject")
Judge = Callable[[Subject, History], Iterator[Judgement]]


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """A named judge and the claims that it may speak about; speaking about another one is a programming error."""

    id: str
    claims: frozenset[str]
    judge: Judge[Subject]

    def __call__(self, subject: Subject, history: History) -> Iterator[Judgement]:
        """The judgements of *subject*, each signed with the rule's id."""
        for judgement in self.judge(subject, history):
            if judgement.claim not in self.claims:
                raise AssertionError(f"rule {self.id} speaks about {judgement.claim}, which it does not declare")
            yield _signed(judgement, self.id)


def _signed(judgement: Judgement, check: str) -> Judgement:
    # Many thousands a run: `dataclasses.replace` takes five times as long.
    j = judgement
    return Judgement(j.claim, j.outcome, check, j.operation, j.evidence, j.expected, j.actual)


def rule(rule_id: str, *claims: str) -> Callable[[Judge[Subject]], Rule[Subject]]:
    """Makes a rule of a judge: ``@rule("keys.refused", "auth.missing-key-is-401", …)``."""

    def make(judge: Judge[Subject]) -> Rule[Subject]:
        return Rule(rule_id, frozenset(claims), judge)

    return make


def held(claim: str, *evidence: Exchange) -> Judgement:
    """The claim held on this occasion; the last exchange shows it."""
    return Judgement(claim, "held", "", evidence[-1].operation, tuple(e.seq for e in evidence))


def broken(claim: str, *evidence: Exchange, expected: str, actual: str) -> Judgement:
    """The claim was broken; the last exchange shows it, the earlier ones are what makes it wrong."""
    return Judgement(claim, "broken", "", evidence[-1].operation, tuple(e.seq for e in evidence), expected, actual)


def unclear(claim: str, *evidence: Exchange, why: str) -> Judgement:
    """The occasion allows no verdict on the claim."""
    return Judgement(claim, "indeterminate", "", evidence[-1].operation, tuple(e.seq for e in evidence), "", why)


def judged(claim: str, holds: bool, *evidence: Exchange, expected: str, actual: str) -> Judgement:
    """Held or broken, by *holds*."""
    return held(claim, *evidence) if holds else broken(claim, *evidence, expected=expected, actual=actual)


def render(value: object, limit: int = 120) -> str:
    """A value for a message, cut to *limit* characters: an object or a list as JSON, anything else as its repr."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
