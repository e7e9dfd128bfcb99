"""Whose version a request was about, what the version held, and what its owner is answered about it.

Standing is read from the whole run, also from what was sent later: a version may come or go while a request about it is
on its way. So only story rules, which speak when everything is in, may ask. Nothing is known of what a version held
where publishes and deletes overlapped or failed, or where several accounts have a version of one name.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import yaml

from touchstone.contract.parsing import read_yaml
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.attribution import was_vanished, was_written
from touchstone.rules.eventlog import names
from touchstone.rules.history import History
from touchstone.rules.messages import SUCCESS, excused, garbled, operation_of, parts, spelling
from touchstone.rules.rule import describe, judged, render, story_rule, unclear
from touchstone.rules.timeline import Timeline, acted_by, may_have_acted, owned

# own, foreign: it existed all the time, and the key was its owner's or another account's. deleted: this run had it and
# deleted it. missing: there was none. unsure: any of these.
Standing = Literal["own", "foreign", "deleted", "missing", "unsure"]

ACCEPTED: frozenset[Credential] = frozenset({"primary", "second", "restricted"})

# Names that a run gives: touchstone-<run id>-<purpose>. An account can have versions under any other name.
_OF_A_RUN = re.compile(r"touchstone-[^-]+-.+")


def standing(exchange: Exchange, history: History) -> Standing:
    """What the version in the path was to the key that was shown."""
    return history.once(_standing, exchange)


def _standing(exchange: Exchange, history: History) -> Standing:
    ref = exchange.ref
    if ref is None or exchange.credential not in ACCEPTED:
        return "unsure"
    exists = True if _deleted_by(exchange, history) else history.exists(ref, exchange)
    if exists is None:
        return "unsure"
    if exists and (_maybe_deleted(exchange, history) or was_vanished(exchange, history)):
        return "unsure"
    if exists:
        owner = sole_owner(ref, history)
        # What a server took from a refused key belongs to nobody knows whom.
        return "unsure" if owner not in ACCEPTED else "own" if owner == exchange.credential else "foreign"
    return "deleted" if any(c.from_at < exchange.done_at for c in history.contents(ref)) else "missing"


def sole_owner(ref: str, history: History) -> Credential | None:
    """The one account that had *ref* during the run; None where several had one of that name, or nobody did."""
    owners = {content.owner for content in history.contents(ref)}
    return next(iter(owners)) if len(owners) == 1 else None


def surely_missing(ref: str, history: History) -> bool:
    """Whether a version that this run never had cannot be one that the account has anyway."""
    if not _OF_A_RUN.fullmatch(parts(ref)[1]):
        return False
    return not was_written(ref, history)


def _deleted_by(exchange: Exchange, history: History) -> bool:
    """Whether this is the delete that ended a version, which so existed until then."""
    if exchange.operation != "deleteTemplate":
        return False
    return any(c.sure_at <= exchange.sent_at == c.until_at for c in history.contents(exchange.ref or ""))


def _maybe_deleted(exchange: Exchange, history: History) -> bool:
    """Whether another delete, which was never answered or failed, may have taken effect."""
    story = (e for e in history.story(exchange.ref or "") if e.operation == "deleteTemplate" and e.seq != exchange.seq)
    return any(e.sent_at < exchange.done_at and (e.response is None or e.status >= 500) for e in story)


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

    def answers_since(self, publish: Exchange) -> tuple[Exchange, ...]:
        """The answers that were given while the content of *publish* surely stood, in order."""
        return tuple(self._shown.get(publish.seq, ()))

    @functools.cached_property
    def _shown(self) -> dict[int, list[Exchange]]:
        """The answers by the number of the publish whose content stood."""
        found: dict[int, list[Exchange]] = {}
        for answer in self.answers:
            if publish := self.standing(answer):
                found.setdefault(publish.seq, []).append(answer)
        return found

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
    """Publishes and deletes that can have changed something, as a delete can that finds nothing where something is."""
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
    answers = [answer for answer in shelf.answers_since(publish) if answer.operation != "startBuild"]
    documents = json.dumps([document_of(answer) for answer in answers])
    markers = (publish.note.get("marker"), before.note.get("marker"))
    for marker, outcome in zip(markers, (True, False), strict=True):
        if marker and markers[0] != markers[1] and names(documents, marker):
            return outcome
    old, new = digest_of(before), digest_of(publish)
    if not answers or not old or old == new:
        return None
    return {new: True, old: False}.get(digest_of(answers[0]))


def _shows(exchange: Exchange) -> bool:
    if exchange.operation not in _SHOWING or exchange.request.method not in {"GET", "POST"}:
        return False
    return exchange.status in SUCCESS and not exchange.error and bool(digest_of(exchange))


def _touches(change: Exchange, exchange: Exchange) -> bool:
    """Whether the order of a change and an exchange is in doubt."""
    # What a delete did not find it took away by its answer, if at all.
    acted_at = change.done_at if change.status == 404 else acted_by(change)
    return change.sent_at < exchange.done_at and acted_at > exchange.sent_at


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
        return describe(exchange)
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
        return f"{place or 'the document'} {render(read)}, published as {render(written)}"
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
            return f"{'.'.join(path)} {render(value)}, which another document has and this one has not"
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
    """Of each read of a document that is known: where it was published with values, and those that are shown."""
    documents = ((read, document_of(read)) for read in history.exchanges)
    found = ((history.once(_places, read.ref or ""), doc) for read, doc in documents if isinstance(doc, dict))
    return [(places, _leaves(document)) for places, document in found if places]


def _leaves(value: object, place: _Path = ()) -> dict[_Path, Any]:
    """The values of a document by their places; a list is one value."""
    if not isinstance(value, dict):
        return {place: value}
    return {path: leaf for key, inner in value.items() for path, leaf in _leaves(inner, (*place, str(key))).items()}


@story_rule("owned.status", "status.answers-200")
def status_answers_200(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each status read of an existing version by its owner."""
    for exchange in _by_owner("getBuild", ref, history):
        if exchange.status == 429:
            yield unclear("status.answers-200", exchange, why="a limit got in the way")
        else:
            fits = exchange.status == 200
            yield judged("status.answers-200", fits, exchange, expected="200")


@story_rule("owned.template", "template.read-shows-the-published")
def template_read(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each read of an existing version by its owner: status, ref, digest and document."""
    claim = "template.read-shows-the-published"
    for exchange in _by_owner("getTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status != 200:
            yield judged(claim, False, exchange, expected="200")
        elif not garbled(exchange):
            expected = "ref, digest and document of the version"
            actual = document_problem(exchange, ref, history)
            yield judged(claim, not actual, exchange, expected=expected, actual=actual)


@story_rule("owned.delete", "template.delete-says-deleted")
def delete_refused(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each delete of an existing version that its owner is refused; one that succeeds is judged by its answer.

    Facts 7.42: what a delete does to a running build is undocumented, so that it may be a conflict.
    """
    claim, timeline = "template.delete-says-deleted", history.once(Timeline, ref)
    for exchange in _by_owner("deleteTemplate", ref, history):
        if exchange.status == 429:
            yield unclear(claim, exchange, why="a limit got in the way")
        elif exchange.status >= 300 and exchange.status not in ({404} if timeline.over(exchange) else {404, 409}):
            expected = "200 and an object with deleted true"
            yield judged(claim, False, exchange, expected=expected)


def _by_owner(operation: str, ref: str, history: History) -> Iterator[Exchange]:
    """The answered requests for *operation* by the owner of *ref* while it existed; 401 has a claim of its own.

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
