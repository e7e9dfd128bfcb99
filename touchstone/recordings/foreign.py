"""Foreign recordings: HAR files of browsers, proxies and test tools.

An entry is skipped and counted if it belongs to another API, has no complete response, or has a key of an unknown
account. `replay.doubted` decides which violations in the other entries are findings.

Source: HAR 1.2, http://www.softwareishard.com/blog/har-12-spec/, and what Chrome, Firefox, Safari, mitmproxy,
Playwright and schemathesis write.
"""

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import parse_qs, parse_qsl

from touchstone.contract.document import EVENT_STREAM, Contract
from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_mapping
from touchstone.facts.exchange import Chunk, Closed, Credential, Exchange, Request, Response
from touchstone.recordings import har
from touchstone.recordings.recording import BASE_URL, Accounts, Given, Headers, Owner, Recording, Terms, cleaned, moved
from touchstone.rules.events import log_of
from touchstone.target.redact import REDACTED, Secrets

Json = Mapping[str, Any]

# Reasons why an entry is skipped: the file does not show its response or its account.
NO_TEXT = "without a captured body"
CUT_TEXT = "with a body that was cut"
GIVEN_UP = "given up before the response was complete"
KEY_UNKNOWN = "refused, and the file does not show the key"
LAPSED = "refused, and the key may have been invalid at that time"
NO_ACCOUNT = "with a key that is in no --as"

# The account whose versions a request with this credential can reach.
OWNERS: Mapping[str, Owner] = {role: role for role in get_args(Owner)} | {"lowercase-scheme": "primary"}
CHANGING = frozenset({"publishTemplate", "deleteTemplate", "startBuild", "cancelBuild"})
_SUCCESS = range(200, 300)
# By operation: statuses that prove that a version existed before the request, and statuses that prove the opposite.
_CONCLUSIVE: Mapping[str, tuple[Container[int], Container[int]]] = {
    "publishTemplate": ((409,), _SUCCESS),
    "cancelBuild": ((202,), ()),
    "streamBuildEvents": ((200,), ()),
    **dict.fromkeys(("getBuild", "getTemplate", "startBuild", "deleteTemplate"), (_SUCCESS, (404,))),
}
_YES = frozenset({"true", "1"})
_MAX_MS = 366 * 86_400_000
_YEAR_10000_AT = 253_402_300_800


def recording(
    document: dict[str, Any], name: str, path: str, contract: Contract, accounts: Accounts | None = None
) -> Recording:
    """Returns the exchanges with the API in a valid HAR document.

    *accounts*: the account of each key. If it is empty or None, accepted keys are primary; if empty, two of them are an
    error. Raises a ValueError for that, or if an entry is invalid (the message has its JSON pointer).
    """
    left_out: Counter[str] = Counter()
    calls = _calls(document["log"], contract, left_out)
    judgeable = [call for call in calls if not call.left_out]
    keys = _keys(judgeable, accounts)
    secrets = _secrets(keys, calls)
    kept: list[Exchange] = []
    for call in sorted(judgeable, key=lambda call: (call.exchange.sent_at, call.exchange.done_at)):
        credential, why = keys.credential(call.key_form, call.key, call.status, call.exchange.sent_at)
        if why:
            left_out[why] += 1
        else:
            kept.append(replace(call.exchange, credential=credential))
    began_at = kept[0].sent_at if kept else 0.0
    exchanges = tuple(noted(marked(moved(one, seq, -began_at), secrets)) for seq, one in enumerate(kept, 1))
    recorded_at = har.utc(datetime.fromtimestamp(began_at, UTC)) if kept else ""
    terms = Terms(given=given(exchanges))
    return Recording(name, exchanges, "har", path, recorded_at, terms=terms, left_out=dict(left_out))


