"""Reads openapi/builds.yaml and answers what it says about one answer: operation, status, media type and body.

What the document does not mention it does not judge: an unknown status or media type has no problems here; that it
is unknown is for the caller to see in `allowed_statuses` and `media_types`.
"""

import difflib
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import jsonschema

from touchstone.contract.bundle import openapi_dir
from touchstone.contract.event_stream import parse
from touchstone.contract.files import read_regular
from touchstone.contract.json_text import read_json
from touchstone.contract.openapi import read_document, resolved
from touchstone.contract.schema import Problem, Schema, shown
from touchstone.errors import ContractError, one_line

__all__ = ["Contract", "Operation", "Problem"]

EVENT_STREAM = "text/event-stream"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

Answers = dict[tuple[str, int], dict[str, Schema]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path of the contract.

    Attributes:
        id: Its operationId.
        method: In upper case.
        path: The path template, parameters in braces, relative to the base URL.
    """

    id: str
    method: str
    path: str
    tags: tuple[str, ...]
    segments: tuple[str, ...] = field(repr=False)

    def values(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """The decoded path parameters of a path with these segments, or None where it is another path."""
        if len(segments) != len(self.segments):
            return None
        found = {}
        for pattern, segment in zip(self.segments, segments, strict=True):
            if pattern.startswith("{"):
                if not segment:
                    return None
                found[pattern[1:-1]] = unquote(segment, errors="replace")
            elif pattern != segment:
                return None
        return found


class Contract:
    """The contract, ready to judge answers.

    Args:
        text: The OpenAPI document.
        name: What to call it in messages.

    Attributes:
        document: The document as it was read, references unresolved.
        sha256: Hexadecimal digest of the text.
        operations: By operationId, in the order of the document.

    Raises:
        ContractError: the document does not hold together; the text names the place.
    """

    def __init__(self, text: bytes, name: str = "builds.yaml") -> None:
        self.document = read_document(text, name)
        self.sha256 = hashlib.sha256(text).hexdigest()
        try:
            root = resolved(self.document)
            self.operations: Mapping[str, Operation] = {found.id: found for found in _operations(root)}
            self._answers: Answers = dict(_answers(root, self.operations))
            self._event = _event_schema(root, self.operations)
        except ContractError as error:
            raise ContractError(f"{name}: {one_line(error)}") from None
        except RecursionError:
            raise ContractError(f"{name}: is nested too deeply; expected an OpenAPI document") from None

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the document at *path*, or the one that travels with the package.

        Raises:
            ContractError: there is no such file, or the document does not hold together.
        """
        return cls._bundled() if path is None else cls._read(path)

    @classmethod
    @functools.cache
    def _bundled(cls) -> Self:
        # It is compiled once a process: a process that examines forks, and each child finds it there.
        return cls._read(openapi_dir() / "builds.yaml")

    @classmethod
    def _read(cls, path: Path) -> Self:
        try:
            text = read_regular(path)
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise ContractError(f"{path}: {reason}; expected an OpenAPI 3.1 document; check the path") from error
        return cls(text, str(path))

    def match(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation that a request reaches, and its path parameters, decoded.

        Args:
            method: As sent.
            path: Relative to the base URL, percent-encoded as sent; a query is ignored.
        """
        segments = tuple(path.partition("?")[0].split("/"))
        for operation in self.operations.values():
            if operation.method == method.upper():
                values = operation.values(segments)
                if values is not None:
                    return operation, values
        return None

    def problems(self, operation_id: str, status: int, media_type: str, body: bytes) -> tuple[Problem, ...]:
        """What is wrong with a body, in the order of the schema's keywords; nothing where nothing is documented.

        A body that is not JSON has one problem with the keyword ``json``. In an event stream each event is judged and
        its pointers begin with its number, from 0; how the stream is framed is for `eventstream.parse` to say.

        Args:
            operation_id: One of the contract's.
            status: The status code of the answer.
            media_type: Content-Type as received; empty stands for the first one documented.
            body: The whole body.
        """
        schemas = self._schemas(operation_id, status)
        kind = media_type.partition(";")[0].strip().lower() or next(iter(schemas), "")
        schema = schemas.get(kind)
        if schema is None:
            return ()
        return self._stream_problems(body) if kind == EVENT_STREAM else _json_problems(schema, body, "")

    def event_problems(self, value: object) -> tuple[Problem, ...]:
        """What is wrong with the object that one event of a build log carries, read from JSON."""
        return self._event.problems(value)

    def allowed_statuses(self, operation_id: str) -> frozenset[int]:
        """The status codes that the operation documents."""
        self._known(operation_id)
        return frozenset(status for name, status in self._answers if name == operation_id)

    def media_types(self, operation_id: str, status: int) -> tuple[str, ...]:
        """The media types of an answer, in the order of the document; empty for a status that is not documented."""
        return tuple(self._schemas(operation_id, status))

    def _schemas(self, operation_id: str, status: int) -> Mapping[str, Schema]:
        found = self._answers.get((operation_id, status))
        if found is None:
            self._known(operation_id)
            return {}
        return found

    def _known(self, operation_id: str) -> None:
        if operation_id not in self.operations:
            near = difflib.get_close_matches(operation_id, self.operations, n=1, cutoff=0.0)
            raise ContractError(f"operation {operation_id!r}: not in the contract; the nearest is {''.join(near)!r}")

    def _stream_problems(self, body: bytes) -> tuple[Problem, ...]:
        found: list[Problem] = []
        for number, event in enumerate(parse(body).events):
            found.extend(_json_problems(self._event, event.data.encode(), f"/{number}"))
        return tuple(found)


@functools.lru_cache(maxsize=4096)
def _json_problems(schema: Schema, body: bytes, at: str) -> tuple[Problem, ...]:
    try:
        value = read_json(body)
    except ValueError as error:
        return (Problem(at, "json", f"is not JSON: {error}", body),)
    return schema.problems(value, at)


def _operations(root: dict[str, Any]) -> Iterator[Operation]:
    seen: dict[str, str] = {}
    for path, item in _object(root.get("paths", {}), "paths").items():
        for method in (name for name in _object(item, f"paths: {path}") if name in _METHODS):
            place = f"{method.upper()} {path}"
            definition = _object(item[method], place)
            name, tags = definition.get("operationId"), definition.get("tags", [])
            if not isinstance(name, str) or name in seen:
                found = f"{name!r} of {seen[name]}" if isinstance(name, str) else shown(name)
                raise ContractError(f"{place}: operationId: found {found}; expected a name of its own")
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise ContractError(f"{place}: tags: found {shown(tags)}; expected a list of names")
            seen[name] = place
            yield Operation(name, method.upper(), path, tuple(tags), tuple(path.split("/")))


def _answers(
    root: dict[str, Any], operations: Mapping[str, Operation]
) -> Iterator[tuple[tuple[str, int], dict[str, Schema]]]:
    for operation in operations.values():
        for status, answer, place in _responses(root, operation):
            # A range or a default would let everything pass that nobody thought of.
            if not (status.isdecimal() and len(status) == 3):
                raise ContractError(f"{place}: expected a status code of three digits; list each one")
            schemas = {kind.lower(): _schema(media.get("schema"), place) for kind, media in _content(answer, place)}
            yield (operation.id, int(status)), schemas


def _event_schema(root: dict[str, Any], operations: Mapping[str, Operation]) -> Schema:
    for operation in operations.values():
        for _, answer, place in _responses(root, operation):
            node: Any = dict(_content(answer, place)).get(EVENT_STREAM, {})
            for name in ("schema", "properties", "data", "contentSchema"):
                node = node.get(name) if isinstance(node, dict) else None
            if node is not None:
                return _schema(node, f"{place}: contentSchema")
    raise ContractError(f"no answer of type {EVENT_STREAM} has a schema with a contentSchema for its data; add one")


def _responses(root: dict[str, Any], operation: Operation) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Status and definition of each answer of an operation, and where it stands."""
    place = f"{operation.method} {operation.path}: responses"
    definition = root["paths"][operation.path][operation.method.lower()]
    for status, answer in _object(definition.get("responses", {}), place).items():
        yield status, _object(answer, f"{place}: {status}"), f"{place}: {status}"


def _content(answer: dict[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, media in _object(answer.get("content", {}), f"{place}: content").items():
        yield kind, _object(media, f"{place}: content: {kind}")


def _object(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise ContractError(f"{place}: found {shown(node)}; expected an object")
    return node


def _schema(definition: Any, place: str) -> Schema:
    if not isinstance(definition, dict):
        raise ContractError(f"{place}: schema: found {shown(definition)}; expected a JSON Schema object")
    try:
        return _compiled(json.dumps(definition))
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        raise ContractError(f"{place}: schema: {where}: {error.message}; correct it") from error


@functools.cache
def _compiled(definition: str) -> Schema:
    # Most answers share a few schemas, and each takes milliseconds to check against its meta-schema.
    return Schema(json.loads(definition))
