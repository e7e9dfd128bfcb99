"""What a rule is: a pure function from exchanges to judgements that names the claims it may judge.

An exchange rule sees one new exchange, a story rule all exchanges about one version. A rule judges only what it can be
sure of: an exchange without a response, or a 429 met by chance, is evidence of nothing but itself.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

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
    about: Literal["exchange", "story"]

    def __call__(self, subject: Subject, history: History) -> Iterator[Judgement]:
        """The judgements of *subject*, each signed with the rule's id."""
        for j in self.judge(subject, history):
            if j.claim not in self.claims:
                raise AssertionError(f"rule {self.id} speaks about {j.claim}, which it does not declare")
            yield Judgement(j.claim, j.outcome, self.id, j.operation, j.evidence, j.expected, j.actual)


def rule(rule_id: str, *claims: str) -> Callable[[Judge[Exchange]], Rule[Exchange]]:
    """Makes an exchange rule of a judge: ``@rule("keys.refused", "auth.missing-key-is-401", …)``."""
    return lambda judge: Rule(rule_id, frozenset(claims), judge, "exchange")


def story_rule(rule_id: str, *claims: str) -> Callable[[Judge[str]], Rule[str]]:
    """Makes a story rule of a judge, which gets the ref of a version."""
    return lambda judge: Rule(rule_id, frozenset(claims), judge, "story")


def held(claim: str, *evidence: Exchange) -> Judgement:
    """The claim held on this occasion; the last exchange shows it."""
    return Judgement(claim, "held", "", evidence[-1].operation, tuple(e.seq for e in evidence))


def broken(claim: str, *evidence: Exchange, expected: str, actual: str | None = None) -> Judgement:
    """The claim was broken; the last exchange shows it by its answer, or *actual*, the earlier ones make it wrong."""
    last, seqs = evidence[-1], tuple(e.seq for e in evidence)
    return Judgement(claim, "broken", "", last.operation, seqs, expected, describe(last) if actual is None else actual)


def unclear(claim: str, *evidence: Exchange, why: str) -> Judgement:
    """The occasion allows no verdict on the claim."""
    return Judgement(claim, "indeterminate", "", evidence[-1].operation, tuple(e.seq for e in evidence), "", why)


def judged(claim: str, holds: bool, *evidence: Exchange, expected: str, actual: str | None = None) -> Judgement:
    """Held or broken, by *holds*."""
    return held(claim, *evidence) if holds else broken(claim, *evidence, expected=expected, actual=actual)


def judged_unless_limited(claim: str, holds: bool, exchange: Exchange, expected: str) -> Judgement:
    """Held or broken by an answer; unclear where a limit got in the way."""
    if exchange.status == 429:
        return unclear(claim, exchange, why="a limit got in the way")
    return judged(claim, holds, exchange, expected=expected)


def render(value: object, limit: int = 120) -> str:
    """A value for a message, cut to *limit* characters: an object or a list as JSON, anything else as its repr."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe(exchange: Exchange) -> str:
    """The answer in a few words: its status and the beginning of its body."""
    if exchange.response is None:
        return exchange.error or "no answer"
    body = exchange.response.json_object()
    value = body if body is not None else exchange.response.body
    return str(exchange.status) if value == b"" else f"{exchange.status} {render(value)}"
