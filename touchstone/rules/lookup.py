"""Judges what is found and what is not: missing versions, deleted ones, spellings that name none, and own ones."""

from collections.abc import Iterator

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.access import is_empty_log
from touchstone.rules.attribution import PLAN, REFUSED, published_by, was_written
from touchstone.rules.history import History
from touchstone.rules.messages import (
    NO_SUCH_PATH,
    SUCCESS,
    asks_for_build,
    excused,
    operation_of,
    parts,
    spelling,
    tidied,
)
from touchstone.rules.ownership import standing, surely_missing
from touchstone.rules.rule import broken, held, judged, rule, story_rule, unclear

_LIMITED = "a limit got in the way"

# Read as GET /templates/global/…, which lists the versions of a curated template and is no part of the contract.
_LISTING_NAMESPACE = "global"

# What the owner of an existing version is never told by these operations. A cancel and a log may be 404 when idle.
_FINDING = frozenset({"startBuild", "getBuild", "getTemplate", "deleteTemplate"})


@rule("lookup.odd-spelling", "lookup.odd-spelling-is-404")
def odd_spelling(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges a path whose segments cannot name a version. Where tidied it is a usual one, being served is fine."""
    contract = history.contract
    asked = operation_of(exchange, contract) is not None or (
        not exchange.operation and _asks_with_known_method(exchange)
    )
    spelt = spelling(exchange, contract) if asked else "plain"
    if (
        spelt == "plain"
        or exchange.response is None
        or exchange.error
        or exchange.credential not in {"primary", "second"}
    ):
        return
    claim = "lookup.odd-spelling-is-404"
    if exchange.status == 429:
        yield unclear(claim, exchange, why=_LIMITED)
    elif exchange.status in NO_SUCH_PATH or is_empty_log(exchange):
        yield held(claim, exchange)
    elif not _is_fair(exchange, history):
        yield broken(claim, exchange, expected="404, or 400 as for a bad request")


@story_rule(
    "lookup.missing",
    "lookup.unknown-version-is-404",
    "lookup.unknown-name-is-404",
    "lookup.unknown-namespace-is-404",
    "lookup.deleted-version-is-404",
    "start.refuses-deleted-version",
    REFUSED,
    PLAN,
)
def missing(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each request about a version that did not exist, or no longer."""
    for exchange in _asked(ref, history):
        found = standing(exchange, history)
        if found not in {"missing", "deleted"} or _tells_something_else(exchange, history):
            continue
        claim = _missing_claim(exchange, history) if found == "missing" else _deleted_claim(exchange)
        if exchange.status == 429:
            yield unclear(claim, exchange, why=_LIMITED)
        elif exchange.status == 404 or is_empty_log(exchange):
            yield held(claim, exchange)
        elif exchange.status in SUCCESS and found == "missing" and (published := published_by(exchange, history)):
            yield broken(published[0], published[1], exchange, expected="404: its publish was refused")
        elif found == "deleted" or _is_to_be_missing(exchange, history):
            yield broken(claim, exchange, expected="404")


@story_rule("lookup.own", "lookup.existing-version-is-found")
def own_is_found(ref: str, history: History) -> Iterator[Judgement]:
    """Judges that the owner of an existing version is never told that there is none."""
    for exchange in _asked(ref, history):
        telling = exchange.status in SUCCESS or exchange.status == 404
        if telling and exchange.operation in _FINDING and standing(exchange, history) == "own":
            fits = exchange.status != 404
            claim = "lookup.existing-version-is-found"
            yield judged(claim, fits, exchange, expected="anything but 404")


def _asked(ref: str, history: History) -> Iterator[Exchange]:
    """The answered requests of the contract's operations about *ref*, plainly spelt."""
    namespace = parts(ref)[0]
    for exchange in history.story(ref):
        operation = operation_of(exchange, history.contract)
        if operation is None or operation.id == "publishTemplate" or exchange.response is None or exchange.error:
            continue
        if namespace == _LISTING_NAMESPACE and operation.id == "getTemplate":
            continue
        if spelling(exchange, history.contract) == "plain":
            yield exchange


def _is_to_be_missing(exchange: Exchange, history: History) -> bool:
    """Whether only 404 is right for what this run did not publish; a failure is wrong whether it is there or not."""
    ref = exchange.ref or ""
    return surely_missing(ref, history) or (exchange.status >= 500 and not was_written(ref, history))


def _missing_claim(exchange: Exchange, history: History) -> str:
    """Which part of the ref is the unknown one, as far as the run knows."""
    namespace, name, _ = parts(exchange.ref or "")
    known = {parts(content.ref)[:2] for content in history.all_contents() if content.owner == exchange.credential}
    if (namespace, name) in known:
        return "lookup.unknown-version-is-404"
    if namespace == "default" or any(namespace == other for other, _ in known):
        return "lookup.unknown-name-is-404"
    return "lookup.unknown-namespace-is-404"


def _tells_something_else(exchange: Exchange, history: History) -> bool:
    """Whether the answer is about the key, about a plan that is too small, or about what is odd in the request."""
    if exchange.status == 401 or exchange.status in excused(exchange, history.contract):
        return True
    return exchange.status == 403 and exchange.credential == "restricted"


def _deleted_claim(exchange: Exchange) -> str:
    """A start that is refused otherwise than by 404 builds nothing all the same."""
    refused = 400 <= exchange.status < 500 and exchange.status not in {404, 429}
    start = exchange.operation == "startBuild" and not refused
    return "start.refuses-deleted-version" if start else "lookup.deleted-version-is-404"


def _asks_with_known_method(exchange: Exchange) -> bool:
    return asks_for_build(exchange) and exchange.request.method in {"GET", "POST", "DELETE"}


def _is_fair(exchange: Exchange, history: History) -> bool:
    """Whether something else than the spelling explains the answer, or a server that tidies paths up may give it."""
    if exchange.status in {401, 403} or exchange.status in excused(exchange, history.contract):
        return True
    if any(e.operation == "publishTemplate" and e.body.get("ref") == exchange.ref for e in history.exchanges):
        return True  # A server that takes such a name finds it, too; publish.invalid-is-422 tells that.
    usual = history.contract.match(exchange.request.method, tidied(exchange))
    misshapen = spelling(exchange, history.contract) == "misshapen"
    return misshapen and exchange.status in SUCCESS and usual is not None
