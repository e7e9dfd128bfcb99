"""What the code says of itself: sentences and attributes of docstrings, and types in words for people."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    bytes: "bytes",
    Path: "path",
    type(None): "null",
    Any: "any value",
}


def sentence(thing: object) -> str:
    """The first paragraph of a docstring on one line."""
    return _marked((inspect.getdoc(thing) or "").split("\n\n")[0])


def attributes(kind: type) -> dict[str, str]:
    """What a class and those that it inherits from say of their attributes, by name."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__[:-1]):
        block = re.split(r"\n(?=\S)", inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2])[0]
        found |= re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", block, flags=re.MULTILINE)
        comments = re.findall(r"^ {4}(\w+): .*  # (?!noqa)(.*)$", inspect.getsource(one), flags=re.MULTILINE)
        found |= {name: f"{text[:1].upper()}{text[1:].removesuffix('.')}." for name, text in comments}
    return {name: _marked(text) for name, text in found.items()}


def _marked(text: str) -> str:
    """A text on one line, with names as code that a docstring sets between stars."""
    return re.sub(r"(?<!\S)\*(\w+)\*", r"`\1`", " ".join(text.split()).replace("``", "`"))


def fields(kind: type) -> dict[str, Any]:
    """The types of the fields of a dataclass by name, in their order."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def named(kind: Any) -> str:
    """A type in words."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value}`" if value != "" else "empty" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(named(one) for one in inside)
    if origin in (dict, Mapping) or kind in (dict, Mapping):
        return f"object: {named(inside[1])} by name" if inside else "object"
    if origin in (tuple, list, Sequence, frozenset):
        members = [one for one in inside if one is not Ellipsis]
        if len(members) == 1:
            return f"list of: {named(members[0])}"
        return f"list of {len(members)}: {'; '.join(map(named, members))}"
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return f"[{kind.__name__}](#value-{kind.__name__.lower()})"
    return getattr(kind, "__name__", str(kind))


def within(kind: Any) -> list[type]:
    """The dataclasses that a type is made of, in the order in which they are met."""
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return [kind]
    return [one for part in get_args(kind) for one in within(part)]
