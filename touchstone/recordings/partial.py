"""What may be concluded from a file that shows a part of what happened to an account, and no more than that.

Another tab, a colleague or a machine may publish, start, cancel and delete with the same key, also between two requests
that follow each other at once, and what a page publishes may have been built the day before. So whatever needs to know
what a version was before is no finding there. What an answer says by itself is one, whoever else is at work.
"""

from dataclasses import replace

from touchstone.facts.finding import Judgement
from touchstone.rules import catalogue

WHY = "something that the recording does not show may explain it"

# The rule that concludes from the starts of a run that nothing of it can still be in the way.
_OF_ALL_STARTS = frozenset({"room.free"})
_OF_ONE_ANSWER = frozenset(rule.id for rule in catalogue.EXCHANGE_RULES) - _OF_ALL_STARTS
# What story rules say of one answer by itself: that the publish which asks for a build tells of it, and no other one,
# and that no line of a log is younger than its answer.
_BY_ITSELF = frozenset(
    {"publish.auto-build-starts", "publish.auto-build-only-when-asked", "events.timestamps-are-true"}
)
# A start that is answered ready has found a golden, whatever was known of the version before.
_ALWAYS = frozenset({"reuse.is-flagged"})


def doubted(judgement: Judgement) -> Judgement:
    """A broken judgement that the unseen may explain as one that is open; any other as it is."""
    if judgement.outcome != "broken" or judgement.check in _OF_ONE_ANSWER or judgement.claim in _ALWAYS:
        return judgement
    if judgement.claim in _BY_ITSELF and len(judgement.evidence) == 1:
        return judgement
    return replace(judgement, outcome="indeterminate", expected="", actual=f"{WHY}: {judgement.actual}")
