"""Decides which claim to blame if a read shows an impossible status, or if a refused request took effect.

The most specific claim that fits is blamed. Example: a build began after a refused start, so the claim about refused
starts is blamed. If builds also begin when nobody sent a start, a general claim is blamed instead. Later
responses to the owner of the version show whether a refused request took effect.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate, pairwise
from statistics import median

from touchstone.contract.answers import AT_REST, FINISHED, State, answer, statuses
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.events import follows, log_of, phase_of
from touchstone.rules.history import EXCHANGING, Content, History
from touchstone.rules.messages import SUCCESS
from touchstone.rules.possible_states import CLOCK_SHARE, NEVER_AT, UNDER_WAY, Build, Walk, cancels_of_others
from touchstone.rules.rule import broken, judged, story_rule
from touchstone.rules.timeline import is_read, may_have_acted, owned, reports_building

_HARMLESS = frozenset({"getBuild", "getTemplate", "streamBuildEvents"})


def begins_anyway(history: History) -> bool:
    """Whether a version began to build by itself, after its publish or between reads, without even a refused start."""
    return any(_begins_unstarted(content, history) for content in history.overall(_of_one_account)) or any(
        one.body["status"] == "not_built"
        and other.body["status"] in ("building", "ready")
        and not any(e.operation == "startBuild" and 400 <= e.status < 500 for e in _before(other, history))
        for one, other in history.overall(_left_alone)
    )


def _of_one_account(history: History) -> tuple[Content, ...]:
    """Returns the documents of the versions whose ref is used by one account only."""
    owners: dict[str, set[str]] = defaultdict(set)
    for content in history.all_contents():
        owners[content.ref].add(content.owner)
    return tuple(content for content in history.all_contents() if len(owners[content.ref]) == 1)


def _begins_unstarted(content: Content, history: History) -> bool:
    """Whether the first read of a new version shows a build, although no request but its publish can have begun one."""
    shared = any(other.ref != content.ref for other in history.sharing(content))
    for e in () if shared else history.story(content.ref):
        if is_read(e, history):
            return bool(content.published_seq) and e.body["status"] in ("building", "ready")
        starts = e.operation == "startBuild" or (e.operation == "publishTemplate" and e.note.get("auto_build"))
        if starts or (e.operation == "publishTemplate" and e.seq != content.published_seq):
            return False
    return False


def changes_anyway(history: History, besides: str) -> bool:
    """Whether a finished version other than *besides* changed its status although nobody tried to change it."""
    return any(
        one.body["status"] in FINISHED and other.body["status"] != one.body["status"] and one.ref != besides
        for one, other in history.overall(_left_alone)
    )


def vanishes_anyway(history: History) -> bool:
    """Whether a version went from building to not_built between two reads although nobody sent a cancel."""
    return any(
        (one.body["status"], other.body["status"]) == ("building", "not_built")
        and not any(e.operation == "cancelBuild" for e in _before(other, history))
        # A build that is cancelled is still building for a while.
        and not _was_cancel_sent(history, one.ref or "", one.sent_at - history.overall(settling_s), other.done_at)
        for one, other in history.overall(_left_alone)
    )


def fails_anyway(history: History) -> bool:
    """Whether a build had the wrong end although there was one start, and no cancel when it ended."""
    for content in history.overall(_of_one_account):
        if content.outcome == "unknown":
            continue
        began_at, begun_by = None, 0.0
        for exchange in history.story(content.ref):
            if exchange.operation == "cancelBuild" or (began_at is not None and exchange.operation == "startBuild"):
                break
            begins = exchange.operation == "startBuild" and exchange.status in SUCCESS
            if begins and exchange.sent_at >= content.sure_at:
                began_at, begun_by = exchange.sent_at, exchange.done_at
            elif began_at is not None and exchange.sent_at >= begun_by and is_read(exchange, history):
                if exchange.body["status"] == "building":
                    began_at = max(began_at, exchange.sent_at - history.overall(settling_s))
                    continue
                wrong = exchange.body["status"] != content.outcome and exchange.sent_at < content.until_at
                if wrong and not _was_cancel_sent(history, content.ref, began_at, exchange.done_at):
                    return True
                break
    return False


def settling_s(history: History) -> float:
    """Returns the usual time, in seconds, from a cancel until a read shows that the build no longer runs."""
    found = []
    for cancel in history.cancels:
        later = (e for e in history.story(cancel.ref or "") if e.sent_at >= cancel.done_at and is_read(e, history))
        rest = next((e for e in later if e.body["status"] in AT_REST), None)
        found += [rest.done_at - cancel.sent_at] if rest else []
    return median(found) if found else 0.0


def hurries_anyway(history: History) -> bool:
    """Whether any read showed a build ready before its steps can have run."""
    for content in history.all_contents():
        story = [e for e in history.story(content.ref) if content.sure_at <= e.sent_at < content.until_at]
        starts = [e for e in story if e.operation == "startBuild"]
        if not starts or not reports_building(starts[0]):
            continue
        least_at = starts[0].sent_at + content.sleep_s * CLOCK_SHARE
        if any(is_read(e, history) and e.body["status"] == "ready" and e.done_at < least_at for e in story):
            return True
    return False


def _left_alone(history: History) -> tuple[tuple[Exchange, Exchange], ...]:
    """Returns pairs of reads of a version. Between them, nobody tried to change it or to cancel other builds."""
    found = []
    for ref in {content.ref for content in history.all_contents()}:
        story = [e for e in history.story(ref) if e.operation not in _HARMLESS or is_read(e, history)]
        story.sort(key=lambda e: e.sent_at)
        # No request was sent between the two reads, but an earlier request may still have been open.
        lasted = accumulate((e.done_at for e in story), max, initial=float("-inf"))
        following = [e.sent_at for e in story[2:]] + [float("inf")]
        for (one, other), lasted_to_at, next_at in zip(pairwise(story), lasted, following, strict=False):
            if is_read(one, history) and is_read(other, history) and one.done_at <= other.sent_at:
                disturbed = lasted_to_at > one.sent_at or next_at < other.done_at
                if not disturbed and not any(cancels_of_others(ref, one.sent_at, other.done_at, history.cancels)):
                    found.append((one, other))
    return tuple(found)


def _before(exchange: Exchange, history: History) -> Iterator[Exchange]:
    return (e for e in history.story(exchange.ref or "") if e.sent_at < exchange.done_at)


def _was_cancel_sent(history: History, ref: str, since_at: float, until_at: float) -> bool:
    cancels = (e for e in history.exchanges if e.operation == "cancelBuild" and e.status in {202, 404})
    return any(cancels_of_others(ref, since_at, until_at, cancels))


STARTS = frozenset({"startBuild", "publishTemplate"})
CANCELS = frozenset({"cancelBuild", "deleteTemplate"})

_Blamed = tuple[str, tuple[Exchange, ...]]


def blame(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> Judgement:
    """Returns the judgement on a read that shows an impossible *status*: only the states *before* were possible."""
    claim, evidence = _blamed(walk, read, status, before)
    possible = " or ".join(sorted(statuses(before))) or "no possible status"
    return broken(claim, *evidence, read, expected=f"status {possible}", actual=f"status {status}")


def _blamed(walk: Walk, read: Exchange, status: str, before: frozenset[State]) -> _Blamed:
    last = (walk.last_read,) if walk.last_read else ()
    if status == "building" and walk.denied:
        return answer("cancelBuild", status).claim, (walk.denied,)
    if not before & UNDER_WAY and State.READY in before:
        # Only a cancel with status 404 says that the build was over; no read shows that.
        return _wrong_end(walk, read, status) if walk.denied and walk.build else _lost_golden(walk, read, last)
    if before == {State.FAILED}:
        anyway = changes_anyway(walk.history, walk.ref)
        suspect = None if anyway else _refusal(walk, STARTS) or _idle_cancel(walk)
        return suspect or (answer("getBuild", "failed").body, last)
    if State.BUILDING in before and walk.build:
        return _wrong_end(walk, read, status)
    if status == "not_built" and (start := _last_start(walk, read)):
        return "start.visible-to-next-read", (start,)
    if walk.cancel and status == "ready":
        return answer("getBuild", "cancelled").body, (walk.cancel,)
    return _began(walk, status, last)


def _began(walk: Walk, status: str, last: tuple[Exchange, ...]) -> _Blamed:
    """Returns the claim that is broken if the status became building or ready although no start was accepted."""
    # The server may have queued a start that got a 429 before the last read, and begun its build later.
    late = ("limit.refused-start-starts-nothing", (walk.refused_late[-1],)) if walk.refused_late else None
    suspect = None if begins_anyway(walk.history) else _refusal(walk, STARTS) or late
    if suspect and status in (("building",) if walk.settled else ("building", "ready")):
        return suspect
    if walk.settled:
        return answer("getBuild", "cancelled" if status == "ready" else "cancelling").body, last
    if walk.replaced and status == "ready" and not begins_anyway(walk.history):
        return "reuse.only-identical-digest", last
    if not last:
        return answer("getBuild", "not_built").body, ()
    return "status.changes-only-by-a-start", last


def _lost_golden(walk: Walk, read: Exchange, last: tuple[Exchange, ...]) -> _Blamed:
    if not changes_anyway(walk.history, walk.ref):
        suspects: list[_Blamed] = [(claim, (e,)) for claim, e in walk.refusals(CANCELS | STARTS).items()]
        if idle := _idle_cancel(walk):
            suspects.append(idle)
        seen = next((e for e in last if e.body.get("status") == "ready"), None)
        since = seen or (walk.build.start if walk.build else None)
        if since and (elsewhere := walk.cancelled_elsewhere(since.done_at, read.sent_at)):
            suspects.append((_ELSEWHERE, (elsewhere,)))
        outlasted = walk.history.overall(_outlasted)
        # What was often harmless is no explanation, except cancels: they may hit some versions only.
        suspects = [each for each in suspects if each[0] == _ELSEWHERE or outlasted[each[0]] < OFTEN]
        if suspects:
            return min(suspects, key=lambda suspect: (outlasted[suspect[0]], -suspect[1][-1].sent_at))
        if walk.build and walk.build.overlapped:
            return "start.concurrent-share-one-build", (walk.build.start, *last)
    return answer("getBuild", "ready").body, last


def _outlasted(history: History) -> Counter[str]:
    """Counts, by claim, what did not change the status of a ready version although a broken claim would explain it."""
    counts: Counter[str] = Counter()
    for ref in {content.ref for content in history.overall(_of_one_account)}:
        before: Exchange | None = None
        tried: set[str] = set()
        for e in history.story(ref):
            if is_read(e, history):
                change = (before.body["status"] if before else "", e.body["status"])
                counts[_DROPPED] += tried == {_KEPT_GOLDEN} and change == ("ready", "not_built")
                if before and change == ("ready", "ready"):
                    counts.update(tried)
                    counts[_ELSEWHERE] += any(cancels_of_others(ref, before.done_at, e.sent_at, history.cancels))
                before, tried = e, set()
            elif e.operation in CANCELS | STARTS and 400 <= e.status < 500:
                if e.credential in REFUSED_CREDENTIALS:
                    tried.add(REFUSED)
                elif not owned(e, history):
                    tried.add(FOREIGN)
                elif e.operation == "cancelBuild":
                    tried.add(_KEPT_GOLDEN)
                elif e.status == 429:
                    tried.add("limit.refused-start-starts-nothing")
    return counts


def _wrong_end(walk: Walk, read: Exchange, status: str) -> _Blamed:
    build = walk.build
    assert build
    evidence = (build.start,)
    first = walk.last_read is None or walk.last_read.sent_at < build.start.done_at
    if status == "ready":
        failing = walk.content is not None and walk.content.outcome == "failed"
        since_at = walk.content.from_at if walk.content else read.done_at
        if not failing and walk.earliest_end_at(since_at) <= read.done_at and begins_anyway(walk.history):
            claim = "status.changes-only-by-a-start" if walk.last_read else answer("getBuild", "not_built").body
            return claim, evidence
        return ("status.failing-template-ends-failed" if failing else "status.ready-after-its-steps"), evidence
    if status == "not_built" and walk.denied and walk.history.overall(_outlasted)[_DROPPED]:
        return _KEPT_GOLDEN, (build.start, walk.denied)
    conflicts = (e for e in walk.history.story(walk.ref) if e.status == 409 and e.sent_at < build.start.sent_at)
    swapped = status == "failed" and any(e.note.get("outcome") == "failed" for e in conflicts)
    if not swapped and not fails_anyway(walk.history):
        if suspect := _refusal(walk, CANCELS):
            return suspect
        if suspects := _suspects(walk, build, read):
            survived = walk.history.overall(_survived)
            return min(suspects, key=lambda suspect: survived[suspect[0]])
        since = build.start if first or walk.last_read is None else walk.last_read
        idle = (e for e in walk.history.exchanges if e.operation == "cancelBuild" and e.status == 404 and walk.owns(e))
        own = (e for e in idle if e.case == read.case)  # the case sends it to see if it hits other builds
        elsewhere = next(cancels_of_others(walk.ref, since.done_at, read.sent_at, own), None)
        if elsewhere and not _was_exchanged(walk, since.done_at, read) and not vanishes_anyway(walk.history):
            return "cancel.keeps-neighbours", (build.start, elsewhere)
    hidden = first and status in (build.before, "not_built") and not _was_cancelled_in_log(walk, build, read)
    if hidden and not vanishes_anyway(walk.history):
        return "start.visible-to-next-read", evidence
    vanished_claim = answer("getBuild", "building").body
    return (vanished_claim if status == "not_built" else "status.good-template-ends-ready"), evidence


def _was_cancelled_in_log(walk: Walk, build: Build, read: Exchange) -> bool:
    """Whether a log of the version's first build ended on a cancel before *read*: the build ran, and then vanished."""
    since_at, story = build.start.done_at, walk.history.story(walk.ref)
    logs = (log_of(e) for e in story if follows(e) and since_at <= e.sent_at and e.done_at <= read.sent_at)
    return not build.after_cancel and any(log and log.lines and phase_of(log.last) == "cancel" for log in logs)


