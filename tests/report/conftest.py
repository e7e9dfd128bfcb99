"""Run logs as a real run would write them, made without a clock or a random number: one passes, one fails, one is cut
short, one comes from a hostile target.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from touchstone.facts.events import (
    Case,
    Footer,
    Header,
    LedgerClaim,
    Notice,
    Occurrence,
    Remark,
    Tally,
    Target,
    TemplateAction,
)
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.facts.finding import Finding, finding_id
from touchstone.facts.runlog import RunLogWriter

BASE = "http://127.0.0.1:8123/api"
SENTENCES = (
    (
        "start.answers-202",
        "must",
        "Starting a build that nobody has built yet is answered with 202 Accepted.",
        "build#intro",
    ),
    (
        "start.ref-is-the-path",
        "must",
        "The ref in the answer to a start names the version in the path.",
        "build#response.ref",
    ),
    ("start.does-not-wait", "must", "A start is answered at once, while its build is still to run.", "build#intro"),
    ("status.ready-stays-ready", "must", "A version that was ready once stays ready.", "build-status#ready"),
    (
        "status.build-time-is-ms",
        "must",
        "build_time_ms is the duration of the build in milliseconds.",
        "build#response",
    ),
    ("status.golden-dir-is-text", "should", "golden_dir, where present, is a text.", "build#response.golden_dir"),
    (
        "cancel.in-flight-is-202",
        "must",
        "Cancelling a build in flight is answered with 202 and cancelling.",
        "build#cancel",
    ),
    (
        "cancel.idle-is-404",
        "must",
        "Cancelling where nothing is building is answered with 404 and idle.",
        "build#cancel",
    ),
    ("cancel.settles", "must", "A cancelled build leaves the state building within the time allowed.", "facts 7.12"),
    (
        "events.last-frame-on-ready",
        "must",
        "The stream of a build that ends ready ends on phase ready.",
        "build-events#phase",
    ),
    ("events.frames-are-json", "must", "Each frame of a stream carries one JSON object.", "build-events#intro"),
    (
        "access.other-account-is-404",
        "must",
        "A version of another account looks like one that does not exist.",
        "api-intro",
    ),
    ("access.below-scale-is-403", "must", "Building below the Scale plan is refused with 403.", "build#errors"),
    ("limit.error-shape", "must", "A 429 carries the documented error body.", "build#errors; troubleshooting"),
    (
        "limit.retry-after-parses",
        "should",
        "Retry-After, where present, is seconds or a date.",
        "RFC 9110 section 10.2.3",
    ),
    ("http.unknown-method-is-405", "should", "A wrong method is answered with 405.", "api-intro#statuses"),
)


def ledger(extra: int = 0) -> tuple[LedgerClaim, ...]:
    """The claims above and *extra* more of the usual length."""
    rows = [LedgerClaim(i, level, says, source, i.partition(".")[0]) for i, level, says, source in SENTENCES]
    rows += [
        LedgerClaim(
            f"extra.promise-number-{n:03}",
            "must",
            f"Promise number {n} is kept on every occasion that the run has.",
            f"build#part-{n % 9}",
            "extra",
        )
        for n in range(extra)
    ]
    return tuple(rows)


def header(**changes: Any) -> Header:
    """The header of a run against a server on this machine."""
    values: dict[str, Any] = {
        "run_id": "20260102-030405-ab12",
        "tool_version": "0.1.0",
        "command": "check",
        "argv": ("check", "--url", BASE),
        "started_at": "2026-01-02T03:04:05.678Z",
        "target": Target("staging", BASE, "url"),
        "profile": "standard",
        "seed": 20,
        "strict": False,
        "claims_glob": "*",
        "contract_sha256": "5f" * 32,
        "claims": ledger(),
    }
    return Header(**(values | changes))


class Story:
    """Exchanges in order, with times that follow from their number."""

    def __init__(self) -> None:
        self.seq = 0
        self.now_s = 0.0

    def ask(self, operation: str, ref: str | None, status: int, body: Any, **more: Any) -> Exchange:
        """One exchange; the clock moves on by 20 ms, or by *took_s*."""
        self.seq += 1
        took_s = more.pop("took_s", 0.004)
        method = {"startBuild": "POST", "publishTemplate": "POST", "cancelBuild": "DELETE", "deleteTemplate": "DELETE"}
        path = "" if ref is None else "/templates/" + ref.replace("@", "/")
        path += {"startBuild": "/build", "getBuild": "/build", "cancelBuild": "/build"}.get(operation, "")
        path += "/build/events" if operation == "streamBuildEvents" else ""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent_at, self.now_s = self.now_s, self.now_s + max(0.02, took_s)
        headers = (("content-type", more.pop("media_type", "application/json")), ("content-length", str(len(data))))
        return Exchange(
            seq=self.seq,
            operation=operation,
            ref=ref,
            credential=more.pop("credential", "primary"),
            case=more.pop("case", "cases/test_build.py::test_it"),
            sent_at=sent_at,
            head_at=sent_at + took_s / 2,
            done_at=sent_at + took_s,
            request=Request(
                method.get(operation, "GET"),
                more.pop("url", BASE + path),
                (("authorization", "Bearer <key:primary>"),),
                more.pop("sent", b""),
            ),
            response=None if status == 0 else Response(status, headers, data, more.pop("chunks", ())),
            **more,
        )

    def build(self, ref: str, reads: int = 12, end: str = "ready") -> Iterator[Exchange]:
        """The usual life of a version: publish, start, stream, reads, end, delete."""
        state = {"ref": ref, "digest": "a1" * 32}
        document = b'{"name": "demo", "version": "1.0.0", "build": {"run": ["echo hello"]}}'
        yield self.ask("publishTemplate", ref, 201, state | {"published": "2026-01-02T03:04:06Z"}, sent=document)
        yield self.ask("startBuild", ref, 202, state | {"status": "building"})
        for _ in range(reads):
            yield self.ask("getBuild", ref, 200, state | {"status": "building"})
        if end == "cancelled":
            yield self.ask("cancelBuild", ref, 202, {"status": "cancelling"})
            yield self.ask("getBuild", ref, 200, state | {"status": "not_built"})
        elif end == "failed":
            yield self.ask("getBuild", ref, 200, state | {"status": "failed", "error": "step 2: exit status 1"})
        else:
            yield self.ask("getBuild", ref, 200, state | {"status": "ready", "build_time_ms": 20 * reads})
        frame = b'data: {"ts":"2026-01-02T03:04:07Z","level":"info","phase":"boot","line":"booting"}\n\n'
        yield self.ask(
            "streamBuildEvents",
            ref,
            200,
            frame * 2,
            media_type="text/event-stream",
            took_s=0.2,
            closed="server",
            chunks=(Chunk(0.05, frame), Chunk(0.19, frame)),
        )
        yield self.ask("deleteTemplate", ref, 200, {"deleted": True})


def found(exchange: Exchange, claim: str, expected: str, actual: str, **more: Any) -> Finding:
    """A finding that rests on *exchange*."""
    check = more.get("check", "rules.build")
    return Finding(
        id=finding_id(claim, exchange.operation, check, expected),
        claim=claim,
        level=more.get("level", "must"),
        operation=exchange.operation,
        check=check,
        expected=expected,
        actual=actual,
        where=f"{exchange.request.method} {exchange.request.url.removeprefix(BASE)}",
        curl=more.get(
            "curl",
            f'curl -X {exchange.request.method} {exchange.request.url} -H "Authorization: Bearer $ORGO_API_KEY"',
        ),
        evidence=more.get("evidence", (exchange.seq,)),
    )


def upheld(writer: RunLogWriter, claims: tuple[LedgerClaim, ...], without: frozenset[str] = frozenset()) -> None:
    """Writes a good word for each claim."""
    for number, claim in enumerate(claims):
        if claim.id not in without:
            writer.write(
                Tally("cases/test_build.py::test_it", f"rules.{claim.subject}", claim.id, held=3 + number % 40)
            )


def write_passing(path: Path, builds: int = 3, extra: int = 0, reads: int = 12) -> Path:
    """A run of a target that keeps every promise."""
    story, claims = Story(), ledger(extra)
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims))
        for number in range(builds):
            ref = f"default/touchstone-ab12-echo-{number:02}@1.0.0"
            writer.write(TemplateAction(ref, "builds at once", "a1" * 32, "published", story.now_s))
            for exchange in story.build(ref, reads, ("ready", "failed", "cancelled")[number % 3]):
                writer.write(exchange)
            writer.write(TemplateAction(ref, "builds at once", "a1" * 32, "deleted", story.now_s))
        writer.write(story.ask("getBuild", "default/nobody@1.0.0", 404, {"error": "not found"}))
        idle = frozenset({"access.other-account-is-404", "access.below-scale-is-403", "limit.error-shape"})
        upheld(writer, claims, idle)
        writer.write(Notice("access.other-account-is-404", "not-applicable", "set second_api_key_env"))
        writer.write(Notice("access.below-scale-is-403", "not-applicable", "set restricted_api_key_env"))
        writer.write(Tally("c", "rules.limit", "limit.error-shape", indeterminate=2, reason="no 429 was met"))
        writer.write(Case("cases/test_build.py::test_it", "a build ends ready", "passed", 1.25, ("start.answers-202",)))
        writer.write(Footer("2026-01-02T03:04:15Z", 9.75, 0, ""))
    return path


def write_failing(path: Path) -> Path:
    """A run of a target that breaks three promises, one of them often; one claim could not be judged."""
    story, claims = Story(), ledger()
    ref = "default/touchstone-ab12-sleep@1.0.0"
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims))
        writer.write(TemplateAction(ref, "stays in flight", "b2" * 32, "published", 0.0))
        for exchange in story.build(ref, 20):
            writer.write(exchange)
        start = story.ask("startBuild", ref, 202, {"ref": ref, "digest": "b2" * 32, "status": "building"})
        cancel = story.ask("cancelBuild", ref, 200, {"status": "cancelled"})
        late = story.ask(
            "getBuild", ref, 200, {"ref": ref, "digest": "b2" * 32, "status": "ready", "build_time_ms": 4.2}
        )
        lost = story.ask("getBuild", ref, 0, b"", error="ReadTimeout: no answer within 30 s", took_s=0.3)
        for exchange in (start, cancel, late, lost):
            writer.write(exchange)
        wrong = found(cancel, "cancel.in-flight-is-202", "202", "200", evidence=(start.seq, cancel.seq))
        for number in range(14):
            writer.write(Occurrence(wrong, f"cases/test_cancel.py::test_case[{number}]"))
        writer.write(
            Occurrence(
                found(late, "status.build-time-is-ms", "an integer of at least 0", "4.2", check="rules.status"),
                "cases/a",
            )
        )
        writer.write(
            Occurrence(
                found(late, "status.golden-dir-is-text", "a text, or no golden_dir", "[1, 2]", level="should"),
                "cases/a",
            )
        )
        upheld(writer, claims, frozenset({"cancel.in-flight-is-202", "cancel.settles", "access.below-scale-is-403"}))
        writer.write(Notice("cancel.settles", "could-not-run", "the status was not read again within 30 s", "cases/b"))
        writer.write(Notice("access.below-scale-is-403", "not-applicable", "set restricted_api_key_env"))
        writer.write(
            Case("cases/test_cancel.py", "cancel in flight", "failed", 0.5, ("cancel.in-flight-is-202",), "200")
        )
        writer.write(Case("cases/b", "a cancelled build settles", "error", 30.1, ("cancel.settles",), "ReadTimeout"))
        writer.write(TemplateAction(ref, "stays in flight", "b2" * 32, "left", 9.0))
        writer.write(Remark("one template could not be deleted: 500 on DELETE"))
        writer.write(Footer("2026-01-02T03:05:00Z", 54.9, 0, ""))
    return path


def write_interrupted(path: Path) -> Path:
    """A run that somebody stopped with Ctrl-C."""
    story = Story()
    with RunLogWriter(path) as writer:
        writer.write(header())
        for exchange in list(story.build("default/touchstone-ab12-echo@1.0.0"))[:6]:
            writer.write(exchange)
        writer.write(Tally("c", "rules.start", "start.answers-202", held=1))
        writer.write(Footer("2026-01-02T03:04:06Z", 0.9, 130, "interrupted by Ctrl-C after 6 exchanges", True))
    return path


HOSTILE = (
    "</script><script>alert(1)</script>\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u200b'\"&{{7*7}}[bold]x[/bold]\ud800\x00"
)


def write_hostile(path: Path) -> Path:
    """A run of a target that tries to write into the report, in every place where it has a say."""
    story, evil = Story(), HOSTILE
    claims = ledger()
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims, target=Target(evil, BASE + "/" + evil, "url"), claims_glob="*"))
        body = {"error": evil, "status": evil, "deep": {evil: [evil]}}
        ref = f"default/{evil}@1.0.0"
        writer.write(story.ask("startBuild", ref, 202, body | {"status": "building"}, case=evil, url=BASE + evil))
        read = story.ask("getBuild", ref, 500, json.dumps(body).encode() + b"\xff\xfe", case=evil)
        long = story.ask("getBuild", ref, 200, ("\x1b[31m" + "x" * 200_000).encode(), case=evil)
        dead = story.ask("getBuild", ref, 0, b"", error=f"ConnectError: {evil}")
        for exchange in (read, long, dead):
            writer.write(exchange)
        for number, exchange in enumerate((read, long, dead)):
            writer.write(
                Occurrence(found(exchange, claims[number].id, evil, evil * 40, check=evil, curl=f"curl {evil}"), evil)
            )
        writer.write(Occurrence(found(read, f"unheard.{evil}", "none", evil), evil))
        upheld(writer, claims[5:])
        writer.write(Notice(claims[4].id, "could-not-run", evil, evil))
        writer.write(Case(evil, evil, "error", 0.1, (evil,), evil))
        writer.write(TemplateAction(ref, evil, evil, "left", 1.0))
        writer.write(Remark(evil))
        writer.write(Footer("2026-01-02T03:04:06Z", 0.9, 0, evil))
    return path


@pytest.fixture(
    params=[write_passing, write_failing, write_interrupted, write_hostile], ids=lambda make: make.__name__[6:]
)
def any_run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return request.param(tmp_path / "runlog.jsonl")  # type: ignore[no-any-return]


@pytest.fixture
def passing_run(tmp_path: Path) -> Path:
    return write_passing(tmp_path / "passing.jsonl")


@pytest.fixture
def failing_run(tmp_path: Path) -> Path:
    return write_failing(tmp_path / "failing.jsonl")


@pytest.fixture
def interrupted_run(tmp_path: Path) -> Path:
    return write_interrupted(tmp_path / "interrupted.jsonl")


@pytest.fixture
def hostile_run(tmp_path: Path) -> Path:
    return write_hostile(tmp_path / "hostile.jsonl")


@pytest.fixture
def large_run(tmp_path: Path) -> Path:
    return write_passing(tmp_path / "large.jsonl", builds=90, extra=140, reads=28)


@pytest.fixture
def hostile_text() -> str:
    return HOSTILE


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares with a file of tests/golden; after a meant change, delete the file, run twice and read the diff."""

    def compare(name: str, actual: str) -> None:
        path = Path(__file__).parents[1] / "golden" / name
        if not path.exists():
            path.write_text(actual, encoding="utf-8")
            pytest.fail(f"{path.name} did not exist and has been written: read it, then run again")
        assert actual == path.read_text(encoding="utf-8")

    return compare
