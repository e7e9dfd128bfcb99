"""
Faults in the fields of JSON bodies: left out, null, of another type, of another value, somebody else's, out of date.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.boundary import Answer, Change, Past, at
from touchstone.proof.mutants.derived import derived
from touchstone.proof.mutants.surface import ENUMS, REFUSALS, SUCCESSES, FieldType, Place, place

_OTHER_TYPE: dict[FieldType, Callable[[Any], Any]] = {
    "text": lambda value: [value],
    "number": str,
    "flag": lambda value: str(value).lower(),
    "object": lambda value: [value],
    "list": lambda value: {"0": value},
}
_DIGITS = "0123456789abcdef"

# Other values that look as if they could be right, by field and by what they are.
_VALUES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "ref": {
        "other-version": lambda ref: f"{ref.rpartition('@')[0]}@9.9.9",
        "no-version": lambda ref: ref.split("@")[0],
    },
    "digest": {
        "upper-case": lambda digest: digest.upper(),
    },
    "build_time_ms": {
        "seconds": lambda time_ms: time_ms / 1000,
        "microseconds": lambda time_ms: time_ms * 1000,
        "negative": lambda time_ms: -time_ms,
    },
    "reused": {"negated": lambda reused: not reused},
    "error": {"empty": lambda _: ""},
    "published": {"no-date": lambda _: "yesterday"},
    "template": {"empty": lambda _: {}},
    "deleted": {"negated": lambda deleted: not deleted},
    "errors": {"empty": lambda _: []},
}

# These fields are written by the same line in other answers of the operation, where all else that can be wrong with
# them is tried: here they are left out, or somebody else's, or out of date.
LIKE_OTHERS = frozenset(
    {
        *("getBuild.200.not_built", "getBuild.200.building", "getBuild.200.failed"),
        *("startBuild.202.ready", "publishTemplate.201.auto_build"),
    }
)
SHARED = frozenset({"ref", "digest", "published", "build_time_ms"})

# What another version's answer says, put in the place of the right value.
_SWAPPED = (
    *("getBuild.200.not_built.ref", "getBuild.200.not_built.digest", "getBuild.200.building.digest"),
    *("getBuild.200.ready.ref", "getBuild.200.ready.digest", "getBuild.200.ready.build_time_ms"),
    *("getBuild.200.failed.digest", "startBuild.202.building.ref", "startBuild.202.building.digest"),
    *("startBuild.202.ready.digest", "startBuild.202.ready.build_time_ms", "publishTemplate.201.plain.ref"),
    *("publishTemplate.201.plain.digest", "publishTemplate.201.auto_build.digest", "getTemplate.200.ref"),
    *("getTemplate.200.digest", "getTemplate.200.template", "getBuild.200.ready.status"),
)

# What an answer to another account says, put in the place of the right value.
_SWAPPED_BETWEEN_ACCOUNTS = (
    *("getBuild.200.ready.ref", "getBuild.200.ready.digest", "getBuild.200.ready.build_time_ms"),
    *("getBuild.200.not_built.status", "startBuild.202.building.ref", "startBuild.202.building.digest"),
    *("publishTemplate.201.plain.ref", "publishTemplate.201.plain.digest", "getTemplate.200.digest"),
)

# What the first answer about the version said, told for ever.
_REPEATED = (
    *("getBuild.200.building.status", "getBuild.200.ready.status", "getBuild.200.failed.status"),
    *("getBuild.200.not_built.digest", "getBuild.200.building.digest", "getBuild.200.ready.digest"),
    *("getBuild.200.ready.build_time_ms", "startBuild.202.ready.status", "getTemplate.200.digest"),
    *("getTemplate.200.template", "publishTemplate.201.plain.digest", "startBuild.202.building.digest"),
)


def field_faults(seed: int) -> Iterator[Fault]:
    """Every place, every field, every way to get it wrong."""
    for where in (*SUCCESSES, *REFUSALS):
        for name, kind in where.fields.items():
            yield from _misshapen(where, name, kind)
            yield from _misvalued(where, name, random.Random(f"{seed} {where.name} {name}"))
    for spot in _SWAPPED:
        yield _remembered(spot, "swap", "is the one of another version", Past.others)
    for spot in _SWAPPED_BETWEEN_ACCOUNTS:
        yield _remembered(spot, "swap-account", "is the one of another account", Past.of_account)
    for spot in _REPEATED:
        yield _remembered(spot, "repeat", "is what the first answer about the version said", Past.first)
    yield from _entries()


def field_change(
    where: Place, name: str, alter: Callable[[dict[str, Any], Past, Answer], None], every: int = 0
) -> Change:
    """Alters the body of answers of one kind that have a field: of as many as usual, or one in *every*."""

    def changed(answer: Answer, past: Past) -> Answer:
        data = answer.data
        if name not in data:
            return answer
        alter(data, past, answer)
        return answer if data == answer.data else answer.saying(data)

    return at(where, changed, every or where.every)


def _fault(where: Place, name: str, how: str, says: str, kind: Kind, alter: Callable[[Any], Any] | None) -> Fault:
    def change(data: dict[str, Any], _past: Past, _answer: Answer) -> None:
        if alter is None:
            del data[name]
        else:
            data[name] = alter(data[name])

    told = f"In {where.name.replace('.', ' ')}, {name} {says}."
    return derived(f"{where.name}.{name}.{how}", told, kind, change=field_change(where, name, change))


def _misshapen(where: Place, name: str, kind: FieldType) -> Iterator[Fault]:
    yield _fault(where, name, "drop", "is left out", "schema", None)
    if where.status == 401 or (where.name in LIKE_OTHERS and name in {*SHARED, "status"} - {"build_time_ms"}):
        return
    yield _fault(where, name, "type", "is of another type", "schema", _OTHER_TYPE[kind])
    if where.operation in {"getBuild", "publishTemplate"} and where.status < 300:
        yield _fault(where, name, "null", "is null", "schema", lambda _: None)


def _misvalued(where: Place, name: str, chance: random.Random) -> Iterator[Fault]:
    if name in SHARED and where.name in LIKE_OTHERS:
        return
    values = {} if where.status >= 400 and name == "error" and where.status != 400 else dict(_VALUES.get(name, {}))
    if name == "digest":
        values["other-digits"] = _shifted(chance.randrange(1, 16))
    if name == "status":
        values = {word.replace("_", "-"): partial(_always, word) for word in _words(where)}
    if name == "auto_build":
        values = {word.replace("_", "-"): partial(_always, word) for word in ("ready", "queued")}
    for how, alter in values.items():
        yield _fault(where, name, how, f"has the value {how}", "semantic", alter)


def _words(where: Place) -> tuple[str, ...]:
    """What status may be replaced by: the other words of its enum, and one that belongs elsewhere."""
    if where.operation != "cancelBuild":
        others = tuple(word for word in ENUMS["status"] if word != where.state)
        return others if where.name in LIKE_OTHERS else (*others, "cancelling")
    return ("idle", "building", "cancelled") if where.status < 300 else ("cancelling", "not_built")


def _shifted(by: int) -> Callable[[str], str]:
    """Another digest that looks like one; different ones stay different."""
    return lambda digest: digest.translate(str.maketrans(_DIGITS, _DIGITS[by:] + _DIGITS[:by]))


def _always(word: str, _: Any) -> str:
    return word


def _remembered(spot: str, how: str, says: str, memory: Callable[[Past, Answer, str], Any]) -> Fault:
    prefix, _, name = spot.rpartition(".")
    where = place(prefix)

    def change(data: dict[str, Any], past: Past, answer: Answer) -> None:
        found = memory(past, answer, name)
        if found is not None:
            data[name] = found

    told = f"In {prefix.replace('.', ' ')}, {name} {says}."
    every = where.every if name == "status" else 1
    return derived(f"{spot}.{how}", told, "stateful", change=field_change(where, name, change, every))


def _entries() -> Iterator[Fault]:
    """The entries of the list of what is wrong with a document."""
    where = place("publishTemplate.422")
    for name in ("field", "code", "message"):
        for how, says in (("drop", "is left out"), ("type", "is of another type")):

            def change(data: dict[str, Any], _past: Past, _answer: Answer, name: str = name, how: str = how) -> None:
                value = data["errors"][-1].pop(name)
                if how == "type":
                    data["errors"][-1][name] = [value]

            told = f"In publishTemplate 422, {name} of the last entry {says}."
            full = f"{where.name}.errors.{name}.{how}"
            yield derived(full, told, "schema", change=field_change(where, "errors", change))
