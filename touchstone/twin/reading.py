"""Bytes of a request body to plain data: JSON or YAML, within bounds that keep one request from starving the rest."""

import json
import math
import re
from typing import Any

import yaml

DEEPEST = 64
MOST_NODES = 100_000

_LOADER: type[yaml.SafeLoader] = type(
    "TemplateLoader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    # Merge keys copy what they merge, once per alias: a few lines could ask for more memory than there is.
    {"flatten_mapping": lambda _loader, _node: None},
)
# The core schema of YAML 1.2: no yes/no booleans, no dates, no numbers in base 60 or 8, so that a document means
# the same in YAML as it does in JSON.
_LOADER.yaml_implicit_resolvers = {}
_LOADER.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_LOADER.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_LOADER.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_LOADER.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


class Unreadable(ValueError):
    """The body is empty, or is neither JSON nor YAML, or is too deep or too large once its aliases are followed."""


def read_body(body: bytes, content_type: str = "") -> Any:
    """The data that a body holds.

    Args:
        body: What was sent.
        content_type: Its media type; JSON is read as nothing but JSON, anything else as YAML.

    Returns:
        Dicts with string keys, lists, strings, numbers, booleans and None, at most DEEPEST levels deep.

    Raises:
        Unreadable: it cannot be read.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    if not text.strip():
        raise Unreadable("the body is empty")
    data = _json(text) if _is_json(content_type) else _json_or_yaml(text)
    if data is None:
        raise Unreadable("the body is empty")
    return _Plain().copy(data)


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _json_or_yaml(text: str) -> Any:
    # JSON first: it is faster, and a few JSON documents (tabs between tokens) are no YAML.
    try:
        return _json(text)
    except Unreadable:
        return _yaml(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_LOADER)  # the loader is a safe one
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        raise Unreadable("the body is neither JSON nor YAML") from None


class _Plain:
    """Copies data, following aliases, and counts what it copies."""

    def __init__(self) -> None:
        self._nodes = 0

    def copy(self, value: Any, depth: int = 0) -> Any:
        self._nodes += 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise Unreadable(f"the body is more than {DEEPEST} levels deep or holds more than {MOST_NODES} values")
        if isinstance(value, dict):
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth + 1) for item in value]
        return self._scalar(value)

    def _key(self, key: Any) -> str:
        self._nodes += 1
        return key if isinstance(key, str) else json.dumps(self._scalar(key))

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                raise Unreadable("the body holds a character that is no text")
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Unreadable("the body holds a number that is not finite")
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        if value is None or isinstance(value, bool | int):
            return value
        raise Unreadable(f"the body holds a {type(value).__name__}, which JSON cannot")