OFTEN = 3
_ELSEWHERE, _AFTER_CANCEL = "cancel.keeps-neighbours", "cancel.next-build-completes"
_KEPT_GOLDEN, _DROPPED = "cancel.keeps-finished-golden", "dropped by idle cancels"
_OVERLAPPED, _JOINED = "start.concurrent-share-one-build", "start.while-building-is-harmless"


def _suspects(walk: Walk, build: Build, read: Exchange) -> list[_Blamed]:
    """Returns what happened to a build that may explain its wrong end, the most specific event first."""
    found: list[_Blamed] = []
    lasted_to_at = max(build.start.sent_at, walk.last_read.sent_at if walk.last_read else NEVER_AT)
    elsewhere = walk.cancelled_elsewhere(lasted_to_at, read.done_at)
    if not elsewhere and (walk.history.overall(_survived)[_ELSEWHERE] < OFTEN or not vanishes_anyway(walk.history)):
        # A cancelled build is still building for a while.
        before_at = max(build.start.sent_at, lasted_to_at - walk.history.overall(settling_s))
        elsewhere = walk.cancelled_elsewhere(before_at, read.done_at)
    if elsewhere and not _was_exchanged(walk, lasted_to_at, read):
        found.append((_ELSEWHERE, (build.start, elsewhere)))
    joined = build.joined and (not walk.last_read or walk.last_read.sent_at < build.joined.done_at)
    if build.after_cancel and not joined:
        found.append((_AFTER_CANCEL, (build.start,)))
    if build.overlapped:
        found.append((_OVERLAPPED, (build.start,)))
    elif build.joined:
        found.append((_JOINED, (build.start, build.joined)))
    return found


