"""All rules, in the order of application."""

from touchstone.facts.exchange import Exchange
from touchstone.rules import access, agreement, attribution, errors, events, lifecycle, limits, protocol, publishing
from touchstone.rules.rule import Rule

_MODULES = (protocol, access, errors, events, attribution, lifecycle, publishing, agreement, limits)
_RULES = [each for module in _MODULES for each in vars(module).values() if isinstance(each, Rule)]

EXCHANGE_RULES: tuple[Rule[Exchange], ...] = tuple(each for each in _RULES if each.about == "exchange")
STORY_RULES: tuple[Rule[str], ...] = tuple(each for each in _RULES if each.about == "story")
