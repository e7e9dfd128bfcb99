"""Basic properties of requests and responses: operation, path, media type, JSON and allowed errors."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from touchstone.contract.document import Contract, Operation
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange, Response
from touchstone.rules.history import History
from touchstone.rules.rule import render

SUCCESS = range(200, 300)
ABOUT_A_VERSION = ("getTemplate", "deleteTemplate", "startBuild", "getBuild", "cancelBuild", "streamBuildEvents")


def media_type(response: Response) -> str:
    """Returns the media type in lower case without parameters, or an empty string."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def announces_json(response: Response) -> bool:
    """Whether the response has a JSON media type."""
    kind = media_type(response)
    return kind == "application/json" or kind.endswith("+json")


def json_problem(body: bytes) -> str:
    """Returns why *body* is not one complete JSON value in UTF-8; an empty string if it is one."""
    try:
        read_json(body)
    except ValueError as error:
        return str(error)
    return ""


def garbled(exchange: Exchange) -> bool:
    """Whether the body is not valid JSON, whatever its media type; an empty body is not garbled."""
    body = exchange.response.body if exchange.response else b""
    return bool(body and json_problem(body))


def error_problem(response: Response) -> str | None:
    """Returns what is wrong in an error body (troubleshooting#errors; ambiguity 7.16); empty if it is as documented.

    Returns None for invalid JSON with a JSON media type, which has a claim of its own.
    """
    if announces_json(response) and response.body and json_problem(response.body):
        return None
    body: Any = response.json_object()
    if body is None:
        return f"{media_type(response) or 'no media type'} {render(response.body)}"
    error = body.get("error")
    return "" if isinstance(error, str) and error.strip() else render(body)


def judgeable(exchange: Exchange) -> bool:
    """Whether the response is complete and not a 429, so that its status can be judged."""
    return exchange.response is not None and not exchange.error and exchange.status != 429


