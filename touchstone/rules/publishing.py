"""Judges digests and publishes: a version keeps its digest until a publish replaces its document.

Different documents have different digests, and equal digests share a snapshot. What a publish may do depends on the
document that the version had before. Most rules on publishes judge nothing if publishes or deletes overlapped or
failed, or if several accounts use the name.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from touchstone.contract.answers import answer
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.events import names
from touchstone.rules.history import Content, History
from touchstone.rules.messages import SUCCESS, judgeable
from touchstone.rules.rule import broken, describe, held, judged, judged_code, render, story_rule, unclear
from touchstone.rules.timeline import Timeline, acted_by, begins, may_have_acted, owned

_STARTS, _ONLY_ON_REQUEST = "publish.auto-build-starts", "publish.auto-build-only-when-asked"
_IDENTICAL, _SPELLING = "publish.republish-identical-is-accepted", "digest.ignores-spelling"
_PUBLISHED, _STABLE, _FOLLOWS = "digest.is-the-published-one", "digest.is-stable", "digest.follows-content"
_CONFLICT, _REFUSED = "publish.conflict-keeps-content", "auth.refused-changes-nothing"


class Shelf:
    """The publishes and deletes of one version, and the owner's responses that show its document."""

    def __init__(self, ref: str, history: History) -> None:
        story = sorted(history.story(ref), key=lambda e: (e.sent_at, e.seq))
        self.publishes = tuple(e for e in story if e.operation == "publishTemplate" and e.request.method == "POST")
        self.answers = tuple(e for e in story if _shows(e) and owned(e, history))
        self._changes = tuple(_changes(story))
        self.contents = tuple(e for e in self._changes if e.status in SUCCESS and "content" in e.note)
        self._one_owner = len({e.credential for e in self._changes}) <= 1 and ref not in history.given
        self._stood_at_answers = [(answer, self.standing(answer)) for answer in self.answers]

    def standing(self, exchange: Exchange) -> Exchange | None:
        """Returns the last publish before *exchange* if its document surely lasted until the response, else None."""
        last = self._last_change(exchange)
        return last if last and last.operation == "publishTemplate" and "content" in last.note else None

    def replaces(self, publish: Exchange) -> Exchange | None:
        """Returns the earlier publish by the same account, if *publish* would replace its document, else None."""
        before = self.standing(publish)
        return before if before and before.credential == publish.credential else None

    def is_first(self, exchange: Exchange) -> bool:
        """Whether the version cannot have existed before *exchange*."""
        others = (change for change in self._changes if change is not exchange)
        return self._one_owner and not any(change.sent_at < exchange.done_at for change in others)

    def deleted_before(self, publish: Exchange) -> Exchange | None:
        """Returns the owner's delete if *publish* is the first publish after it, else None."""
        last = self._last_change(publish)
        return last if last and last.operation == "deleteTemplate" and last.status in SUCCESS else None

    def deleted_beside(self, one: Exchange, other: Exchange) -> bool:
        """Whether a delete can have taken effect during one of two exchanges."""
        deletes = (change for change in self._changes if change.operation == "deleteTemplate")
        return any(_touches(delete, one) or _touches(delete, other) for delete in deletes)

    def answers_since(self, publish: Exchange) -> tuple[Exchange, ...]:
        """Returns the owner's responses during which the document of *publish* was surely current, in order."""
        return tuple(answer for answer, stood in self._stood_at_answers if stood is publish)

    def refused_between(self, publish: Exchange, answer: Exchange) -> list[Exchange]:
        """Returns the publishes between *publish* and *answer* that were refused and had another document."""
        between = (e for e in self.publishes if publish.done_at <= e.sent_at < answer.done_at and 400 <= e.status < 500)
        return [e for e in between if e.note.get("content") not in {None, publish.note["content"]}]

    def _last_change(self, exchange: Exchange) -> Exchange | None:
        """Returns the last publish or delete before *exchange*; None if another one may have taken effect later."""
        others = [change for change in self._changes if change is not exchange and change.sent_at < exchange.done_at]
        if not others or not self._one_owner or any(_touches(change, exchange) for change in others):
            return None
        last = max(others, key=lambda change: change.done_at)
        return None if any(_touches(change, last) for change in others if change is not last) else last


