"""Judges who may do what: keys, plans, and requests about own, others', missing and deleted versions.

`standing` also depends on later requests. So only version rules (`story_rule`), which see all requests, may call it.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal

from touchstone.contract.answers import AT_REST, CALLERS, answer, refusal
from touchstone.contract.parsing import read_mapping
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Credential, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules import messages
from touchstone.rules import rule as rules
from touchstone.rules.attribution import REFUSED, begins_anyway, was_vanished
from touchstone.rules.events import is_empty_log, names
from touchstone.rules.history import History
from touchstone.rules.messages import SUCCESS, answered_about, excused, is_usual, operation_of, parts, spelling
from touchstone.rules.publishing import Shelf, document_of
from touchstone.rules.rule import broken, judged, judged_code, judged_unless_limited, render, rule, story_rule
from touchstone.rules.timeline import Timeline, may_have_acted

# own: the version existed during the whole request, and its owner sent the request. foreign: another account sent it.
# deleted: this run deleted the version. missing: the version never existed. unsure: several of these are possible.
Standing = Literal["own", "foreign", "deleted", "missing", "unsure"]

ACCEPTED: frozenset[Credential] = frozenset({"primary", "second", "restricted"})


def standing(exchange: Exchange, history: History) -> Standing:
    """Returns the relation of the requested version to the account: own, foreign, deleted, missing or unsure."""
    return history.once(_standing, exchange)


def _standing(exchange: Exchange, history: History) -> Standing:
    ref = exchange.ref
    if ref is None or exchange.credential not in ACCEPTED:
        return "unsure"
    contents, deletes = history.contents(ref), exchange.operation == "deleteTemplate"
    # The version existed until the delete that ended it.
    ends = deletes and any(c.sure_at <= exchange.sent_at == c.until_at for c in contents)
    exists = True if ends else history.exists(ref, exchange)
    others = (e for e in history.story(ref) if e.operation == "deleteTemplate" and e.seq != exchange.seq)
    # Another delete that failed or got no response may have taken effect.
    lost = any(e.sent_at < exchange.done_at and (e.response is None or e.status >= 500) for e in others)
    if exists is None or (exists and (lost or was_vanished(exchange, history))):
        return "unsure"
    if exists:
        owners = {content.owner for content in contents}
        # The owner is unknown after several accounts, or after an accepted publish with an invalid key.
        sure = len(owners) == 1 and owners <= ACCEPTED
        return "unsure" if not sure else "own" if exchange.credential in owners else "foreign"
    return "deleted" if any(c.from_at < exchange.done_at for c in contents) else "missing"


_BODY_REFUSALS = frozenset({400, 413, 415, 422})  # for an invalid body, which a server may check before the key
_INVALID = ("missing-key", "unknown-key", "near-key", "malformed-header", "query-key")
_FEWEST_ALIKE = 2  # fewer responses may have a header in common by chance


@rule("access.refused-key", *(f"auth.{key}-is-401" for key in _INVALID))
def refused_key(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that an invalid key gets a 401, on every operation and for every version."""
    if exchange.credential not in REFUSED_CREDENTIALS or exchange.response is None or exchange.error:
        return
    row = refusal(CALLERS[exchange.credential])
    if exchange.request.method == "HEAD" and history.contract.match("GET", messages.path_of(exchange)):
        # A HEAD may get any rejection, such as 405, but no success.
        if exchange.status in SUCCESS:
            yield broken(row.claim, exchange, expected=row.codes)
        return
    unread = exchange.operation == "publishTemplate" and "content" not in exchange.note
    before_the_key = _BODY_REFUSALS if unread else excused(exchange, history.contract)
    if operation_of(exchange, history.contract) is not None and exchange.status not in before_the_key:
        yield judged_code(row, exchange)


