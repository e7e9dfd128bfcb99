"""
Tells which publish put there what a version held while a request was on its way, and what that version said of itself.

Nothing is told where publishes and deletes overlapped or failed, or where several accounts have a version of one name.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any

from touchstone.facts.exchange import Exchange
from touchstone.rules.answers import SUCCESS
from touchstone.rules.course import acted_by, may_have_acted, owned
from touchstone.rules.eventlog import names
from touchstone.rules.history import History

_SHOWING = frozenset({"startBuild", "getBuild", "getTemplate"})


class Shelf:
    """The publishes and deletes of one version, and the owner's answers that show what it holds."""

    def __init__(self, ref: str, history: History) -> None:
        story = sorted(history.story(ref), key=lambda e: (e.sent_at, e.seq))
        self.publishes = tuple(e for e in story if e.operation == "publishTemplate" and e.request.method == "POST")
        self.answers = tuple(e for e in story if _shows(e) and owned(e, history))
        self._changes = tuple(_changes(story))
        self.contents = tuple(e for e in self._changes if e.status in SUCCESS and "content" in e.note)
        self._one_owner = len({e.credential for e in self._changes}) <= 1 and ref not in history.given

    def standing(self, exchange: Exchange) -> Exchange | None:
        """The last publish before *exchange*, where its content surely stood until the answer; None otherwise."""
        last = self._last_change(exchange)
        return last if last and last.operation == "publishTemplate" and "content" in last.note else None

    def replaces(self, publish: Exchange) -> Exchange | None:
        """What *publish* would replace: the standing publish of the same account."""
        before = self.standing(publish)
        return before if before and before.credential == publish.credential else None

    def is_first(self, exchange: Exchange) -> bool:
        """Whether nothing can have been there before *exchange*."""
        others = (change for change in self._changes if change is not exchange)
        return self._one_owner and not any(change.sent_at < exchange.done_at for change in others)

    def deleted_before(self, publish: Exchange) -> Exchange | None:
        """The owner's delete that surely left nothing there until *publish*, or None."""
        last = self._last_change(publish)
        deleted = last is not None and last.operation == "deleteTemplate" and last.status in SUCCESS
        return last if deleted else None

    def deleted_beside(self, one: Exchange, other: Exchange) -> bool:
        """Whether a delete can have acted while either of two exchanges was on its way."""
        deletes = [change for change in self._changes if change.operation == "deleteTemplate"]
        return any(_touches(delete, exchange) for delete in deletes for exchange in (one, other))

    def shown_since(self, publish: Exchange) -> tuple[Exchange, ...]:
        """The answers that were given while the content of *publish* surely stood, in order."""
        return tuple(self._shown.get(publish.seq, ()))

    @functools.cached_property
    def _shown(self) -> dict[int, list[Exchange]]:
        """The answers by the number of the publish whose content stood."""
        shown: dict[int, list[Exchange]] = {}
        for answer in self.answers:
            if publish := self.standing(answer):
                shown.setdefault(publish.seq, []).append(answer)
        return shown

    def refused_between(self, publish: Exchange, answer: Exchange) -> list[Exchange]:
        """The refused publishes of other content between a publish and an answer, in order."""
        return [
            e
            for e in self.publishes
            if e.response is not None
            and 400 <= e.status < 500
            and e.sent_at >= publish.done_at
            and e.sent_at < answer.done_at
            and e.note.get("content") not in {None, publish.note["content"]}
        ]

    def _last_change(self, exchange: Exchange) -> Exchange | None:
        """The last change before *exchange*, if no other one can have come after it until the answer."""
        others = [change for change in self._changes if change is not exchange and change.sent_at < exchange.done_at]
        if not others or not self._one_owner or any(_touches(change, exchange) for change in others):
            return None
        last = max(others, key=lambda change: change.done_at)
        return None if any(_touches(change, last) for change in others if change is not last) else last


def _changes(story: list[Exchange]) -> Iterator[Exchange]:
    """
    The publishes and deletes that can have changed something, which a delete can that finds nothing where something is.
    """
    last: Exchange | None = None
    for exchange in story:
        posted = exchange.operation == "publishTemplate" and exchange.request.method == "POST"
        if not posted and exchange.operation != "deleteTemplate":
            continue
        lost = not posted and exchange.status == 404 and last is not None and last.operation == "publishTemplate"
        if may_have_acted(exchange) or (lost and last and last.credential == exchange.credential):
            last = exchange
            yield exchange


def digest_of(exchange: Exchange) -> str:
    """The digest in an answer, or empty."""
    digest = exchange.body.get("digest")
    return digest if isinstance(digest, str) else ""


def document_of(exchange: Exchange) -> Any:
    """The document that a template read shows, or None for any other answer."""
    return exchange.body.get("template") if exchange.operation == "getTemplate" else None


def replaced(shelf: Shelf, before: Exchange, publish: Exchange) -> bool | None:
    """Whether reads show that *publish* replaced the content of *before*; None where they do not tell."""
    shown = [answer for answer in shelf.shown_since(publish) if answer.operation != "startBuild"]
    documents = json.dumps([document_of(answer) for answer in shown])
    markers = (publish.note.get("marker"), before.note.get("marker"))
    for marker, outcome in zip(markers, (True, False), strict=True):
        if marker and markers[0] != markers[1] and names(documents, marker):
            return outcome
    old, new = digest_of(before), digest_of(publish)
    if not shown or not old or old == new:
        return None
    return {new: True, old: False}.get(digest_of(shown[0]))


def _shows(exchange: Exchange) -> bool:
    if exchange.operation not in _SHOWING or exchange.request.method not in {"GET", "POST"}:
        return False
    return exchange.status in SUCCESS and not exchange.error and bool(digest_of(exchange))


def _touches(change: Exchange, exchange: Exchange) -> bool:
    """Whether the order of a change and an exchange is in doubt."""
    # What a delete did not find it took away by its answer, if at all.
    acted_at = change.done_at if change.status == 404 else acted_by(change)
    return change.sent_at < exchange.done_at and acted_at > exchange.sent_at
