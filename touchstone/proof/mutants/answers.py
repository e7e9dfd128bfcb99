"""Faults of responses and of the fields of their bodies, and the claims that each fault must break.

Responses: wrong status or media type, truncated body, body that is not an object, wrong headers, delays.
Fields: missing, null, wrong type, wrong value, a value from another version or account, an old value.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from touchstone.proof.boundary import Answer, Change, Past, at, body, code, header
from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.derived import BUILD_TIME, CONTENT, EXISTENCE, REFUSING, STATE, derived
from touchstone.proof.surface import ENUMS, OPERATIONS, PLACES, REFUSALS, STATUSES, SUCCESSES, FieldType, Place, place

# Undocumented statuses by class (2xx, 4xx).
_UNDOCUMENTED = {2: (203, 206, 226), 4: (402, 410, 418, 451)}
_FAILING = (500, 502, 503, 504)
DELAY_S = 1.6
# Request timeout for faults that delay a response.
IMPATIENT = {"request_timeout_s": 0.8}

# Wrong statuses that the contract lists for the operation.
_OTHER_STATUSES: dict[str, tuple[int, ...]] = {
    "getBuild.200.not_built": (404,), "getBuild.200.building": (404,), "getBuild.200.ready": (404, 403),
    "getBuild.200.failed": (422, 404), "startBuild.202.building": (200, 409, 404),
    "startBuild.202.ready": (200, 409, 404), "cancelBuild.202.cancelling": (404, 409),
    "cancelBuild.404.idle": (202, 409), "publishTemplate.201.plain": (200, 409),
    "publishTemplate.201.auto_build": (200, 400), "getTemplate.200": (404,), "deleteTemplate.200": (404, 409),
    "startBuild.403": (401, 404, 202), "publishTemplate.403": (401, 201), "startBuild.404": (403, 202),
    "getBuild.404": (403, 200), "cancelBuild.404.unknown": (202, 409), "getTemplate.404": (403, 200),
    "deleteTemplate.404": (200, 409), "streamBuildEvents.404": (403, 422), "publishTemplate.400": (422, 201),
    "publishTemplate.409": (422, 201), "publishTemplate.422": (400, 201), "startBuild.429": (403, 409),
}  # fmt: skip
# The twin sends these with the same line of code as other responses, so most faults are generated for the others only.
SENT_ALIKE = (
    *("getBuild.200.not_built", "getBuild.200.building", "getBuild.200.failed", "startBuild.202.ready"),
    "publishTemplate.201.auto_build",
)
# In the responses of SENT_ALIKE, the twin writes these fields with the same line of code as elsewhere. There, faults
# only drop the fields, or set them to the value of another version or to an old value.
SHARED = frozenset({"ref", "digest", "published", "build_time_ms"})
# The twin sends all refusals with one line of code, so some faults are generated for one refusal of each status.
_ONE_OF_EACH = (
    *("publishTemplate.400", "getBuild.401", "startBuild.403", "getBuild.404", "cancelBuild.404.idle"),
    *("publishTemplate.409", "publishTemplate.422", "startBuild.429"),
)

_OTHER_TYPE: dict[FieldType, Callable[[Any], Any]] = {
    "text": lambda value: [value],
    "number": str,
    "flag": lambda value: str(value).lower(),
    "object": lambda value: [value],
    "list": lambda value: {"0": value},
}
_DIGITS = "0123456789abcdef"
# Plausible wrong values by field and by name of the change.
_VALUES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "ref": {
        "other-version": lambda ref: f"{ref.rpartition('@')[0]}@9.9.9", "no-version": lambda ref: ref.split("@")[0]},
    "digest": {"upper-case": lambda digest: digest.upper()},
    "build_time_ms": {
        "seconds": lambda time_ms: time_ms / 1000, "microseconds": lambda time_ms: time_ms * 1000,
        "negative": lambda time_ms: -time_ms},
    "reused": {"negated": lambda reused: not reused}, "deleted": {"negated": lambda deleted: not deleted},
    "error": {"empty": lambda _: ""}, "template": {"empty": lambda _: {}}, "errors": {"empty": lambda _: []},
    "published": {"no-date": lambda _: "yesterday"},
}  # fmt: skip
# Fields that get the value from a response about another version.
_SWAPPED = (
    "getBuild.200.not_built.ref getBuild.200.not_built.digest getBuild.200.building.digest getBuild.200.ready.ref "
    "getBuild.200.ready.digest getBuild.200.ready.build_time_ms getBuild.200.failed.digest "
    "startBuild.202.building.ref startBuild.202.building.digest startBuild.202.ready.digest "
    "startBuild.202.ready.build_time_ms publishTemplate.201.plain.ref publishTemplate.201.plain.digest "
    "publishTemplate.201.auto_build.digest getTemplate.200.ref getTemplate.200.digest getTemplate.200.template "
    "getBuild.200.ready.status"
)
# Fields that get the value from a response to another account.
_SWAPPED_BETWEEN_ACCOUNTS = (
    "getBuild.200.ready.ref getBuild.200.ready.digest getBuild.200.ready.build_time_ms getBuild.200.not_built.status "
    "startBuild.202.building.ref startBuild.202.building.digest publishTemplate.201.plain.ref "
    "publishTemplate.201.plain.digest getTemplate.200.digest"
)
# Fields that keep the value of the first response about the version forever.
_REPEATED = (
    "getBuild.200.building.status getBuild.200.ready.status getBuild.200.failed.status getBuild.200.not_built.digest "
    "getBuild.200.building.digest getBuild.200.ready.digest getBuild.200.ready.build_time_ms "
    "startBuild.202.ready.status getTemplate.200.digest getTemplate.200.template publishTemplate.201.plain.digest "
    "startBuild.202.building.digest"
)


# Glob over fault names; claims of which one must be broken; claims that may be broken, too. The first match counts.
# fmt: off
_BLAME: tuple[tuple[str, ...], ...] = (
    ("*.body.cut", "http.body-is-json"),
    ("*.body.empty", "http.body-is-json *.body-is-documented"),
    ("*.body.trailed", "http.body-is-json"),
    ("*.Content-Length.more", "http.answers"),
    ("*.delay", "http.answers"),
    ("*.media.text-html", "http.json-media-type"),
    ("*.Content-Type.drop", "http.json-media-type"),
    ("[!c]*.20[0-9].*code.404", "lookup.existing-version-is-found"),
    ("*.code.failing", "http.no-server-error"),
    ("*.401.code.*", "auth.*-is-401", "http.status-is-documented"),
    ("*.code.undocumented", "http.status-is-documented"),
    ("getTemplate.200.template.repeat", "publish.force-replaces"),
    ("getTemplate.200.digest.*", "template.read-shows-the-published digest.*"),
    ("getTemplate.200.*", "template.read-shows-the-published"),
    ("getTemplate.answer.repeat", "lookup.deleted-version-is-404 publish.force-replaces", CONTENT),
    ("getTemplate.answer.swap", "template.read-shows-the-published",
     f"{CONTENT} {EXISTENCE} auth.refused-changes-nothing access.others-change-nothing"),
    ("getBuild.*.digest.repeat", "digest.* publish.force-replaces"),
    *((f"*.digest.{how}", "digest.*") for how in ("repeat", "swap*", "other-digits")),
    *((f"{operation}.20?.*.digest.*", f"digest.has-the-documented-form {subject}.body-is-documented")
      for operation, subject in (("getBuild", "status"), ("startBuild", "start"), ("publishTemplate", "publish"))),
    *((f"{operation}.20?.*.ref.{how}", claim) for operation, claim in (
        ("getBuild", "status.ref-is-the-path"), ("startBuild", "start.ref-is-the-path"),
        ("publishTemplate", "publish.ref-is-the-document")) for how in ("swap*", "*-version")),
    # Reading the status.
    ("getBuild.200.*.ref.*", "status.body-is-documented", "status.ref-is-the-path"),
    ("getBuild.200.ready.build_time_ms.drop", "status.ready-has-build-time"),
    ("getBuild.200.ready.build_time_ms.null", "status.ready-has-build-time", "status.body-is-documented"),
    ("getBuild.200.ready.build_time_ms.type", "status.ready-has-build-time", "status.body-is-documented"),
    ("getBuild.200.ready.build_time_ms.*", "status.build-time-* status.ready-has-build-time"),
    ("getBuild.200.ready.reused.negated", "reuse.only-when-reused"),
    ("getBuild.200.ready.reused.*", "status.body-is-documented"),
    ("getBuild.200.failed.error.*", "status.failed-has-error", "status.body-is-documented"),
    *((f"getBuild.200.*.status.{how}", "status.is-one-of-four status.body-is-documented")
      for how in ("drop", "null", "type")),
    ("getBuild.200.*.status.cancelling", "status.is-one-of-four"),
    ("getBuild.200.not_built.status.*", "status.unbuilt-is-not-built status.changes-only-by-a-start"),
    ("getBuild.200.building.status.*", "start.visible-to-next-read status.*"),
    ("getBuild.200.ready.status.*", "status.*"),
    ("getBuild.200.failed.status.*", "status.fail*"),
    ("getBuild.200.*.body.array", "status.body-is-documented"),
    ("getBuild.200.*.code.*", "status.answers-200 lookup.existing-version-is-found"),
    ("getBuild.answer.swap", "status.ref-is-the-path", f"{STATE} {CONTENT} {BUILD_TIME}"),
    ("getBuild.answer.repeat", "status.* digest.*", f"{STATE} {CONTENT} {BUILD_TIME}"),
    # Starting.
    ("startBuild.202.*.ref.*", "start.body-is-documented", "start.ref-is-the-path"),
    ("startBuild.202.ready.build_time_ms.*", "start.body-is-documented status.ready-has-build-time status.build-*"),
    ("startBuild.202.ready.reused.*", "reuse.is-flagged start.body-is-documented"),
    ("startBuild.202.building.status.*", "start.*"),
    ("startBuild.202.ready.status.*", "reuse.ready-at-once start.body-is-documented"),
    ("startBuild.202.*.body.array", "start.body-is-documented"),
    ("startBuild.202.building.code.*", "start.answers-202"),
    ("startBuild.202.ready.code.*", "reuse.status-code reuse.ready-at-once"),
    ("startBuild.answer.swap", "start.ref-is-the-path", f"{STATE} {CONTENT} events.finished-*"),
    ("startBuild.answer.repeat", "reuse.ready-at-once", f"{STATE} {CONTENT}"),
    ("startBuild.429.Retry-After.zero", "limit.retry-after-is-honest"),
    ("startBuild.429.Retry-After.*", "limit.retry-after-is-valid"),
    ("startBuild.429.*", "limit.has-the-error-shape"),
    # Cancelling.
    ("cancelBuild.202.cancelling.code.*", "cancel.in-flight-is-202"),
    ("cancelBuild.202.*", "cancel.says-cancelling"),
    ("cancelBuild.404.idle.code.*", "cancel.*-is-404 cancel.*-is-idle"),
    ("cancelBuild.404.idle.*", "cancel.says-idle"),
    ("cancelBuild.answer.*", "cancel.*"),
    # Publishing and deleting; a delete may be refused with 409, but then the version must stay.
    ("publishTemplate.201.*.ref.*", "publish.body-is-documented", "publish.ref-is-the-document"),
    ("publishTemplate.201.auto_build.auto_build.drop", "publish.auto-build-starts publish.body-is-documented"),
    ("publishTemplate.201.*.code.*", "publish.answers-201"),
    ("publishTemplate.201.*", "publish.body-is-documented"),
    ("publishTemplate.answer.swap", "publish.ref-is-the-document", f"{CONTENT} publish.auto-build-*"),
    ("publishTemplate.answer.repeat", "publish.force-replaces digest.*", f"{CONTENT} publish.auto-build-starts"),
    ("publishTemplate.400.code.*", "publish.empty-is-400 publish.unparsable-is-400"),
    ("publishTemplate.409.code.*", "publish.other-content-is-409"),
    ("publishTemplate.422.*", "publish.invalid-is-422"),
    ("deleteTemplate.200.code.409", "lookup.existing-version-is-found"),
    ("deleteTemplate.200.*", "template.delete-says-deleted"),
    ("deleteTemplate.answer.*", "lookup.deleted-version-is-404", EXISTENCE),
    # Refusing.
    ("*.401.WWW-Authenticate.drop", "auth.missing-key-is-401"),
    ("*.404.*code.*", "lookup.*-is-404 access.others-version-is-404"),
    ("*.403.code.401", "access.plan-is-no-key-matter"),
    ("startBuild.403.code.*", "access.start-needs-scale"),
    ("publishTemplate.403.code.*", "access.publish-needs-scale"),
    ("*.error.*", "error.has-the-documented-shape"),
)

# By glob over fault names: related claims that may be broken as well.
_KEPT = "publish.conflict-keeps-content auth.refused-changes-nothing"
_RELATED = (
    ("*.digest.*", CONTENT), ("*.build_time_ms.*", BUILD_TIME),
    ("getBuild.200.*.status.*", f"{STATE} access.start-needs-scale http.head-*"), ("startBuild.202.*.status.*", STATE),
    # A success with an error status has the wrong body, and its HEAD response is unchanged.
    ("*.20[0-9].*code.*", "error.has-the-documented-shape http.head-matches-get"),
    ("getBuild.*.code.*", "status.answers-200 auth.refused-changes-nothing"), ("getTemplate.200.template.*", _KEPT),
    ("*.answer.*", "http.head-matches-get"), ("*.20[0-9].*digest.*", "auth.refused-changes-nothing"),
    # A start that is answered with an error status still begins its build.
    ("startBuild.20[0-9].*.code.*", f"{STATE} events.* start.answers-202 start.concurrent-answers-are-documented"),
    ("startBuild.*.ready.code.*", "reuse.status-code"),
    ("cancelBuild.*.code.*", f"{STATE} cancel.*"),
    # A publish that is answered with an error status still stores its version.
    ("publishTemplate.201.*.code.*", f"{EXISTENCE} publish.* digest.ignores-spelling"),
    ("publishTemplate.400.code.*", "publish.*-is-400"),
    ("publishTemplate.409.code.*", "publish.other-content-is-409"),
    ("publishTemplate.422.code.*", "publish.invalid-is-422"),
    ("getTemplate.200.*code.*", "template.read-shows-the-published"),
    # A delete that is answered with an error status still deletes its version.
    ("deleteTemplate.200.*code.*", f"{EXISTENCE} template.* status.answers-200"),
    # A refusal with a success status has the body of a refusal.
    ("cancelBuild.404.*code.202", "cancel.says-cancelling"),
    ("deleteTemplate.404.code.200", "template.delete-says-deleted"),
    ("getBuild.404.code.200", "status.body-is-documented"),
    ("startBuild.40[0-9].code.202", "start.body-is-documented"),
    ("publishTemplate.4[0-9][0-9].code.201", "publish.body-is-documented"),
    # A refusal is replaced by the success of another request.
    ("*.answer.*", REFUSING),
    ("startBuild.403.code.*", f"{EXISTENCE} access.start-needs-scale"),
    ("publishTemplate.403.code.*", f"{EXISTENCE} access.publish-needs-scale"), ("*.404.*code.*", EXISTENCE),
    # Claims about the form of errors.
    ("*.4[02][0-9].*", "error.has-the-documented-shape"),
    ("startBuild.429.*", "limit.has-the-error-shape"),
)
# fmt: on


def _fault(name: str, says: str, kind: Kind, change: Change, **more: Any) -> Fault:
    breaks, *also = next(row[1:] for row in _BLAME if fnmatchcase(name, row[0]))
    beside = " ".join([*also, *(claims for glob, claims in _RELATED if fnmatchcase(name, glob))])
    return derived(name, says, kind, breaks, beside, change=change, **more)


def answer_faults(seed: int) -> Iterator[Fault]:
    """Yields a fault for each change of a status, body, header or field in each kind of response."""
    for where in PLACES:
        for name, kind in where.fields.items():
            yield from _misshapen(where, name, kind)
            yield from _misvalued(where, name, random.Random(f"{seed} {where.name} {name}"))
        yield from _statuses(where, random.Random(f"{seed} {where.name}"))
    for spots, how, says, memory in (
        (_SWAPPED, "swap", "comes from another version", Past.others),
        (_SWAPPED_BETWEEN_ACCOUNTS, "swap-account", "comes from another account", Past.of_account),
        (_REPEATED, "repeat", "never changes from its first value", Past.first),
    ):
        for spot in spots.split():
            yield _remembered(spot, how, says, memory)
    yield from _entries()
    yield from _bodies()
    yield from _headers()
    yield from _delays()
    yield from _others_answers()


def _field_change(where: Place, name: str, alter: Callable[[dict[str, Any], Past, Answer], None], every: int) -> Change:
    """Returns a change of the body field *name* in one of *every* responses of the kind *where*."""

    def changed(answer: Answer, past: Past) -> Answer:
        data = answer.data
        if name not in data:
            return answer
        alter(data, past, answer)
        return answer if data == answer.data else answer.with_json(data)

    return at(where.name, changed, every)


def _field(where: Place, name: str, how: str, says: str, kind: Kind, alter: Callable[[Any], Any] | None) -> Fault:
    def change(data: dict[str, Any], _past: Past, _answer: Answer) -> None:
        if alter is None:
            del data[name]
        else:
            data[name] = alter(data[name])

    text = f"In {where.name.replace('.', ' ')}, {name} {says}."
    return _fault(f"{where.name}.{name}.{how}", text, kind, _field_change(where, name, change, where.every))


def _misshapen(where: Place, name: str, kind: FieldType) -> Iterator[Fault]:
    yield _field(where, name, "drop", "is missing", "schema", None)
    if where.status == 401 or (where.name in SENT_ALIKE and name in {*SHARED, "status"} - {"build_time_ms"}):
        return
    yield _field(where, name, "type", "has a wrong type", "schema", _OTHER_TYPE[kind])
    if where.operation in {"getBuild", "publishTemplate"} and where.status < 300:
        yield _field(where, name, "null", "is null", "schema", lambda _: None)


def _misvalued(where: Place, name: str, chance: random.Random) -> Iterator[Fault]:
    if name in SHARED and where.name in SENT_ALIKE:
        return
    values = {} if where.status >= 400 and name == "error" and where.status != 400 else dict(_VALUES.get(name, {}))
    if name == "digest":
        values["other-digits"] = _shifted(chance.randrange(1, 16))
    if name in {"status", "auto_build"}:
        wrong = _status_values(where) if name == "status" else ("ready", "queued")
        values = {value.replace("_", "-"): partial(_always, value) for value in wrong}
    for how, alter in values.items():
        yield _field(where, name, how, f"has a wrong value: {how}", "semantic", alter)


def _status_values(where: Place) -> tuple[str, ...]:
    """Returns wrong values for status: other values of the enum, and values of other operations."""
    if where.operation != "cancelBuild":
        others = tuple(word for word in ENUMS["status"] if word != where.state)
        return others if where.name in SENT_ALIKE else (*others, "cancelling")
    return ("idle", "building", "cancelled") if where.status < 300 else ("cancelling", "not_built")


def _shifted(by: int) -> Callable[[str], str]:
    """Returns a function that shifts each hex digit of a digest, so that different digests stay different."""
    return lambda digest: digest.translate(str.maketrans(_DIGITS, _DIGITS[by:] + _DIGITS[:by]))


def _always(value: str, _: Any) -> str:
    return value


def _remembered(spot: str, how: str, says: str, memory: Callable[[Past, Answer, str], Any]) -> Fault:
    prefix, _, name = spot.rpartition(".")
    where = place(prefix)

    def change(data: dict[str, Any], past: Past, answer: Answer) -> None:
        found = memory(past, answer, name)
        if found is not None:
            data[name] = found

    text = f"In {prefix.replace('.', ' ')}, {name} {says}."
    every = where.every if name == "status" else 1
    return _fault(f"{spot}.{how}", text, "stateful", _field_change(where, name, change, every))


def _entries() -> Iterator[Fault]:
    """Yields a fault for each change of a field of the last entry in the list of errors of a 422."""
    where = place("publishTemplate.422")
    for name in ("field", "code", "message"):
        for how, says in (("drop", "is missing"), ("type", "has a wrong type")):

            def change(data: dict[str, Any], _past: Past, _answer: Answer, name: str = name, how: str = how) -> None:
                value = data["errors"][-1].pop(name)
                if how == "type":
                    data["errors"][-1][name] = [value]

            text = f"In publishTemplate 422, {name} of the last error {says}."
            full = f"{where.name}.errors.{name}.{how}"
            yield _fault(full, text, "schema", _field_change(where, "errors", change, where.every))


def _answer(where: Place, how: str, says: str, kind: Kind, change: Change, *, every: int = 0, **more: Any) -> Fault:
    text = f"The response {where.name.replace('.', ' ')} {says}."
    return _fault(f"{where.name}.{how}", text, kind, at(where.name, change, every or where.every), **more)


def _statuses(where: Place, chance: random.Random) -> Iterator[Fault]:
    others = _OTHER_STATUSES.get(where.name, (403,) if where.status == 401 else ())
    wrong = {str(status): status for status in others if status in STATUSES[where.operation]}
    if (where.status < 300 or where.name in _ONE_OF_EACH) and where.name not in SENT_ALIKE:
        wrong["undocumented"] = chance.choice(_UNDOCUMENTED[where.status // 100])
    if where.status < 300:
        wrong["failing"] = chance.choice(_FAILING)
    for how, status in wrong.items():
        yield _answer(where, f"code.{how}", f"has the status {status}", "semantic", code(status))


def _bodies() -> Iterator[Fault]:
    html = header("content-type", b"text/html")
    changes: tuple[tuple[str, str, Change], ...] = (
        ("body.array", "is an array around its object", body(lambda raw: b"[" + raw + b"]")),
        ("body.cut", "lacks its last byte", body(lambda raw: raw[:-1])),
        ("media.text-html", "has Content-Type text/html", html),
        ("body.empty", "has no body", body(lambda _: b"")),
        ("body.trailed", "has a NUL byte at its end", body(lambda raw: raw + b"\0")),
    )
    for where in SUCCESSES:
        read_often = where.name in {"getBuild.200.ready", "startBuild.202.building"}
        for how, says, change in (changes if read_often else changes[:3]) if where.name not in SENT_ALIKE else ():
            yield _answer(where, how, says, "schema", change)
    for where in REFUSALS:
        if where.name in _ONE_OF_EACH:
            yield _answer(where, "media.text-html", "has Content-Type text/html", "schema", html)


def _headers() -> Iterator[Fault]:
    for name in ("getBuild.200.ready", "startBuild.202.building", "publishTemplate.201.plain"):
        where, more = place(name), lambda answer, _: replace(answer, missing_bytes=9)
        yield _answer(where, "Content-Type.drop", "has no Content-Type", "schema", header("Content-Type"))
        yield _answer(where, "Content-Length.more", "is shorter than its Content-Length", "schema", more)
    limited = place("startBuild.429")
    values = (("no-date", "soon"), ("fraction", "0.5"), ("negative", "-1"), ("empty", ""))
    for how, value in values:
        change = header("Retry-After", value.encode())
        yield _answer(limited, f"Retry-After.{how}", f"has Retry-After {value!r}", "load", change)
    yield _answer(limited, "Retry-After.drop", "has no Retry-After", "load", header("Retry-After"))
    yield _answer(limited, "Retry-After.zero", "has Retry-After 0", "load", header("Retry-After", b"0"))
    refused = place("getBuild.401")
    yield _answer(refused, "WWW-Authenticate.drop", "has no WWW-Authenticate", "schema", header("WWW-Authenticate"))


def _delays() -> Iterator[Fault]:
    """Yields a fault for each operation: its second response comes after the request timeout."""
    for operation in OPERATIONS:
        for where in [found for found in SUCCESSES if found.operation == operation][:1]:
            change = _second_late(where.name)
            yield _answer(where, "delay", "is delayed once", "timing", change, every=1, target=IMPATIENT)


def _second_late(name: str) -> Change:
    return lambda answer, past: replace(answer, delay_s=DELAY_S) if past.count(name) == 1 else answer


def _others_answers() -> Iterator[Fault]:
    """Yields faults that replace a response by the first one about its version, or by one about another version."""
    for operation in dict.fromkeys(found.operation for found in SUCCESSES):
        for how, says, found in (
            ("repeat", "repeats the first response to the same request", _first_of),
            ("swap", "is the latest response about another version", _others_last),
        ):
            text, change = f"A response to {operation} {says}.", _exchanged(operation, found)
            yield _fault(f"{operation}.answer.{how}", text, "stateful", change)


def _exchanged(operation: str, found: Callable[[Answer, Past], Answer | None]) -> Change:
    def change(answer: Answer, past: Past) -> Answer:
        # A client that polls gets correct responses in between, so that the wait ends.
        due = operation != "getBuild" or past.count("getBuild.*") % 2 == 0
        return (found(answer, past) or answer) if due and answer.operation == operation else answer

    return change


def _first_of(answer: Answer, past: Past) -> Answer | None:
    same = (answer.operation, answer.ref, answer.key)
    return next((old for old in past.answers if (old.operation, old.ref, old.key) == same and old.status < 300), None)


def _others_last(answer: Answer, past: Past) -> Answer | None:
    others = (old for old in reversed(past.answers) if (old.operation, old.key) == (answer.operation, answer.key))
    return next((old for old in others if old.ref != answer.ref and old.status < 300), None)
