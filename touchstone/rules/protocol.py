"""Judges each response by the rules of HTTP: completeness, status, media type, JSON and methods."""

from collections.abc import Iterator
from statistics import median

from touchstone.contract.document import EVENT_STREAM
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.access import standing
from touchstone.rules.events import is_stream
from touchstone.rules.history import History
from touchstone.rules.messages import (
    SUCCESS,
    announces_json,
    asks_for_another_method,
    excused,
    json_problem,
    judgeable,
    media_type,
    methods_of,
    operation_of,
    path_of,
    spelling,
)
from touchstone.rules.rule import broken, describe, held, judged, rule, story_rule, unclear

# Failures on Touchstone's side: an invalid request, no free connection, or no room for the response.
_OUR_OWN = ("InvalidURL", "LocalProtocolError", "UnsupportedProtocol", "PoolTimeout", "OutOfRoom")
_NOT_REACHED = ("ConnectError", "ConnectTimeout")
_MAY_LOSE_RESPONSE_BYTES = 65_536  # an early response to a longer body is easily lost (RFC 9112 9.6)

_NO_BODY = frozenset({204, 205, 304})
_GROUP = 10  # the fastest of the first responses is compared with the median of as many of the latest
_SLOWER, _SLOWER_S = 3.0, 0.6  # how much longer later responses may take: a factor, plus seconds
_SEVERAL = 3  # identical responses after which the next one is expected to be the same


