"""Defines rules: functions without I/O that turn exchanges into judgements on declared claims.

An exchange rule judges one new exchange. A version rule (`story_rule`) judges a story: all exchanges about one
version. Rules judge only what is certain. A missing response or a 429, for example, says nothing about other claims.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from touchstone.contract.answers import Answer, either
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History

Subject = TypeVar("Subject")
Judge = Callable[[Subject, History], Iterator[Judgement]]


@dataclass(frozen=True, slots=True)
class Rule(Generic[Subject]):
    """A judging function with its id and the claims that it may judge. Judging another claim raises AssertionError."""

    id: str
    claims: frozenset[str]
    judge: Judge[Subject]
    about: Literal["exchange", "story"]

    def __call__(self, subject: Subject, history: History) -> Iterator[Judgement]:
        """Yields the judgements on *subject*, with the rule's id."""
        for j in self.judge(subject, history):
            if j.claim not in self.claims:
                raise AssertionError(f"rule {self.id}: judges {j.claim}, an undeclared claim")
            yield Judgement(j.claim, j.outcome, self.id, j.operation, j.evidence, j.expected, j.actual)


def rule(rule_id: str, *claims: str) -> Callable[[Judge[Exchange]], Rule[Exchange]]:
    """Decorator for an exchange rule: ``@rule("keys.refused", "auth.missing-key-is-401", …)``."""
    return lambda judge: Rule(rule_id, frozenset(claims), judge, "exchange")


def story_rule(rule_id: str, *claims: str) -> Callable[[Judge[str]], Rule[str]]:
    """Decorator for a version rule. The decorated function gets the ref of a version instead of an exchange."""
    return lambda judge: Rule(rule_id, frozenset(claims), judge, "story")


def held(claim: str, *evidence: Exchange) -> Judgement:
    """Returns the judgement that *claim* held. The last exchange of *evidence* is the proof."""
    return Judgement(claim, "held", "", evidence[-1].operation, tuple(e.seq for e in evidence))


def broken(claim: str, *evidence: Exchange, expected: str, actual: str | None = None) -> Judgement:
    """Returns the judgement that the last exchange broke *claim*. By default, *actual* describes that exchange."""
    last, seqs = evidence[-1], tuple(e.seq for e in evidence)
    return Judgement(claim, "broken", "", last.operation, seqs, expected, describe(last) if actual is None else actual)


def unclear(claim: str, *evidence: Exchange, why: str) -> Judgement:
    """Returns the judgement that *evidence* allows no verdict on *claim*; *why* is the reason."""
    return Judgement(claim, "indeterminate", "", evidence[-1].operation, tuple(e.seq for e in evidence), "", why)


def judged(claim: str, holds: bool, *evidence: Exchange, expected: str, actual: str | None = None) -> Judgement:
    """Returns the judgement that *claim* held if *holds* is true, else the judgement that it is broken."""
    return held(claim, *evidence) if holds else broken(claim, *evidence, expected=expected, actual=actual)


def judged_code(row: Answer, *evidence: Exchange) -> Judgement:
    """Judges the status code of the last exchange by a row of answers.yaml. A 429 outside the row allows no verdict."""
    return judged_unless_limited(row.claim, evidence[-1].status in row.may, *evidence, expected=row.codes)


def judged_body(row: Answer, *evidence: Exchange) -> Judgement:
    """Judges ``status`` in the body of the last exchange by a row of answers.yaml."""
    fits, expected = evidence[-1].body.get("status") in row.bodies, f"status {either(row.bodies)}"
    return judged(row.body, fits, *evidence, expected=expected)


def judged_unless_limited(claim: str, holds: bool, *evidence: Exchange, expected: str) -> Judgement:
    """Returns the same judgement as `judged`, except that a 429 that breaks the claim allows no verdict."""
    if evidence[-1].status == 429 and not holds:
        return unclear(claim, *evidence, why="a limit refused the request")
    return judged(claim, holds, *evidence, expected=expected)


def render(value: object, limit: int = 120) -> str:
    """Renders objects and lists as JSON, and other values as repr. Truncates the text to *limit* characters."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe(exchange: Exchange) -> str:
    """Renders a response: its status and the beginning of its body."""
    if exchange.response is None:
        return exchange.error or "no response"
    body = exchange.response.json_object()
    telling = {key: body[key] for key in ("status", "error", "auto_build") if body and key in body}  # comes first
    value = exchange.response.body if body is None else telling | body
    return str(exchange.status) if value == b"" else f"{exchange.status} {render(value)}"
