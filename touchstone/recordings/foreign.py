"""Recordings that others made: HAR files of browsers, proxies and testers.

They hold more than the API, and less than all that was done with it. What is no exchange with the API, or does not say
what was answered, or to whom, is left out and counted. See `partial.py` for what may be concluded from the rest.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

from touchstone.contract.document import EVENT_STREAM, Contract
from touchstone.facts.exchange import Chunk, Credential, Exchange, Request
from touchstone.recordings import har
from touchstone.recordings.cleaning import cleaned
from touchstone.recordings.foreign_har import Entry, Headers, entries
from touchstone.recordings.foreign_story import OWNERS, given, noted, published_ref
from touchstone.recordings.recording import BASE_URL, Accounts, Owner, Recording, Terms
from touchstone.rules.eventlog import log_of
from touchstone.target.redact import REDACTED, Secrets

# Why nobody can know whose key a request shows, or whether it was one.
KEY_UNKNOWN = "refused, and the file does not say with which key"
LAPSED = "refused, and the key may not have been valid at that time"
NOT_NAMED = "with a key that no --as names"

_CHANGING = frozenset({"publishTemplate", "deleteTemplate", "startBuild", "cancelBuild"})
_ENDS_OF_FRAME = (b"\n\n", b"\r\r", b"\r\n\r\n")

_URL = re.compile(r"(?i)(https?)://(?:[^/?#]*@)?([^/?#]*)([^#]*)")
_ROOT = re.compile(r"/templates(?=[/?]|$)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# RFC 6750 2.1: what a key is made of. Whatever else stands there a tool has put in its place.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_MASK = re.compile(r"(?i)redact|filter|mask|hidden|remov|sanit|censor|scrub|dummy|placeholder|^(.)\1*$")
# A session of a page, which ends by itself: the API documents a text of its own for that.
_SESSION = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
_KEY_HEADERS = frozenset({"authorization", "proxy-authorization"})
# Who is let in by one of these needs no key.
_OTHER_HEADERS = frozenset({"cookie", "x-api-key", "api-key", "x-auth-token"})
_QUERY_KEY = re.compile(r"(?i)(?:x[_-]?)?api[_-]?key")
_OTHER_PARAMETERS = re.compile(r"(?i)key|jwt|sig|signature|session|(?:\w+[_-])?(?:token|auth|secret)|auth\w*")
# What a request can be answered before anybody looks at its key.
_BEFORE_THE_KEY = frozenset({400, 405, 413, 414, 415, 422, 431})

# A shorter key without a digit, or a shorter cookie, may be a word, and marking that would spoil the evidence.
_SHORT_KEY, _SHORT_COOKIE = 12, 16
_COOKIE, _ANY = re.compile(r"<key:cookie-[a-z0-9-]*>"), re.compile(r"<key:[^<>]*>")
# What holds documents, and what their builds print: a key in there is one that a user wrote.
_QUOTING = frozenset({"publishTemplate", "getTemplate", "streamBuildEvents"})
_PAIR = re.compile(r"[^=;,\s]+=\"?([^;\"]+)")


def recording(
    document: dict[str, Any], name: str, path: str, contract: Contract, accounts: Accounts | None = None
) -> Recording:
    """The exchanges with the API in a document that has the form of a HAR.

    Args:
        accounts: Which keys are whose. Where that is empty, the only key that is accepted is the primary one; where it
            is None, all are.

    Raises:
        ValueError: something in it cannot be read; the text names it by its JSON pointer. Or several keys are accepted,
            and nobody said whose they are.
    """
    found = entries(document)
    left_out: Counter[str] = Counter()
    calls = _calls(found, contract, left_out)
    keys = _Keys(calls, accounts)
    marks = _Marks(keys.names(found), found)
    kept: list[tuple[_ApiCall, Credential]] = []
    for call in sorted(calls, key=lambda call: (call.entry.sent_at, call.entry.done_at)):
        credential, why = keys.credential(call.entry)
        if why:
            left_out[why] += 1
        else:
            kept.append((call, credential))
    began_at = kept[0][0].entry.sent_at if kept else 0.0
    read = [_exchange(call, credential, number, began_at) for number, (call, credential) in enumerate(kept, 1)]
    exchanges = noted([cleaned(marks.mark(exchange), {}) for exchange in read])
    present = {OWNERS.get(exchange.credential) for exchange in exchanges}
    return Recording(
        name,
        exchanges,
        "har",
        path,
        har.utc(datetime.fromtimestamp(began_at, UTC)) if kept else "",
        terms=Terms(keys=tuple(role for role in get_args(Owner) if role in present), given=given(exchanges)),
        left_out=dict(left_out),
    )


# --- requests to the API ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ApiCall:
    """A request to the API.

    Attributes:
        target: Path and query below the base of the API, as sent.
        operation: operationId, or empty for a request outside the contract.
        ref: The version that the request is about, or None.
    """

    entry: Entry
    target: str
    operation: str = ""
    ref: str | None = None


def _calls(found: Sequence[Entry], contract: Contract, left_out: Counter[str]) -> list[_ApiCall]:
    """The requests to the API that a server was sent."""
    base = _base_of((entry for entry in found if not entry.left_out), contract)
    calls: list[_ApiCall] = []
    for entry in found:
        call = _call(entry, base, contract) if base else None
        if call is None:
            left_out["of another API" if _URL.match(entry.url) else "not over HTTP"] += 1
        elif entry.left_out:
            left_out[entry.left_out] += 1
        # What may have changed something is needed to understand what follows it.
        elif entry.unknown and (call.operation not in _CHANGING or 400 <= entry.status < 500):
            left_out[entry.unknown] += 1
        else:
            calls.append(call)
    return calls


def _base_of(found: Iterable[Entry], contract: Contract) -> str | None:
    """The origin and path below which most of the contract is used, or None where nothing of it is.

    Many an API has a path that ends in ``/templates``, so that different operations count, and long templates more.
    """
    operations: dict[str, set[tuple[str, int]]] = defaultdict(set)
    times: Counter[str] = Counter()
    for entry in found:
        origin, target = _split(entry.url)
        path = target.partition("?")[0]
        for root in _ROOT.finditer(path):
            base = origin + path[: root.start()]
            if match := contract.match(entry.method, path[root.start() :]):
                operations[base].add((match[0].id, len(match[0].segments)))
                times[base] += 1
    weights = {base: sum(length for _, length in known) for base, known in operations.items()}
    return max(weights, key=lambda base: (weights[base], times[base], -len(base)), default=None)


def _call(entry: Entry, base: str, contract: Contract) -> _ApiCall | None:
    """The request as one to the API at *base*, or None where it is not for it."""
    url = "".join(_split(entry.url))
    target = url.removeprefix(base)
    if not url.startswith(base) or not _ROOT.match(target):
        return None
    path = target.partition("?")[0]
    if path.startswith("/templates/global/"):
        # Curated templates have listings of their own; what their paths look like by the contract is chance.
        return _ApiCall(entry, target)
    match = contract.match(entry.method, path)
    values = (match or contract.match("GET", path) or (None, {}))[1]
    ref = "{namespace}/{name}@{version}".format(**values) if {"namespace", "name", "version"} <= values.keys() else None
    if match and match[0].id == "publishTemplate":
        ref = published_ref(entry.body, (entry.response.json_object() if entry.response else None) or {})
    return _ApiCall(entry, target, match[0].id if match else "", ref)


def _split(url: str) -> tuple[str, str]:
    """Origin, as browsers write it, and target of a URL, without who signs in and without its fragment."""
    match = _URL.match(url)
    if match is None:
        return "", ""
    scheme, host = match[1].lower(), match[2].lower()
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}", match[3]


def _exchange(call: _ApiCall, credential: Credential, seq: int, began_at: float) -> Exchange:
    """The exchange with all that is secret in it."""
    entry, response = call.entry, call.entry.response
    streamed = response is not None and (response.header("content-type") or "").lower().startswith(EVENT_STREAM)
    if response and streamed and response.body:
        response = replace(response, chunks=(Chunk(round(entry.done_at - entry.sent_at, 6), response.body),))
    exchange = Exchange(
        seq=seq,
        operation=call.operation,
        ref=call.ref,
        credential=credential,
        case="",
        sent_at=round(entry.sent_at - began_at, 6),
        head_at=round(entry.head_at - began_at, 6),
        done_at=round(entry.done_at - began_at, 6),
        request=Request(entry.method, BASE_URL + call.target, entry.headers, entry.body),
        response=response,
        error=entry.error or entry.unknown,
    )
    if response is None:
        # Nobody is to blame for what the client did not wait for, or did not write down.
        return replace(exchange, closed="client" if entry.unknown else "")
    if not streamed or exchange.error:
        return exchange
    # Where the file does not say who ended a stream, a log does by its last frame.
    log = log_of(exchange)
    by_server = entry.ended == "server" or bool(entry.ended == "unknown" and log and log.ended)
    is_whole = by_server and (not response.body or response.body.endswith(_ENDS_OF_FRAME))
    return replace(exchange, closed="server" if is_whole else "client")


# --- keys ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Key:
    """What a request holds of a key.

    Attributes:
        kind: ``other`` for an Authorization header that carries no bearer key; ``unclear`` where something else than a
            key may let the request in.
        value: The key, or what stands in its place.
        usual: Whether the scheme is written as documented.
    """

    kind: Literal["bearer", "other", "masked", "query", "none", "unclear"]
    value: str = field(default="", repr=False)
    usual: bool = True


def _key_of(entry: Entry) -> _Key:
    header = next((value for name, value in entry.headers if name.lower() == "authorization"), None)
    elsewhere = not entry.complete or bool(_other_keys(entry))
    if header is not None:
        return _key_in(header, elsewhere=elsewhere)
    if elsewhere:
        return _Key("unclear")
    key = next((value for name, value in _parameters(entry.url) if _QUERY_KEY.fullmatch(name)), "")
    return _Key("query", key) if key else _Key("none")


def _key_in(header: str, *, elsewhere: bool) -> _Key:
    scheme, _, key = header.strip().partition(" ")
    key, is_bearer = key.strip(), scheme.lower() == "bearer"
    word = key if is_bearer else key or scheme
    is_masked = not _TOKEN.fullmatch(word) or _MASK.search(word) is not None
    if is_bearer and key:
        return _Key("masked" if is_masked else "bearer", key, scheme == "Bearer")
    if is_masked and not is_bearer:
        return _Key("masked")
    return _Key("unclear") if elsewhere else _Key("other", key or scheme)


def _other_keys(entry: Entry) -> list[tuple[str, str]]:
    """What else may let a request in, beside a key in the place for keys: its name in lower case, and its value."""
    headers = [(name.lower(), value) for name, value in entry.headers if name.lower() in _OTHER_HEADERS]
    return headers + [(name, value) for name, value in _parameters(entry.url) if _OTHER_PARAMETERS.fullmatch(name)]


def _parameters(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("#")[0].partition("?")[2], errors="replace")


class _Keys:
    """The keys of a file, and whose they are.

    A browser leaves the header with the key out of what it saves, and other tools write something else in its place;
    what is refused then, and why, nobody can know.
    """

    def __init__(self, calls: Sequence[_ApiCall], accounts: Accounts | None) -> None:
        self._calls = calls
        self._has_keys = any(_key_of(call.entry).kind in {"bearer", "other"} for call in calls)
        by_key: dict[str, list[Entry]] = defaultdict(list)
        for call in calls:
            key = _key_of(call.entry)
            if key.kind == "bearer" and call.entry.status:
                by_key[key.value].append(call.entry)
        # The moments between which a key was accepted.
        self._accepted = {key: (min(times), max(times)) for key, one in by_key.items() if (times := _accepted_at(one))}
        self._refused = [key for key in by_key if key not in self._accepted]
        open_ = [key for key in self._accepted if not accounts]
        if accounts is not None and len(open_) > 1:
            numbers = ", ".join(str(len(by_key[key])) for key in open_)
            raise ValueError(
                f"holds {len(open_)} keys, with {numbers} requests; say whose they are with --as primary=KEY, and with "
                "second=KEY, restricted=KEY or unknown=KEY; KEY is a key, or the environment variable that holds it"
            )
        self._account: dict[str, Credential] = {**(accounts or {}), **dict.fromkeys(open_, "primary")}

    def credential(self, entry: Entry) -> tuple[Credential, str]:
        """Whose key a request holds, and why that is not known; that is empty where it is."""
        key = _key_of(entry)
        if key.kind == "bearer":
            return self._of_bearer(entry, key)
        # Without a key that is accepted, another scheme may be what a gateway asks for.
        if key.kind == "other" and self._account:
            return "malformed", ""
        if self._has_keys and key.kind in {"none", "query"}:
            return ("none" if key.kind == "none" else "query"), ""
        return "primary", KEY_UNKNOWN if entry.status == 401 else ""

    def _of_bearer(self, entry: Entry, key: _Key) -> tuple[Credential, str]:
        account = self._account.get(key.value)
        since_at, until_at = self._accepted.get(key.value, (1.0, 0.0))
        if account is None:
            if key.value in self._accepted:
                return "unknown", NOT_NAMED
            return ("unknown" if key.usual else "malformed"), KEY_UNKNOWN if _SESSION.fullmatch(key.value) else ""
        if account != "unknown" and entry.status == 401 and not since_at <= entry.sent_at <= until_at:
            return account, LAPSED
        return ("lowercase-scheme" if account == "primary" and not key.usual else account), ""

    def names(self, found: Iterable[Entry]) -> list[tuple[str, str]]:
        """Every key in a file, with the name to mark it by; what is left out may hold one that an answer repeats."""
        names = [(self._account.get(key, "third"), key) for key in (*self._account, *self._accepted)]
        names += [(f"unknown-{number}", key) for number, key in enumerate(self._refused, 1)]
        held = [_key_of(entry) for entry in found]
        # Which of several headers a server reads, and whatever else may let a request in, each may hold a key.
        headers = (value for entry in found for name, value in entry.headers if name.lower() in _KEY_HEADERS)
        held += [_key_in(value, elsewhere=False) for value in headers]
        others = {key.value for key in held if key.kind in {"bearer", "other", "query"}}
        others |= {value for call in self._calls for name, value in _other_keys(call.entry) if name != "cookie"}
        others -= {key for _, key in names}
        return names + [(f"other-{number}", key) for number, key in enumerate(sorted(others), 1)]


def _accepted_at(answered: Sequence[Entry]) -> list[float]:
    """When answers show that a key was accepted; without any, those that leave it open, unless others refuse it."""
    open_ = [entry for entry in answered if entry.status != 401]
    surely = any(entry.status not in _BEFORE_THE_KEY and entry.status < 500 for entry in open_)
    return [entry.sent_at for entry in open_] if surely or len(open_) == len(answered) else []


class _Marks:
    """Takes out of exchanges what must not be kept.

    Args:
        keys: Name and value of each key; several may have one name.
        found: Whose cookies are secret.
    """

    def __init__(self, keys: Iterable[tuple[str, str]], found: Iterable[Entry]) -> None:
        secrets = [(name, key) for name, key in keys if len(key) >= _SHORT_KEY or re.search(r"\d", key)]
        cookies = dict.fromkeys(value for entry in found for value in _cookies(entry))
        self._secrets = Secrets([*secrets, *((f"cookie-{number}", value) for number, value in enumerate(cookies))])

    def mark(self, exchange: Exchange) -> Exchange:
        """The exchange with a marker in the place of each key.

        Of a cookie, and of a key that stands in a document, nobody needs to know which one it was.
        """
        sent, response = exchange.request, exchange.response
        gone = _ANY if exchange.operation in _QUOTING else _COOKIE
        headers = self._headers(sent.headers)
        request = Request(self._text(sent.method), self._text(sent.url), headers, self._data(sent.body, gone))
        if response:
            body = self._data(response.body, gone if response.status < 400 else _COOKIE)
            # A stream has come in one piece; it is cut into frames when it is cleaned.
            chunks = tuple(replace(chunk, data=body) for chunk in response.chunks)
            response = replace(response, headers=self._headers(response.headers), body=body, chunks=chunks)
        ref, error = exchange.ref and self._text(exchange.ref), self._text(exchange.error)
        return replace(exchange, ref=ref, request=request, response=response, error=error)

    def _headers(self, pairs: Headers) -> Headers:
        return tuple((name, _COOKIE.sub(REDACTED, value)) for name, value in self._secrets.headers(pairs))

    def _text(self, text: str) -> str:
        return _COOKIE.sub(REDACTED, self._secrets.text(text))

    def _data(self, data: bytes, gone: re.Pattern[str]) -> bytes:
        # Latin-1 gives each byte a letter, so that bytes of any encoding come back as they were.
        return gone.sub(REDACTED, self._secrets.data(data).decode("latin-1")).encode("latin-1")


def _cookies(entry: Entry) -> Iterator[str]:
    for name, value in (*entry.headers, *(entry.response.headers if entry.response else ())):
        if name.lower() in {"cookie", "set-cookie"}:
            yield from (found for found in _PAIR.findall(value) if len(found) >= _SHORT_COOKIE)