def _was_exchanged(walk: Walk, since_at: float, read: Exchange) -> bool:
    """Whether a publish or delete of the version itself came before *read*; that is a likelier reason than a cancel."""
    own = (e for e in walk.history.story(walk.ref) if e.operation in EXCHANGING and e.sent_at < read.done_at)
    return any(e.done_at > since_at for e in own)


def _survived(history: History) -> Counter[str]:
    """Counts the builds that ended as they should, by the claim about what had happened to them."""
    counts: Counter[str] = Counter()
    for content in history.overall(_of_one_account):
        starts: list[Exchange] = []
        after_cancel = False
        for e in history.story(content.ref):
            if not content.sure_at <= e.sent_at < content.until_at:
                continue
            if e.operation == "cancelBuild":
                after_cancel |= e.status in SUCCESS
                starts = []
            elif e.operation == "startBuild" and reports_building(e):
                starts.append(e)
            elif starts and is_read(e, history) and e.body["status"] == content.outcome:
                surely_ran = starts[0].done_at, starts[0].sent_at + content.sleep_s * CLOCK_SHARE
                cancels = [c for c in history.cancels if surely_ran[0] <= c.sent_at and c.done_at <= surely_ran[1]]
                happened = {
                    _ELSEWHERE: any(c.ref != content.ref for c in cancels),
                    _AFTER_CANCEL: after_cancel,
                    _OVERLAPPED: len(starts) > 1 and starts[0].overlaps(starts[1]),
                    _JOINED: len(starts) > 1 and not starts[0].overlaps(starts[1]),
                }
                counts.update(claim for claim, did in happened.items() if did)
                starts = []
    return counts


