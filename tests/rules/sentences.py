"""
What findings say in full: for tests of the words that a person reads, and of the exchanges that are shown with them.
"""

from collections.abc import Iterable
from typing import Any

from tests.rules.exchanges import REF, history
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.rule import Rule

Said = tuple[str, tuple[int, ...], str, str]


def story_findings(rules: Iterable[Rule[str]], *exchanges: Exchange, ref: str = REF, **more: Any) -> list[Said]:
    """
    Claim, evidence, what was expected and what was seen, of each broken claim in the order in which they are told.
    """
    known = history(*exchanges, **more)
    return _said(judgement for rule in rules for judgement in rule(ref, known))


def findings(rules: Iterable[Rule[Exchange]], *exchanges: Exchange, **more: Any) -> list[Said]:
    """The same of the last exchange."""
    known = history(*exchanges, **more)
    return _said(judgement for rule in rules for judgement in rule(exchanges[-1], known))


def shown_by(rules: Iterable[Rule[str]], *exchanges: Exchange, ref: str = REF, **more: Any) -> list[tuple[str, Any]]:
    """Claim and evidence of each occasion on which a claim held."""
    known = history(*exchanges, **more)
    return [(j.claim, j.evidence) for rule in rules for j in rule(ref, known) if j.outcome == "held"]


def _said(judgements: Iterable[Judgement]) -> list[Said]:
    return [(j.claim, j.evidence, j.expected, j.actual) for j in judgements if j.outcome == "broken"]