# --- requests to the API ---------------------------------------------------------------------------------------------

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_ROOT = re.compile(r"/templates(?=[/?]|$)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class _Call:
    """A request to the API."""

    exchange: Exchange  # not yet redacted; all calls of a file share one clock
    status: int  # status of the response, even if its body is not in the file; 0 without a response
    left_out: str  # why the call is not judged; empty for a judged call
    key_form: str  # see `key_of`
    key: str = field(repr=False)


def _calls(log: Json, contract: Contract, left_out: Counter[str]) -> list[_Call]:
    base = _base_of(log["entries"], contract)
    calls: list[_Call] = []
    for number, entry in enumerate(log["entries"]):
        url = "".join(_split(entry["request"]["url"]))
        target = url.removeprefix(base or "")
        if base is None or not url.startswith(base) or not _ROOT.match(target):
            left_out["of another API" if url else "not over HTTP"] += 1
            continue
        try:
            before_at = calls[-1].exchange.done_at if calls else None
            calls.append(_call(entry, target, log["creator"]["name"], before_at, contract))
        except ValueError as error:
            raise ValueError(f"/log/entries/{number}: {error}") from error
        if calls[-1].left_out:
            left_out[calls[-1].left_out] += 1
    return calls


def _base_of(entries: Sequence[Json], contract: Contract) -> str | None:
    """The base URL below which the most operations were called (long paths count more); None if no operation was."""
    operations: dict[str, set[tuple[str, int]]] = defaultdict(set)
    times: Counter[str] = Counter()
    for entry in entries:
        origin, target = _split(entry["request"]["url"])
        path = target.partition("?")[0]
        for root in _ROOT.finditer(path):
            base = origin + path[: root.start()]
            if match := contract.match(entry["request"]["method"], path[root.start() :]):
                operations[base].add((match[0].id, match[0].path.count("/") + 1))
                times[base] += 1
    weights = {base: sum(length for _, length in known) for base, known in operations.items()}
    return max(weights, key=lambda base: (weights[base], times[base], -len(base)), default=None)


def _split(url: str) -> tuple[str, str]:
    """Splits a URL into origin (normalised) and target (path and query); both are empty if it is not an HTTP URL."""
    match = _URL.match(url)
    if match is None:
        return "", ""
    scheme, host = match[1].lower(), match[2].lower()
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}", match[3]


def _call(entry: Json, target: str, writer: str, before_at: float | None, contract: Contract) -> _Call:
    sent, answer = entry["request"], entry["response"]
    request = Request(sent["method"], BASE_URL + target, _headers(sent), _posted(sent))
    status, error = max(int(answer["status"]), 0), _error(entry)
    gave_up = _CLIENTS_ERROR.search(error) is not None
    unknown = _unknown(sent, answer, gave_up=gave_up, failed=bool(error))
    sent_at, head_at, done_at = _times(entry, writer, before_at)
    response = _response(answer, round(done_at - sent_at, 6)) if status and not unknown else None
    operation, ref = operation_of(request, target.partition("?")[0], response, contract)
    left_out = _left_out(entry, error)
    # A request that may have changed a version is kept without its response, because later exchanges depend on it.
    if not left_out and (operation not in CHANGING or 400 <= status < 500):
        left_out = unknown
    error = unknown if gave_up or not error else error
    exchange = Exchange(0, operation, ref, "primary", "", sent_at, head_at, done_at, request, response, error)
    if response is None:
        # The server is not to blame for a response that the client did not await or store.
        exchange = replace(exchange, closed="client" if unknown else "")
    elif not error and is_events(response.header("content-type")):
        exchange = replace(exchange, closed=_closed(exchange, writer, gave_up=gave_up))
    # Chrome stores all headers that were sent, such as cookies, only if headersSize is known.
    return _Call(exchange, status, left_out, *key_of(request, is_complete=sent.get("headersSize") != -1))


def _closed(stream: Exchange, writer: str, *, gave_up: bool) -> Closed:
    """The side that closed a stream. If the file does not record the side, the last event decides."""
    body, log = stream.response.body if stream.response else b"", log_of(stream)
    by_server = not gave_up and (writer in _RECORD_CLOSER or bool(log and log.ended))
    return "server" if by_server and (not body or body.endswith(_ENDS_OF_FRAME)) else "client"


def operation_of(request: Request, path: str, response: Response | None, contract: Contract) -> tuple[str, str | None]:
    """The operationId (empty for a request outside the contract), and the ref of the version or None."""
    if path.startswith("/templates/global/"):
        # Listings of curated templates: their paths match those of versions only by chance.
        return "", None
    match = contract.match(request.method, path)
    if match and match[0].id == "publishTemplate":
        return match[0].id, published_ref(request.body, (response.json_object() if response else None) or {})
    values = (match or contract.match("GET", path) or (None, {}))[1]
    ref = "{namespace}/{name}@{version}".format(**values) if {"namespace", "name", "version"} <= values.keys() else None
    return (match[0].id if match else ""), ref