def _last_start(walk: Walk, read: Exchange) -> Exchange | None:
    since_at = walk.last_read.done_at if walk.last_read else NEVER_AT
    acknowledged = (e for e in walk.history.story(walk.ref) if e.operation == "startBuild" and e.status in SUCCESS)
    starts = (e for e in acknowledged if since_at <= e.sent_at and e.done_at <= read.sent_at)
    return max(starts, key=lambda e: e.done_at, default=None)


def _idle_cancel(walk: Walk) -> _Blamed | None:
    cancel, last = walk.idle_cancel, walk.last_read
    if cancel is None or (last and last.sent_at >= cancel.done_at):
        return None
    return _KEPT_GOLDEN, (cancel,)


def _refusal(walk: Walk, operations: frozenset[str]) -> _Blamed | None:
    """Returns the claim that is broken if a refused request since the last read took effect, and that request."""
    return next(((claim, (refused,)) for claim, refused in walk.refusals(operations).items()), None)


REFUSED, FOREIGN = "auth.refused-changes-nothing", "access.others-change-nothing"
# Operations that show whether a version exists. Cancels and log requests may get a 404 just because no build runs.
_DECISIVE = frozenset({"getBuild", "getTemplate", "startBuild", "deleteTemplate"})


# A refused delete by somebody who is not the owner, and the owner's first response after it.
_Delete = tuple[Exchange, Exchange]


