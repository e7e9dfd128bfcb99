"""View of a run."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.report.examples import BROKEN, EXAMPLES, MINOR, ODD, document, example, failing, knowing
from touchstone.facts.events import Known
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.report.view import MAX_BODY_CHARS, MAX_EVIDENCE_CHARS, MAX_HEADERS, View, readable, view

REF = "default/demo@1.0.0"
RUNS = [name for name in EXAMPLES if isinstance(example(name), View)]


@pytest.mark.parametrize("name", RUNS)
def test_document_is_consistent(name: str) -> None:
    report = json.loads(document(example(name)))
    counts = report["counts"]
    verdicts = ("upheld", "broken", "not_applicable", "could_not_run", "indeterminate")

    assert counts["claims"] == len(report["claims"]) == sum(counts[verdict] for verdict in verdicts)
    referred = [(claim["id"], finding) for claim in report["claims"] for finding in claim["findings"]]
    assert sorted(referred) == sorted((finding["claim"], finding["id"]) for finding in report["findings"])


def test_document_keeps_the_text_of_a_target() -> None:
    text = document(example("check-hostile"))
    run = example("check-hostile")
    assert isinstance(run, View)
    assert text.isascii()
    assert json.loads(text)["findings"][0]["expected"] == run.findings[0].finding.expected
    assert "\ud800\x00" in run.findings[0].finding.expected


def test_findings_are_unique_musts_first_known_ones_last() -> None:
    rows = [(item.claim.id, item.occurrences, len(item.cases)) for item in view(failing()).findings]
    assert rows == [(BROKEN, 14, 14), (ODD, 1, 1), (MINOR, 1, 1)]
    assert [item.claim.id for item in view(knowing(failing(), BROKEN)).findings] == [ODD, MINOR, BROKEN]


def test_finding_shows_an_occurrence_that_the_baseline_does_not_list() -> None:
    log, first = failing(), failing().occurrences[0]
    other = replace(log.exchanges[-1], seq=99, ref="default/other@1.0.0")
    occurrences = (*log.occurrences, replace(first, finding=replace(first.finding, evidence=(99,))))
    header = replace(log.header, baseline=(Known(BROKEN, ref="default/touchstone-*"),))
    run = view(replace(log, header=header, exchanges=(*log.exchanges, other), occurrences=occurrences))
    shown = next(item for item in run.findings if item.claim.id == BROKEN)
    assert (shown.known, shown.finding.evidence, shown.occurrences) == (False, (99,), 15)


def test_evidence_is_bounded_and_the_rest_is_listed() -> None:
    log = failing()
    first = view(log).findings[0]
    assert [item.exchange.seq for item in first.exchanges] == list(reversed(first.finding.evidence))
    assert first.left_out == ()

    fat = replace(log.exchanges[0], request=replace(log.exchanges[0].request, body=b"x" * 3_000))
    exchanges = tuple(replace(fat, seq=n) for n in range(1, 400))
    occurrences = tuple(
        replace(o, finding=replace(o.finding, id=f"{n:012}", evidence=(*range(n, n + 9), 9_999)))
        for n, o in enumerate(log.occurrences * 20, start=1)
    )
    findings = view(replace(log, exchanges=exchanges, occurrences=occurrences)).findings
    assert MAX_EVIDENCE_CHARS / 2 < sum(one.size for item in findings for one in item.exchanges) <= MAX_EVIDENCE_CHARS
    for item in findings:
        assert {one.exchange.seq for one in item.exchanges} | set(item.left_out) == set(item.finding.evidence)


CLAIMS = f"--claims {BROKEN},{ODD},{MINOR}"


@pytest.mark.parametrize(
    ("command", "argv", "printed", "again"),
    [
        ("check", "", "check", f"check --seed 20 {CLAIMS}"),
        ("check", "/opt/bin/touchstone check --seed=4 --report-dir out", None, f"check --seed 20 {CLAIMS}"),
        ("check", "touchstone check --claims a --last-failed", None, f"check --seed 20 {CLAIMS}"),
        ("check", "--target <a>", "check --target '<a>'", f"check --target '<a>' --seed 20 {CLAIMS}"),
        ("load", "load steady", "load steady", "load steady --seed 20"),
        ("replay", "touchstone replay", "replay", "replay"),
    ],
)
def test_command_repeats_the_run_with_its_seed(command: str, argv: str, printed: str | None, again: str) -> None:
    run = view(replace(failing(), header=replace(failing().header, command=command, argv=tuple(argv.split()))))
    assert run.command == f"touchstone {argv.partition('touchstone ')[2] if printed is None else printed}"
    assert run.again == f"touchstone {again}"


@pytest.mark.parametrize(("action", "left", "may_be"), [("left", 1, 0), ("may-be-left", 0, 1), ("deleted", 0, 0)])
def test_last_action_decides_whether_a_template_is_left(action: Any, left: int, may_be: int) -> None:
    log = failing()
    run = view(replace(log, templates=(*log.templates, replace(log.templates[-1], action=action))))
    assert (len(run.left_behind), len(run.may_be_left)) == (left, may_be)


def test_run_without_footer_or_target_name() -> None:
    run = view(replace(failing(), footer=None))
    assert run.interrupted
    assert run.duration_s == max(one.done_at for one in failing().exchanges)
    by_url = replace(failing().header, target=replace(failing().header.target, name="url"))
    assert (run.target, view(replace(failing(), header=by_url)).target) == ("staging", by_url.target.url)


def sent(seq: int, operation: str, at_s: float, status: int = 200, state: str = "", **changes: Any) -> Exchange:
    body = json.dumps({"status": state} if state else {}).encode()
    request, response = Request("GET", "http://h/api/x", (("accept", "*/*"),)), Response(status, (), body)
    plain = Exchange(seq, operation, REF, "primary", "c", at_s, at_s, at_s + 0.01, request, response)
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("data", "body", "length"),
    [
        *((b'{"a":"\\u00fc"}', '{\n  "a": "ü"\n}', ""), (b'{"a":1,"a":2}', '{"a":1,"a":2}', "")),
        *(
            (b"not json", "not json", ""),
            (b"\xff\x00", "ff 00", "2 bytes"),
            (b"\xff" * 65, "ff " * 64 + "…", "65 bytes"),
        ),
        (b"[" * 100_000, "[" * (MAX_BODY_CHARS - 1) + "…", "100,000 bytes"),
    ],
    ids=["json", "repeated key", "text", "bytes", "many bytes", "deep"],
)
def test_body_is_formatted(data: bytes, body: str, length: str) -> None:
    half = readable(sent(1, "getBuild", 0.0, response=Response(200, (), data)), {}).response
    assert half is not None
    assert (half.body, length in half.remark, bool(half.remark)) == (body, True, bool(length))


def test_exchange_is_readable() -> None:
    pieces = (Chunk(0.01, b"a"), Chunk(0.2, b"b"))
    response = Response(200, (("a", "b"),) * (MAX_HEADERS + 3), b"x" * 10, pieces)
    half = readable(
        sent(7, "getBuild", 1.0, response=response, closed="client"), {(7, "response"): 99_999}, "http://h/api"
    )

    assert (half.line, half.request.start) == ("GET /x → 200", "GET http://h/api/x")
    assert half.response is not None
    assert len(half.response.headers.splitlines()) == MAX_HEADERS + 1
    for figure in ("99,999 bytes", "2 pieces", " 10 ms", "200 ms"):
        assert figure in half.response.remark
    lost = readable(sent(7, "getBuild", 1.0, response=None, error="ReadTimeout: 30 s"), {})
    assert (lost.response, lost.error, "ReadTimeout" in lost.line) == (None, "ReadTimeout: 30 s", True)
