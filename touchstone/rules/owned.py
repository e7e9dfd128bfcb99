"""
Judges what the owner of an existing version is answered: reading its status, reading it, deleting it.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from touchstone.exchange import Exchange
from touchstone.finding import Judgement
from touchstone.rules.answers import garbled, told
from touchstone.rules.course import Course
from touchstone.rules.eventlog import names
from touchstone.rules.history import History
from touchstone.rules.requests import excused, operation_of, parts, spelling
from touchstone.rules.rule import Rule, judged, rule, shown, unclear
from touchstone.rules.shelf import Shelf
from touchstone.rules.standing import standing


@rule("owned.status", "status.answers-200")
def status_answers_200(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges each status read of an existing version by its owner.
    """
    for exchange in _by_owner("getBuild", ref, history):
        if exchange.status == 429:
            yield unclear("status.answers-200", exchange, why="a limit got in the way")
        else:
            fits = exchange.status == 200
            yield judged("status.answers-200", fits, exchange, expected="200", actual=told(exchange))


@rule("owned.template", "template.read-shows-the-published")
def template_read(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges each read of an existing version by its owner: status, ref, digest and document.
    """
    claim = "template.read-shows-the-published"
    for exchange in _by_owner("getTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status != 200:
            yield judged(claim, False, exchange, expected="200", actual=told(exchange))
        elif not garbled(exchange):
            expected = "ref, digest and document of the version"
            actual = _template_problem(exchange, ref) or _content_problem(exchange, ref, history)
            yield judged(claim, not actual, exchange, expected=expected, actual=actual)


@rule("owned.delete", "template.delete-says-deleted")
def delete_refused(ref: str, history: History) -> Iterator[Judgement]:
    """
    Judges each delete of an existing version that its owner is refused; one that succeeds is judged by its answer.

    Facts 7.42: what a delete does to a running build is undocumented, so that it may be a conflict.
    """
    claim, course = "template.delete-says-deleted", Course(ref, history)
    for exchange in _by_owner("deleteTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status >= 300 and exchange.status not in ({404} if course.over(exchange) else {404, 409}):
            expected = "200 and an object with deleted true"
            yield judged(claim, False, exchange, expected=expected, actual=told(exchange))


def _by_owner(operation: str, ref: str, history: History) -> Iterator[Exchange]:
    """
    The answered requests for *operation* by the owner of *ref* while it existed; 401 has a claim of its own.

    The plan of an account may keep more from it than starting and publishing (facts 7.22), so *restricted* is left out.
    """
    for exchange in history.story(ref):
        asked = operation_of(exchange, history.contract)
        if asked is None or asked.id != operation or exchange.credential == "restricted":
            continue
        if exchange.response is None or exchange.error or exchange.status == 401:
            continue
        if exchange.status in excused(exchange, history.contract):
            continue
        if spelling(exchange, history.contract) == "plain" and standing(exchange, history) == "own":
            yield exchange


def _template_problem(exchange: Exchange, ref: str) -> str:
    body = exchange.body
    if not body:
        return told(exchange)
    if body.get("ref") != ref:
        return f"ref {body.get('ref')!r} for {ref!r}"
    if not isinstance(body.get("digest"), str):
        return f"digest {body.get('digest')!r}"
    document = body.get("template")
    if not isinstance(document, dict):
        return f"template {document!r}"
    return _document_problem(document, ref)


def _content_problem(exchange: Exchange, ref: str, history: History) -> str:
    """
    Looks in the document for what the version's builds print: a command, however the document is written down.
    """
    publish = _anew(exchange, Shelf(ref, history))
    markers = [publish.note["marker"]] if publish else [content.marker for content in history.contents(ref)]
    if not markers or not all(markers):
        return ""
    document = json.dumps(exchange.body["template"], ensure_ascii=False)
    if not any(names(document, marker) for marker in markers):
        return f"a document without {markers[-1]!r}"
    differences = [
        _difference(written, exchange.body["template"], "the document")
        for written in _written([publish] if publish else history.story(ref))
    ]
    return differences[-1] if differences and all(differences) else ""


def _anew(exchange: Exchange, shelf: Shelf) -> Exchange | None:
    """
    The publish that surely stands, where nothing was there before it.
    """
    publish = shelf.standing(exchange)
    began = publish and (shelf.is_first(publish) or shelf.deleted_before(publish))
    # What a publish that was refused did to it is told by publish.conflict-keeps-content.
    if not publish or not began or not publish.note.get("marker") or shelf.refused_between(publish, exchange):
        return None
    return publish


def _written(story: Iterable[Exchange]) -> list[dict[str, Any]]:
    """
    The documents that were to be put there, where all are in canonical form: other forms are shown expanded.

    Which of them has to be shown is told by what publishing does.
    """
    publishes = [e for e in story if e.operation == "publishTemplate" and "content" in e.note]
    documents = [_canonical(e.request.body) for e in publishes]
    return [document for document in documents if document] if all(documents) else []


def _canonical(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    canonical = isinstance(document, dict) and isinstance(document.get("template"), dict) and "name" not in document
    return document if canonical else None


def _difference(written: object, read: object, place: str) -> str:
    """
    In words, the first thing that was written and reads otherwise; what a server adds is its own affair.
    """
    if isinstance(written, dict) and isinstance(read, dict):
        pairs = ((key, value, read.get(key)) for key, value in written.items())
        return next((found for key, value, other in pairs if (found := _difference(value, other, str(key)))), "")
    if written == read:
        return ""
    return f"{place} {shown(read)}, published as {shown(written)}"


def _document_problem(document: dict[str, Any], ref: str) -> str:
    """
    Compares name and version with the ref where the document has them in canonical form; sugar form has one text.
    """
    about = document.get("template")
    if not isinstance(about, dict):
        return ""
    _, name, version = parts(ref)
    for key, value in (("name", name), ("version", version)):
        found = about.get(key)
        if isinstance(found, str) and "@" not in found and found != value:
            return f"a document with {key} {found!r} for {ref!r}"
    return ""


STORY_RULES: tuple[Rule[str], ...] = (status_answers_200, template_read, delete_refused)