@story_rule("unrefused.deletes", REFUSED, FOREIGN)
def refused_deletes(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that a refused delete has no effect: the owner still finds the version afterwards."""
    gone = history.once(vanished, ref)
    for delete, after in _deletes(ref, history):
        there = after.status in SUCCESS
        if there or (delete, after) == gone:
            claim = REFUSED if delete.credential in REFUSED_CREDENTIALS else FOREIGN
            expected, actual = "the version still exists", "404 from then on"
            yield judged(claim, there, delete, after, expected=expected, actual=actual)


def vanished(ref: str, history: History) -> _Delete | None:
    """Returns a delete that was refused but took effect (afterwards the owner got only 404), or None."""
    for delete, after in _deletes(ref, history):
        later = (e for e in history.story(ref) if e.sent_at >= after.sent_at and _is_decisive(e, history))
        if after.status not in SUCCESS and all(e.status == 404 for e in later):
            return delete, after
    return None


def was_vanished(exchange: Exchange, history: History) -> bool:
    """Whether *exchange* is a 404 because an earlier delete, although refused, removed the version."""
    if exchange.status != 404 or exchange.ref is None:
        return False
    gone = history.once(vanished, exchange.ref)
    return gone is not None and exchange.done_at >= gone[0].sent_at


def _deletes(ref: str, history: History) -> Iterator[_Delete]:
    """Yields the refused deletes of an existing version, but only the first before each response to the owner."""
    story = history.story(ref)
    if not any(e.operation == "deleteTemplate" and not owned(e, history) for e in story):
        return  # shortcut for nearly all versions: the loop below is expensive
    there, suspect = False, None
    for exchange in sorted(story, key=lambda e: (e.sent_at, e.seq)):
        changing = exchange.operation in EXCHANGING and may_have_acted(exchange)
        # A success that overlaps with the delete may come from before it, a 404 may not.
        is_late = exchange.status == 404 or not (suspect and exchange.sent_at < suspect.done_at)
        decides = is_late and _is_decisive(exchange, history)
        if decides and suspect:
            yield suspect, exchange
            suspect = None
        if changing or decides:
            there = exchange.status in SUCCESS and exchange.operation != "deleteTemplate" and owned(exchange, history)
            suspect = suspect if there and not changing else None
        elif there and exchange.operation == "deleteTemplate" and not owned(exchange, history):
            suspect = suspect or exchange


def _is_decisive(exchange: Exchange, history: History) -> bool:
    found = exchange.status in SUCCESS or exchange.status == 404
    return found and exchange.operation in _DECISIVE and exchange.request.method != "HEAD" and owned(exchange, history)
