"""Run logs of checks: passing, failing, interrupted, hostile."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from touchstone.facts import events
from touchstone.facts.events import Case, Footer, LedgerClaim, Notice, Occurrence, RunLog, Tally, TemplateAction
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.runlog import RunLogWriter, read

BASE = "http://127.0.0.1:8123/api"
CLAIMS = """
    start.answers-202 | must | Starting a build of a new version is answered with 202 Accepted. | build#intro
    start.ref-is-the-path | must | The ref in the response to a start names the version. | build#response.ref
    start.does-not-wait | must | A start is answered at once, before its build has ended. | build#intro
    status.ready-stays-ready | must | A version that was ready once stays ready. | build-status#ready
    status.build-time-is-ms | must | build_time_ms is the duration of the build in milliseconds. | build#response
    status.golden-dir-is-text | should | golden_dir, if present, is a string. | build#response.golden_dir
    cancel.in-flight-is-202 | must | A cancel of a running build gets 202 and the status cancelling. | build#cancel
    cancel.idle-is-404 | must | If no build runs, a cancel is answered with 404 and the status idle. | build#cancel
    cancel.settles | must | A cancelled build no longer has the status building. | ambiguity 7.12
    events.last-frame-on-ready | must | The last event of a ready build has the phase ready. | build-events#phase
    events.frames-are-json | must | Each frame of a stream carries one JSON object. | build-events#intro
    access.other-account-is-404 | must | A read of another account's version gets a 404. | api-intro
    access.below-scale-is-403 | must | Building below the Scale plan is refused with 403. | build#errors
    limit.error-shape | must | A 429 carries the documented error body. | build#errors; troubleshooting
    limit.retry-after-parses | should | Retry-After, where present, is seconds or a date. | RFC 9110 section 10.2.3
    http.unknown-method-is-405 | should | A wrong method is answered with 405. | api-intro#statuses
