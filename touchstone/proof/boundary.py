"""ASGI wrapper around the twin that records all responses and changes some."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.surface import OPERATIONS
from touchstone.twin.app import resource_at
from touchstone.twin.serve import Asgi

_OPERATION_OF = {resource: operation for operation, resource in OPERATIONS.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP response.

    Attributes:
        operation: operationId of the request; empty if the contract has no such path or method.
        ref: Ref (namespace/name@version) in the path of the request; for a publish, that in the response body.
        key: The Authorization header of the request.
        delay_s: Seconds to wait before the response is sent.
        missing_bytes: Number of bytes that the body lacks compared with its Content-Length.
    """

    operation: str
    ref: str
    key: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    delay_s: float = 0.0
    missing_bytes: int = 0

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object in the body; an empty dict if the body is not a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def place(self) -> str:
        """The kind of response: its operation, HTTP status and state, such as ``getBuild.200.ready``."""
        data, state = self.data, ""
        if self.operation == "publishTemplate" and self.status == 201:
            state = "auto_build" if "auto_build" in data else "plain"
        elif self.operation == "cancelBuild" and self.status == 404:
            state = "idle" if "status" in data else "unknown"
        elif self.operation in {"getBuild", "startBuild", "cancelBuild"} and self.status < 300:
            state = str(data.get("status", ""))
        return ".".join(filter(None, (self.operation, str(self.status), state)))

    def with_json(self, data: Any) -> "Answer":
        """Returns a copy of the response with *data* as its JSON body."""
        return replace(self, body=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())

    def header(self, name: str) -> bytes | None:
        """Returns the value of a header, or None if the response has no such header."""
        wanted = name.lower().encode()
        return next((value for key, value in self.headers if key == wanted), None)

    def with_header(self, name: str, *values: bytes) -> "Answer":
        """Returns a copy of the response in which *values* replace all values of the header *name*."""
        wanted = name.lower().encode()
        kept = tuple(pair for pair in self.headers if pair[0] != wanted)
        return replace(self, headers=(*kept, *((wanted, value) for value in values)))


@dataclass(slots=True)
class Past:
    """All earlier responses of one twin, as they were before a fault changed them."""

    answers: list[Answer] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """Adds a response."""
        self.answers.append(answer)
        self.places[answer.place] += 1

    def first(self, now: Answer, name: str) -> Any:
        """Returns field *name* of the first 2xx response with the operation and the ref of *now*, or None."""
        same = (a for a in self.answers if (a.operation, a.ref) == (now.operation, now.ref) and a.status < 300)
        return next((a.data[name] for a in same if name in a.data), None)

    def others(self, now: Answer, name: str) -> Any:
        """Returns the latest value of *name* for another version, skipping values equal to that of *now*, or None."""
        return self._latest(now, name, lambda answer: answer.ref != now.ref)

    def of_account(self, now: Answer, name: str) -> Any:
        """Returns the latest value of *name* for another account that differs from the value in *now*, or None."""
        return self._latest(now, name, lambda answer: answer.key != now.key)

    def _latest(self, now: Answer, name: str, fits: Callable[[Answer], bool]) -> Any:
        value = now.data.get(name)
        other = (a for a in reversed(self.answers) if fits(a) and a.status < 300)
        return next((a.data[name] for a in other if name in a.data and a.data[name] != value), None)

    def count(self, place: str) -> int:
        """Returns the number of earlier responses whose place matches the glob *place*."""
        return sum(number for name, number in self.places.items() if fnmatchcase(name, place))


Change = Callable[[Answer, Past], Answer]


def at(place: str, change: Change, every: int = 1) -> Change:
    """Limits *change* to responses whose place matches the glob *place*: the first, then each *every*-th one."""

    def changed(answer: Answer, past: Past) -> Answer:
        due = fnmatchcase(answer.place, place) and past.count(place) % every == 0
        return change(answer, past) if due else answer

    return changed


def on(place: str, change: Change) -> Callable[[Asgi], Asgi]:
    """Returns an ASGI wrapper that applies *change* to the responses whose place matches the glob *place*."""
    return wrapped(at(place, change))


def put(**fields: Any) -> Change:
    """Returns a change that sets fields of a JSON body; a callable computes the value of its field from the body."""

    def change(answer: Answer, _: Past) -> Answer:
        data = answer.data
        return answer.with_json(data | {name: new(data) if callable(new) else new for name, new in fields.items()})

    return change


def drop(name: str) -> Change:
    """Returns a change that removes a field from a JSON body."""
    return lambda answer, _: answer.with_json({key: value for key, value in answer.data.items() if key != name})


def body(alter: Callable[[bytes], bytes]) -> Change:
    """Returns a change that passes the bytes of the body through *alter*."""
    return lambda answer, _: replace(answer, body=alter(answer.body))


def code(status: int) -> Change:
    """Returns a change that replaces the status."""
    return lambda answer, _: replace(answer, status=status)


def header(name: str, *values: bytes) -> Change:
    """Returns a change that replaces all values of a header, or removes the header if *values* is empty."""
    return lambda answer, _: answer.with_header(name, *values)


def instead(status: int, data: Any) -> Change:
    """Returns a change that replaces the status and the JSON body."""
    return lambda answer, _: replace(answer, status=status).with_json(data)


def wrapped(change: Change) -> Callable[[Asgi], Asgi]:
    """Returns an ASGI wrapper that applies *change* to every response except a build log."""

    def wrap(app: Asgi) -> Asgi:
        past = Past()

        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, _Sender(scope, send, change, past))

        return changing

    return wrap


class _Sender:
    """Collects the ASGI messages of one response; when the response is complete, changes it and sends it."""

    def __init__(self, scope: Scope, send: Send, change: Change, past: Past) -> None:
        self._scope, self._send, self._change, self._past = scope, send, change, past
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        if is_log(self._start):
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()

    async def _finish(self) -> None:
        answer = _collected(self._scope, self._start, self._body)
        changed = self._change(answer, self._past)
        if not (is_head := self._scope["method"] == "HEAD"):
            self._past.add(answer)
        if changed.delay_s:
            await asyncio.sleep(changed.delay_s)
        if changed.header("content-length") is not None:
            length = str(len(changed.body) + changed.missing_bytes).encode()
            # A HEAD is changed as the next GET would be, so that its length may differ from the last one's.
            changed = changed.with_header("content-length", *([] if is_head else [length]))
        await self._send({**self._start, "status": changed.status, "headers": list(changed.headers)})
        await self._send({"type": "http.response.body", "body": changed.body})


def is_log(start: Message) -> bool:
    """Whether a response is an event stream, given the ASGI message that starts the response."""
    return any(key == b"content-type" and value.startswith(b"text/event-stream") for key, value in start["headers"])


def _collected(scope: Scope, start: Message, body: bytes) -> Answer:
    """Returns the complete response, together with the operation, ref and key of its request."""
    operation, ref = requested(scope)
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    headers = tuple((bytes(name).lower(), bytes(value)) for name, value in start["headers"])
    answer = Answer(operation, ref, keys[0] if keys else "", int(start["status"]), headers, body)
    return answer if ref else replace(answer, ref=str(answer.data.get("ref", "")))


def requested(scope: Scope) -> tuple[str, str]:
    """Returns operationId and ref of a request; each is an empty string if the contract has none for the request."""
    raw: bytes = scope["raw_path"]
    found = resource_at(raw[max(raw.find(b"/templates"), 0) :], "")
    if found is None:
        return "", ""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    operation = _OPERATION_OF.get((method, found.kind), "")
    return operation, str(found.ref) if found.ref.name else ""
