"""Pure functions from exchanges to judgements, one small file a subject."""

from touchstone.facts.exchange import Exchange
from touchstone.rules import (
    access,
    agreement,
    building,
    digests,
    events,
    following,
    limits,
    logged,
    lookup,
    owned,
    protocol,
    publishing,
    refusals,
    room,
    shape,
    stamps,
    unrefused,
    waiting,
)
from touchstone.rules.rule import Rule

EXCHANGE_RULES: tuple[Rule[Exchange], ...] = (
    *protocol.RULES,
    *access.RULES,
    *lookup.RULES,
    *shape.RULES,
    *refusals.RULES,
    *events.RULES,
    *limits.RULES,
    *room.RULES,
)

STORY_RULES: tuple[Rule[str], ...] = (
    *protocol.STORY_RULES,
    *access.STORY_RULES,
    *lookup.STORY_RULES,
    *owned.STORY_RULES,
    *unrefused.STORY_RULES,
    *building.RULES,
    *waiting.STORY_RULES,
    *digests.STORY_RULES,
    *publishing.STORY_RULES,
    *agreement.STORY_RULES,
    *following.STORY_RULES,
    *logged.STORY_RULES,
    *stamps.STORY_RULES,
    *limits.STORY_RULES,
)