"""


def ledger(extra: int = 0) -> tuple[LedgerClaim, ...]:
    """The claims above and *extra* more."""
    cells = [line.strip().split(" | ") for line in CLAIMS.strip().splitlines()]
    text = "Promise number {} is kept on every occasion that the run has."
    cells += [[f"extra.promise-number-{n:03}", "must", text.format(n), f"build#part-{n % 9}"] for n in range(extra)]
    rows: Any = ((name, level, says, source, name.partition(".")[0]) for name, level, says, source in cells)
    return tuple(LedgerClaim(*row) for row in rows)


def header(**changes: Any) -> events.Header:
    values: dict[str, Any] = {
        "run_id": "20260102-030405-ab12",
        "tool_version": "0.1.0",
        "command": "check",
        "argv": ("check", "--url", BASE),
        "started_at": "2026-01-02T03:04:05.678Z",
        "target": events.Target("staging", BASE, "url"),
        "profile": "standard",
        "seed": 20,
        "strict": False,
        "claims_glob": "*",
        "contract_sha256": "5f" * 32,
        "claims": ledger(),
    }
    return events.Header(**(values | changes))


METHODS = {"startBuild": "POST", "publishTemplate": "POST", "cancelBuild": "DELETE", "deleteTemplate": "DELETE"}
PATHS = {"startBuild": "/build", "getBuild": "/build", "cancelBuild": "/build", "streamBuildEvents": "/build/events"}


class Story:
    """Exchanges in order, on a clock of their own."""

    def __init__(self) -> None:
        self.seq = 0
        self.now_s = 0.0

    def send(self, operation: str, ref: str | None, status: int, body: Any, **more: Any) -> Exchange:
        """One exchange; advances the clock by 20 ms or *took_s*."""
        self.seq += 1
        took_s = more.pop("took_s", 0.004)
        path = "" if ref is None else "/templates/" + ref.replace("@", "/")
        url = more.pop("url", BASE + path + PATHS.get(operation, ""))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent_at, self.now_s = self.now_s, self.now_s + max(0.02, took_s)
        headers = (("content-type", more.pop("media_type", "application/json")), ("content-length", str(len(data))))
        key = (("authorization", "Bearer <key:primary>"),)
        return Exchange(
            seq=self.seq,
            operation=operation,
            ref=ref,
            credential="primary",
            case=more.pop("case", "cases/test_build.py::test_it"),
            sent_at=sent_at,
            head_at=sent_at + took_s / 2,
            done_at=sent_at + took_s,
            request=Request(METHODS.get(operation, "GET"), url, key, more.pop("sent", b"")),
            response=None if status == 0 else Response(status, headers, data, more.pop("chunks", ())),
            **more,
        )

    def build(self, ref: str, reads: int = 12, end: str = "ready") -> Iterator[Exchange]:
        """The usual life of a version: publish, start, stream, reads, end, delete."""
        state = {"ref": ref, "digest": "a1" * 32}
        document = b'{"name": "demo", "version": "1.0.0", "build": {"run": ["echo hello"]}}'
        yield self.send("publishTemplate", ref, 201, state | {"published": "2026-01-02T03:04:06Z"}, sent=document)
        yield self.send("startBuild", ref, 202, state | {"status": "building"})
        for _ in range(reads):
            yield self.send("getBuild", ref, 200, state | {"status": "building"})
        if end == "cancelled":
            yield self.send("cancelBuild", ref, 202, {"status": "cancelling"})
        ends: dict[str, dict[str, Any]] = {
            "ready": {"status": "ready", "build_time_ms": 20 * reads},
            "failed": {"status": "failed", "error": "step 2: exit status 1"},
            "cancelled": {"status": "not_built"},
        }
        yield self.send("getBuild", ref, 200, state | ends[end])
        frame = b'data: {"ts":"2026-01-02T03:04:07Z","level":"info","phase":"boot","line":"booting"}\n\n'
        stream = {"media_type": "text/event-stream", "took_s": 0.2, "closed": "server"}
        yield self.send(
            "streamBuildEvents", ref, 200, frame * 2, chunks=(Chunk(0.05, frame), Chunk(0.19, frame)), **stream
        )
        yield self.send("deleteTemplate", ref, 200, {"deleted": True})


def found(exchange: Exchange, claim: str, expected: str, actual: str, **more: Any) -> Finding:
    check = more.get("check", "rules.build")
    method, url = exchange.request.method, exchange.request.url
    return Finding(
        id=Judgement(claim, "broken", check, exchange.operation, (), expected).finding_id,
        claim=claim,
        level=more.get("level", "must"),
        operation=exchange.operation,
        check=check,
        expected=expected,
        actual=actual,
        where=f"{method} {url.removeprefix(BASE)}",
        curl=more.get("curl", f'curl -X {method} {url} -H "Authorization: Bearer $ORGO_API_KEY"'),
        evidence=more.get("evidence", (exchange.seq,)),
    )


def upheld(writer: RunLogWriter, claims: tuple[LedgerClaim, ...], without: tuple[str, ...] = ()) -> None:
    for number, claim in enumerate(claims):
        if claim.id not in without:
            case = "cases/test_build.py::test_it"
            writer.write(Tally(case, f"rules.{claim.subject}", claim.id, held=3 + number % 40))


def write_passing(path: Path, builds: int = 3, extra: int = 0, reads: int = 12) -> Path:
    """A run without a broken claim."""
    story, claims = Story(), ledger(extra)
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims))
        for number in range(builds):
            ref = f"default/touchstone-ab12-echo-{number:02}@1.0.0"
            writer.write(TemplateAction(ref, "builds at once", "a1" * 32, "published", story.now_s))
            writer.write(*story.build(ref, reads, ("ready", "failed", "cancelled")[number % 3]))
            writer.write(TemplateAction(ref, "builds at once", "a1" * 32, "deleted", story.now_s))
        writer.write(story.send("getBuild", "default/nobody@1.0.0", 404, {"error": "not found"}))
        upheld(writer, claims, ("access.other-account-is-404", "access.below-scale-is-403", "limit.error-shape"))
        writer.write(Notice("access.other-account-is-404", "not-applicable", "set second_api_key_env"))
        writer.write(Notice("access.below-scale-is-403", "not-applicable", "set restricted_api_key_env"))
        writer.write(Tally("c", "rules.limit", "limit.error-shape", indeterminate=2, reason="no request got a 429"))
        writer.write(Case("cases/test_build.py::test_it", "a build ends ready", "passed", 1.25, ("start.answers-202",)))
        writer.write(Footer("2026-01-02T03:04:15Z", 9.75, 0, ""))
    return path


def write_failing(path: Path) -> Path:
    """A run with three broken claims and one that could not be judged."""
    story, claims = Story(), ledger()
    ref = "default/touchstone-ab12-sleep@1.0.0"
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims))
        writer.write(TemplateAction(ref, "limit.rate", "b2" * 32, "published", 0.0))
        writer.write(*story.build(ref, 20))
        state = {"ref": ref, "digest": "b2" * 32}
        start = story.send("startBuild", ref, 202, state | {"status": "building"})
        cancel = story.send("cancelBuild", ref, 200, {"status": "cancelled"})
        late = story.send("getBuild", ref, 200, state | {"status": "ready", "build_time_ms": 4.2})
        lost = story.send("getBuild", ref, 0, b"", error="ReadTimeout: no answer within 30 s", took_s=0.3)
        writer.write(start, cancel, late, lost)
        wrong = found(cancel, "cancel.in-flight-is-202", "202", "200", evidence=(start.seq, cancel.seq))
        writer.write(*(Occurrence(wrong, f"cases/test_cancel.py::test_case[{number}]") for number in range(14)))
        odd = found(late, "status.build-time-is-ms", "an integer of at least 0", "4.2", check="rules.status")
        minor = found(late, "status.golden-dir-is-text", "a string, or no golden_dir", "[1, 2]", level="should")
        writer.write(Occurrence(odd, "cases/a"), Occurrence(minor, "cases/a"))
        upheld(writer, claims, ("cancel.in-flight-is-202", "cancel.settles", "access.below-scale-is-403"))
        writer.write(
            Notice(
                "cancel.settles",
                "could-not-run",
                "no read of the status was answered within 30 s after the cancel",
                "cases/b",
            ),
            Notice("access.below-scale-is-403", "not-applicable", "set restricted_api_key_env"),
            Case("cases/test_cancel.py", "cancel in flight", "failed", 0.5, ("cancel.in-flight-is-202",), "200"),
            Case("cases/b", "a cancelled build settles", "error", 30.1, ("cancel.settles",), "ReadTimeout"),
            TemplateAction(ref, "limit.rate", "b2" * 32, "left", 9.0),
            events.Remark("one template could not be deleted: 500 on DELETE"),
            Footer("2026-01-02T03:05:00Z", 54.9, 0, ""),
        )
    return path


def write_interrupted(path: Path) -> Path:
    story = Story()
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(*list(story.build("default/touchstone-ab12-echo@1.0.0"))[:6])
        writer.write(Tally("c", "rules.start", "start.answers-202", held=1))
        writer.write(Footer("2026-01-02T03:04:06Z", 0.9, 130, "interrupted by Ctrl-C after 6 exchanges", True))
    return path


HOSTILE = (
    "</script><b onclick=x><script>alert(1)</script>\x1b[2J\x07\u202egnp.exe\u200b'\"&{{7*7}}[bold]x[/bold]\ud800\x00"
)


def write_hostile(path: Path) -> Path:
    """A run of a target that sends markup and control characters everywhere."""
    story, evil = Story(), HOSTILE
    claims = ledger()
    with RunLogWriter(path) as writer:
        writer.write(header(claims=claims, target=events.Target(evil, BASE + "/" + evil, "url"), claims_glob="*"))
        body = {"error": evil, "status": evil, "deep": {evil: [evil]}}
        ref = f"default/{evil}@1.0.0"
        writer.write(story.send("startBuild", ref, 202, body | {"status": "building"}, case=evil, url=BASE + evil))
        wrong = story.send("getBuild", ref, 500, json.dumps(body).encode() + b"\xff\xfe", case=evil)
        long = story.send("getBuild", ref, 200, ("\x1b[31m" + "x" * 200_000).encode(), case=evil)
        dead = story.send("getBuild", ref, 0, b"", error=f"ConnectError: {evil}")
        writer.write(wrong, long, dead)
        for claim, exchange in zip(claims, (wrong, long, dead), strict=False):
            about = found(exchange, claim.id, evil, evil * 40, check=evil, curl=f"curl {evil}")
            writer.write(Occurrence(about, evil))
        writer.write(Occurrence(found(wrong, f"unknown.{evil}", "none", evil), evil))
        upheld(writer, claims[5:])
        writer.write(
            Notice(claims[4].id, "could-not-run", evil, evil),
            Case(evil, evil, "error", 0.1, (evil,), evil),
            TemplateAction(ref, evil, evil, "left", 1.0),
            events.Remark(evil),
            Footer("2026-01-02T03:04:06Z", 0.9, 0, evil),
        )
    return path


@cache
def log(write: Callable[..., Path], **options: Any) -> RunLog:
    """Run log written by one of the functions above."""
    with TemporaryDirectory() as folder:
        return read(write(Path(folder) / "runlog.jsonl", **options))
