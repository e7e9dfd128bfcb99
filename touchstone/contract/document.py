"""Reads openapi/builds.yaml and validates responses against it: operation, status, media type and body.

Schemas are JSON Schema Draft 2020-12: formats are checked, patterns are ECMA-262.
"""

import functools
import hashlib
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from reprlib import Repr
from typing import Any, Self
from urllib.parse import unquote

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from touchstone.contract.files import openapi_dir
from touchstone.contract.parsing import Loader, fault, read_json, read_yaml
from touchstone.errors import ContractError, described, one_line

_TEXT = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(Loader):
    """YAML loader for JSON values: no dates, no duplicate keys, all keys are strings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Builds a mapping with string keys, such as '200' for a status."""
        keys = [key for key, _ in node.value]
        for number, key in enumerate(keys):
            if any(key.value == other.value for other in keys[:number]):
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark)
        self.flatten_mapping(node)
        for key, _ in node.value:
            key.tag = _TEXT
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of *document* in which the target of each reference ($ref) replaces the reference.

    Raises ContractError for a dangling or external reference, RecursionError for a circular one.
    """

    def replaced(node: Any) -> Any:
        if isinstance(node, list):
            return [replaced(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return {key: replaced(value) for key, value in node.items()}
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        if target is None:
            raise ContractError(f"$ref {reference!r}: not found in this document")
        return replaced(target)

    tree: dict[str, Any] = replaced(document)
    return tree


# RFC 3339 5.6; T and Z may be written in lower case.
_DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One place where a body violates its schema."""

    pointer: str  # JSON pointer to the value or the missing property; empty for the whole body
    keyword: str  # such as ``enum``; ``json`` if the body is not JSON
    message: str  # found and expected, in one line without the pointer
    value: Any  # the value at *pointer*; None for a missing property

    def __str__(self) -> str:
        return f"{self.pointer or 'body'}: {self.message}"

    @property
    def without_value(self) -> str:
        """Text of the problem that does not show the value, because the value may contain a key."""
        opening = f"is {_SHORT.repr(self.value)}, "
        if self.message.startswith(opening):
            return f"{self.pointer or 'body'}: is {described(self.value)}, {self.message.removeprefix(opening)}"
        return f"{self.pointer or 'body'}: {self.message.partition(': ')[0]}"


class Schema:
    """One compiled schema without references; raises jsonschema.SchemaError if it is invalid."""

    def __init__(self, definition: dict[str, Any]) -> None:
        _CHECKER.check_schema(definition)
        self._validator: Validator = _CHECKER(definition, format_checker=_FORMATS)

    def problems(self, value: Any) -> tuple[Problem, ...]:
        """Returns the problems of *value*, in the order of the schema's keywords."""
        try:
            return tuple(map(_problem, self._validator.iter_errors(value)))
        except RecursionError:
            return (Problem("", "json", "is nested too deeply to be checked", None),)


def _is_date_time(value: object) -> bool:
    match = _DATE_TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        return not isinstance(value, str) or bool(match and date.fromisoformat(match[1]))
    except ValueError:
        return False


