"""Judges authentication, requests about others' versions, and plans below Scale, which may not publish or build."""

import json
from collections.abc import Iterator
from itertools import pairwise

from touchstone.contract.answers import AT_REST, CALLERS, answer, refusal
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.attribution import begins_anyway
from touchstone.rules.eventlog import is_empty_log
from touchstone.rules.history import History
from touchstone.rules.messages import (
    ABOUT_A_VERSION,
    SUCCESS,
    answered_about,
    excused,
    is_usual,
    judgeable,
    operation_of,
    parts,
    path_of,
    spelling,
)
from touchstone.rules.ownership import standing
from touchstone.rules.rule import (
    broken,
    describe,
    judged,
    judged_code,
    judged_unless_limited,
    rule,
    story_rule,
    unclear,
)
from touchstone.rules.timeline import Timeline

_BODY_REFUSALS = frozenset({400, 413, 415, 422})  # for an invalid body, which a server may check before the key
_INVALID = ("missing-key", "unknown-key", "near-key", "malformed-header", "query-key")
_FEWEST_ALIKE = 2  # fewer responses may have a header in common by chance


@rule("access.refused-key", *(f"auth.{key}-is-401" for key in _INVALID))
def refused_key(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that an invalid key gets a 401, on every operation and for every version."""
    if exchange.credential not in REFUSED_CREDENTIALS or exchange.response is None or exchange.error:
        return
    row = refusal(CALLERS[exchange.credential])
    if exchange.request.method == "HEAD" and history.contract.match("GET", path_of(exchange)):
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
    if exchange.credential in REFUSED_CREDENTIALS or not judgeable(exchange) or exchange.status >= 500:
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
        yield unclear(row.claim, exchange, why=f"status {exchange.status} may come from a check before the plan")
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
            yield unclear(row.claim, exchange, why="404 may come from a check before the plan")
        elif exchange.status in row.may or exchange.status not in excused(exchange, history.contract):
            yield judged_code(row, exchange)


@story_rule("access.others-version", "access.others-version-is-404")
def others_version(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that others' versions get the same 404 as missing ones. Below Scale, 403 is fine, too (ambiguity 7.22)."""
    for exchange in answered_about(ref, history, *ABOUT_A_VERSION):
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
            yield judged_unless_limited(row.claim, fits, exchange, row.codes)


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
    return describe(exchange) + (f" with the header {', '.join(more)}" if more else "")


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
