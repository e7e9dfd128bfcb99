"""Reads the entries of a HAR file that a browser, a proxy or a tester wrote.

Source: HAR 1.2, http://www.softwareishard.com/blog/har-12-spec/, and what Chrome, Firefox, Safari, mitmproxy,
Playwright and schemathesis write.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from touchstone.contract.document import EVENT_STREAM
from touchstone.facts.exchange import Response
from touchstone.recordings import har

Headers = tuple[tuple[str, str], ...]
Times = tuple[float, float, float]  # when it was sent, when the head of the answer was there, and when all of it was

# Why a file does not say what was answered.
NO_TEXT = "without a captured body"
CUT_TEXT = "with a body that was cut"
GIVEN_UP = "given up before the answer was there"

_NO_BODY = frozenset({204, 205, 304})
# schemathesis writes through this library. Its moments are those of the answer, and its times end with the head.
_SCHEMATHESIS = "harfile"
# What these write tells an answer that its reader left alone from one that the server ended.
_TELL_WHO_CLOSED = frozenset({_SCHEMATHESIS, "WebInspector", "mitmproxy", "Playwright"})

_UNSENT_ERROR = re.compile(
    r"(?i)BLOCKED|NAME_NOT|NAME_RES|DISCONNECTED|ADDRESS_|CERT|SSL|TLS|PROXY|TUNNEL|REFUSED|CONNECTION_FAILED"
    r"|CONNECTION_TIMED_OUT|CONNECT CALL|CACHE_MISS|UNSAFE|UNKNOWN_URL|INVALID_URL|UNKNOWN_HOST"
)
# ERR_FAILED is what a page is told of an answer that it may not see.
_CLIENTS_ERROR = re.compile(r"(?i)ABORT|CANCEL|ERR_FAILED$|NETWORK_CHANGED|SUSPENDED|client disconnect|kill")
_CUT = re.compile(r"(?i)truncated|not included|discarded")
_YEAR_10000_AT = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says of one request. Secrets are still in it.

    Attributes:
        url: Absolute, as sent.
        response: What came back; None where nothing did, or what did is not in the file.
        status: The status that came back, also where the rest is not in the file; 0 where none did.
        complete: Whether *headers* are all that were sent.
        left_out: Why this is no request to a server, or no answer of one; empty where it may be.
        unknown: Why the file does not say what the server answered; empty where it does.
        error: What kept the answer from coming, where the client is not to blame.
        ended: Who ended the answer, as far as the file says.
        sent_at, head_at, done_at: Seconds on one clock for all entries of a file.
    """

    method: str
    url: str
    headers: Headers
    complete: bool
    body: bytes
    response: Response | None
    status: int
    left_out: str
    unknown: str
    error: str
    ended: Literal["server", "client", "unknown"]
    sent_at: float
    head_at: float
    done_at: float


def entries(document: Mapping[str, Any]) -> list[Entry]:
    """The entries of a document that has the form of a HAR.

    Raises:
        ValueError: an entry cannot be read; the text names it by its JSON pointer.
    """
    log = document["log"]
    writer = str(log["creator"]["name"])
    found: list[Entry] = []
    for number, entry in enumerate(log["entries"]):
        place = f"/log/entries/{number}"
        try:
            before_at = found[-1].done_at if found else None
            times = _times_by_answer(entry, before_at) if writer == _SCHEMATHESIS else _times(entry)
        except ValueError as error:
            raise ValueError(f"{place}/startedDateTime: {error}; expected a date-time of ISO 8601") from error
        if not all(0 <= at < _YEAR_10000_AT for at in times):
            raise ValueError(f"{place}: its times lie outside of the years 1970 to 9999")
        found.append(_entry(entry, place, writer, times))
    return found


def _entry(entry: Mapping[str, Any], place: str, writer: str, times: Times) -> Entry:
    request, answer = entry["request"], entry["response"]
    headers, status = _headers(request["headers"]), max(int(answer["status"]), 0)
    error = _error(entry)
    gave_up = _CLIENTS_ERROR.search(error) is not None
    unknown = _unknown(request, answer, gave_up=gave_up, failed=bool(error))
    return Entry(
        str(request["method"]),
        str(request["url"]),
        headers,
        # Chrome adds what goes on the wire, cookies and all, only where it has seen it go.
        request.get("headersSize") != -1,
        _posted(request, f"{place}/request/postData"),
        _response(answer, f"{place}/response/content") if status and not unknown else None,
        status,
        _left_out(entry, headers, error),
        unknown,
        "" if gave_up else error,
        "client" if gave_up else "server" if writer in _TELL_WHO_CLOSED else "unknown",
        *times,
    )


