"""Compares the document that a template read shows with those that were published."""

import functools
import json
from collections.abc import Iterable
from typing import Any

import yaml

from touchstone.contract.yaml_text import read_yaml
from touchstone.facts.exchange import Exchange
from touchstone.rules.answers import told
from touchstone.rules.eventlog import names
from touchstone.rules.history import History
from touchstone.rules.requests import parts
from touchstone.rules.rule import shown
from touchstone.rules.shelf import Shelf, document_of

# Where in a document a value stands.
_Path = tuple[str, ...]


def document_problem(exchange: Exchange, ref: str, history: History) -> str:
    """In words, what is wrong with the answer to a template read of *ref* by its owner; empty where nothing is."""
    return (
        _template_problem(exchange, ref)
        or _content_problem(exchange, ref, history)
        or _foreign_value(exchange, ref, history)
    )


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
    return _naming_problem(document, ref)


def _content_problem(exchange: Exchange, ref: str, history: History) -> str:
    """Looks in the document for what the version's builds print: a command, however the document is written down."""
    publish = _anew(exchange, history.once(Shelf, ref))
    markers = [publish.note["marker"]] if publish else [content.marker for content in history.contents(ref)]
    if not markers or not all(markers):
        return ""
    document = json.dumps(exchange.body["template"], ensure_ascii=False)
    if not any(names(document, marker) for marker in markers):
        return f"a document without {markers[-1]!r}"
    differences = [
        _difference(written, exchange.body["template"])
        for written in _written([publish] if publish else history.story(ref))
    ]
    return differences[-1] if differences and all(differences) else ""


def _anew(exchange: Exchange, shelf: Shelf) -> Exchange | None:
    """The publish that surely stands, where nothing was there before it."""
    publish = shelf.standing(exchange)
    began = publish and (shelf.is_first(publish) or shelf.deleted_before(publish))
    # What a publish that was refused did to it is told by publish.conflict-keeps-content.
    if not publish or not began or not publish.note.get("marker") or shelf.refused_between(publish, exchange):
        return None
    return publish


def _written(story: Iterable[Exchange]) -> list[dict[str, Any]]:
    """The documents that were to be put there, as they may be shown; empty where one of them is not known.

    Which of them has to be shown is told by what publishing does.
    """
    publishes = [e for e in story if e.operation == "publishTemplate" and "content" in e.note]
    documents = {e.seq: document for e in publishes if (document := _document(e.request.body))}
    # A short form may be shown as it is or expanded, and however a content is written down, it is one document.
    known = {e.note["content"] for e in publishes if "name" not in documents.get(e.seq, {"name": ""})}
    if not all(e.note["content"] in known for e in publishes):
        return []
    return sorted(documents.values(), key=lambda document: "name" not in document)


@functools.lru_cache(maxsize=512)
def _document(body: bytes) -> dict[str, Any] | None:
    """The document in a publish, without its envelope; None where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = _from_yaml(body)
    if not isinstance(document, dict):
        return None
    inner = document.get("template")
    wrapped = isinstance(inner, dict) and "api_version" in inner
    return inner if wrapped else document


def _from_yaml(body: bytes) -> Any:
    try:
        return read_yaml(body)
    except yaml.YAMLError:
        return None


def _difference(written: object, read: object, place: str = "") -> str:
    """In words, the first thing that was written and reads otherwise; what a server adds is its own affair."""
    inner: Iterable[tuple[str, object, object]]
    if isinstance(written, dict) and isinstance(read, dict):
        inner = ((f"{place}.{key}".lstrip("."), value, read.get(key)) for key, value in written.items())
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        inner = ((f"{place}[{number}]", *pair) for number, pair in enumerate(zip(written, read, strict=True)))
    elif written == read:
        return ""
    else:
        return f"{place or 'the document'} {shown(read)}, published as {shown(written)}"
    return next((found for at, value, other in inner if (found := _difference(value, other, at))), "")


def _naming_problem(document: dict[str, Any], ref: str) -> str:
    """Compares name and version with the ref where the document has them in canonical form; sugar form has one text."""
    about = document.get("template")
    if not isinstance(about, dict):
        return ""
    _, name, version = parts(ref)
    for key, value in (("name", name), ("version", version)):
        found = about.get(key)
        if isinstance(found, str) and "@" not in found and found != value:
            return f"a document with {key} {found!r} for {ref!r}"
    return ""


def _foreign_value(exchange: Exchange, ref: str, history: History) -> str:
    """
    In words, a value that *ref* shows, that was not published under it, and that another document was published with.

    What a server adds by itself is its own affair; it does so to other documents without that value as well.
    """
    own = history.once(_places, ref)
    if not own:
        return ""
    added = {path: value for path, value in _leaves(exchange.body["template"]).items() if path not in own}
    for path, value in added.items() if added else ():
        if _is_published(path, value, exchange, history) and _is_left_out_elsewhere(path, value, history):
            return f"{'.'.join(path)} {shown(value)}, which another document has and this one has not"
    return ""


def _is_published(path: _Path, value: object, before: Exchange, history: History) -> bool:
    publishes = (e for e in history.exchanges if e.operation == "publishTemplate" and e.sent_at < before.done_at)
    documents = (_document(publish.request.body) for publish in publishes)
    return any(_leaves(document).get(path) == value for document in documents if document)


def _places(ref: str, history: History) -> frozenset[_Path]:
    """Where the documents that were to be put under *ref* have values; empty where one of them is not known."""
    return frozenset(path for document in _written(history.story(ref)) for path in _leaves(document))


def _is_left_out_elsewhere(path: _Path, value: object, history: History) -> bool:
    """Whether a document that was published without the place *path* is shown without that value there."""
    reads = history.once(_compared, "")
    return any(path not in places and leaves.get(path) != value for places, leaves in reads)


def _compared(_: str, history: History) -> list[tuple[frozenset[_Path], dict[_Path, Any]]]:
    """
    Of each read of a document that is known: where it was published with values, and the values that it is shown with.
    """
    documents = ((read, document_of(read)) for read in history.exchanges)
    found = ((history.once(_places, read.ref or ""), doc) for read, doc in documents if isinstance(doc, dict))
    return [(places, _leaves(document)) for places, document in found if places]


def _leaves(value: object, place: _Path = ()) -> dict[_Path, Any]:
    """The values of a document by their places; a list is one value."""
    if not isinstance(value, dict):
        return {place: value}
    return {path: leaf for key, inner in value.items() for path, leaf in _leaves(inner, (*place, str(key))).items()}
