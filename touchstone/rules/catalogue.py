"""All rules, in the order in which they speak."""

from touchstone.facts.exchange import Exchange
from touchstone.rules import (
    access,
    agreement,
    attribution,
    digests,
    errors,
    events,
    lifecycle,
    limits,
    logs,
    lookup,
    ownership,
    protocol,
    publishing,
)
from touchstone.rules.rule import Rule

EXCHANGE_RULES: tuple[Rule[Exchange], ...] = (
    *protocol.RULES,
    *access.RULES,
    *lookup.RULES,
    *errors.RULES,
    *events.RULES,
    *limits.RULES,
)

STORY_RULES: tuple[Rule[str], ...] = (
    *protocol.STORY_RULES,
    *access.STORY_RULES,
    *lookup.STORY_RULES,
    *ownership.STORY_RULES,
    *attribution.STORY_RULES,
    *lifecycle.RULES,
    *digests.STORY_RULES,
    *publishing.STORY_RULES,
    *agreement.STORY_RULES,
    *logs.STORY_RULES,
    *limits.STORY_RULES,
)