@rule("protocol.answered", "http.answers")
def answered(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a complete response arrived, and no more bytes after it. Reports an unreachable server only once."""
    if surplus_bytes := exchange.note.get("surplus_bytes"):
        actual = f"{surplus_bytes} bytes after the end of the response"
        yield broken("http.answers", exchange, expected="one complete response without surplus bytes", actual=actual)
        return
    if exchange.error.startswith(_OUR_OWN) or exchange.closed == "client" or "left" in exchange.note:
        return
    if not exchange.error and exchange.response is not None:
        yield held("http.answers", exchange)
    elif exchange.response is None and len(exchange.request.body) > _MAY_LOSE_RESPONSE_BYTES:
        yield unclear("http.answers", exchange, why=f"the response to a large body was lost: {exchange.error}")
    elif not exchange.error.startswith(_NOT_REACHED) or not any(
        one.seq < exchange.seq and one.error.startswith(_NOT_REACHED) for one in history.exchanges
    ):
        found = exchange.error or "no response"
        yield broken("http.answers", exchange, expected="a complete response in time", actual=found)


@rule("protocol.no-server-error", "http.no-server-error")
def no_server_error(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that there is no 5xx. 501 is allowed for an unknown method (RFC 9110 15.6.2)."""
    if exchange.response is None:
        return
    unknown_method = exchange.status == 501 and exchange.request.method not in methods_of(history.contract)
    yield judged("http.no-server-error", exchange.status < 500 or unknown_method, exchange, expected="no 5xx")


@rule("protocol.documented-status", "http.status-is-documented")
def documented_status(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that the operation documents the status. Invalid keys and 5xx have claims of their own."""
    operation = operation_of(exchange, history.contract)
    if operation is None or exchange.response is None or exchange.status >= 500:
        return
    documented = history.contract.allowed_statuses(operation.id)
    if exchange.status in documented:
        yield held("http.status-is-documented", exchange)
    elif exchange.credential not in REFUSED_CREDENTIALS and exchange.status not in excused(exchange, history.contract):
        expected = "one of " + ", ".join(map(str, sorted(documented)))
        yield broken("http.status-is-documented", exchange, expected=expected)


@rule("protocol.media-type", "http.json-media-type")
def json_media_type(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a response with a body has the documented media type, if this type is JSON."""
    operation = operation_of(exchange, history.contract)
    if operation is None or exchange.response is None or not exchange.response.body:
        return
    documented = history.contract.media_types(operation.id, exchange.status)
    if not documented or EVENT_STREAM in documented or spelling(exchange, history.contract) == "misshapen":
        return
    kind, expected = media_type(exchange.response), " or ".join(documented)
    yield judged("http.json-media-type", kind in documented, exchange, expected=expected, actual=kind or "none")


@rule("protocol.json", "http.body-is-json")
def body_is_json(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that a response with a JSON media type contains JSON; empty bodies have claims of their own."""
    response = exchange.response
    if response is None or exchange.error or exchange.request.method == "HEAD" or response.status in _NO_BODY:
        return
    if announces_json(response) and response.body:
        problem, expected = json_problem(response.body), "one complete JSON value in UTF-8"
        yield judged("http.body-is-json", not problem, exchange, expected=expected, actual=f"a body that {problem}")


@rule("protocol.wrong-method", "http.wrong-method-is-405")
def wrong_method(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that a method that the path does not have gets a 405. An earlier check may refuse it, such as with 401."""
    if exchange.response is None or not asks_for_another_method(exchange, history.contract):
        return
    if exchange.status < 500 and exchange.status not in {400, 401, 403, 404, 429}:
        yield judged("http.wrong-method-is-405", exchange.status == 405, exchange, expected="405")


@story_rule("protocol.head", "http.head-matches-get")
def head_matches_get(ref: str, history: History) -> Iterator[Judgement]:
    """Judges each HEAD by the nearest GET of the same URL with the same key. For a log, only a 5xx is wrong."""
    story = history.story(ref)
    for head in (e for e in story if e.request.method == "HEAD" and judgeable(e)):
        expected = "the status of GET and no body, or 405"
        get = _nearest_get(head, story)
        if head.status >= 500:
            yield broken("http.head-matches-get", head, expected=expected)
        elif get is not None and get.status < 500 and not _is_inconclusive(get, history):
            fits = head.status in {get.status, 405} and not (head.response and head.response.body)
            actual = f"{describe(head)}; GET has status {get.status}"
            if fits and head.status == get.status and (length := _wrong_length(head, get, story)):
                fits, expected, actual = False, f"Content-Length {_length(get)}, as for GET, or none", f"{length}"
            yield judged("http.head-matches-get", fits, get, head, expected=expected, actual=actual)


@rule("protocol.speed", "http.stays-fast")
def stays_fast(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that the latest responses with one status take no longer than the first, in the run and in the case."""
    kind = exchange.operation, exchange.status
    for group in (history.similar[kind], history.similar[*kind, exchange.case]):
        if len(group) < 2 * _GROUP or not exchange.operation or is_stream(exchange) or not exchange.response:
            continue
        first, last = group[:_GROUP], group[-_GROUP:]
        most_s = _SLOWER * min(e.elapsed_s for e in first) + _SLOWER_S
        now_s = median(e.elapsed_s for e in last)
        expected, actual = f"less than {most_s:.2f} s, like the first responses", f"{now_s:.2f} s (median of {_GROUP})"
        yield judged("http.stays-fast", now_s < most_s, *first, *last, expected=expected, actual=actual)


def _nearest_get(head: Exchange, story: tuple[Exchange, ...]) -> Exchange | None:
    """The GET closest in time to *head*, without a publish or delete in between."""
    gets = [e for e in story if e.request.method == "GET" and judgeable(e) and _same_target(e, head)]
    near = [get for get in gets if not any(_between(change, get, head) for change in story)]
    return min(near, key=lambda get: abs(get.seq - head.seq), default=None)


def _is_inconclusive(get: Exchange, history: History) -> bool:
    """Whether a GET cannot be compared with a HEAD: a GET of a log, with a wrong 401, or of a foreign version."""
    if get.status == 401 and get.credential not in REFUSED_CREDENTIALS:
        return True
    return path_of(get).endswith("/events") or (get.status in SUCCESS and standing(get, history) == "foreign")


def _wrong_length(head: Exchange, get: Exchange, story: tuple[Exchange, ...]) -> str:
    """Returns the Content-Length of the HEAD response if several GETs agree on another, else "" (RFC 9110 8.6)."""
    usual = head.response.header("content-length") if head.response else None
    gets = [e for e in story if e.request.method == "GET" and e.status == head.status and _same_target(e, head)]
    gets = [e for e in gets if not any(_between(change, e, head) for change in story)]
    answers = {(e.response.body, _length(e)) for e in gets if e.response}
    agreed = len(gets) >= _SEVERAL and answers == {(get.response and get.response.body, _length(get))}
    return usual if usual is not None and agreed and _length(get) not in ("", usual) else ""


def _length(get: Exchange) -> str:
    """Returns the size of the body in bytes, as transferred; empty if unknown, as after decompression."""
    if get.response is None:
        return ""
    plain = "" if get.response.header("content-encoding") else str(len(get.response.body))
    return get.response.header("content-length") or plain


def _same_target(one: Exchange, other: Exchange) -> bool:
    return (one.request.url, one.credential) == (other.request.url, other.credential)


def _between(change: Exchange, get: Exchange, head: Exchange) -> bool:
    if change.operation not in {"publishTemplate", "deleteTemplate"}:
        return False
    began, ended = min(get.sent_at, head.sent_at), max(get.done_at, head.done_at)
    return change.sent_at < ended and change.done_at > began