def _changes(story: list[Exchange]) -> Iterator[Exchange]:
    """Yields publishes and deletes that can have taken effect, even a delete with a 404 right after a publish."""
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
    """Returns the digest in a response, or an empty string."""
    digest = exchange.body.get("digest")
    return digest if isinstance(digest, str) else ""


def document_of(exchange: Exchange) -> Any:
    """Returns the document in a template read, or None."""
    return exchange.body.get("template") if exchange.operation == "getTemplate" else None


def replaced(shelf: Shelf, before: Exchange, publish: Exchange) -> bool | None:
    """Whether reads show that *publish* replaced the document of the publish *before*; None if no read decides that."""
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
    about = exchange.operation in ("startBuild", "getBuild", "getTemplate")
    shows = about and exchange.request.method in {"GET", "POST"}
    return shows and exchange.status in SUCCESS and not exchange.error and bool(digest_of(exchange))


def _touches(change: Exchange, exchange: Exchange) -> bool:
    # If a delete with status 404 took effect, it did so before its response.
    acted_at = change.done_at if change.status == 404 else acted_by(change)
    return change.sent_at < exchange.done_at and acted_at > exchange.sent_at


@story_rule("digests.same", _PUBLISHED, _STABLE, _CONFLICT, _REFUSED)
def one_digest(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that responses show the digest that the publish returned until the document is replaced."""
    shelf = history.once(Shelf, ref)
    for publish in shelf.contents:
        for number in range(len(shelf.answers_since(publish))):
            yield from _against_published(history, shelf, publish, number)
    if ref in history.given:
        yield from _given(shelf)


@story_rule("digests.different", _FOLLOWS)
def follows_content(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that different documents have different digests, apart from name and version (ambiguity 7.3)."""
    publishes = history.overall(_publishes)
    for content in (c for c in history.contents(ref) if c.published_seq in publishes):
        publish = publishes[content.published_seq]
        alike = (c for c in history.sharing(content) if c.digest == content.digest and _differ(c, content))
        same = {c.published_seq: publishes[c.published_seq] for c in alike if c.published_seq in publishes}
        same = {seq: other for seq, other in same.items() if _both_stood(other, publish, history)}
        if same:
            pair = sorted((same[min(same)], publish), key=lambda e: e.seq)
            actual = f"{content.digest} for {pair[0].ref} and for {pair[1].ref}, whose contents differ"
            yield broken(_FOLLOWS, *pair, expected="different digests for different content", actual=actual)
        elif any(c.published_seq in publishes and _differ(c, content) for c in history.all_contents()):
            yield held(_FOLLOWS, publish)


def _publishes(history: History) -> dict[int, Exchange]:
    return {e.seq: e for e in history.exchanges if e.operation == "publishTemplate" and digest_of(e)}


@story_rule("digests.shared", "reuse.same-digest-elsewhere", "reuse.is-flagged")
def shared_golden(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a start reuses the snapshot if another version with this digest is ready in the same account."""
    starts = (e for e in history.story(ref) if e.operation == "startBuild" and e.status in SUCCESS and e.body)
    for start in (e for e in starts if owned(e, history)):
        content = history.content(ref, start.sent_at)
        read = _ready_elsewhere(content, start, history) if content and content.until_at >= start.done_at else None
        if read is None:
            continue
        ready = start.body.get("status") == "ready"
        expected = "status ready: another version with this digest is ready"
        yield judged("reuse.same-digest-elsewhere", ready, read, start, expected=expected)
        if ready:
            yield judged("reuse.is-flagged", start.body.get("reused") is True, read, start, expected="reused true")


def _against_published(history: History, shelf: Shelf, publish: Exchange, number: int) -> Iterator[Judgement]:
    answers = shelf.answers_since(publish)
    answer, earlier, later = answers[number], answers[:number], answers[number + 1 :]
    before = next((e for e in reversed(earlier) if e.operation == answer.operation), None)
    published, found = digest_of(publish), digest_of(answer)
    # A publish by another account under this name creates a separate version.
    ours = REFUSED_CREDENTIALS | {publish.credential}
    refused = [e for e in shelf.refused_between(publish, answer) if e.credential in ours]
    if stored := next((e for e in reversed(refused) if _shows_refused(answer, e, publish)), None):
        expected, actual = "the published document", f"the document of a publish with status {stored.status}"
        yield broken(_claim_of(stored), publish, stored, answer, expected=expected, actual=actual)
        return
    # A refused publish is no longer suspected once a later response shows the published digest.
    suspects = refused and not any(a.sent_at >= refused[-1].done_at and digest_of(a) == published for a in earlier)
    # Nor if the content from before comes back: then *answer* alone is wrong. Nor if publishes return wrong digests.
    suspects = suspects and not any(_is_as_before(each, before or publish) for each in later)
    suspects = suspects and (before is not None or not history.overall(_differs_anyway))
    if suspects and (blame := _changed_by(refused, publish, answer, before)):
        yield blame
        return
    if before and digest_of(before) != found:
        expected = "the same digest until the content is replaced"
        yield broken(_STABLE, before, answer, expected=expected, actual=f"{found}, earlier {digest_of(before)}")
        return
    if before:
        yield held(_STABLE, before, answer)
    if published and found == published:
        yield held(_PUBLISHED, publish, answer)
        yield from _kept([e for e in refused if not earlier or e.done_at > earlier[-1].sent_at], publish, answer)
    elif published and not before and not suspects:
        replaces = shelf.standing(publish)
        of_replaced = replaces and publish.note.get("force") and found == digest_of(replaces)
        if replaces and of_replaced and replaced(shelf, replaces, publish) is not True:
            return  # judged by publish.force-replaces
        actual = f"{found}; the publish returned {published}"
        yield broken(_PUBLISHED, publish, answer, expected="the digest in the response to the publish", actual=actual)


def _differs_anyway(history: History) -> bool:
    """Whether any response showed another digest than the publish returned, without a refused publish in between."""
    shelves = [history.once(Shelf, ref) for ref in {content.ref for content in history.all_contents()}]
    shown = ((s, publish, a) for s in shelves for publish in s.contents for a in s.answers_since(publish))
    wrong = (each for each in shown if digest_of(each[1]) not in {"", digest_of(each[2])})
    return any(not shelf.refused_between(publish, answer) for shelf, publish, answer in wrong)


def _changed_by(
    refused: list[Exchange], publish: Exchange, answer: Exchange, before: Exchange | None
) -> Judgement | None:
    """Returns the judgement that a refused publish changed the document; None if it did not or that is uncertain."""
    last, earlier = refused[-1], before or publish
    changed = digest_of(answer) != digest_of(earlier) or (before and document_of(answer) != document_of(before))
    if not changed or not digest_of(earlier) or (before and before.sent_at >= last.done_at):
        return None
    expected = "the content from before the refused publish"
    actual = f"digest {digest_of(answer)}, earlier {digest_of(earlier)}"
    return broken(_claim_of(last), last, answer, expected=expected, actual=actual)


def _is_as_before(answer: Exchange, before: Exchange) -> bool:
    """Whether *answer* shows the content that *before*, an earlier response or the publish, shows."""
    alike = before.operation in (answer.operation, "publishTemplate") and digest_of(answer) == digest_of(before)
    return alike and (before.operation == "publishTemplate" or document_of(answer) == document_of(before))


def _shows_refused(answer: Exchange, refused: Exchange, publish: Exchange) -> bool:
    new, old = refused.note.get("marker"), publish.note.get("marker")
    if document_of(answer) is None or not new or not old:
        return False
    document = json.dumps(document_of(answer))
    return names(document, new) > 0 and not names(document, old)


def _kept(refused: list[Exchange], publish: Exchange, answer: Exchange) -> Iterator[Judgement]:
    for request in refused:
        # Without force, another document is not stored anyway, whether the key is valid or not.
        if request.status == 409 or request.note.get("force"):
            yield held(_claim_of(request), publish, request, answer)


def _claim_of(refused: Exchange) -> str:
    return _CONFLICT if refused.status == 409 else _REFUSED


def _given(shelf: Shelf) -> Iterator[Judgement]:
    last: dict[str, Exchange] = {}
    for exchange in shelf.answers:
        if before := last.get(exchange.operation):
            same = digest_of(before) == digest_of(exchange)
            actual = f"{digest_of(exchange)}, earlier {digest_of(before)}"
            yield judged(_STABLE, same, before, exchange, expected="the same digest in each response", actual=actual)
        last[exchange.operation] = exchange


def _differ(one: Content, other: Content) -> bool:
    if one.ref == other.ref and one.owner == other.owner:
        return one.key != other.key
    return bool(one.marker and other.marker) and one.marker != other.marker


def _both_stood(one: Exchange, other: Exchange, history: History) -> bool:
    """Whether both publishes surely stored their documents. A server may accept and ignore one without force."""
    if one.ref != other.ref or one.ref is None:
        return True
    before, after = sorted((one, other), key=lambda e: e.seq)
    shelf = history.once(Shelf, one.ref)
    if shelf.replaces(before) and not before.note.get("force"):
        return False
    return bool(after.note.get("force")) and replaced(shelf, before, after) is not False


def _ready_elsewhere(content: Content, start: Exchange, history: History) -> Exchange | None:
    """Returns a read before *start* in which another version with this digest and owner is ready, or None."""
    for other in history.sharing(content):
        same = other.digest == content.digest and other.owner == content.owner and other.ref != content.ref
        if not content.digest or not same or other.until_at < start.done_at:
            continue
        for read in history.once(Timeline, other.ref).reads:
            if other.sure_at <= read.sent_at and read.done_at <= start.sent_at and read.body["status"] == "ready":
                return read
    return None


@story_rule("publishing.new", "publish.answers-201")
def new_version(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a publish gets 201 or 200 (ambiguity 7.37) if the version is new or was deleted without a build."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        delete = shelf.deleted_before(publish)
        if shelf.is_first(publish) or (delete and timeline.over(delete)):
            yield judged_code(answer("publishTemplate", "new"), *((delete, publish) if delete else (publish,)))


@story_rule("publishing.identical", _IDENTICAL, _SPELLING, _STABLE)
def identical_content(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a publish of the same document, even in another form, is accepted and keeps the digest."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        before = shelf.replaces(publish)
        if before is None or {e.note["content"] for e in _held(shelf, before)} != {publish.note["content"]}:
            continue
        if _forced_while_building(publish, timeline):
            yield unclear(_IDENTICAL, before, publish, why="a build may have run")
            continue
        respelt = publish.note.get("form") != before.note.get("form")
        if publish.status in SUCCESS:
            yield held(_IDENTICAL, before, publish)
            old, new = digest_of(before), digest_of(publish)
            if old and new:
                claim, expected = _SPELLING if respelt else _STABLE, "the same digest for the same content"
                yield judged(claim, old == new, before, publish, expected=expected, actual=f"{new}, earlier {old}")
        elif respelt and publish.status == 409 and (others := _republished(history)) != {True}:
            if others:
                yield broken(_SPELLING, before, publish, expected="no conflict: the content is the same")
        else:
            yield broken(_IDENTICAL, before, publish, expected=answer("publishTemplate", "identical").codes)


@story_rule("publishing.other", "publish.other-content-is-409", "publish.force-replaces")
def other_content(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a publish of another document gets a 409 without force, and replaces the document with force."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        before = shelf.replaces(publish)
        if before is None or publish.note["content"] in {e.note["content"] for e in _held(shelf, before)}:
            continue
        if _forced_while_building(publish, timeline):
            yield unclear("publish.force-replaces", before, publish, why="a build may have run")
        elif not publish.note.get("force"):
            if publish.status in SUCCESS and _is_inconclusive(digest_of(publish), publish, history):
                continue
            yield judged_code(answer("publishTemplate", "other"), before, publish)
        elif publish.status not in SUCCESS:
            yield broken("publish.force-replaces", before, publish, expected=answer("publishTemplate", "forced").codes)
        else:
            yield from _replaced(shelf, before, publish)


@story_rule("publishing.at-once", _IDENTICAL)
def simultaneous_copies(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that publishes of the same document do not conflict if they overlap or one had no response."""
    publishes = history.once(Shelf, ref).publishes
    contents = {publish.note.get("content") for publish in publishes}
    if len(contents) != 1 or None in contents:
        return
    answered = [e for e in publishes if e.status in {409, *SUCCESS} and not e.note.get("force")]
    after_lost = (
        (one, other) for one in publishes if one.response is None for other in answered if other.seq > one.seq
    )
    for one, other in (*_accepted_at_once(publishes), *after_lost):
        if one.note.get("form") == other.note.get("form"):
            refused = 409 in {one.status, other.status}
            evidence = sorted((one, other), key=lambda e: (e.status == 409, e.seq))
            expected, actual = "201 or 200 for both", f"{describe(one)} and {describe(other)}"
            yield judged(_IDENTICAL, not refused, *evidence, expected=expected, actual=actual)


@story_rule("publishing.together", "publish.other-content-is-409")
def simultaneous_contents(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that one of two overlapping publishes without force gets a 409 if their documents differ."""
    shelf = history.once(Shelf, ref)
    for one, other in _accepted_at_once(publish for publish in _judged(shelf) if not publish.note.get("force")):
        refused = 409 in {one.status, other.status}
        same_digest = not refused and digest_of(one) == digest_of(other)
        if one.note["content"] == other.note["content"] or one.credential != other.credential or same_digest:
            continue
        if refused or not shelf.deleted_beside(one, other):
            actual = f"{describe(one)} and {describe(other)}"
            evidence, expected = sorted((one, other), key=lambda e: e.seq), "409 for one of them"
            yield judged("publish.other-content-is-409", refused, *evidence, expected=expected, actual=actual)


@story_rule("publishing.auto-build", _STARTS, _ONLY_ON_REQUEST)
def auto_build(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a publish starts a build if, and only if, it has auto_build."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        if publish.status not in SUCCESS:
            continue
        if publish.note.get("auto_build"):
            yield from _builds(publish, timeline)
        else:
            yield from _does_not_build(publish, shelf, timeline, history)


def _judged(shelf: Shelf) -> Iterator[Exchange]:
    """Yields the publishes of valid documents by accounts that may publish. Other claims cover 401, 429 and 5xx."""
    for publish in shelf.publishes:
        right = "content" in publish.note and "invalid" not in publish.note
        allowed = publish.credential in {"primary", "second"} and publish.status != 401
        if right and allowed and judgeable(publish) and publish.status < 500:
            yield publish


def _accepted_at_once(publishes: Iterable[Exchange]) -> Iterator[tuple[Exchange, Exchange]]:
    """Yields pairs of overlapping publishes in which one is accepted, and the other is accepted or gets a 409."""
    for one, other in combinations(publishes, 2):
        together = one.overlaps(other)
        accepted = any(e.status in SUCCESS for e in (one, other))
        if together and accepted and all(e.status in SUCCESS or e.status == 409 for e in (one, other)):
            yield one, other


def _forced_while_building(publish: Exchange, timeline: Timeline) -> bool:
    """Whether a 409 despite force may be due to a running build, a case that is not documented (ambiguity 7.42)."""
    conflict = publish.status == 409 and bool(publish.note.get("force"))
    return conflict and not timeline.idle(publish.sent_at, publish.done_at)


def _held(shelf: Shelf, publish: Exchange) -> Iterator[Exchange]:
    """Yields *publish* and, if the server may have ignored it, earlier publishes that may still be current."""
    yield publish
    before = shelf.replaces(publish)
    if before is None or before.note["content"] == publish.note["content"]:
        return
    if not publish.note.get("force") or replaced(shelf, before, publish) is False:
        yield from _held(shelf, before)


def _republished(history: History) -> set[bool]:
    """Returns the set of outcomes of identical publishes: True if one got a 409, False if one did not."""
    answers = set()
    for ref in {e.ref for e in history.exchanges if e.operation == "publishTemplate" and e.ref}:
        shelf = history.once(Shelf, ref)
        for publish in _judged(shelf):
            before = shelf.replaces(publish)
            is_alike = before and all(before.note.get(key) == publish.note.get(key) for key in ("content", "form"))
            if is_alike and not publish.note.get("force"):
                answers.add(publish.status == 409)
    return answers


def _is_inconclusive(digest: str, publish: Exchange, history: History) -> bool:
    """Whether another document has this digest, so that the server cannot tell the two documents apart."""
    markers = (c.marker for c in history.all_contents() if digest and c.digest == digest and c.ref != publish.ref)
    return any(marker and marker != publish.note.get("marker") for marker in markers)


def _replaced(shelf: Shelf, before: Exchange, publish: Exchange) -> Iterator[Judgement]:
    outcome = replaced(shelf, before, publish)
    reads = [answer for answer in shelf.answers_since(publish) if answer.operation != "startBuild"]
    if outcome is None or not reads:
        return
    answer = next((a for a in reads if document_of(a) is not None), reads[0])
    actual = f"the earlier content, digest {digest_of(answer)}"
    yield judged("publish.force-replaces", outcome, publish, answer, expected="the new content", actual=actual)


def _builds(publish: Exchange, timeline: Timeline) -> Iterator[Judgement]:
    answer = publish.body.get("auto_build")
    if publish.body and "auto_build" not in publish.body:
        yield broken(_STARTS, publish, expected="auto_build with the status of the build")
        return
    if not isinstance(answer, str):
        return  # judged by publish.body-is-documented
    # If a limit refuses the build, the text in auto_build is undocumented (ambiguities 7.40 and 7.41).
    if answer not in {"building", "ready"}:
        yield unclear(_STARTS, publish, why=f"auto_build {render(answer)} reports no build")
        return
    read = timeline.read_after(publish.done_at)
    if read is None or timeline.content(publish.done_at, read.done_at) is None:
        return
    if not any(c.sent_at < read.done_at and c.done_at > publish.sent_at for c in timeline.cancels):
        status, expected = read.body["status"], "status building, ready or failed"
        actual = f"status {render(status)}"
        yield judged(_STARTS, status != "not_built", publish, read, expected=expected, actual=actual)


def _does_not_build(publish: Exchange, shelf: Shelf, timeline: Timeline, history: History) -> Iterator[Judgement]:
    answer = publish.body.get("auto_build")
    if answer is not None:
        actual = f"auto_build {render(answer)}"
        yield broken(_ONLY_ON_REQUEST, publish, expected="no auto_build in the response", actual=actual)
        return
    read = timeline.read_after(publish.done_at)
    if read is None or not shelf.is_first(publish) or timeline.content(publish.done_at, read.done_at) is None:
        return
    # A refused start may have begun a build, too; other claims cover that.
    before = [e for e in history.story(publish.ref or "") if e.sent_at < read.done_at]
    if not any(e.operation == "startBuild" or begins(e) for e in before):
        status = read.body["status"]
        if status == "failed":
            return  # judged by status.unbuilt-is-not-built
        actual = f"status {render(status)} without a start"
        yield judged(_ONLY_ON_REQUEST, status == "not_built", publish, read, expected="status not_built", actual=actual)
