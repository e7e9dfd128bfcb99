"""
Faults of whole answers: another status, another media type, a body that is cut, doubled or no object, headers, delays.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.boundary import Answer, Change, Past, at
from touchstone.proof.mutants.derived import derived
from touchstone.proof.mutants.surface import OPERATIONS, PLACES, REFUSALS, STATUSES, SUCCESSES, Place, place

# In the place of a status of one hundred, one that no operation documents.
_UNDOCUMENTED = {2: (203, 206, 226), 4: (402, 410, 418, 451)}
_FAILING = (500, 502, 503, 504)
DELAY_S = 1.6
# A request that takes longer counts as unanswered; only where an answer is delayed beyond it.
IMPATIENT = {"request_timeout_s": 0.8}

# Statuses that the operation documents, in the place of the right one.
_OTHER_STATUSES: dict[str, tuple[int, ...]] = {
    "getBuild.200.not_built": (404,),
    "getBuild.200.building": (404,),
    "getBuild.200.ready": (404, 403),
    "getBuild.200.failed": (422, 404),
    "startBuild.202.building": (200, 409, 404),
    "startBuild.202.ready": (200, 409, 404),
    "cancelBuild.202.cancelling": (404, 409),
    "cancelBuild.404.idle": (202, 409),
    "publishTemplate.201.plain": (200, 409),
    "publishTemplate.201.auto_build": (200, 400),
    "getTemplate.200": (404,),
    "deleteTemplate.200": (404, 409),
    "startBuild.403": (401, 404, 202),
    "publishTemplate.403": (401, 201),
    "startBuild.404": (403, 202),
    "getBuild.404": (403, 200),
    "cancelBuild.404.unknown": (202, 409),
    "getTemplate.404": (403, 200),
    "deleteTemplate.404": (200, 409),
    "streamBuildEvents.404": (403, 422),
    "publishTemplate.400": (422, 201),
    "publishTemplate.409": (422, 201),
    "publishTemplate.422": (400, 201),
    "startBuild.429": (403, 409),
}

# Answers that are put on the wire by the same line as others of their operation, where that line is tried.
SENT_ALIKE = frozenset(
    {
        *("getBuild.200.not_built", "getBuild.200.building", "getBuild.200.failed"),
        *("startBuild.202.ready", "publishTemplate.201.auto_build"),
    }
)
# Refusals are made by one line, whatever refuses: that line is tried once for each status.
_ONE_OF_EACH = frozenset(
    {
        *("publishTemplate.400", "getBuild.401", "startBuild.403", "getBuild.404", "cancelBuild.404.idle"),
        *("publishTemplate.409", "publishTemplate.422", "startBuild.429"),
    }
)


def message_faults(seed: int) -> Iterator[Fault]:
    """Every place with another status, and its bytes and headers got wrong."""
    for where in PLACES:
        yield from _statuses(where, random.Random(f"{seed} {where.name}"))
    for where in SUCCESSES:
        if where.name not in SENT_ALIKE:
            yield from _bodies(where)
    for where in REFUSALS:
        if where.name in _ONE_OF_EACH:
            yield _fault(where, "media.text-html", "is called text/html", "schema", _called(b"text/html"))
    yield from _headers()
    yield from _delays()
    yield from _others_answers()


def _fault(where: Place, how: str, says: str, kind: Kind, change: Change, *, every: int = 0, **more: Any) -> Fault:
    told = f"The answer {where.name.replace('.', ' ')} {says}."
    return derived(f"{where.name}.{how}", told, kind, change=at(where, change, every or where.every), **more)


def _statuses(where: Place, chance: random.Random) -> Iterator[Fault]:
    others = _OTHER_STATUSES.get(where.name, (403,) if where.status == 401 else ())
    named = {str(status): status for status in others if status in STATUSES[where.operation]}
    if (where.status < 300 or where.name in _ONE_OF_EACH) and where.name not in SENT_ALIKE:
        named["undocumented"] = chance.choice(_UNDOCUMENTED[where.status // 100])
    if where.status < 300:
        named["failing"] = chance.choice(_FAILING)
    for how, status in named.items():
        yield _fault(where, f"code.{how}", f"has the status {status}", "semantic", _with_status(status))


def _with_status(status: int) -> Change:
    return lambda answer, _: replace(answer, status=status)


def _bodies(where: Place) -> Iterator[Fault]:
    changes: tuple[tuple[str, str, Change], ...] = (
        ("body.array", "is an array around its object", _body(lambda body: b"[" + body + b"]")),
        ("body.cut", "lacks its last byte", _body(lambda body: body[:-1])),
        ("media.text-html", "is called text/html", _called(b"text/html")),
        ("body.empty", "has no body", _body(lambda _: b"")),
        ("body.trailed", "is followed by a byte too many", _body(lambda body: body + b"\0")),
    )
    read_often = where.name in {"getBuild.200.ready", "startBuild.202.building"}
    for how, says, change in changes if read_often else changes[:3]:
        yield _fault(where, how, says, "schema", change)


def _body(alter: Callable[[bytes], bytes]) -> Change:
    return lambda answer, _: replace(answer, body=alter(answer.body))


def _called(media_type: bytes) -> Change:
    return lambda answer, _: answer.with_header("content-type", media_type)


def _headers() -> Iterator[Fault]:
    for name in ("getBuild.200.ready", "startBuild.202.building", "publishTemplate.201.plain"):
        where = place(name)
        yield _fault(where, "Content-Type.drop", "has no Content-Type", "schema", _header("Content-Type"))
        yield _fault(where, "Content-Length.more", "ends too soon", "schema", lambda a, _: replace(a, missing_bytes=9))
    limited = place("startBuild.429")
    for how, value in (("no-date", b"soon"), ("fraction", b"0.5"), ("negative", b"-1"), ("empty", b"")):
        change = _header("Retry-After", value)
        yield _fault(limited, f"Retry-After.{how}", f"says Retry-After {value.decode()!r}", "load", change)
    yield _fault(limited, "Retry-After.drop", "has no Retry-After", "load", _header("Retry-After"))
    yield _fault(limited, "Retry-After.zero", "says Retry-After 0", "load", _header("Retry-After", b"0"))
    refused = place("getBuild.401")
    yield _fault(refused, "WWW-Authenticate.drop", "has no challenge", "schema", _header("WWW-Authenticate"))


def _header(name: str, *values: bytes) -> Change:
    return lambda answer, _: answer.with_header(name, *values)


def _delays() -> Iterator[Fault]:
    """The second answer to each operation comes after everybody has given up: one is enough, and costs one wait."""
    for operation in OPERATIONS:
        where = next((found for found in SUCCESSES if found.operation == operation), None)
        if where is not None:
            yield _fault(
                where, "delay", "comes too late once", "timing", _second_late(where), every=1, target=IMPATIENT
            )


def _second_late(where: Place) -> Change:
    def change(answer: Answer, past: Past) -> Answer:
        return replace(answer, delay_s=DELAY_S) if past.count(where) == 1 else answer

    return change


def _others_answers() -> Iterator[Fault]:
    """Whole answers in the place of others: an old one about the same version, the latest one about another."""
    for operation in OPERATIONS:
        for found in SUCCESSES:
            if found.operation == operation and found.name not in SENT_ALIKE:
                yield _exchanged(found, "answer.repeat", "is the one that this request had first", _first_of)
                yield _exchanged(found, "answer.swap", "is the one that another version had last", _others_last)


def _exchanged(where: Place, how: str, says: str, found: Callable[[Answer, Past], Answer | None]) -> Fault:
    def change(answer: Answer, past: Past) -> Answer:
        # Who polls gets the right answer in between, or would wait for ever.
        due = where.operation != "getBuild" or past.asked("getBuild") % 2 == 0
        due = due and answer.operation == where.operation
        return (found(answer, past) or answer) if due else answer

    told = f"An answer to {where.operation} {says}."
    return derived(f"{where.operation}.{how}", told, "stateful", change=change)


def _first_of(answer: Answer, past: Past) -> Answer | None:
    asked = (answer.operation, answer.ref, answer.key)
    return next((old for old in past.answers if (old.operation, old.ref, old.key) == asked and old.status < 300), None)


def _others_last(answer: Answer, past: Past) -> Answer | None:
    others = (old for old in reversed(past.answers) if (old.operation, old.key) == (answer.operation, answer.key))
    return next((old for old in others if old.ref != answer.ref and old.status < 300), None)
