"""What requests ask for and what answers are, before anybody asks what they mean."""

import functools
import re
from collections.abc import Iterator
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
    """The media type in lower case without parameters, or empty."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def announces_json(response: Response) -> bool:
    """Whether the body is said to be JSON."""
    kind = media_type(response)
    return kind == "application/json" or kind.endswith("+json")


def json_problem(body: bytes) -> str:
    """Why a body is not one complete JSON value in UTF-8; empty where it is."""
    try:
        read_json(body)
    except ValueError as error:
        return str(error)
    return ""


def garbled(exchange: Exchange) -> bool:
    """Whether there is a body that is no JSON: its media type and whether it is whole have claims of their own."""
    body = exchange.response.body if exchange.response else b""
    return bool(body and json_problem(body))


def error_problem(response: Response) -> str:
    """Why an answer is not the documented error body (troubleshooting#errors; facts 7.16); empty where it is."""
    body: Any = response.json_object()
    if body is None:
        return f"{media_type(response) or 'no media type'} {render(response.body)}"
    error = body.get("error")
    return "" if isinstance(error, str) and error.strip() else render(body)


def judgeable(exchange: Exchange) -> bool:
    """Whether the answer says something about a claim on a status: it came, is whole, and no limit got in the way."""
    return exchange.response is not None and not exchange.error and exchange.status != 429


# plain: every segment is one that the contract allows. misspelt: three segments, and at least one that it does not.
# misshapen: what a server sees depends on how it takes paths apart, so routing may end before the API is reached.
Spelling = Literal["plain", "misspelt", "misshapen"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_SUCH_PATH = frozenset({400, 404, 405, 414, 422, 431})

# RFC 9110 4.1 asks servers for 8000 octets of a target; shorter ones that are no longer usual may hit a proxy's limit.
_LONG_TARGET_CHARS = 2000
_LONG_SEGMENT_CHARS = 255
_LARGEST_TAKEN_BYTES = 529_684  # facts, part 4: the largest body known to have been taken; a larger one may be 413

# HEAD and OPTIONS are answered by what stands before an API. GET /templates lists versions, outside the contract.
_ANYWHERE = frozenset({"HEAD", "OPTIONS", "CONNECT"})
_ELSEWHERE = frozenset({("GET", "/templates")})
_ROOT = re.compile(r"(?<!/)/templates(?=/|$)")  # behind any base path; behind two slashes it is another path
_VERSION_PATH = re.compile(r"/templates/([^/]+)/([^/]+)/([^/]+)(?:/build(?:/events)?)?")
_BUILD_PATH = re.compile(r"/templates/.*/build(?:/events)?/?", re.DOTALL)
_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+")  # RFC 3986 3.3
_TAKES_PATHS_APART = re.compile(r"[/\\\x00-\x1f\x7f]")


def operation_of(exchange: Exchange, contract: Contract) -> Operation | None:
    """The operation that was asked for with the method that it has, or None for any other request."""
    operation = contract.operations.get(exchange.operation)
    return operation if operation and operation.method == exchange.request.method else None


def answered_about(ref: str, history: History, *operations: str) -> Iterator[Exchange]:
    """The requests for some operations about *ref*, with the methods that these have, that were answered as a whole."""
    for exchange in history.story(ref):
        operation = operation_of(exchange, history.contract)
        if operation and operation.id in operations and exchange.response is not None and not exchange.error:
            yield exchange


def path_of(exchange: Exchange) -> str:
    """The path below the base as sent, percent-encoded, without its query; empty where it leads somewhere else."""
    path = exchange.request.url.partition("?")[0].partition("://")[2]
    found = _ROOT.search(path)
    return path[found.start() :] if found else ""


def asks_for_build(exchange: Exchange) -> bool:
    """Whether the path has the form of a build's or of its events', however its segments are spelt."""
    return _BUILD_PATH.fullmatch(path_of(exchange)) is not None


def spelling(exchange: Exchange, contract: Contract) -> Spelling:
    """How the path is spelt, measured by the patterns of the contract."""
    return _spelling(path_of(exchange), contract)


def asks_for_another_method(exchange: Exchange, contract: Contract) -> bool:
    """Whether the method is one that its path, which the contract knows, does not have."""
    method, path = exchange.request.method, path_of(exchange)
    if method in _ANYWHERE or (method, path) in _ELSEWHERE or spelling(exchange, contract) != "plain":
        return False
    return not contract.match(method, path) and any(contract.match(other, path) for other in methods_of(contract))


def methods_of(contract: Contract) -> frozenset[str]:
    """All methods that some path of the contract has."""
    return frozenset(operation.method for operation in contract.operations.values())


def tidied(exchange: Exchange) -> str:
    """The path below the base for a server that decodes, resolves dots and drops empty segments before it looks."""
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
    """The statuses that answer what is unusual about the request, beside those that its operation documents."""
    return frozenset().union(*_excuses(exchange, contract))


def is_usual(exchange: Exchange, contract: Contract) -> bool:
    """Whether nothing unusual about the request explains its answer."""
    return spelling(exchange, contract) == "plain" and exchange.status not in excused(exchange, contract)


def parts(ref: str) -> tuple[str, str, str]:
    """Namespace, name and version of a ref."""
    namespace, _, rest = ref.partition("/")
    name, _, version = rest.rpartition("@")
    return namespace, name, version


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
    if len(request.body) > _LARGEST_TAKEN_BYTES:
        yield frozenset({413})
    headers = {name.lower(): value for name, value in request.headers}
    if exchange.operation == "publishTemplate":
        if not re.match(r"application/(yaml|json)\b", headers.get("content-type", "")):
            yield frozenset({400, 415})
    elif request.body:
        yield frozenset({400, 411, 413, 415, 422})
    if "*/*" not in headers.get("accept", "*/*"):
        yield frozenset({406})


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
