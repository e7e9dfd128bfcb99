"""
Reads JSON exactly as RFC 8259 and I-JSON (RFC 7493) define it, where Python is more generous; writes lines of JSON.
"""

import json
from collections import Counter
from typing import Any

# int() refuses longer texts, because converting them takes quadratic time; JSON itself sets no limit.
_MAX_INTEGER_DIGITS = 4000


def read_json(body: bytes) -> Any:
    """The value that the body spells.

    Raises:
        ValueError: it is not one JSON value in UTF-8 without a byte order mark; NaN, infinities and an object that has
            a name twice are refused as well. The text says what was found and where.
    """
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("starts with a byte order mark")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        count = Counter(name for name, _ in pairs)
        raise ValueError(f"has the name {count.most_common(1)[0][0]!r} more than once in one object")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which JSON does not have")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)


def json_line(event: dict[str, Any]) -> bytes:
    """One line of a file of JSON lines."""
    # ASCII only: no byte of the target reaches the file raw, and a lone surrogate in a URL survives the way back.
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