def published_ref(body: bytes, answer: Json) -> str | None:
    """The ref of the published version: from the sent document, or from the response if the document is incomplete."""
    answered = answer["ref"] if isinstance(answer.get("ref"), str) else None
    document = read_mapping(body) or {}
    inner = document.get("template")
    is_wrapped = isinstance(inner, dict) and "api_version" in inner
    content = inner if isinstance(inner, dict) and is_wrapped else document
    about = content["template"] if isinstance(content.get("template"), dict) else content
    name, _, version = str(about.get("name") or "").partition("@")
    version = version or str(about.get("version") or "")
    namespace = document.get("namespace") if is_wrapped else None
    # If no envelope wraps the template, only the response has the namespace.
    if not name or not version or (answered and not namespace and answered.endswith(f"/{name}@{version}")):
        return answered
    return f"{namespace or 'default'}/{name}@{version}"


# --- entries ---------------------------------------------------------------------------------------------------------

_NO_BODY = frozenset({204, 205, 304})
# The library with which schemathesis writes HAR: an entry starts with its response, and its duration ends at the head.
_SCHEMATHESIS = "harfile"
# The files of these tools show whether the client or the server closed a stream.
_RECORD_CLOSER = frozenset({_SCHEMATHESIS, "WebInspector", "mitmproxy", "Playwright"})

_UNSENT_ERROR = re.compile(
    r"(?i)BLOCKED|NAME_NOT|NAME_RES|DISCONNECTED|ADDRESS_|CERT|SSL|TLS|PROXY|TUNNEL|REFUSED|CONNECTION_FAILED"
    r"|CONNECTION_TIMED_OUT|CONNECT CALL|CACHE_MISS|UNSAFE|UNKNOWN_URL|INVALID_URL|UNKNOWN_HOST"
)
# ERR_FAILED means that the browser did not let the page read the response.
_CLIENTS_ERROR = re.compile(r"(?i)ABORT|CANCEL|ERR_FAILED$|NETWORK_CHANGED|SUSPENDED|client disconnect|kill")
_CUT = re.compile(r"(?i)truncated|not included|discarded")
_ENDS_OF_FRAME = (b"\n\n", b"\r\r", b"\r\n\r\n")


def _left_out(entry: Json, error: str) -> str:
    """Why an entry is skipped: it is a preflight request, or did not reach the server. Empty for other entries."""
    request, answer, kind = entry["request"], entry["response"], str(entry.get("_fetchType") or "")
    names = {name.lower() for name, _ in _headers(request)}
    is_preflight = request["method"] == "OPTIONS" and "access-control-request-method" in names
    if is_preflight or entry.get("_resourceType") == "preflight":
        return "preflight requests"
    if answer.get("_fetchedViaServiceWorker") or kind == "Service Worker":
        return "answered by a service worker"
    is_revalidated = answer["status"] == 304 and bool(names & {"if-none-match", "if-modified-since"})
    if entry.get("_fromCache") or "Cache" in kind or is_revalidated or (not entry["timings"] and answer["status"]):
        return "from the cache"
    return "that did not reach the server" if answer["status"] <= 0 and _UNSENT_ERROR.search(error) else ""


def _unknown(request: Json, answer: Json, *, gave_up: bool, failed: bool) -> str:
    """Why the file lacks the complete response; empty if it has the response, or the request itself failed."""
    content, is_stream = answer["content"], is_events(answer["content"].get("mimeType"))
    if answer["status"] <= 0:
        return "" if failed and not gave_up else GIVEN_UP
    if _CUT.search(str(content.get("comment") or "")):
        return CUT_TEXT
    # A missing text may mean an empty body, but not for a stream: a proxy passes a stream on without storing it.
    lengths = [value for name, value in _headers(answer) if name.lower() == "content-length"]
    is_empty = not content.get("size") and not is_stream and all(length == "0" for length in lengths)
    if not (content.get("text") or request["method"] == "HEAD" or answer["status"] in _NO_BODY or is_empty):
        return GIVEN_UP if gave_up else NO_TEXT
    return GIVEN_UP if gave_up and not is_stream else ""


