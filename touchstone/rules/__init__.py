"""
Pure functions from exchanges to judgements, one small file a subject.
"""

from touchstone.exchange import Exchange
from touchstone.rules import building
from touchstone.rules.rule import Rule

EXCHANGE_RULES: tuple[Rule[Exchange], ...] = ()
STORY_RULES: tuple[Rule[str], ...] = (*building.RULES,)
