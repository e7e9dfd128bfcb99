"""Judges publishing: what each publish is answered, by what the version held before, and what it changed."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.messages import SUCCESS, judgeable
from touchstone.rules.ownership import Shelf, digest_of, document_of, replaced
from touchstone.rules.rule import broken, describe, held, judged, render, story_rule, unclear
from touchstone.rules.timeline import Timeline, begins

_STARTS, _ONLY_WHEN_ASKED = "publish.auto-build-starts", "publish.auto-build-only-when-asked"
_IDENTICAL, _SPELLING = "publish.republish-identical-is-accepted", "digest.ignores-spelling"


@story_rule("publishing.new", "publish.answers-201")
def new_version(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the answer to the first publish of a version, and to the first one after it was deleted at rest.

    Facts 7.37: 200 is seen as well.
    """
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        delete = shelf.deleted_before(publish)
        if shelf.is_first(publish) or (delete and timeline.over(delete)):
            evidence = (delete, publish) if delete else (publish,)
            fits = publish.status in {200, 201}
            yield judged("publish.answers-201", fits, *evidence, expected="201", actual=describe(publish))


@story_rule("publishing.identical", _IDENTICAL, _SPELLING, "digest.is-stable")
def identical_content(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the publish of what is there already, written down in the same way or in another."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        before = shelf.replaces(publish)
        if before is None or {e.note["content"] for e in _held(shelf, before)} != {publish.note["content"]}:
            continue
        if _forced_while_building(publish, timeline):
            yield unclear(_IDENTICAL, before, publish, why="a build may have been running")
            continue
        respelt = publish.note.get("form") != before.note.get("form")
        if publish.status in SUCCESS:
            yield held(_IDENTICAL, before, publish)
            yield from _same_digest(before, publish, _SPELLING if respelt else "digest.is-stable")
        elif respelt and publish.status == 409 and (others := _republished(history)) != {True}:
            if others:
                expected = "no conflict with the same content"
                yield broken(_SPELLING, before, publish, expected=expected)
        else:
            yield broken(_IDENTICAL, before, publish, expected="201 or 200")


@story_rule("publishing.other", "publish.other-content-is-409", "publish.force-replaces")
def other_content(ref: str, history: History) -> Iterator[Judgement]:
    """Judges the publish of other content than the version holds, without and with force."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        before = shelf.replaces(publish)
        if before is None or publish.note["content"] in {e.note["content"] for e in _held(shelf, before)}:
            continue
        if _forced_while_building(publish, timeline):
            yield unclear("publish.force-replaces", before, publish, why="a build may have been running")
        elif not publish.note.get("force"):
            if publish.status in SUCCESS and _tells_nothing(digest_of(publish), publish, history):
                continue
            fits = publish.status == 409
            yield judged("publish.other-content-is-409", fits, before, publish, expected="409")
        elif publish.status not in SUCCESS:
            yield broken("publish.force-replaces", before, publish, expected="201 or 200")
        else:
            yield from _replaced(shelf, before, publish)


@story_rule("publishing.at-once", _IDENTICAL)
def simultaneous_copies(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that what is published several times at once, and by nobody otherwise, is in conflict with nothing."""
    publishes = history.once(Shelf, ref).publishes
    contents = {publish.note.get("content") for publish in publishes}
    if len(contents) != 1 or None in contents:
        return
    for one, other in _accepted_at_once(publishes):
        if one.note.get("form") == other.note.get("form"):
            refused = 409 in {one.status, other.status}
            evidence = sorted((one, other), key=lambda e: (e.status == 409, e.seq))
            expected, actual = "201 or 200 for both", f"{describe(one)} and {describe(other)}"
            yield judged(_IDENTICAL, not refused, *evidence, expected=expected, actual=actual)


@story_rule("publishing.together", "publish.other-content-is-409")
def simultaneous_contents(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that of two contents that are published as one version at the same time, without force, one is refused."""
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


@story_rule("publishing.auto-build", _STARTS, _ONLY_WHEN_ASKED)
def auto_build(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a publish builds where that is asked for, and nowhere else."""
    shelf, timeline = history.once(Shelf, ref), history.once(Timeline, ref)
    for publish in _judged(shelf):
        if publish.status not in SUCCESS:
            continue
        if publish.note.get("auto_build"):
            yield from _builds(publish, timeline)
        else:
            yield from _does_not_build(publish, shelf, timeline, history)


def _judged(shelf: Shelf) -> Iterator[Exchange]:
    """The publishes of documents that are right, by accounts that may publish, whose answers are about that."""
    for publish in shelf.publishes:
        right = "content" in publish.note and "invalid" not in publish.note
        allowed = publish.credential in {"primary", "second"} and publish.status != 401
        if right and allowed and judgeable(publish) and publish.status < 500:
            yield publish


def _accepted_at_once(publishes: Iterable[Exchange]) -> Iterator[tuple[Exchange, Exchange]]:
    """The pairs that overlap of which one is accepted, and the other one as well or in conflict."""
    for one, other in combinations(publishes, 2):
        together = one.sent_at < other.done_at and other.sent_at < one.done_at
        accepted = any(e.status in SUCCESS for e in (one, other))
        if together and accepted and all(e.status in SUCCESS or e.status == 409 for e in (one, other)):
            yield one, other


def _forced_while_building(publish: Exchange, timeline: Timeline) -> bool:
    """Whether a conflict may be about a running build. Facts 7.42: what force does to one is undocumented."""
    conflict = publish.status == 409 and bool(publish.note.get("force"))
    return conflict and not timeline.idle(publish.sent_at, publish.done_at)


def _same_digest(before: Exchange, publish: Exchange, claim: str) -> Iterator[Judgement]:
    old, new = digest_of(before), digest_of(publish)
    if old and new:
        expected = "the same digest for the same content"
        yield judged(claim, old == new, before, publish, expected=expected, actual=f"{new}, before {old}")


def _held(shelf: Shelf, publish: Exchange) -> Iterator[Exchange]:
    """What the version can hold after an accepted publish, by the publishes that put it there.

    Other content needs force, and may have been ignored without it, or with it where reads show that.
    """
    yield publish
    before = shelf.replaces(publish)
    if before is None or before.note["content"] == publish.note["content"]:
        return
    if not publish.note.get("force") or replaced(shelf, before, publish) is False:
        yield from _held(shelf, before)


def _republished(history: History) -> set[bool]:
    """Whether identical content that is written down in the same way is a conflict, as often as it was tried."""
    answers = set()
    for ref in {e.ref for e in history.exchanges if e.operation == "publishTemplate" and e.ref}:
        shelf = history.once(Shelf, ref)
        for publish in _judged(shelf):
            before = shelf.replaces(publish)
            if before and not publish.note.get("force") and _written(before) == _written(publish):
                answers.add(publish.status == 409)
    return answers


def _written(publish: Exchange) -> tuple[object, object]:
    return publish.note["content"], publish.note.get("form")


def _tells_nothing(digest: str, publish: Exchange, history: History) -> bool:
    """Whether other versions with other content have this digest too, so that the server cannot see other content."""
    markers = (c.marker for c in history.all_contents() if digest and c.digest == digest and c.ref != publish.ref)
    return any(marker and marker != publish.note.get("marker") for marker in markers)


def _replaced(shelf: Shelf, before: Exchange, publish: Exchange) -> Iterator[Judgement]:
    outcome = replaced(shelf, before, publish)
    shown_now = [answer for answer in shelf.answers_since(publish) if answer.operation != "startBuild"]
    if outcome is None or not shown_now:
        return
    answer = next((a for a in shown_now if document_of(a) is not None), shown_now[0])
    actual = f"what was there before, digest {digest_of(answer)}"
    yield judged("publish.force-replaces", outcome, publish, answer, expected="the new content", actual=actual)


def _builds(publish: Exchange, timeline: Timeline) -> Iterator[Judgement]:
    answer = publish.body.get("auto_build")
    if not publish.body:
        return
    if "auto_build" not in publish.body:
        expected = "auto_build with the status of the build"
        yield broken(_STARTS, publish, expected=expected)
        return
    if not isinstance(answer, str):
        return  # A value of another type tells nothing; publish.body-is-documented tells this.
    # Facts 7.40, 7.41: a build that a limit refuses may be told in any words.
    if answer not in {"building", "ready"}:
        yield unclear(_STARTS, publish, why=f"auto_build is {render(answer)}, which does not claim a build")
        return
    read = next((r for r in timeline.reads if r.sent_at >= publish.done_at), None)
    if read is None or timeline.content(publish.done_at, read.done_at) is None:
        return
    if not any(c.sent_at < read.done_at and c.done_at > publish.sent_at for c in timeline.cancels):
        status = read.body["status"]
        expected = "status building, ready or failed"
        yield judged(
            _STARTS, status != "not_built", publish, read, expected=expected, actual=f"status {render(status)}"
        )


def _does_not_build(publish: Exchange, shelf: Shelf, timeline: Timeline, history: History) -> Iterator[Judgement]:
    answer = publish.body.get("auto_build")
    if answer is not None:
        actual = f"auto_build {render(answer)}"
        yield broken(_ONLY_WHEN_ASKED, publish, expected="no auto_build in the answer", actual=actual)
        return
    read = next((r for r in timeline.reads if r.sent_at >= publish.done_at), None)
    if read is None or not shelf.is_first(publish) or timeline.content(publish.done_at, read.done_at) is None:
        return
    # Also a start that was refused may have begun a build, against what other claims say.
    before = [e for e in history.story(publish.ref or "") if e.sent_at < read.done_at]
    if not any(e.operation == "startBuild" or begins(e) for e in before):
        status = read.body["status"]
        if status == "failed":
            return  # What nobody built is not told as a success either: status.unbuilt-is-not-built tells this.
        actual = f"status {render(status)} before anybody started a build"
        yield judged(_ONLY_WHEN_ASKED, status == "not_built", publish, read, expected="status not_built", actual=actual)
