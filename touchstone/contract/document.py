"""Reads openapi/builds.yaml and answers what it says about one answer: operation, status, media type and body.

What the document does not mention it does not judge: an unknown status or media type has no problems here; that it
is unknown is for the caller to see in `allowed_statuses` and `media_types`. A value is checked against a JSON Schema
(Draft 2020-12) with what reports need: a missing property is reported at its own place, formats are checked, a pattern
is read as ECMA-262 reads it, and no text grows with the value that it is about.
"""

import difflib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from reprlib import Repr
from typing import Any, Self
from urllib.parse import unquote

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from touchstone.contract.event_stream import parse
from touchstone.contract.files import openapi_dir, read_regular
from touchstone.contract.parsing import Loader, fault, read_json, read_yaml
from touchstone.contract.quoting import described
from touchstone.errors import ContractError, one_line

_TEXT = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def read_document(text: bytes, name: str) -> dict[str, Any]:
    """The document as it stands, references unresolved.

    Args:
        text: An OpenAPI 3.1 document in YAML.
        name: What to call it in messages.

    Raises:
        ContractError: it is not YAML, has a key twice, or is not OpenAPI 3.1.
    """
    try:
        document = read_yaml(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = getattr(error, "problem", None) or fault(error)
        raise ContractError(f"{where}: not YAML: {one_line(problem)}; correct this line") from error
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("3.1."):
        raise ContractError(f"{name}: openapi: found {version!r}; expected an OpenAPI document of version 3.1.x")
    return dict(document)


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the document in which what a reference names stands in its place.

    Raises:
        ContractError: a reference leads nowhere, in a circle or out of the document.
    """
    tree: dict[str, Any] = _resolved(document, document, ())
    return tree


class _Loader(Loader):
    """YAML as JSON can hold it: no dates, no key twice, and every key is the text that is written there."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping with text for keys, such as '200' for a status, refusing a key that is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no plain text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        self.flatten_mapping(node)
        for key, _ in node.value:
            key.tag = _TEXT
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def _resolved(node: Any, root: dict[str, Any], through: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolved(item, root, through) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return {key: _resolved(value, root, through) for key, value in node.items()}
    if reference in through:
        raise ContractError(f"$ref {reference!r}: refers to itself; write it without the circle")
    beside = sorted(node.keys() - {"$ref", "summary", "description"})
    if beside:
        raise ContractError(f"$ref {reference!r}: found {beside[0]!r} beside it; put both into an allOf")
    return _resolved(_target(reference, root), root, (*through, reference))


def _target(reference: str, root: dict[str, Any]) -> Any:
    if not reference.startswith("#/"):
        raise ContractError(f"$ref {reference!r}: expected a place in this document, such as '#/components/schemas/X'")
    node: Any = root
    for step in reference.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            near = difflib.get_close_matches(name, map(str, node), n=1) if isinstance(node, dict) else []
            advice = f"did you mean {near[0]}?" if near else "correct the reference"
            raise ContractError(f"$ref {reference!r}: there is no {name!r}; {advice}")
        node = node[name]
    return node


# RFC 3339 5.6; T and Z may be written in lower case.
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One disagreement between a body and its schema.

    Attributes:
        pointer: JSON pointer to the value, or to where a missing property should be; empty for the whole body.
        keyword: The keyword that it breaks, such as ``enum``; ``json`` where the body is not JSON at all.
        message: What was found and what was expected, in one line without the place.
        value: What is there; None where a property is missing.
    """

    pointer: str
    keyword: str
    message: str
    value: Any

    def __str__(self) -> str:
        return f"{self.pointer or 'body'}: {self.message}"

    @property
    def untold(self) -> str:
        """The same without what stands there, for a file that may hold a key in any place."""
        opening = f"is {shortened(self.value)}, "
        if self.message.startswith(opening):
            return f"{self.pointer or 'body'}: is {described(self.value)}, {self.message.removeprefix(opening)}"
        return f"{self.pointer or 'body'}: {self.message.partition(': ')[0]}"


class Schema:
    """One schema without references, compiled once.

    Raises:
        jsonschema.SchemaError: it is no valid schema.
    """

    def __init__(self, definition: dict[str, Any]) -> None:
        _CHECKER.check_schema(definition)
        self._validator: Validator = _CHECKER(definition, format_checker=_FORMATS)

    def problems(self, value: Any, at: str = "") -> tuple[Problem, ...]:
        """Every disagreement, in the order of the schema's keywords.

        Args:
            value: The value as JSON reads it.
            at: JSON pointer to the value in whatever it was taken from; begins every pointer.
        """
        try:
            return tuple(_problem(error, at) for error in self._validator.iter_errors(value))
        except RecursionError:
            return (Problem(at, "json", "is nested too deeply to be checked", None),)


def shortened(value: Any) -> str:
    """The repr of a value, shortened where it is long or deep."""
    return _SHORT.repr(value)


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        return False
    try:
        date.fromisoformat(match[1])
    except ValueError:
        return False
    return True


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


def _required(validator: Validator, names: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in names:
            if name not in instance:
                yield ValidationError("missing", path=(name,), instance=None)


def _pattern(validator: Validator, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not re.search(_as_python(pattern), instance):
        yield ValidationError("pattern")


def _as_python(pattern: str) -> str:
    # In ECMA-262 a final $ is the end of the text; Python's also matches before a last line feed.
    return pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern


def _problem(error: ValidationError, at: str) -> Problem:
    keyword = str(error.validator)
    value = None if keyword == "required" else error.instance
    return Problem(at + _pointer(error), keyword, _message(error), value)


def _pointer(error: ValidationError) -> str:
    # RFC 6901 3
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.absolute_path)


def _message(error: ValidationError) -> str:
    keyword = str(error.validator)
    if keyword == "required":
        return "is missing"
    if keyword in ("anyOf", "oneOf"):
        return _no_branch(error)
    wanted = _WANTED.get(keyword, lambda expected: f"what {keyword} allows ({shortened(expected)})")
    return f"is {shortened(error.instance)}, expected {wanted(error.validator_value)}"


def _no_branch(error: ValidationError) -> str:
    branches: dict[Any, list[str]] = {}
    for inner in error.context or ():
        place = "".join(f"/{step}" for step in inner.relative_path)
        branches.setdefault(inner.relative_schema_path[0], []).append(f"{place or 'it'} {_message(inner)}")
    return "fits none of the documented forms: " + "; or ".join(" and ".join(faults) for faults in branches.values())


def _one_of(values: Any) -> str:
    return "one of " + ", ".join(map(repr, values))


def _types(names: Any) -> str:
    return " or ".join(_TYPES[name] for name in ([names] if isinstance(names, str) else names))


_TYPES = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_WANTED: dict[str, Callable[[Any], str]] = {
    "type": _types,
    "enum": _one_of,
    "const": repr,
    "minLength": lambda length: f"at least {length} characters",
    "maxLength": lambda length: f"at most {length} characters",
    "minItems": lambda length: f"at least {length} items",
    "minimum": lambda bound: f"at least {bound}",
    "maximum": lambda bound: f"at most {bound}",
    "pattern": lambda pattern: f"a text like {pattern}",
    "format": lambda name: f"a {name}",
}

_SHORT = Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = 100

_FORMATS = jsonschema.FormatChecker(formats=())
_FORMATS.checks("date-time")(_is_date_time)
_FORMATS.checks("uuid")(_is_uuid)

_CHECKER: type[Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # the stubs leave it out
    jsonschema.Draft202012Validator, validators={"required": _required, "pattern": _pattern}
)


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
                found = f"{name!r} of {seen[name]}" if isinstance(name, str) else shortened(name)
                raise ContractError(f"{place}: operationId: found {found}; expected a name of its own")
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise ContractError(f"{place}: tags: found {shortened(tags)}; expected a list of names")
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
        raise ContractError(f"{place}: found {shortened(node)}; expected an object")
    return node


def _schema(definition: Any, place: str) -> Schema:
    if not isinstance(definition, dict):
        raise ContractError(f"{place}: schema: found {shortened(definition)}; expected a JSON Schema object")
    try:
        return _compiled(json.dumps(definition))
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        raise ContractError(f"{place}: schema: {where}: {error.message}; correct it") from error


@functools.cache
def _compiled(definition: str) -> Schema:
    # Most answers share a few schemas, and each takes milliseconds to check against its meta-schema.
    return Schema(json.loads(definition))