def _required(validator: Validator, names: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for name in names:
            if name not in instance:
                yield ValidationError("missing", path=(name,), instance=None)


def _pattern(validator: Validator, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # In ECMA-262 a final $ matches only at the end; Python's also matches before a final line feed.
    strict = pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
    if validator.is_type(instance, "string") and not re.search(strict, instance):
        yield ValidationError("pattern")


def _problem(error: ValidationError) -> Problem:
    # JSON pointer: RFC 6901, section 3.
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.absolute_path)
    value = None if error.validator == "required" else error.instance
    return Problem(pointer, str(error.validator), _message(error), value)


def _message(error: ValidationError) -> str:
    if error.validator == "required":
        return "is missing"
    if error.context:
        faults = (f"{''.join(f'/{step}' for step in e.relative_path) or 'it'} {_message(e)}" for e in error.context)
        return "fits none of the documented forms: " + "; or ".join(faults)
    wanted = error.validator_value
    expected = ", ".join(map(str, wanted)) if isinstance(wanted, list) else wanted
    return f"is {_SHORT.repr(error.instance)}, expected {error.validator} {expected}"


_SHORT = Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = 100

_FORMATS = jsonschema.FormatChecker(formats=())
_FORMATS.checks("date-time")(_is_date_time)

_CHECKER: type[Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # the stubs leave it out
    jsonschema.Draft202012Validator, validators={"required": _required, "pattern": _pattern}
)


EVENT_STREAM = "text/event-stream"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path of the contract."""

    id: str
    method: str  # upper case
    path: str  # relative to the base URL, parameters in braces


class Contract:
    """An OpenAPI document that can validate responses. Its schema *published* is that of a document to publish.

    *name*: what messages call the document. Raises ContractError if it is not YAML, has a duplicate key, or is
    inconsistent.
    """

    def __init__(self, text: bytes, name: str = "builds.yaml") -> None:
        self.sha256 = hashlib.sha256(text).hexdigest()
        try:
            self.document = read_yaml(text, _Loader)
            root = resolved(self.document)
            self.operations: Mapping[str, Operation] = {
                item[method]["operationId"]: Operation(item[method]["operationId"], method.upper(), path)
                for path, item in root["paths"].items()
                for method in item
                if method in _METHODS
            }
            self._answers: dict[tuple[str, int], dict[str, Schema]] = {
                (operation.id, int(status)): {
                    kind.lower(): _compiled(json.dumps(media["schema"]))
                    for kind, media in answer.get("content", {}).items()
                }
                for operation in self.operations.values()
                for status, answer in root["paths"][operation.path][operation.method.lower()]["responses"].items()
            }
            schemas = root["components"]["schemas"]
            self.event = _compiled(json.dumps(schemas["BuildEvent"]))
            self.published = _compiled(json.dumps(schemas["TemplateDocument"]))
        except yaml.YAMLError as error:
            raise ContractError(f"{name}: not YAML: {fault(error)}; correct this line") from error
        except (ContractError, jsonschema.SchemaError) as error:
            raise ContractError(f"{name}: {one_line(error)}") from None
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ContractError(f"{name}: does not hold together: {error!r:.200}; expected OpenAPI 3.1") from error

    @classmethod
    @functools.cache
    def load(cls) -> Self:
        """Returns the contract in the bundled document, which a process reads only once."""
        path = openapi_dir() / "builds.yaml"
        return cls(path.read_bytes(), str(path))

    def match(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Returns the operation and the decoded path parameters of a request, or None. *path*: without the base URL."""
        for operation in self.operations.values():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path)
            found = re.fullmatch(pattern, path.partition("?")[0])
            if found and operation.method == method.upper():
                return operation, {name: unquote(value, errors="replace") for name, value in found.groupdict().items()}
        return None

    def problems(self, operation_id: str, status: int, body: bytes) -> tuple[Problem, ...]:
        """Returns the problems of a JSON body, whatever its media type; none if the status is not documented.

        They are in the order of the schema's keywords. A body that is not JSON has one with the keyword ``json``.
        """
        schemas = self._answers.get((operation_id, status))
        return _json_problems(next(iter(schemas.values())), body) if schemas else ()

    def allowed_statuses(self, operation_id: str) -> frozenset[int]:
        """Returns the documented status codes of the operation."""
        return frozenset(status for name, status in self._answers if name == operation_id)

    def media_types(self, operation_id: str, status: int) -> tuple[str, ...]:
        """Returns the documented media types of a response, in order; none for an undocumented status."""
        return tuple(self._answers.get((operation_id, status), ()))


@functools.lru_cache(maxsize=4096)
def _json_problems(schema: Schema, body: bytes) -> tuple[Problem, ...]:
    try:
        value = read_json(body)
    except ValueError as error:
        return (Problem("", "json", f"is not JSON: {error}", body),)
    return schema.problems(value)


@functools.cache
def _compiled(definition: str) -> Schema:
    # Cached, because responses share a few schemas, and each takes milliseconds to compile.
    return Schema(json.loads(definition))