def is_events(media_type: str | None) -> bool:
    """Whether a media type is that of an event stream."""
    return (media_type or "").lower().startswith(EVENT_STREAM)


def _error(entry: Json) -> str:
    answer = entry["response"]
    found = answer.get("_error") or answer.get("_failureText") or entry.get("_error")
    return str(found or (answer.get("comment") if answer["status"] <= 0 else "") or "")


def _response(answer: Json, taken_s: float) -> Response:
    content, headers = answer["content"], _headers(answer)
    if content.get("encoding") == "base64":
        content = content | {"text": "".join((content.get("text") or "").split())}  # some tools wrap lines
    if not headers and content.get("mimeType"):
        # Some tools omit all headers.
        headers = (("content-type", content["mimeType"]),)
    response = Response(int(answer["status"]), headers, har.body_of(content))
    if response.body and is_events(response.header("content-type")):
        # A stream is one chunk here; `cleaned` splits it into events.
        response = replace(response, chunks=(Chunk(taken_s, response.body),))
    return response


def _posted(request: Json) -> bytes:
    body = har.body_of(request.get("postData"))
    # schemathesis does not mark base64; bodySize, the length of the sent body, shows it.
    if len(body) != request["bodySize"] and re.fullmatch(rb"[A-Za-z0-9+/]+=*", body) and len(body) % 4 == 0:
        plain = base64.b64decode(body)
        return plain if len(plain) == request["bodySize"] else body
    return body


def _headers(half: Json) -> Headers:
    # Browsers join headers with the same name into one header, with one value per line.
    return tuple((each["name"], value) for each in half["headers"] for value in each["value"].split("\n"))


def _times(entry: Json, writer: str, before_at: float | None) -> tuple[float, float, float]:
    """Times of request, response head and end; raises a ValueError if one is outside the years 1970 to 9999."""
    try:
        began_at = har.moment(entry["startedDateTime"]).timestamp()
    except ValueError as error:
        raise ValueError(f"startedDateTime: {error}") from error
    phases = ("blocked", "dns", "connect", "send", "wait", "receive")
    taken_s = {name: _seconds(entry["timings"].get(name)) for name in phases}
    # A request counts as sent once its connection is open: earlier delays are not the server's. connect includes TLS.
    sent_at = began_at + taken_s["blocked"] + taken_s["dns"] + taken_s["connect"]
    head_at = sent_at + taken_s["send"] + taken_s["wait"]
    times = (sent_at, head_at, max(head_at + taken_s["receive"], began_at + _seconds(entry["time"])))
    if writer == _SCHEMATHESIS:
        # The start time of an entry is that of its response. Requests follow one another, so a stream may have begun
        # when the previous entry ended.
        sent_at = began_at - _seconds(entry["time"])
        is_later = before_at is not None and is_events(entry["response"]["content"].get("mimeType"))
        times = (min(sent_at, before_at or 0.0) if is_later else sent_at, began_at, began_at)
    if not all(0 <= at < _YEAR_10000_AT for at in times):
        raise ValueError("its times are outside the years 1970 to 9999")
    return times


def _seconds(taken_ms: float | None) -> float:
    # Compare before dividing: a JSON number may exceed the range of floats.
    return min(max(0, taken_ms or 0), _MAX_MS) / 1000


# --- keys ------------------------------------------------------------------------------------------------------------

# The characters of a key (RFC 6750, section 2.1). Text with other characters is what a tool wrote in place of a key.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_MASK = re.compile(r"(?i)redact|filter|mask|hidden|remov|sanit|censor|scrub|dummy|placeholder|^(.)\1*$")
# A session token of a web page. Such a token expires, and the API documents a separate error text for that.
_SESSION = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
_KEY_HEADERS, _COOKIE_HEADERS = frozenset({"authorization", "proxy-authorization"}), frozenset({"cookie", "set-cookie"})
_BEARER = frozenset({"bearer", "lowercase-scheme"})
# Other credentials, which the server may accept in place of a key.
_OTHER_HEADERS = frozenset({"cookie", "x-api-key", "api-key", "x-auth-token"})
_QUERY_KEY = re.compile(r"(?i)(?:x[_-]?)?api[_-]?key")
_OTHER_PARAMETERS = re.compile(r"(?i)key|jwt|sig|signature|session|(?:\w+[_-])?(?:token|auth|secret)|auth\w*")


