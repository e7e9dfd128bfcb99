"""
Tells what goes wrong anyway: without the one thing in the story of another version that seemed to be to blame for it.

A version that stops being ready after somebody else's cancel says something about cancels, but not on a server where
ready versions stop being ready without one. These scans are made only once something is wrong.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise

from touchstone.contract.lifecycle import FINISHED
from touchstone.facts.exchange import Exchange
from touchstone.rules.answers import SUCCESS
from touchstone.rules.course import owned, says_building
from touchstone.rules.history import History
from touchstone.rules.walk import CLOCK_SHARE

_HARMLESS = frozenset({"getBuild", "getTemplate", "streamBuildEvents"})


def begins_anyway(history: History) -> bool:
    """
    Whether a version that was not built began to build while it was only read, and no start of it was ever refused.
    """
    return any(
        one.body["status"] == "not_built"
        and other.body["status"] in ("building", "ready")
        and not any(e.operation == "startBuild" and 400 <= e.status < 500 for e in _before(other, history))
        for one, other in history.overall(_left_alone)
    )


def changes_anyway(history: History, besides: str) -> bool:
    """Whether a finished version other than *besides* became something else while it was only read."""
    return any(
        one.body["status"] in FINISHED and other.body["status"] != one.body["status"] and one.ref != besides
        for one, other in history.overall(_left_alone)
    )


def vanishes_anyway(history: History) -> bool:
    """
    Whether a build that was seen to run was gone the next time, while it was only read and nobody cancelled anything.
    """
    return any(
        (one.body["status"], other.body["status"]) == ("building", "not_built")
        and not any(e.operation == "cancelBuild" for e in _before(other, history))
        and not _cancel_was_asked(history, one.ref or "", one.sent_at, other.done_at)
        for one, other in history.overall(_left_alone)
    )


def outlives_a_cancel(status: str, history: History) -> bool:
    """Whether a version that read *status* read the same after a cancel that found nothing."""
    for ref in {content.ref for content in history.all_contents()}:
        story = [e for e in history.story(ref) if e.operation not in _HARMLESS or _is_read(e, history)]
        for before, cancel, after in zip(story, story[1:], story[2:], strict=False):
            idle = cancel.operation == "cancelBuild" and cancel.status == 404
            if idle and all(_is_read(e, history) and e.body["status"] == status for e in (before, after)):
                return True
    return False


def outlives_others(history: History) -> bool:
    """Whether a ready version stayed ready while a build was cancelled elsewhere and none was begun."""
    begun = [e for e in history.exchanges if says_building(e)]
    for ref in {content.ref for content in history.all_contents()}:
        for one, other in pairwise(e for e in history.story(ref) if _is_read(e, history)):
            stayed = one.body["status"] == other.body["status"] == "ready"
            beside = any(e.done_at >= one.sent_at and e.sent_at <= other.done_at for e in begun)
            if stayed and not beside and _cancelled(history, ref, one.done_at, other.sent_at):
                return True
    return False


def fails_anyway(history: History) -> bool:
    """
    Whether a build that should succeed did not, though it was started once and none was ever cancelled until then.
    """
    for content in history.all_contents():
        if content.outcome != "ready":
            continue
        started = False
        for exchange in history.story(content.ref):
            if exchange.operation == "cancelBuild" or (started and exchange.operation == "startBuild"):
                break
            begins = exchange.operation == "startBuild" and exchange.status in SUCCESS
            if begins and exchange.sent_at >= content.sure_at:
                started, began_at = True, exchange.sent_at
            elif started and _is_read(exchange, history) and exchange.body["status"] != "building":
                wrong = exchange.body["status"] != "ready" and exchange.sent_at < content.until_at
                if wrong and not _cancel_was_asked(history, content.ref, began_at, exchange.done_at):
                    return True
                break
    return False


def hurries_anyway(history: History) -> bool:
    """Whether a build was seen to be ready before its steps can have run."""
    for content in history.all_contents():
        story = [e for e in history.story(content.ref) if content.sure_at <= e.sent_at < content.until_at]
        starts = [e for e in story if e.operation == "startBuild"]
        if not starts or not says_building(starts[0]):
            continue
        least_at = starts[0].sent_at + content.sleep_s * CLOCK_SHARE
        if any(_is_read(e, history) and e.body["status"] == "ready" and e.done_at < least_at for e in story):
            return True
    return False


def _left_alone(history: History) -> tuple[tuple[Exchange, Exchange], ...]:
    """
    Reads of one version that followed each other while nothing else was asked of it, nor a build cancelled elsewhere.
    """
    found = []
    for ref in {content.ref for content in history.all_contents()}:
        story = [e for e in history.story(ref) if e.operation not in _HARMLESS or _is_read(e, history)]
        story.sort(key=lambda e: e.sent_at)
        # Every other request was sent before the two, and may have lasted into them, or after them.
        lasted = accumulate((e.done_at for e in story), max, initial=float("-inf"))
        following = [e.sent_at for e in story[2:]] + [float("inf")]
        for (one, other), lasted_to_at, next_at in zip(pairwise(story), lasted, following, strict=False):
            if _is_read(one, history) and _is_read(other, history) and one.done_at <= other.sent_at:
                disturbed = lasted_to_at > one.sent_at or next_at < other.done_at
                if not disturbed and not _cancelled(history, ref, one.sent_at, other.done_at):
                    found.append((one, other))
    return tuple(found)


def _before(exchange: Exchange, history: History) -> Iterator[Exchange]:
    return (e for e in history.story(exchange.ref or "") if e.sent_at < exchange.done_at)


def _is_read(exchange: Exchange, history: History) -> bool:
    read = exchange.operation == "getBuild" and exchange.request.method == "GET" and exchange.status == 200
    return read and isinstance(exchange.body.get("status"), str) and owned(exchange, history)


def _cancelled(history: History, ref: str, since_at: float, until_at: float) -> bool:
    return any(e.ref != ref and e.done_at >= since_at and e.sent_at <= until_at for e in history.cancels)


def _cancel_was_asked(history: History, ref: str, since_at: float, until_at: float) -> bool:
    """Whether a cancel of another version was sent meanwhile, also one that found nothing."""
    cancels = (e for e in history.exchanges if e.operation == "cancelBuild" and e.ref != ref and e.status in {202, 404})
    return any(e.done_at >= since_at and e.sent_at <= until_at for e in cancels)