# plain: namespace, name and version are valid. misspelt: at least one of the three is not. misshapen: servers split
# such a path in different ways, so that the request may not reach the API.
Spelling = Literal["plain", "misspelt", "misshapen"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_SUCH_PATH = frozenset({400, 404, 405, 414, 422, 431})

_LONG_TARGET_CHARS = 2000  # RFC 9110 4.1 asks servers to accept 8000 octets; proxies may allow less
_LONG_SEGMENT_CHARS = 255
_LARGEST_ACCEPTED_BYTES = 529_684  # largest body that the API is known to accept; a larger one may get a 413

_ANYWHERE = frozenset({"HEAD", "OPTIONS", "CONNECT"})  # methods that a proxy may answer before the API
_ELSEWHERE = frozenset({("GET", "/templates")})  # a list of versions, which is not in the contract
_ROOT = re.compile(r"(?<!/)/templates(?=/|$)")  # after any base path; after two slashes it is another path
_VERSION_PATH = re.compile(r"/templates/([^/]+)/([^/]+)/([^/]+)(?:/build(?:/events)?)?")
_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+")  # RFC 3986 3.3
_TAKES_PATHS_APART = re.compile(r"[/\\\x00-\x1f\x7f]")


def operation_of(exchange: Exchange, contract: Contract) -> Operation | None:
    """Returns the requested operation, or None if path and method match none."""
    operation = contract.operations.get(exchange.operation)
    return operation if operation and operation.method == exchange.request.method else None


def answered_about(ref: str, history: History, *operations: str) -> Iterator[Exchange]:
    """Yields the exchanges about *ref* that have one of the *operations* and a complete response."""
    for exchange in history.story(ref):
        operation = operation_of(exchange, history.contract)
        if operation and operation.id in operations and exchange.response is not None and not exchange.error:
            yield exchange


def path_of(exchange: Exchange) -> str:
    """Percent-encoded path below the base, without the query; empty if it is outside the API."""
    path = exchange.request.url.partition("?")[0].partition("://")[2]
    found = _ROOT.search(path)
    return path[found.start() :] if found else ""


def spelling(exchange: Exchange, contract: Contract) -> Spelling:
    """Returns whether the path is plain, misspelt or misshapen, by the patterns of the contract."""
    return _spelling(path_of(exchange), contract)


def asks_for_another_method(exchange: Exchange, contract: Contract) -> bool:
    """Whether the contract has the path, but not with this method."""
    method, path = exchange.request.method, path_of(exchange)
    if method in _ANYWHERE or (method, path) in _ELSEWHERE or spelling(exchange, contract) != "plain":
        return False
    return not contract.match(method, path) and any(contract.match(other, path) for other in methods_of(contract))


def methods_of(contract: Contract) -> frozenset[str]:
    """All methods in the contract."""
    return frozenset(operation.method for operation in contract.operations.values())


def tidied(exchange: Exchange) -> str:
    """Returns the path below the base, decoded, with ``.`` and ``..`` resolved and empty segments dropped."""
    path = exchange.request.url.partition("?")[0].partition("://")[2]
    segments: list[str] = []
    for segment in re.split(r"[/\\]", unquote_to_bytes(path).decode("utf-8", "replace")):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in {"", "."}:
            segments.append(segment)
    found = _ROOT.search("/".join(segments))
    return found.string[found.start() :] if found else ""


def excused(exchange: Exchange, contract: Contract) -> frozenset[int]:
    """Returns the statuses that an unusual request may get in addition, such as 413 for a large body."""
    return frozenset().union(*_excuses(exchange, contract))


def is_usual(exchange: Exchange, contract: Contract) -> bool:
    """Whether the path is plain and nothing unusual in the request explains the status."""
    return spelling(exchange, contract) == "plain" and exchange.status not in excused(exchange, contract)


def parts(ref: str) -> tuple[str, str, str]:
    """Namespace, name and version of a ref."""
    namespace, _, rest = ref.partition("/")
    name, _, version = rest.rpartition("@")
    return namespace, name, version


# conditions that no stored response meets
NO_ETAG, LONG_AGO = '"none"', "Thu, 01 Jan 2015 00:00:00 GMT"
WHOLE = "bytes=0-"

_PARAMETERS = ("Namespace", "Name", "Version")


def _excuses(exchange: Exchange, contract: Contract) -> Iterator[frozenset[int]]:
    request = exchange.request
    spelt = spelling(exchange, contract)
    if spelt != "plain":
        yield NO_SUCH_PATH
    if spelt == "misshapen":
        yield REDIRECTS
    if len(request.url) > _LONG_TARGET_CHARS:
        yield frozenset({400, 414, 431})
    if request.url.partition("?")[2] and exchange.credential != "query":
        yield frozenset({400, 422})
    if len(request.body) > _LARGEST_ACCEPTED_BYTES:
        yield frozenset({413})
    headers = {name.lower(): value for name, value in request.headers}
    if exchange.operation == "publishTemplate":
        if not re.match(r"application/(yaml|json)\b", headers.get("content-type", "")):
            yield frozenset({400, 415})
    elif request.body:
        yield frozenset({400, 411, 413, 415, 422})
    if "*/*" not in headers.get("accept", "*/*"):
        yield frozenset({406})
    yield _conditional(exchange, headers)


def _conditional(exchange: Exchange, headers: Mapping[str, str]) -> frozenset[int]:
    """Statuses for a range, or for a response that another client has stored; the run knows those of its own cases."""
    stored = {"if-none-match", "if-modified-since"} & headers.keys() and "stored" not in exchange.note
    partial = {206, 416} if headers.get("range", WHOLE) != WHOLE else set()
    return frozenset(partial | ({304} if stored else set()))


@functools.lru_cache(maxsize=4096)
def _spelling(path: str, contract: Contract) -> Spelling:
    if path == "/templates":
        return "plain"
    found = _VERSION_PATH.fullmatch(path)
    decoded = [_decoded(segment) for segment in found.groups()] if found else [None]
    if any(value is None for value in decoded):
        return "misshapen"
    fits = all(_fits(value or "", name, contract) for value, name in zip(decoded, _PARAMETERS, strict=True))
    return "plain" if fits else "misspelt"


def _decoded(segment: str) -> str | None:
    if not _SEGMENT.fullmatch(segment):
        return None
    try:
        value = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if value in {".", ".."} or len(value) > _LONG_SEGMENT_CHARS or _TAKES_PATHS_APART.search(value):
        return None
    return value


def _fits(value: str, parameter: str, contract: Contract) -> bool:
    schema = contract.document["components"]["parameters"][parameter]["schema"]
    return len(value) <= schema["maxLength"] and re.search(schema["pattern"], value) is not None and "\n" not in value