def key_of(request: Request, *, is_complete: bool) -> tuple[str, str]:
    """Form and text of a request's key. ``unclear``: a tool masked the key, or another credential may replace it."""
    header = next((value for name, value in request.headers if name.lower() == "authorization"), None)
    has_other = not is_complete or bool(_other_keys(request))
    if header is not None:
        scheme, key = _key_in(header)
        if key and scheme.lower() == "bearer":
            return ("bearer" if scheme == "Bearer" else "lowercase-scheme"), key
        return ("malformed", key) if key and not has_other else ("unclear", "")
    keys = [value for name, value in _parameters(request) if _QUERY_KEY.fullmatch(name)]
    return ("unclear", "") if has_other else ("query", keys[0]) if keys else ("none", "")


def _key_in(header: str) -> tuple[str, str]:
    """Scheme and key in a header; a missing scheme is empty, and so is a key that is missing or masked by a tool."""
    scheme, _, rest = header.strip().partition(" ")
    key = rest.strip() or scheme
    return (scheme if rest else ""), key if _TOKEN.fullmatch(key) and not _MASK.search(key) else ""


def _other_keys(request: Request) -> list[tuple[str, str]]:
    """Names and values of headers and query parameters with other credentials; header names are in lower case."""
    headers = [(name.lower(), value) for name, value in request.headers if name.lower() in _OTHER_HEADERS]
    return headers + [(name, value) for name, value in _parameters(request) if _OTHER_PARAMETERS.fullmatch(name)]


def _parameters(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.url.partition("?")[2], errors="replace")


class Keys:
    """The accounts of keys, and when each key was accepted. *has_keys* is False where a tool may have left out keys."""

    def __init__(self, accounts: Accounts, *, has_keys: bool = False) -> None:
        self.accounts: dict[str, Credential] = dict(accounts)
        self.accepted: dict[str, tuple[float, float]] = {}  # times of first and last acceptance, by key
        self._has_keys = has_keys

    def note(self, form: str, key: str, status: int, at: float) -> None:
        """Notes a request at the time *at*, the form of its key, and the status of its response (0 without one)."""
        self._has_keys |= form in {*_BEARER, "malformed"}
        if form in _BEARER and status not in (0, 401):
            since_at, until_at = self.accepted.get(key, (at, at))
            self.accepted[key] = min(since_at, at), max(until_at, at)

    def credential(self, form: str, key: str, status: int, at: float) -> tuple[Credential, str]:
        """The credential of a request, and why it is unknown (empty if it is known)."""
        match form:
            case "malformed" if self.accounts:  # without an accepted key, the header may be for a gateway
                return "malformed", ""
            case "none" | "query" if self._has_keys:
                return ("none" if form == "none" else "query"), ""
            case "none" | "query" | "malformed" | "unclear":
                return "primary", KEY_UNKNOWN if status == 401 else ""
        account, is_usual = self.accounts.get(key), form == "bearer"
        if account is None:
            if key in self.accepted:
                return "unknown", NO_ACCOUNT
            return ("unknown" if is_usual else "malformed"), KEY_UNKNOWN if _SESSION.fullmatch(key) else ""
        since_at, until_at = self.accepted.get(key, (1.0, 0.0))
        if account != "unknown" and status == 401 and not since_at <= at <= until_at:
            return account, LAPSED
        return ("lowercase-scheme" if account == "primary" and not is_usual else account), ""


def _keys(calls: Sequence[_Call], accounts: Accounts | None) -> Keys:
    """The keys of a file and their accounts; raises a ValueError for several accepted keys without accounts."""
    keys = Keys(accounts or {})
    for call in calls:
        keys.note(call.key_form, call.key, call.status, call.exchange.sent_at)
    if accounts is not None and not accounts and len(keys.accepted) > 1:
        roles = "--as primary=KEY, and with second=KEY, restricted=KEY or unknown=KEY"
        advice = f"assign accounts with {roles}; KEY is a key or an environment variable that holds it"
        raise ValueError(f"holds {len(keys.accepted)} keys; {advice}")
    if not accounts:
        keys.accounts |= dict.fromkeys(keys.accepted, "primary")
    return keys


