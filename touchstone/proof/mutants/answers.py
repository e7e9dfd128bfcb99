"""Faults of whole answers and of the fields of their bodies, and whom each is blamed on.

Another status or media type, a body that is cut or no object, headers, delays; a field that is left out, null, of
another type, of another value, somebody else's, out of date.
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

# In the place of a status of one hundred, one that no operation documents.
_UNDOCUMENTED = {2: (203, 206, 226), 4: (402, 410, 418, 451)}
_FAILING = (500, 502, 503, 504)
DELAY_S = 1.6
# A request that takes longer counts as unanswered; only where an answer is delayed beyond it.
IMPATIENT = {"request_timeout_s": 0.8}

# Statuses that the operation documents, in the place of the right one.
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
# Answers that are put on the wire by the same line as others of their operation, where that line is tried.
SENT_ALIKE = (
    *("getBuild.200.not_built", "getBuild.200.building", "getBuild.200.failed", "startBuild.202.ready"),
    "publishTemplate.201.auto_build",
)
# These fields are written by the same line in such answers, where all else that can be wrong with them is tried: here
# they are left out, or somebody else's, or out of date.
SHARED = frozenset({"ref", "digest", "published", "build_time_ms"})
# Refusals are made by one line, whatever refuses: that line is tried once for each status.
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
# Other values that look as if they could be right, by field and by what they are.
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
# What another version's answer says, put in the place of the right value.
_SWAPPED = (
    "getBuild.200.not_built.ref getBuild.200.not_built.digest getBuild.200.building.digest getBuild.200.ready.ref "
    "getBuild.200.ready.digest getBuild.200.ready.build_time_ms getBuild.200.failed.digest "
    "startBuild.202.building.ref startBuild.202.building.digest startBuild.202.ready.digest "
    "startBuild.202.ready.build_time_ms publishTemplate.201.plain.ref publishTemplate.201.plain.digest "
    "publishTemplate.201.auto_build.digest getTemplate.200.ref getTemplate.200.digest getTemplate.200.template "
    "getBuild.200.ready.status"
)
# What an answer to another account says, put in the place of the right value.
_SWAPPED_BETWEEN_ACCOUNTS = (
    "getBuild.200.ready.ref getBuild.200.ready.digest getBuild.200.ready.build_time_ms getBuild.200.not_built.status "
    "startBuild.202.building.ref startBuild.202.building.digest publishTemplate.201.plain.ref "
    "publishTemplate.201.plain.digest getTemplate.200.digest"
)
# What the first answer about the version said, told for ever.
_REPEATED = (
    "getBuild.200.building.status getBuild.200.ready.status getBuild.200.failed.status getBuild.200.not_built.digest "
    "getBuild.200.building.digest getBuild.200.ready.digest getBuild.200.ready.build_time_ms "
    "startBuild.202.ready.status getTemplate.200.digest getTemplate.200.template publishTemplate.201.plain.digest "
    "startBuild.202.building.digest"
)


# By a glob over the names: claims of which one must be broken, and those that may be as well; the first one counts.
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
    ("getTemplate.200.code.*", "template.read-shows-the-published"),
    ("getTemplate.200.template.repeat", "publish.force-replaces"),
    ("getTemplate.200.digest.*", "template.read-shows-the-published digest.*"),
    ("getTemplate.200.*", "template.read-shows-the-published"),
    ("getTemplate.answer.repeat", "lookup.deleted-version-is-404 publish.force-replaces", CONTENT),
    ("getTemplate.answer.swap", "template.read-shows-the-published", f"{CONTENT} {EXISTENCE}"),
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
    ("startBuild.answer.swap", "start.ref-is-the-path", f"{STATE} {CONTENT}"),
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
    # Publishing and deleting; a delete may be refused with 409, but then the version has to stay.
    ("publishTemplate.201.*.ref.*", "publish.body-is-documented", "publish.ref-is-the-document"),
    ("publishTemplate.201.auto_build.auto_build.drop", "publish.auto-build-starts publish.body-is-documented"),
    ("publishTemplate.201.*.code.*", "publish.answers-201"),
    ("publishTemplate.201.*", "publish.body-is-documented"),
    ("publishTemplate.answer.swap", "publish.ref-is-the-document", CONTENT),
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

# By the thing that is got wrong: claims that speak about it, which may be found broken whatever else has to be.
_SEEN = (
    ("*.digest.*", CONTENT),
    ("*.build_time_ms.*", BUILD_TIME),
    ("getBuild.200.*.status.*", STATE),
    ("startBuild.202.*.status.*", STATE),
    # A success that calls itself an error has the body of a success, and HEAD, left as it was, says so.
    ("*.20[0-9].*code.*", "error.has-the-documented-shape http.head-matches-get"),
    ("getBuild.*.code.*", "status.answers-200"),
    # A start that says that it failed, and builds.
    ("startBuild.20[0-9].*.code.*", f"{STATE} start.answers-202 start.concurrent-answers-are-documented"),
    ("startBuild.*.ready.code.*", "reuse.status-code"),
    ("cancelBuild.*.code.*", f"{STATE} cancel.*"),
    # A version that is there though its publish says that it failed.
    ("publishTemplate.201.*.code.*", f"{EXISTENCE} publish.answers-201"),
    ("publishTemplate.400.code.*", "publish.*-is-400"),
    ("publishTemplate.409.code.*", "publish.other-content-is-409"),
    ("publishTemplate.422.code.*", "publish.invalid-is-422"),
    ("getTemplate.200.*code.*", "template.read-shows-the-published"),
    # A version that is gone though its delete says that it failed.
    ("deleteTemplate.200.*code.*", f"{EXISTENCE} template.* status.answers-200"),
    # A refusal that calls itself a success has the body of a refusal.
    ("cancelBuild.404.*code.202", "cancel.says-cancelling"),
    ("deleteTemplate.404.code.200", "template.delete-says-deleted"),
    ("getTemplate.404.code.200", "template.read-shows-the-published"),
    ("getBuild.404.code.200", "status.body-is-documented"),
    ("startBuild.40[0-9].code.202", "start.body-is-documented"),
    ("publishTemplate.4[0-9][0-9].code.201", "publish.body-is-documented"),
    # A success that some other request had, in the place of a refusal.
    ("*.answer.*", REFUSING),
    ("startBuild.403.code.*", f"{EXISTENCE} access.start-needs-scale"),
    ("publishTemplate.403.code.*", f"{EXISTENCE} access.publish-needs-scale"),
    ("*.404.*code.*", EXISTENCE),
    ("startBuild.429.code.*", "limit.has-the-error-shape"),
    # An answer that is refused has a place of its own in what is said about it.
    ("*.4[02][0-9].*", "error.has-the-documented-shape"),
    ("startBuild.429.*", "limit.has-the-error-shape"),
)
# fmt: on


def _fault(name: str, says: str, kind: Kind, change: Change, **more: Any) -> Fault:
    breaks, *also = next(row[1:] for row in _BLAME if fnmatchcase(name, row[0]))
    beside = " ".join([*also, *(claims for glob, claims in _SEEN if fnmatchcase(name, glob))])
    return derived(name, says, kind, breaks, beside, change=change, **more)


def answer_faults(seed: int) -> Iterator[Fault]:
    """Every place with another status, its bytes and headers got wrong, and every field got wrong in every way."""
    for where in PLACES:
        for name, kind in where.fields.items():
            yield from _misshapen(where, name, kind)
            yield from _misvalued(where, name, random.Random(f"{seed} {where.name} {name}"))
        yield from _statuses(where, random.Random(f"{seed} {where.name}"))
    for spots, how, says, memory in (
        (_SWAPPED, "swap", "is the one of another version", Past.others),
        (_SWAPPED_BETWEEN_ACCOUNTS, "swap-account", "is the one of another account", Past.of_account),
        (_REPEATED, "repeat", "is what the first answer about the version said", Past.first),
    ):
        for spot in spots.split():
            yield _remembered(spot, how, says, memory)
    yield from _entries()
    yield from _bodies()
    yield from _headers()
    yield from _delays()
    yield from _others_answers()


def _field_change(where: Place, name: str, alter: Callable[[dict[str, Any], Past, Answer], None], every: int) -> Change:
    """Alters the body of one in *every* answers of one kind that have a field."""

    def changed(answer: Answer, past: Past) -> Answer:
        data = answer.data
        if name not in data:
            return answer
        alter(data, past, answer)
        return answer if data == answer.data else answer.saying(data)

    return at(where.name, changed, every)


def _field(where: Place, name: str, how: str, says: str, kind: Kind, alter: Callable[[Any], Any] | None) -> Fault:
    def change(data: dict[str, Any], _past: Past, _answer: Answer) -> None:
        if alter is None:
            del data[name]
        else:
            data[name] = alter(data[name])

    told = f"In {where.name.replace('.', ' ')}, {name} {says}."
    return _fault(f"{where.name}.{name}.{how}", told, kind, _field_change(where, name, change, where.every))


def _misshapen(where: Place, name: str, kind: FieldType) -> Iterator[Fault]:
    yield _field(where, name, "drop", "is left out", "schema", None)
    if where.status == 401 or (where.name in SENT_ALIKE and name in {*SHARED, "status"} - {"build_time_ms"}):
        return
    yield _field(where, name, "type", "is of another type", "schema", _OTHER_TYPE[kind])
    if where.operation in {"getBuild", "publishTemplate"} and where.status < 300:
        yield _field(where, name, "null", "is null", "schema", lambda _: None)


def _misvalued(where: Place, name: str, chance: random.Random) -> Iterator[Fault]:
    if name in SHARED and where.name in SENT_ALIKE:
        return
    values = {} if where.status >= 400 and name == "error" and where.status != 400 else dict(_VALUES.get(name, {}))
    if name == "digest":
        values["other-digits"] = _shifted(chance.randrange(1, 16))
    if name in {"status", "auto_build"}:
        words = _status_values(where) if name == "status" else ("ready", "queued")
        values = {word.replace("_", "-"): partial(_always, word) for word in words}
    for how, alter in values.items():
        yield _field(where, name, how, f"has the value {how}", "semantic", alter)


def _status_values(where: Place) -> tuple[str, ...]:
    """What status may be replaced by: the other words of its enum, and one that belongs elsewhere."""
    if where.operation != "cancelBuild":
        others = tuple(word for word in ENUMS["status"] if word != where.state)
        return others if where.name in SENT_ALIKE else (*others, "cancelling")
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
    return _fault(f"{spot}.{how}", told, "stateful", _field_change(where, name, change, every))


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
            yield _fault(full, told, "schema", _field_change(where, "errors", change, where.every))


def _answer(where: Place, how: str, says: str, kind: Kind, change: Change, *, every: int = 0, **more: Any) -> Fault:
    told = f"The answer {where.name.replace('.', ' ')} {says}."
    return _fault(f"{where.name}.{how}", told, kind, at(where.name, change, every or where.every), **more)


def _statuses(where: Place, chance: random.Random) -> Iterator[Fault]:
    others = _OTHER_STATUSES.get(where.name, (403,) if where.status == 401 else ())
    named = {str(status): status for status in others if status in STATUSES[where.operation]}
    if (where.status < 300 or where.name in _ONE_OF_EACH) and where.name not in SENT_ALIKE:
        named["undocumented"] = chance.choice(_UNDOCUMENTED[where.status // 100])
    if where.status < 300:
        named["failing"] = chance.choice(_FAILING)
    for how, status in named.items():
        yield _answer(where, f"code.{how}", f"has the status {status}", "semantic", code(status))


def _bodies() -> Iterator[Fault]:
    called = header("content-type", b"text/html")
    changes: tuple[tuple[str, str, Change], ...] = (
        ("body.array", "is an array around its object", body(lambda said: b"[" + said + b"]")),
        ("body.cut", "lacks its last byte", body(lambda said: said[:-1])),
        ("media.text-html", "is called text/html", called),
        ("body.empty", "has no body", body(lambda _: b"")),
        ("body.trailed", "is followed by a byte too many", body(lambda said: said + b"\0")),
    )
    for where in SUCCESSES:
        read_often = where.name in {"getBuild.200.ready", "startBuild.202.building"}
        for how, says, change in (changes if read_often else changes[:3]) if where.name not in SENT_ALIKE else ():
            yield _answer(where, how, says, "schema", change)
    for where in REFUSALS:
        if where.name in _ONE_OF_EACH:
            yield _answer(where, "media.text-html", "is called text/html", "schema", called)


def _headers() -> Iterator[Fault]:
    for name in ("getBuild.200.ready", "startBuild.202.building", "publishTemplate.201.plain"):
        where, more = place(name), lambda answer, _: replace(answer, missing_bytes=9)
        yield _answer(where, "Content-Type.drop", "has no Content-Type", "schema", header("Content-Type"))
        yield _answer(where, "Content-Length.more", "ends too soon", "schema", more)
    limited = place("startBuild.429")
    values = (("no-date", "soon"), ("fraction", "0.5"), ("negative", "-1"), ("empty", ""))
    for how, value in values:
        change = header("Retry-After", value.encode())
        yield _answer(limited, f"Retry-After.{how}", f"says Retry-After {value!r}", "load", change)
    yield _answer(limited, "Retry-After.drop", "has no Retry-After", "load", header("Retry-After"))
    yield _answer(limited, "Retry-After.zero", "says Retry-After 0", "load", header("Retry-After", b"0"))
    refused = place("getBuild.401")
    yield _answer(refused, "WWW-Authenticate.drop", "has no challenge", "schema", header("WWW-Authenticate"))


def _delays() -> Iterator[Fault]:
    """The second answer to each operation comes after everybody has given up: one is enough, and costs one wait."""
    for operation in OPERATIONS:
        for where in [found for found in SUCCESSES if found.operation == operation][:1]:
            change = _second_late(where.name)
            yield _answer(where, "delay", "comes too late once", "timing", change, every=1, target=IMPATIENT)


def _second_late(name: str) -> Change:
    return lambda answer, past: replace(answer, delay_s=DELAY_S) if past.count(name) == 1 else answer


def _others_answers() -> Iterator[Fault]:
    """Whole answers in the place of others: an old one about the same version, the latest one about another."""
    for operation in dict.fromkeys(found.operation for found in SUCCESSES):
        for how, says, found in (
            ("repeat", "is the one that this request had first", _first_of),
            ("swap", "is the one that another version had last", _others_last),
        ):
            told, change = f"An answer to {operation} {says}.", _exchanged(operation, found)
            yield _fault(f"{operation}.answer.{how}", told, "stateful", change)


def _exchanged(operation: str, found: Callable[[Answer, Past], Answer | None]) -> Change:
    def change(answer: Answer, past: Past) -> Answer:
        # Who polls gets the right answer in between, or would wait for ever.
        due = operation != "getBuild" or past.count("getBuild.*") % 2 == 0
        return (found(answer, past) or answer) if due and answer.operation == operation else answer

    return change


def _first_of(answer: Answer, past: Past) -> Answer | None:
    asked = (answer.operation, answer.ref, answer.key)
    return next((old for old in past.answers if (old.operation, old.ref, old.key) == asked and old.status < 300), None)


def _others_last(answer: Answer, past: Past) -> Answer | None:
    others = (old for old in reversed(past.answers) if (old.operation, old.key) == (answer.operation, answer.key))
    return next((old for old in others if old.ref != answer.ref and old.status < 300), None)
