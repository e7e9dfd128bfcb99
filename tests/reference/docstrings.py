"""Sentences and attributes of docstrings, for the pages of the reference."""

import inspect
import re


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
        capital = re.compile(r"^[a-z](?=[a-z]*\b)")  # not that of operationId
        found |= {name: capital.sub(lambda first: first[0].upper(), text).rstrip(".") + "." for name, text in comments}
    return {name: _marked(text) for name, text in found.items()}


def _marked(text: str) -> str:
    """A text on one line, with names as code that a docstring sets between stars."""
    return re.sub(r"(?<!\S)\*(\w+)\*", r"`\1`", " ".join(text.split()).replace("``", "`"))
