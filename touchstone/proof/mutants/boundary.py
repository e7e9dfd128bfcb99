"""Stands between the application and the network: sees each answer, remembers it, and lets a change have it first."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from touchstone.proof.mutants.surface import OPERATIONS, Place
from touchstone.twin.paths import resource_at
from touchstone.twin.serve import Asgi

_OPERATION_OF = {resource: operation for operation, resource in OPERATIONS.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer.

    Attributes:
        operation: operationId, or empty for a path or a method outside the contract.
        ref: What the path names, or what publishing said it made.
        key: The Authorization header of the request.
        delay_s: How long it is kept back.
        missing_bytes: How much longer than the body its announced length is.
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
        """The body as a JSON object, empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def state(self) -> str:
        """What tells answers of one status apart, in the words of the surface."""
        data = self.data
        if self.operation == "publishTemplate" and self.status == 201:
            return "auto_build" if "auto_build" in data else "plain"
        if self.operation == "cancelBuild" and self.status == 404:
            return "idle" if "status" in data else "unknown"
        told = self.operation in {"getBuild", "startBuild", "cancelBuild"} and self.status < 300
        return str(data.get("status", "")) if told else ""

    def saying(self, data: Any) -> "Answer":
        """The same answer with another JSON body."""
        return replace(self, body=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())

    def header(self, name: str) -> bytes | None:
        """The value of a header, or None."""
        wanted = name.lower().encode()
        return next((value for key, value in self.headers if key == wanted), None)

    def with_header(self, name: str, *values: bytes) -> "Answer":
        """The same answer with a header once for each value, in place of what it had."""
        wanted = name.lower().encode()
        kept = tuple(pair for pair in self.headers if pair[0] != wanted)
        return replace(self, headers=(*kept, *((wanted, value) for value in values)))


@dataclass(slots=True)
class Past:
    """The answers of one twin so far, as they were before anything was changed."""

    answers: list[Answer] = field(default_factory=list)

    def first(self, now: Answer, name: str) -> Any:
        """What *name* said in the first answer of this operation about this version; None where it said nothing."""
        same = (a for a in self.answers if (a.operation, a.ref) == (now.operation, now.ref) and a.status < 300)
        return next((a.data[name] for a in same if name in a.data), None)

    def others(self, now: Answer, name: str) -> Any:
        """What *name* said in the latest answer about another version that said something else; None without one."""
        value = now.data.get(name)
        other = (a for a in reversed(self.answers) if a.ref != now.ref and a.status < 300)
        return next((a.data[name] for a in other if name in a.data and a.data[name] != value), None)

    def of_account(self, now: Answer, name: str) -> Any:
        """What *name* said in the latest answer to another account that said something else; None without one."""
        value = now.data.get(name)
        other = (a for a in reversed(self.answers) if a.key != now.key and a.status < 300)
        return next((a.data[name] for a in other if name in a.data and a.data[name] != value), None)

    def asked(self, operation: str) -> int:
        """How many answers of an operation there were."""
        return sum(answer.operation == operation for answer in self.answers)

    def count(self, place: Place) -> int:
        """How many answers of a kind there were."""
        return sum(is_at(place, answer) for answer in self.answers)


Change = Callable[[Answer, Past], Answer]


def is_at(place: Place, answer: Answer) -> bool:
    """Whether an answer is of a kind."""
    if (answer.operation, answer.status) != (place.operation, place.status):
        return False
    return answer.state == place.state


def at(place: Place, change: Change, every: int = 1) -> Change:
    """The change, for one in *every* answers of one kind, the first of them among these."""

    def changed(answer: Answer, past: Past) -> Answer:
        due = is_at(place, answer) and past.count(place) % every == 0
        return change(answer, past) if due else answer

    return changed


def wrapped(change: Change) -> Callable[[Asgi], Asgi]:
    """An application whose answers a change has first; build logs pass as they are."""

    def wrap(app: Asgi) -> Asgi:
        past = Past()

        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, _Sender(scope, send, change, past))

        return asked

    return wrap


class _Sender:
    """Collects an answer, and sends it changed once it is whole."""

    def __init__(self, scope: Scope, send: Send, change: Change, past: Past) -> None:
        self._scope = scope
        self._send = send
        self._change = change
        self._past = past
        self._start: Message = {}
        self._body = b""
        self._streams = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            self._streams = is_log(message)
        if self._streams:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()

    async def _finish(self) -> None:
        answer = answered(self._scope, self._start, self._body)
        changed = self._change(answer, self._past)
        if self._scope["method"] != "HEAD":
            self._past.answers.append(answer)
        await deliver(changed, self._start, self._send)


async def deliver(answer: Answer, start: Message, send: Send) -> None:
    """Sends an answer; one that is to be cut off ends with its connection."""
    if answer.delay_s:
        await asyncio.sleep(answer.delay_s)
    length = str(len(answer.body) + answer.missing_bytes).encode()
    if answer.header("content-length") is not None:
        answer = answer.with_header("content-length", length)
    await send({**start, "status": answer.status, "headers": list(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})


def is_log(start: Message) -> bool:
    """Whether an answer is an event stream."""
    return any(key == b"content-type" and value.startswith(b"text/event-stream") for key, value in start["headers"])


def answered(scope: Scope, start: Message, body: bytes) -> Answer:
    """The answer to a request, with what the request asked for."""
    operation, ref = asked_for(scope)
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    headers = tuple((bytes(name).lower(), bytes(value)) for name, value in start["headers"])
    answer = Answer(operation, ref, keys[0] if keys else "", int(start["status"]), headers, body)
    return answer if ref else replace(answer, ref=str(answer.data.get("ref", "")))


def asked_for(scope: Scope) -> tuple[str, str]:
    """The operation and the ref that a request is about; both empty for one outside the contract."""
    raw: bytes = scope["raw_path"]
    found = resource_at(raw[max(raw.find(b"/templates"), 0) :], "")
    if found is None:
        return "", ""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    operation = _OPERATION_OF.get((method, found.kind), "")
    return operation, str(found.ref) if found.ref.name else ""