def _left_out(entry: Mapping[str, Any], headers: Headers, error: str) -> str:
    """Why an entry is no request to the server, or none that anybody sent on purpose."""
    names = {name.lower() for name, _ in headers}
    request, answer = entry["request"], entry["response"]
    asks_first = request["method"] == "OPTIONS" and "access-control-request-method" in names
    if asks_first or entry.get("_resourceType") == "preflight":
        return "preflight requests"
    kind = str(entry.get("_fetchType") or "")
    if answer.get("_fetchedViaServiceWorker") or kind == "Service Worker":
        return "answered by a service worker"
    asks_if_new = answer["status"] == 304 and bool(names & {"if-none-match", "if-modified-since"})
    if entry.get("_fromCache") or "Cache" in kind or asks_if_new or (not entry["timings"] and answer["status"]):
        return "from the cache"
    return "that did not reach the server" if answer["status"] <= 0 and _UNSENT_ERROR.search(error) else ""


def _unknown(request: Mapping[str, Any], answer: Mapping[str, Any], *, gave_up: bool, failed: bool) -> str:
    """Why the file does not say what the server answered, or only a part of it."""
    if answer["status"] <= 0:
        return "" if failed and not gave_up else GIVEN_UP
    if _CUT.search(str(answer["content"].get("comment") or "")):
        return CUT_TEXT
    if not _has_text(request, answer):
        return GIVEN_UP if gave_up else NO_TEXT
    return GIVEN_UP if gave_up and not _is_stream(answer) else ""


def _is_stream(answer: Mapping[str, Any]) -> bool:
    return str(answer["content"].get("mimeType") or "").lower().startswith(EVENT_STREAM)


def _has_text(request: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """Whether the body is in the file: it has a text, or it is known to be empty."""
    content = answer["content"]
    if content.get("text") or request["method"] == "HEAD" or answer["status"] in _NO_BODY:
        return True
    # A proxy that passes a stream on writes an empty text for it.
    if _is_stream(answer):
        return False
    lengths = [value for name, value in _headers(answer["headers"]) if name.lower() == "content-length"]
    return not content.get("size") and all(length == "0" for length in lengths)


def _error(entry: Mapping[str, Any]) -> str:
    answer = entry["response"]
    found = answer.get("_error") or answer.get("_failureText") or entry.get("_error")
    if not found and answer["status"] <= 0:
        found = answer.get("comment")
    return str(found or "")


def _response(answer: Mapping[str, Any], place: str) -> Response:
    content = answer["content"]
    if content.get("encoding") == "base64":
        content = content | {"text": "".join(str(content.get("text") or "").split())}  # some break it into lines
    try:
        body = har.read_content(content)
    except ValueError as error:
        raise ValueError(f"{place}/text: {error}; expected base64, as its encoding says") from error
    headers, kind = _headers(answer["headers"]), content.get("mimeType")
    if not headers and kind:
        # Some write down no headers at all; the server is not to blame for that.
        headers = (("content-type", str(kind)),)
    return Response(int(answer["status"]), headers, body)


def _posted(request: Mapping[str, Any], place: str) -> bytes:
    """The body of a request, of which browsers keep the fields only where it was a form."""
    posted = request.get("postData") or {}
    if not posted.get("text"):
        form = [(str(field["name"]), str(field.get("value") or "")) for field in posted.get("params") or ()]
        return urlencode(form, errors="surrogatepass").encode()
    try:
        body = har.read_request({"method": "", "url": "", "headers": [], "postData": posted}).body
    except ValueError as error:
        raise ValueError(f"{place}/text: {error}; expected base64, as its encoding says") from error
    # schemathesis does not say that it writes base64; the length of what it sent does.
    if len(body) != request.get("bodySize") and re.fullmatch(rb"[A-Za-z0-9+/]+=*", body) and len(body) % 4 == 0:
        plain = base64.b64decode(body)
        return plain if len(plain) == request.get("bodySize") else body
    return body


def _headers(written: list[dict[str, Any]]) -> Headers:
    # Of several with one name a browser makes one, a line each.
    return tuple((str(each["name"]), value) for each in written for value in str(each["value"]).split("\n"))


def _times(entry: Mapping[str, Any]) -> Times:
    """The times of an entry; -1 stands for what was not measured."""
    began_at = har.moment(str(entry["startedDateTime"])).timestamp()
    taken_s = {
        name: _seconds(entry["timings"].get(name)) for name in ("blocked", "dns", "connect", "send", "wait", "receive")
    }
    # Waiting for a connection is no matter of the server. The time for TLS is a part of connect.
    sent_at = began_at + taken_s["blocked"] + taken_s["dns"] + taken_s["connect"]
    head_at = sent_at + taken_s["send"] + taken_s["wait"]
    return sent_at, head_at, max(head_at + taken_s["receive"], began_at + _seconds(entry["time"]))


def _times_by_answer(entry: Mapping[str, Any], before_at: float | None) -> Times:
    """The same of an entry of schemathesis, whose moment is the one at which the answer was there.

    How long a stream was open follows from what was before it, since each test sends one request after the other.
    """
    done_at = har.moment(str(entry["startedDateTime"])).timestamp()
    sent_at = done_at - _seconds(entry["time"])
    if before_at is not None and _is_stream(entry["response"]):
        sent_at = min(sent_at, before_at)
    return sent_at, done_at, done_at


def _seconds(taken_ms: float | None) -> float:
    # Compared first: a number of JSON may be larger than any float.
    return min(max(0, taken_ms or 0), har.MAX_MS) / 1000
