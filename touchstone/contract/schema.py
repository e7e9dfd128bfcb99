"""Checks a value against one JSON Schema (Draft 2020-12) and says where each disagreement is, in our words.

It differs from a plain validator in what reports need: a missing property is reported at its own place, formats are
checked, a pattern is read as ECMA-262 reads it, and no text grows with the value that it is about.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from reprlib import Repr
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from touchstone.contract.quoting import described

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
        told = f"is {shown(self.value)}, "
        if self.message.startswith(told):
            return f"{self.pointer or 'body'}: is {described(self.value)}, {self.message.removeprefix(told)}"
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


def shown(value: Any) -> str:
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
    wanted = _WANTED.get(keyword, lambda expected: f"what {keyword} allows ({shown(expected)})")
    return f"is {shown(error.instance)}, expected {wanted(error.validator_value)}"


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
