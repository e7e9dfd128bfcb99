"""Judgements of rules in forms for tables."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.rules.exchanges import REF, history
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.catalogue import EXCHANGE_RULES, STORY_RULES
from touchstone.rules.rule import Rule

Evidence = list[tuple[str, tuple[int, ...]]]


def cases(names: str, rows: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Parametrizes a test by a table; its keys are the ids of the rows."""
    return pytest.mark.parametrize(names.replace(" ", ","), list(rows.values()), ids=list(rows))


def exchange_rules(*subjects: str) -> tuple[Rule[Exchange], ...]:
    """Exchange rules whose ids begin with one of the subjects."""
    return tuple(rule for rule in EXCHANGE_RULES if rule.id.partition(".")[0] in subjects)


def story_rules(*subjects: str) -> tuple[Rule[str], ...]:
    """Story rules whose ids begin with one of the subjects."""
    return tuple(rule for rule in STORY_RULES if rule.id.partition(".")[0] in subjects)


def judgements(rules: Iterable[Rule[Any]], *exchanges: Exchange, ref: str = REF, **more: Any) -> list[Judgement]:
    """Judgements of story rules on *ref* and of exchange rules on the last exchange."""
    known = history(*exchanges, **more)
    return [j for rule in rules for j in rule(exchanges[-1] if rule.about == "exchange" else ref, known)]


def verdicts(rules: Iterable[Rule[Any]], *exchanges: Exchange, **more: Any) -> set[tuple[str, str]]:
    """Claims and outcomes of `judgements`."""
    return outcomes(judgements(rules, *exchanges, **more))


def outcomes(judgements: Iterable[Judgement]) -> set[tuple[str, str]]:
    """Claim and outcome of each judgement."""
    return {(j.claim, j.outcome) for j in judgements}


def outcome(rules: Iterable[Rule[Any]], claim: str, *exchanges: Exchange, **more: Any) -> str:
    """Outcomes of one claim, sorted and joined by blanks."""
    return " ".join(sorted(found for name, found in verdicts(rules, *exchanges, **more) if name == claim))


def broken(verdicts: Iterable[tuple[str, str]]) -> set[str]:
    """The broken claims."""
    return {claim for claim, outcome in verdicts if outcome == "broken"}


def findings(rules: Iterable[Rule[Any]], *exchanges: Exchange, **more: Any) -> Evidence:
    """Claim and evidence of each broken judgement, in order."""
    return [(j.claim, j.evidence) for j in judgements(rules, *exchanges, **more) if j.outcome == "broken"]


def upheld(rules: Iterable[Rule[Any]], *exchanges: Exchange, **more: Any) -> Evidence:
    """Claim and evidence of each held judgement, in order."""
    return [(j.claim, j.evidence) for j in judgements(rules, *exchanges, **more) if j.outcome == "held"]