@rule("access.refusal-text", "auth.missing-key-text", "auth.invalid-key-text")
def refusal_text(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that the error text of a 401 begins as documented for this kind of invalid key."""
    text, row = exchange.body.get("error"), refusal(CALLERS.get(exchange.credential, "over a limit"))
    if exchange.status == 401 and row.error and isinstance(text, str) and operation_of(exchange, history.contract):
        fits, expected = text.startswith(row.error), f"an error text that starts with {row.error}"
        yield judged(row.body, fits, exchange, expected=expected)


@rule("access.accepted-key", "auth.valid-key-is-accepted", "auth.scheme-ignores-case", "access.plan-is-no-key-matter")
def accepted_key(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a valid key never gets a 401, even after ``bearer`` in lower case or on a plan below Scale."""
    own_claims = {"lowercase-scheme": "auth.scheme-ignores-case", "restricted": "access.plan-is-no-key-matter"}
    claim = own_claims.get(exchange.credential, "auth.valid-key-is-accepted")
    if exchange.credential in REFUSED_CREDENTIALS or not messages.judgeable(exchange) or exchange.status >= 500:
        return
    if operation_of(exchange, history.contract) and spelling(exchange, history.contract) != "misshapen":
        yield judged(claim, exchange.status != 401, exchange, expected="any status except 401")


@rule("access.publish-plan", "access.publish-needs-scale")
def publish_needs_scale(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a publish below the Scale plan gets a 403. A server may validate the document first."""
    row = refusal("plan too small", "publishTemplate")
    operation = operation_of(exchange, history.contract)
    if exchange.credential != "restricted" or operation is None or operation.id != "publishTemplate":
        return
    if exchange.response is None or exchange.error or exchange.status == 401:
        return
    if exchange.status in _BODY_REFUSALS or exchange.status in {409, 429}:
        yield rules.unclear(row.claim, exchange, why=f"status {exchange.status} may come from a check before the plan")
    else:
        yield judged_code(row, exchange)


@story_rule("access.start-plan", "access.start-needs-scale")
def start_needs_scale(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a start below the Scale plan gets a 403. For others' versions, 404 is fine, too (ambiguity 7.21)."""
    row = refusal("plan too small", "startBuild")
    yield from _started_below(ref, history)
    for exchange in answered_about(ref, history, "startBuild"):
        if exchange.credential != "restricted" or exchange.status == 401:
            continue
        if exchange.status == 404 and standing(exchange, history) != "own":
            yield rules.unclear(row.claim, exchange, why="404 may come from a check before the plan")
        elif exchange.status in row.may or exchange.status not in excused(exchange, history.contract):
            yield judged_code(row, exchange)


@story_rule("access.others-version", "access.others-version-is-404")
def others_version(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that others' versions get the same 404 as missing ones. Below Scale, 403 is fine, too (ambiguity 7.22)."""
    for exchange in answered_about(ref, history, *messages.ABOUT_A_VERSION):
        if standing(exchange, history) != "foreign" or exchange.status == 401:
            continue
        row = answer(exchange.operation, "foreign")
        if not is_usual(exchange, history.contract) or (exchange.status == 403 and exchange.credential == "restricted"):
            continue
        if exchange.status == 404 and (unlike := _unlike_missing(exchange, history)):
            found, usual = _described(exchange, unlike), _described(unlike, exchange)
            actual = f"{found} for a foreign version, {usual} for a missing one"
            yield broken(row.claim, unlike, exchange, expected="the same response for both", actual=actual)
        else:
            fits = exchange.status == 404 or (exchange.status in row.may and is_empty_log(exchange))
            yield judged_unless_limited(row.claim, fits, exchange, expected=row.codes)


def _unlike_missing(exchange: Exchange, history: History) -> Exchange | None:
    """Compares the 404 in *exchange* with those for missing versions; returns one of these if all differ from it."""
    if exchange.operation == "cancelBuild" or not exchange.body:
        return None
    missing, others = history.once(_not_found, (exchange.operation, exchange.credential))
    if missing and not any(_sense(e) == _sense(exchange) for e in missing):
        return missing[0]
    # A header reveals that a version exists if all 404s for others' versions have it, and none for missing ones.
    more = _header_names(exchange).difference(*map(_header_names, missing)).intersection(*map(_header_names, others))
    return missing[0] if more and min(len(missing), len(others)) >= _FEWEST_ALIKE else None


def _not_found(asker: tuple[str, str], history: History) -> tuple[list[Exchange], list[Exchange]]:
    """Returns the 404s to an operation and a credential: for missing versions with a body, for foreign versions."""
    all_404s = [e for e in history.exchanges if e.status == 404 and (e.operation, e.credential) == asker]
    missing = [e for e in all_404s if e.body and standing(e, history) == "missing"]
    return missing, [e for e in all_404s if standing(e, history) == "foreign"]


def _header_names(exchange: Exchange) -> frozenset[str]:
    return frozenset(name.lower() for name, _ in exchange.response.headers) if exchange.response else frozenset()


def _described(exchange: Exchange, unlike: Exchange) -> str:
    more = sorted(_header_names(exchange) - _header_names(unlike))
    return rules.describe(exchange) + (f" with the header {', '.join(more)}" if more else "")


def _sense(exchange: Exchange) -> str:
    text = json.dumps({name: value for name, value in exchange.body.items() if name != "request_id"}, sort_keys=True)
    for part in sorted(filter(None, parts(exchange.ref or "")), key=len, reverse=True):
        text = text.replace(part, "…")
    return text


def _started_below(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a start with status 403 began no build: the reads before and after it show the same status."""
    reads = history.once(Timeline, ref).reads if history.owner(ref) == "restricted" else ()
    for one, other in pairwise(reads):
        if one.body["status"] not in AT_REST or one.done_at > other.sent_at:
            continue
        between = (e for e in history.story(ref) if e.operation == "startBuild" and e.credential == "restricted")
        refused = [e for e in between if one.done_at <= e.sent_at and e.done_at <= other.sent_at]
        refused = [e for e in refused if e.status != 429]  # a start after a wait
        if refused and all(e.status == 403 for e in refused):
            claim, status = "access.start-needs-scale", one.body["status"]
            actual = f"status {other.body['status']} after a rejected start"
            same = other.body["status"] == status
            if same or not begins_anyway(history):
                yield judged(claim, same, one, refused[-1], other, expected=f"status {status}", actual=actual)


_Path = tuple[str, ...]  # keys from the root of a document to a value


def document_problem(exchange: Exchange, ref: str, history: History) -> str:
    """Describes the fault in the owner's template read of *ref*; empty if there is none."""
    problem = _template_problem(exchange, ref)
    publishes = (e for e in reversed(history.story(ref)) if e.operation == "publishTemplate" and may_have_acted(e))
    last = next((e for e in publishes if e.sent_at < exchange.done_at), None)
    if problem or (last and "content" not in last.note):
        return problem  # an invalid document that the server accepted is not compared
    return _content_problem(exchange, ref, history) or _foreign_value(exchange, ref, history)


def _template_problem(exchange: Exchange, ref: str) -> str:
    body, document = exchange.body, exchange.body.get("template")
    if not body:
        return rules.describe(exchange)
    if body.get("ref") != ref:
        return f"ref {body.get('ref')!r}, requested {ref!r}"
    if not isinstance(body.get("digest"), str):
        return f"digest {body.get('digest')!r}"
    if not isinstance(document, dict):
        return f"template {document!r}"
    # The canonical form has name and version as two texts, the short form has both in one text.
    about, (_, name, version) = document.get("template"), parts(ref)
    for key, value in (("name", name), ("version", version)):
        found = about.get(key) if isinstance(about, dict) else None
        if isinstance(found, str) and "@" not in found and found != value:
            return f"a document with {key} {found!r}, requested {ref!r}"
    return ""


def _content_problem(exchange: Exchange, ref: str, history: History) -> str:
    """Describes how the document differs from the published one; compares the markers in the build steps first."""
    publish = _anew(exchange, history.once(Shelf, ref))
    markers = [publish.note["marker"]] if publish else [content.marker for content in history.contents(ref)]
    if not markers or not all(markers):
        return ""
    document = json.dumps(exchange.body["template"], ensure_ascii=False)
    if not any(names(document, marker) for marker in markers):
        return f"a document without {markers[-1]!r}"
    written = _written([publish] if publish else history.story(ref))
    differences = [_difference(each, exchange.body["template"]) for each in written]
    return differences[-1] if differences and all(differences) else ""


def _anew(exchange: Exchange, shelf: Shelf) -> Exchange | None:
    publish = shelf.standing(exchange)
    began = publish and (shelf.is_first(publish) or shelf.deleted_before(publish))
    # The effect of a refused publish is judged by publish.conflict-keeps-content.
    if not publish or not began or not publish.note.get("marker") or shelf.refused_between(publish, exchange):
        return None
    return publish


def _written(story: Iterable[Exchange]) -> list[dict[str, Any]]:
    """Returns the published documents of *story* in the forms that a server may return; empty if one is unknown."""
    publishes = [e for e in story if e.operation == "publishTemplate" and "content" in e.note]
    documents = {e.seq: document for e in publishes if (document := _document(e.request.body))}
    # A server may return a short form as published or expanded; all forms count as one document.
    known = {e.note["content"] for e in publishes if "name" not in documents.get(e.seq, {"name": ""})}
    if not all(e.note["content"] in known for e in publishes):
        return []
    return sorted(documents.values(), key=lambda document: "name" not in document)


@functools.lru_cache(maxsize=512)
def _document(body: bytes) -> dict[str, Any] | None:
    document = read_mapping(body)
    inner = document.get("template") if document else None
    wrapped = isinstance(inner, dict) and "api_version" in inner
    return inner if wrapped else document


def _difference(written: object, read: object, place: str = "") -> str:
    """Describes the first published value that the read shows differently. The server may add values."""
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


def _foreign_value(exchange: Exchange, ref: str, history: History) -> str:
    """Describes a value in a read of *ref* that comes from the document of another version; empty if there is none."""
    if not (own := history.once(_places, ref)):
        return ""
    added = {path: value for path, value in _leaves(exchange.body["template"]).items() if path not in own}
    publishes = (e for e in history.exchanges if e.operation == "publishTemplate" and e.sent_at < exchange.done_at)
    documents = [_leaves(_document(e.request.body)) for e in publishes] if added else []
    for path, value in added.items():
        published = any(leaves.get(path) == value for leaves in documents)
        elsewhere = history.overall(_compared) if published else []
        if any(path not in places and leaves.get(path) != value for places, leaves in elsewhere):
            return f"{'.'.join(path)} {render(value)}, a value of another document"
    return ""


def _places(ref: str, history: History) -> frozenset[_Path]:
    """Returns the paths of the values in the documents published under *ref*; empty if one document is unknown."""
    return frozenset(path for document in _written(history.story(ref)) for path in _leaves(document))


def _compared(history: History) -> list[tuple[frozenset[_Path], dict[_Path, Any]]]:
    """For each read of a known document: the published paths, and the values in the response."""
    documents = ((history.once(_places, read.ref or ""), document_of(read)) for read in history.exchanges)
    return [(places, _leaves(document)) for places, document in documents if places and isinstance(document, dict)]


def _leaves(value: object, place: _Path = ()) -> dict[_Path, Any]:
    """Values of a document by path; a list is one value."""
    if not isinstance(value, dict):
        return {place: value}
    return {path: leaf for key, inner in value.items() for path, leaf in _leaves(inner, (*place, str(key))).items()}


_UNKNOWN = ("lookup.unknown-version-is-404", "lookup.unknown-name-is-404", "lookup.unknown-namespace-is-404")
_DELETED = ("lookup.deleted-version-is-404", "start.refuses-deleted-version")
_PLAN = "access.publish-needs-scale"
_LISTING_NAMESPACE = "global"  # GET /templates/global/… lists versions of a curated template, outside the contract

# Operations that find every existing version. Others may get a 404: a cancel and a log request if no build runs.
_FINDING = frozenset({"startBuild", "getBuild", "getTemplate", "deleteTemplate"})
# The form of the path of a build or build log, even if namespace, name or version are invalid.
_BUILD_PATH = re.compile(r"/templates/.*/build(?:/events)?/?", re.DOTALL)


@rule("lookup.odd-spelling", "lookup.odd-spelling-is-404")
def odd_spelling(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a path with invalid segments gets a 404 or 400. A server may also tidy the path and succeed."""
    contract = history.contract
    known_method = exchange.request.method in {"GET", "POST", "DELETE"}
    outside = not exchange.operation and _BUILD_PATH.fullmatch(messages.path_of(exchange)) and known_method
    known = outside or operation_of(exchange, contract) is not None
    if not known or spelling(exchange, contract) == "plain" or exchange.credential not in {"primary", "second"}:
        return
    if exchange.response is None or exchange.error:
        return
    claim = "lookup.odd-spelling-is-404"
    fits = exchange.status in messages.NO_SUCH_PATH or is_empty_log(exchange)
    if fits or exchange.status == 429 or not _is_fair(exchange, history):
        yield judged_unless_limited(claim, fits, exchange, expected="404 or 400")


@story_rule("lookup.missing", *_UNKNOWN, *_DELETED, REFUSED, _PLAN)
def missing(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that each request about a missing or deleted version gets a 404."""
    for exchange in _plain_answers(ref, history):
        found = standing(exchange, history)
        # The status may be due to the key, the plan or an unusual request.
        small = exchange.status == 403 and exchange.credential == "restricted"
        other = small or exchange.status == 401 or exchange.status in excused(exchange, history.contract)
        if other or found not in {"missing", "deleted"}:
            continue
        # A start that got another 4xx builds nothing either, so that only the status is wrong.
        refused = 400 <= exchange.status < 500 and exchange.status not in {404, 429}
        starts = exchange.operation == "startBuild" and not refused
        gone = answer("startBuild" if starts else "getBuild", "deleted")
        claim = _missing_claim(exchange, history) if found == "missing" else gone.claim
        fits = exchange.status == 404 or is_empty_log(exchange)
        served = exchange.status in SUCCESS and found == "missing" and not fits
        published = published_by(exchange, history) if served else None
        if published:
            yield broken(published[0], published[1], exchange, expected="404: the publish of this version was refused")
        # A 5xx is wrong even if a version that this run did not publish exists.
        absent = found == "deleted" or surely_missing(ref, history)
        absent = absent or (exchange.status >= 500 and not was_written(ref, history))
        if not published and (fits or exchange.status == 429 or absent):
            yield judged_unless_limited(claim, fits, exchange, expected="404")


def published_by(exchange: Exchange, history: History) -> tuple[str, Exchange] | None:
    """Returns the broken claim and the refused publish that must have created the version that *exchange* found."""
    for publish in history.story(exchange.ref or ""):
        refused = publish.operation == "publishTemplate" and 400 <= publish.status < 500 and "content" in publish.note
        if not refused or publish.done_at > exchange.sent_at:
            continue
        if publish.credential in REFUSED_CREDENTIALS and exchange.credential == "primary":
            claim = REFUSED
        elif publish.credential == exchange.credential == "restricted":
            claim = _PLAN
        else:
            continue
        return None if _is_served_anyway(exchange, history) else (claim, publish)
    return None


def _is_served_anyway(exchange: Exchange, history: History) -> bool:
    served = {e.ref for e in history.exchanges if e.operation == exchange.operation and e.status in SUCCESS and e.ref}
    tried = {e.ref for e in history.exchanges if e.operation == "publishTemplate"} | history.given.keys()
    return any(surely_missing(ref, history) for ref in served - tried)


_OF_A_RUN = re.compile(r"touchstone-[^-]+-.+")  # touchstone-<run id>-<purpose>; other names may be older than the run


def surely_missing(ref: str, history: History) -> bool:
    """Whether *ref* surely never existed: only runs use such names, and no publish of this run may have created it."""
    return _OF_A_RUN.fullmatch(parts(ref)[1]) is not None and not was_written(ref, history)


def was_written(ref: str, history: History) -> bool:
    """Whether a publish may have created *ref* although its note does not say so: its body or response names *ref*."""
    _, name, version = (part.encode() for part in parts(ref))
    publishes = [e for e in history.exchanges if e.operation == "publishTemplate" and e.ref != ref]
    unknown = (e.request.body for e in publishes if "content" not in e.note)
    # Bytes are compared first: to parse each long body would take seconds.
    named = (e for e in publishes if e.response and name in e.response.body)
    return any(e.body.get("ref") == ref for e in named) or any(name in body and version in body for body in unknown)


_OTHERS = "access.others-change-nothing"


@story_rule("lookup.own", "lookup.existing-version-is-found", _OTHERS)
def own_is_found(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the owner of an existing version never gets a 404, even after a delete by the owner of a namesake."""
    deletes = [e for e in history.exchanges if (e.ref, e.operation) == (ref, "deleteTemplate") and e.status in SUCCESS]
    for exchange in _plain_answers(ref, history):
        decisive = exchange.status in SUCCESS or exchange.status == 404
        if decisive and exchange.operation in _FINDING and standing(exchange, history) == "own":
            fits, expected = exchange.status != 404, "any status except 404"
            theirs = [e for e in deletes if e.credential != exchange.credential and e.done_at <= exchange.sent_at]
            if theirs and not fits:
                yield broken(_OTHERS, theirs[-1], exchange, expected=expected)
            else:
                yield judged("lookup.existing-version-is-found", fits, exchange, expected=expected)


def _plain_answers(ref: str, history: History) -> Iterator[Exchange]:
    operations = set(messages.ABOUT_A_VERSION)
    if parts(ref)[0] == _LISTING_NAMESPACE:
        operations.remove("getTemplate")
    return (e for e in answered_about(ref, history, *operations) if spelling(e, history.contract) == "plain")


def _missing_claim(exchange: Exchange, history: History) -> str:
    namespace, name, _ = parts(exchange.ref or "")
    known = {parts(content.ref)[:2] for content in history.all_contents() if content.owner == exchange.credential}
    if (namespace, name) in known:
        return answer("getBuild", "missing").claim
    if namespace == "default" or any(namespace == other for other, _ in known):
        return "lookup.unknown-name-is-404"
    return "lookup.unknown-namespace-is-404"


def _is_fair(exchange: Exchange, history: History) -> bool:
    """Whether the status is correct: it has another reason than the odd path, or the server normalised the path."""
    if exchange.status in {401, 403} or exchange.status in excused(exchange, history.contract):
        return True
    if any(e.operation == "publishTemplate" and e.body.get("ref") == exchange.ref for e in history.exchanges):
        return True  # a server that accepts such a name also finds it; judged by publish.invalid-is-422
    usual = history.contract.match(exchange.request.method, messages.tidied(exchange))
    misshapen = spelling(exchange, history.contract) == "misshapen"
    return misshapen and exchange.status in SUCCESS and usual is not None


@story_rule("owned.status", "status.answers-200")
def status_answers_200(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the owner of an existing version gets a 200 for each status read."""
    row = answer("getBuild", "ready")
    for exchange in _by_owner("getBuild", ref, history):
        yield judged_code(row, exchange)


@story_rule("owned.template", "template.read-shows-the-published")
def template_read(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the owner's read of a template gets a 200 with ref, digest and document as published."""
    row = answer("getTemplate", "ready")
    for exchange in _by_owner("getTemplate", ref, history):
        if exchange.status not in row.may:
            yield judged_code(row, exchange)
        elif not messages.garbled(exchange):
            expected, actual = "ref, digest and document as published", document_problem(exchange, ref, history)
            yield judged(row.claim, not actual, exchange, expected=expected, actual=actual)


@story_rule("owned.delete", "template.delete-says-deleted")
def delete_refused(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that an owner's delete is not refused. Other rules judge a 404, and the body of a success."""
    timeline = history.once(Timeline, ref)
    for exchange in _by_owner("deleteTemplate", ref, history):
        row = answer("deleteTemplate", "ready" if timeline.over(exchange) else "building")
        if exchange.status >= 300 and exchange.status not in {404, *row.may}:
            yield judged_code(row, exchange)


def _by_owner(operation: str, ref: str, history: History) -> Iterator[Exchange]:
    """Yields requests by the owner of *ref*, but not by an owner below Scale, who may see less (ambiguity 7.22)."""
    for exchange in answered_about(ref, history, operation):
        judged_elsewhere = exchange.credential == "restricted" or exchange.status == 401
        if not judged_elsewhere and is_usual(exchange, history.contract) and standing(exchange, history) == "own":
            yield exchange