# --- secrets ---------------------------------------------------------------------------------------------------------

# A shorter cookie, or a shorter key without a digit, may be a common word; replacing it would destroy evidence.
_SHORT_KEY, _SHORT_COOKIE = 12, 16
_COOKIE, _ANY = re.compile(r"<key:cookie-[a-z0-9-]*>"), re.compile(r"<key:[^<>]*>")
# Operations whose responses contain documents or output of builds, in which a user may have written a key.
_QUOTING = frozenset({"publishTemplate", "getTemplate", "streamBuildEvents"})
_PAIR = re.compile(r"[^=;,\s]+=\"?([^;\"]+)")


def _secrets(keys: Keys, calls: Sequence[_Call]) -> Secrets:
    """All keys and cookies of a file, skipped entries included, with the names of their placeholders."""
    names: dict[str, str] = {key: keys.accounts.get(key, "third") for key in (*keys.accounts, *keys.accepted)}
    halves = [half for call in calls for half in (call.exchange.request, call.exchange.response) if half]
    headers = [(name.lower(), value) for half in halves for name, value in half.headers]
    others = [*(_key_in(value)[1] for name, value in headers if name in _KEY_HEADERS), *(call.key for call in calls)]
    others += [value for call in calls for name, value in _other_keys(call.exchange.request) if name != "cookie"]
    unknown = [key for key in dict.fromkeys(others) if key and key not in names]
    names |= {key: f"unknown-{number}" for number, key in enumerate(unknown, 1)}
    pairs = [(names[key], key) for key in names if len(key) >= _SHORT_KEY or re.search(r"\d", key)]
    values = [value for name, text in headers if name in _COOKIE_HEADERS for value in _PAIR.findall(text)]
    cookies = [value for value in dict.fromkeys(values) if len(value) >= _SHORT_COOKIE]
    return Secrets([*pairs, *((f"cookie-{number}", value) for number, value in enumerate(cookies))])


def marked(exchange: Exchange, secrets: Secrets) -> Exchange:
    """The exchange with a placeholder for each key; all cookies share one placeholder."""
    gone = _ANY if exchange.operation in _QUOTING and exchange.status < 400 else _COOKIE
    request = replace(exchange.request, headers=secrets.headers(exchange.request.headers))
    return cleaned(
        replace(exchange, request=request),
        lambda text: _COOKIE.sub(REDACTED, secrets.text(text)),
        lambda text: gone.sub(REDACTED, secrets.text(text)),
    )


# --- facts for the rules ---------------------------------------------------------------------------------------------


def noted(exchange: Exchange) -> Exchange:
    """Adds a note for the rules to a publish: its boolean query parameters, and its digest in place of the content."""
    if exchange.operation != "publishTemplate":
        return exchange
    query = parse_qs(exchange.request.url.partition("?")[2], errors="replace")
    switches = {name: query.get(name, ["false"]) for name in ("force", "auto_build")}
    note: dict[str, Any] = {name: {value.lower() for value in sent} <= _YES for name, sent in switches.items()}
    digest = exchange.body.get("digest")
    if exchange.status in _SUCCESS and exchange.credential in {"primary", "second"} and isinstance(digest, str):
        note["content"] = digest
    return replace(exchange, note=note)


def given(exchanges: Iterable[Exchange]) -> tuple[Given, ...]:
    """The versions that existed before the recording; the first conclusive response about a version decides."""
    found: dict[str, Given | None] = {}
    for exchange in exchanges:
        owner, ref = OWNERS.get(exchange.credential), exchange.ref
        if owner is None or ref is None or ref in found:
            continue
        existed = was_there(exchange)
        if existed is not None:
            found[ref] = Given(ref, owner) if existed else None
    return tuple(one for one in found.values() if one)


def was_there(exchange: Exchange) -> bool | None:
    """Whether a version existed before the request, by its response; None if the response is inconclusive."""
    present, absent = _CONCLUSIVE.get(exchange.operation, ((), ()))
    if exchange.request.method in {"HEAD", "OPTIONS"}:
        return None
    if exchange.operation == "streamBuildEvents" and exchange.response and not parse(exchange.response.body).events:
        return None
    return True if exchange.status in present else False if exchange.status in absent else None
