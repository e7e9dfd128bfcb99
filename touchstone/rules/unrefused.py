"""Tells where a request that was refused made a version come or go all the same.

Both are found late, by what the owner is answered afterwards, and both look like something else: a version that is
gone like one that its owner is not shown, one that is there like one that should not be found.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import SUCCESS
from touchstone.rules.course import may_have_acted, owned
from touchstone.rules.history import History
from touchstone.rules.requests import parts
from touchstone.rules.rule import Rule, judged, rule

REFUSED, FOREIGN, PLAN = "auth.refused-changes-nothing", "access.others-change-nothing", "access.publish-needs-scale"
# What tells the owner of a version whether it is there. A cancel and a log may be 404 when idle.
_TELLING = frozenset({"getBuild", "getTemplate", "startBuild", "deleteTemplate"})


@dataclass(frozen=True, slots=True)
class Delete:
    """A refused delete of somebody else's version, and the first answer to the owner after it."""

    request: Exchange
    answer: Exchange

    @property
    def claim(self) -> str:
        """The claim that it breaks where it deleted."""
        return REFUSED if self.request.credential in REFUSED_CREDENTIALS else FOREIGN


@rule("unrefused.deletes", REFUSED, FOREIGN)
def refused_deletes(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each refused delete by whether the owner still finds the version, and from then on as well."""
    gone = vanished(ref, history)
    for delete in _deletes(ref, history):
        there = delete.answer.status in SUCCESS
        if there or delete == gone:
            actual = "404 ever after"
            expected = "a version that is still there"
            yield judged(delete.claim, there, delete.request, delete.answer, expected=expected, actual=actual)


def vanished(ref: str, history: History) -> Delete | None:
    """
    The refused delete after which the owner never found the version again, which was there before; None without one.
    """
    for delete in _deletes(ref, history):
        if delete.answer.status in SUCCESS:
            continue
        later = [e for e in history.story(ref) if e.sent_at >= delete.answer.sent_at and _is_telling(e, history)]
        if all(e.status == 404 for e in later):
            return delete
    return None


def was_vanished(exchange: Exchange, history: History) -> bool:
    """Whether *exchange* is answered 404 because a refused delete did what it should not."""
    if exchange.status != 404 or exchange.ref is None:
        return False
    delete = vanished(exchange.ref, history)
    return delete is not None and exchange.done_at >= delete.request.sent_at


def published_by(exchange: Exchange, history: History) -> tuple[str, Exchange] | None:
    """
    The claim that a refused publish breaks, if only that can have made what *exchange* is served, and that publish.
    """
    for publish in history.story(exchange.ref or ""):
        refused = publish.operation == "publishTemplate" and 400 <= publish.status < 500 and "content" in publish.note
        if not refused or publish.done_at > exchange.sent_at:
            continue
        if publish.credential in REFUSED_CREDENTIALS and exchange.credential == "primary":
            claim = REFUSED
        elif publish.credential == exchange.credential == "restricted":
            claim = PLAN
        else:
            continue
        return None if _is_served_anyway(exchange, history) else (claim, publish)
    return None


def _deletes(ref: str, history: History) -> Iterator[Delete]:
    """The first refused delete between each two answers that tell whether the version, which was there, still is."""
    story = history.story(ref)
    if not any(e.operation == "deleteTemplate" and not owned(e, history) for e in story):
        return  # as with nearly every version; what follows looks at each answer from several sides
    there, suspect = False, None
    for exchange in sorted(story, key=lambda e: (e.sent_at, e.seq)):
        changing = exchange.operation in {"publishTemplate", "deleteTemplate"} and may_have_acted(exchange)
        if _is_telling(exchange, history) and suspect and exchange.sent_at >= suspect.done_at:
            yield Delete(suspect, exchange)
            suspect = None
        if changing or _is_telling(exchange, history):
            there = exchange.status in SUCCESS and exchange.operation != "deleteTemplate" and owned(exchange, history)
            suspect = suspect if there and not changing else None
        elif there and exchange.operation == "deleteTemplate" and not owned(exchange, history):
            suspect = suspect or exchange


def _is_telling(exchange: Exchange, history: History) -> bool:
    told = exchange.status in SUCCESS or exchange.status == 404
    return told and exchange.operation in _TELLING and exchange.request.method != "HEAD" and owned(exchange, history)


def _is_served_anyway(exchange: Exchange, history: History) -> bool:
    """Whether the operation is also served for a version that nobody ever tried to publish."""
    return any(
        e.operation == exchange.operation and e.status in SUCCESS and e.ref and _is_unheard_of(e.ref, history)
        for e in history.exchanges
    )


def was_written(ref: str, history: History) -> bool:
    """
    Whether a publish that does not say what it publishes may have been about *ref*: by its document, or by its answer.
    """
    _, name, version = (part.encode() for part in parts(ref))
    publishes = [e for e in history.exchanges if e.operation == "publishTemplate" and e.ref != ref]
    unsaid = (e.request.body for e in publishes if "content" not in e.note)
    return any(e.body.get("ref") == ref for e in publishes) or any(name in body and version in body for body in unsaid)


def _is_unheard_of(ref: str, history: History) -> bool:
    tried = any(e.operation == "publishTemplate" for e in history.story(ref))
    return not (tried or ref in history.given or ref.startswith("system/") or was_written(ref, history))


STORY_RULES: tuple[Rule[str], ...] = (refused_deletes,)
