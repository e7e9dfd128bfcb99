"""Judges that a version keeps its digest, different documents have different ones, and equal ones share a snapshot."""

import json
from collections.abc import Iterator

from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.eventlog import names
from touchstone.rules.history import Content, History
from touchstone.rules.messages import SUCCESS
from touchstone.rules.publishing import Shelf, digest_of, document_of, replaced
from touchstone.rules.rule import broken, held, judged, story_rule
from touchstone.rules.timeline import Timeline, owned

_PUBLISHED, _STABLE = "digest.is-the-published-one", "digest.is-stable"
_CONFLICT = "publish.conflict-keeps-content"
_FOLLOWS = "digest.follows-content"
_REFUSED = "auth.refused-changes-nothing"


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
    """Judges that different documents have different digests.

    The documentation does not say whether the name and the version change the digest (ambiguity 7.3).
    """
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
    if stored := next((e for e in reversed(refused) if _shows(answer, e, publish)), None):
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
            return  # judged in `publishing.py`
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


def _shows(answer: Exchange, refused: Exchange, publish: Exchange) -> bool:
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
    for answer in shelf.answers:
        if before := last.get(answer.operation):
            same = digest_of(before) == digest_of(answer)
            actual = f"{digest_of(answer)}, earlier {digest_of(before)}"
            yield judged(_STABLE, same, before, answer, expected="the same digest in each response", actual=actual)
        last[answer.operation] = answer


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
