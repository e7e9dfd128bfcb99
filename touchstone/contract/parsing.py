"""Strict parsers for JSON (RFC 8259, I-JSON of RFC 7493) and plain YAML, and a writer of JSON lines."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import read_regular
from touchstone.errors import ContractError

# JSON allows longer integers, which int() refuses, because the conversion takes quadratic time. They become floats.
_MAX_INTEGER_DIGITS = 4000


def read_json(body: bytes) -> Any:
    """Parses one JSON value in UTF-8; raises ValueError, also for a byte order mark, NaN, infinity, duplicate names."""
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("starts with a byte order mark")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the members of a JSON object as a dictionary; raises ValueError if two have the same name."""
    value = dict(pairs)
    if len(value) != len(pairs):
        count = Counter(name for name, _ in pairs)
        raise ValueError(f"has the name {count.most_common(1)[0][0]!r} more than once in one object")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which JSON does not have")


_DECODER = json.JSONDecoder(
    object_pairs_hook=unique_names,
    parse_constant=_constant,
    parse_int=lambda digits: (int if len(digits) <= _MAX_INTEGER_DIGITS else float)(digits),
)


def json_line(event: dict[str, Any]) -> bytes:
    """Returns an event as one line of a JSON lines file."""
    # ASCII only: the file contains no raw bytes of a target, and a lone surrogate in a URL can be read back.
    try:
        text = json.dumps(event, separators=(",", ":"), default=repr, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(event), separators=(",", ":"), default=repr)
    return text.encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return repr(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

# With nested aliases, a few lines can expand to more values than memory holds, or to a value that contains itself.
MAX_VALUES = 1_000_000

# Python cannot print integers with more digits, although it can read them in hexadecimal.
_MAX_DIGITS = 3_500
_WHOLE = "tag:yaml.org,2002:int"

if TYPE_CHECKING:
    Loader = yaml.SafeLoader
else:
    Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str | bytes, loader: type[Loader] = Loader) -> Any:
    """Parses YAML; raises yaml.YAMLError for any other text.

    This includes a text that is recursive or too deep, expands to more than MAX_VALUES values, or contains an
    impossible date or a number with thousands of digits.
    """
    try:
        reader = loader(text)
        try:
            node = reader.get_single_node()
            if node is None:
                return None
            _check_size(node)
            return reader.construct_document(node)
        finally:
            reader.dispose()
    except RecursionError:
        raise yaml.YAMLError("is nested too deeply") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        # PyYAML's constructors of dates, numbers and bytes raise other errors for invalid values.
        raise yaml.YAMLError(str(error).partition("; use")[0]) from None


def read_mapping(text: bytes) -> dict[str, Any] | None:
    """Parses a JSON object or a YAML mapping; returns None for any other text."""
    document = None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        with suppress(yaml.YAMLError):
            document = read_yaml(text)
    return document if isinstance(document, dict) else None


def read_as(form: Any, path: Path) -> Any:
    """Reads a YAML file as a value of the annotated type *form*; raises ContractError if it is missing or malformed."""
    try:
        return TypeAdapter(form).validate_python(read_yaml(read_regular(path).decode("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise ContractError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = fault(error) if isinstance(error, yaml.YAMLError) else getattr(error, "strerror", "not UTF-8")
        raise ContractError(f"{path}: cannot be read: {problem}") from error


def fault(error: yaml.YAMLError) -> str:
    """Returns the line number and the problem of a YAML error as one line, without quoting the parsed text."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    problem_text = _QUOTED.sub("…", str(problem).partition("\n")[0]).replace(": ", " ")
    return f"line {mark.line + 1}: {problem_text}" if mark else problem_text


def _check_size(root: yaml.Node) -> None:
    """Raises YAMLError if the tree contains itself, or has too many values once its aliases are expanded."""
    sizes: dict[int, int] = {}
    within: set[int] = set()
    waiting = [(root, False)]
    while waiting:
        node, inner_done = waiting.pop()
        key = id(node)
        if inner_done:
            within.discard(key)
            sizes[key] = 1 + sum(sizes[id(inner)] for inner in _inner(node))
            if sizes[key] > MAX_VALUES:
                raise yaml.MarkedYAMLError(problem="expands to too many values", problem_mark=node.start_mark)
        elif key in within:
            raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=node.start_mark)
        elif key not in sizes:
            if node.tag == _WHOLE and len(node.value) > _MAX_DIGITS:
                problem = "a number with thousands of digits"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
            within.add(key)
            waiting += [(node, True), *((inner, False) for inner in _inner(node))]


def _inner(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
