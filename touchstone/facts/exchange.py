"""One request and its response as they crossed the wire: facts, without secrets and without opinions.

An exchange never holds a key. The transport replaces every secret value by a marker (see redact.py) before
it makes one, so whatever reads exchanges (rules, run log, reports) cannot leak what it never had.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

Credential = Literal[
    "primary",  # the key of the account under test
    "second",  # the key of another account on the Scale plan
    "restricted",  # the key of an account below the Scale plan
    "none",  # no Authorization header at all
    "unknown",  # a well-formed key that no account has
    "longer",  # the primary key and one character more, at either end
    "shorter",  # the primary key without its last character, or without its first
    "recased",  # the primary key with its small letters large and its large ones small
    "malformed",  # an Authorization header that carries no bearer key: wrong scheme, no token
    "query",  # the primary key in the query string only
    "lowercase-scheme",  # the primary key behind the scheme written in other letters than usual
]

REFUSED_CREDENTIALS: frozenset[Credential] = frozenset(
    {"none", "unknown", "longer", "shorter", "recased", "malformed", "query"}
)

Closed = Literal["server", "client", ""]

_SHORT_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """What was sent. Secrets in *url*, *headers* and *body* are already markers such as ``<key:primary>``."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed body: seconds since the request was sent, and its bytes."""

    at_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. *chunks* is empty unless the body was read as a stream; *body* is always whole."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: tuple[Chunk, ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of header *name*, any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: the body is not JSON in UTF-8.
        """
        return json.loads(self.body.decode("utf-8"))

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None where it is anything else."""
        return (_short_object if len(self.body) <= _SHORT_BYTES else _long_object)(self.body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# Rules ask for the same body again and again; nobody changes what they get. JSON takes many times its length once it is
# read: of long bodies only a few are held.
_short_object = lru_cache(maxsize=8192)(_object)
_long_object = lru_cache(maxsize=8)(_object)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, with times.

    Attributes:
        seq: Number in the run, from 1, in the order in which requests were sent.
        operation: operationId of the contract, or ``""`` for a request outside it.
        ref: ``namespace/name@version`` that the path names, percent-decoded, or None.
        credential: Whose key was shown, and how.
        case: Stable id of the test that sent it.
        sent_at: Seconds since the run started, just before the request was written.
        head_at: The same clock, when status and headers had arrived; equals *done_at* without a response.
        done_at: The same clock, when the last byte had arrived or the exchange was given up.
        request: What was sent.
        response: What came back, or None.
        error: Why there is no response, e.g. ``ReadTimeout: ...``; empty otherwise.
        closed: For a stream: who ended it. ``client`` means that it was still open when its time was up.
        note: What the sender says about the request that its bytes do not: see NOTES.
    """

    seq: int
    operation: str
    ref: str | None
    credential: Credential
    case: str
    sent_at: float
    head_at: float
    done_at: float
    request: Request
    response: Response | None = None
    error: str = ""
    closed: Closed = ""
    note: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The status code, or 0 where no response came."""
        return self.response.status if self.response else 0

    @property
    def body(self) -> dict[str, Any]:
        """The response as a JSON object, or an empty dict where it is anything else."""
        return (self.response.json_object() or {}) if self.response else {}

    @property
    def elapsed_s(self) -> float:
        """Seconds from sent to done."""
        return self.done_at - self.sent_at
