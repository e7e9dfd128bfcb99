"""What each key of a settings file means and what holds without it, as the settings themselves say it."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from touchstone.config import Settings, TargetSettings, Templates
from touchstone.config_file import RUN_KEYS, TARGET_KEYS, TEMPLATE_KEYS

# The key of a file where the field has another name.
_FIELDS = {"claims": "claims_glob"}
_ENTRY = re.compile(r" {4}(\w+): (.*)")


@dataclass(frozen=True, slots=True)
class Described:
    """One key.

    Attributes:
        name: As it stands in its table.
        meaning: In one sentence or two.
        default: What holds where the key is missing; None for nothing.
    """

    name: str
    meaning: str
    default: Any


def run_keys() -> tuple[Described, ...]:
    """The keys of the file itself, in the order in which they are read."""
    known = dict(_fields(Settings))
    described = (dataclasses.replace(known[_FIELDS.get(name, name)], name=name) for name in RUN_KEYS)
    return tuple(
        dataclasses.replace(one, default=one.default.name) if isinstance(one.default, TargetSettings) else one
        for one in described
    )


def target_keys() -> tuple[Described, ...]:
    """The keys of a target, in the order in which they are read."""
    known = dict(_fields(TargetSettings))
    return tuple(_variable(name, known) or known[name] for name in TARGET_KEYS)


def template_keys() -> tuple[Described, ...]:
    """The keys of the templates of a target, likewise."""
    known = dict(_fields(Templates))
    return tuple(known[name] for name in TEMPLATE_KEYS)


def _variable(name: str, known: dict[str, Described]) -> Described | None:
    """The key that names a variable with a key of the API."""
    of = known.get(name.removesuffix("_env"))
    if of is None or of.name == name:
        return None
    # What only the twin does without is no concern of a target in a file.
    holds = of.meaning.partition(";")[0].rstrip(".")
    return Described(
        name, f"The environment variable that holds the {holds[:1].lower()}{holds[1:]}.", _variable_of(of.name)
    )


def _variable_of(name: str) -> str:
    return f"ORGO_{name.upper()}"


def _fields(kind: type[Any]) -> Iterator[tuple[str, Described]]:
    """The fields of a dataclass, and those of the values that it holds."""
    says = _attributes(kind.__doc__ or "")
    for field in dataclasses.fields(kind):
        yield field.name, Described(field.name, says.get(field.name, ""), field.default)
        if dataclasses.is_dataclass(field.default) and kind is not Settings:
            # What the fields of a group have in common is said by the group.
            whole = says.get(field.name, "").rstrip(".")
            for name, inner in _fields(type(field.default)):
                meaning = f"{whole}: {inner.meaning[:1].lower()}{inner.meaning[1:]}"
                yield name, dataclasses.replace(inner, meaning=meaning)


def _attributes(text: str) -> dict[str, str]:
    """The entries below ``Attributes:`` of a docstring, each on one line, in the words of a file."""
    said: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(text).partition("Attributes:\n")[2].splitlines():
        entry = _ENTRY.fullmatch(line)
        if entry:
            name, said[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            said[name] += f" {line.strip()}"
    return {name: _without_code(words) for name, words in said.items()}


def _without_code(words: str) -> str:
    """The same for readers of a file, who know of no None: where that is what holds it is told, elsewhere left out."""
    plain = words.replace("``", "").replace("; None for ", "; without it ")
    return re.sub(r"; None [^.]*", "", plain)
