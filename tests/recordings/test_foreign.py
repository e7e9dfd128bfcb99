"""HAR files of browsers, proxies and schemathesis become recordings, and rules judge them as a part of all requests."""

import base64
import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests import foreign_files
from tests.foreign_files import REF, HarEntry, broken, found, log_text, publish, read_har, start, status_read
from tests.rules.exchanges import DIGEST, contract
from tests.rules.simulated import Server, play
from tests.rules.test_correct_servers import any_manners, any_story
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement, Outcome
from touchstone.recordings import foreign, har
from touchstone.recordings.foreign import CUT_TEXT, GIVEN_UP, KEY_UNKNOWN, NO_TEXT, given, noted
from touchstone.recordings.recording import BASE_URL, Recording, Terms
from touchstone.recordings.replay import alone, doubted, judge_of

CACHE, UNSENT = "from the cache", "that did not reach the server"
STREAM = "text/event-stream"


def state(status: str, ref: str = REF, digest: str = DIGEST) -> dict[str, Any]:
    return {"ref": ref, "digest": digest, "status": status}


def error(text: str) -> dict[str, Any]:
    return {"response": {"_error": text or None}}


def test_correct_page_is_judged_in_full_without_findings() -> None:
    recording = read_har(*foreign_files.page())
    assert (len(recording.exchanges), recording.left_out, recording.origin) == (12, {}, "har")
    assert (recording.name, recording.path, recording.place) == ("page", "page.har", "page.har")
    assert recording.recorded_at == "2026-03-14T09:00:00.000000Z"
    judgements = foreign_files.judged(recording)
    assert broken(judgements) == set()
    assert {judgement.claim for judgement in judgements if judgement.outcome == "held"} >= {
        *("publish.answers-201", "start.fresh-is-building", "events.ready-ends-on-ready", "status.build-time-is-ms"),
        *("events.open-while-building", "template.read-shows-the-published", "publish.auto-build-starts"),
        *("cancel.settles", "cancel.says-idle", "digest.is-the-published-one"),
    }


@pytest.mark.parametrize(
    ("number", "change", "claim"),
    [
        (4, {"answer": state("queued")}, "status.is-one-of-four"),
        (4, {"answer": state("building", digest="abc")}, "digest.has-the-documented-form"),
        (1, {"answer": state("building", "default/x@1.0.0")}, "status.ref-is-the-path"),
        (3, {"text": log_text("boot", "polish", "ready")}, "events.phase-is-documented"),
        (0, {"status": 418}, "http.status-is-documented"),
        (9, {"answer": {"status": "stopped"}}, "cancel.says-cancelling"),
        (7, {"answer": {"ref": REF, "digest": DIGEST, "published": "2026-03-14"}}, "publish.auto-build-starts"),
    ],
)
def test_response_that_contradicts_the_contract_is_found(number: int, change: dict[str, Any], claim: str) -> None:
    entries = foreign_files.page()
    entries[number] = replace(entries[number], **change)
    assert found(read_har(*entries)) == {claim}


def test_entries_of_other_apis_are_counted_by_reason() -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    options = HarEntry(method="OPTIONS", status=204, key=None, headers=preflight, text=None, kind="x-unknown")
    recording = read_har(
        HarEntry(url="https://www.orgo.test/", key=None, kind="text/html"),
        HarEntry(url="data:image/png;base64,iVBORw0KGgo=", key=None),
        *(HarEntry(method="POST", url="https://mail.test/v3/templates", posted="{}") for _ in range(29)),
        HarEntry(url="https://www.orgo.test/api/workspaces", answer={}),
        HarEntry(url="https://www.orgo.test/templates/default/hello/1.0.0", kind="text/html"),
        options,
        replace(options, path=foreign_files.EVENTS),
        HarEntry(method="OPTIONS", status=405, answer={"error": "no"}),
        *foreign_files.page(),
    )
    assert len(recording.exchanges) == 13
    assert recording.left_out == {"of another API": 32, "not over HTTP": 1, "preflight requests": 2}
    assert found(recording) == set()


@pytest.mark.parametrize(
    ("base", "method", "path", "operation", "ref"),
    [
        ("http://127.0.0.1:8123/api", "GET", foreign_files.BUILD, "getBuild", REF),
        ("https://host.test", "get", f"{foreign_files.EVENTS}?since=0#top", "streamBuildEvents", REF),
        ("https://host.test/v1/api", "PUT", foreign_files.BUILD, "", REF),
        ("https://user:secret-word-1@host.test/api", "GET", foreign_files.PATH, "getTemplate", REF),
        ("https://host.test:443/api", "GET", "/templates/default/a%20b/1.0.0", "getTemplate", "default/a b@1.0.0"),
        ("https://host.test/api", "POST", "/templates/validate", "", None),
        ("https://host.test/api", "GET", "/templates/global/system/claude-code", "", None),
    ],
)
def test_url_below_the_base_is_kept_as_sent(base: str, method: str, path: str, operation: str, ref: str | None) -> None:
    other = HarEntry(method="DELETE", url=base.replace(":443", "") + foreign_files.BUILD, status=401, key=None)
    exchange = read_har(other, HarEntry(method=method, url=base + path, answer={}, at=1)).exchanges[-1]
    assert exchange.request.url == BASE_URL + path.partition("#")[0]
    assert (exchange.operation, exchange.ref) == (operation, ref)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": None, "content": {"size": 128}}, NO_TEXT),
        ({"text": None, "response": {"headers": [{"name": "Content-Length", "value": "9"}]}}, NO_TEXT),
        ({"text": None, "kind": STREAM, "path": foreign_files.EVENTS}, NO_TEXT),
        ({"text": '{"a"', "content": {"comment": "Body truncated: 4 of 9 bytes recorded"}}, CUT_TEXT),
        ({"more": {"_fromCache": "disk"}}, CACHE),
        ({"more": {"timings": {}}}, CACHE),
        ({"status": 304, "headers": {"If-None-Match": '"a"'}}, CACHE),
        ({"response": {"_fetchedViaServiceWorker": True}}, "answered by a service worker"),
        ({"status": 0} | error("net::ERR_ABORTED"), GIVEN_UP),
        ({"status": 0}, GIVEN_UP),
        ({"text": '{"re'} | error("net::ERR_ABORTED"), GIVEN_UP),
        ({"status": 0} | error("net::ERR_NAME_NOT_RESOLVED"), UNSENT),
    ],
)
def test_entry_without_the_response_of_the_server_is_left_out(change: dict[str, Any], reason: str) -> None:
    recording = read_har(start(0.0), replace(status_read("ready", 1.0), **change))
    assert (len(recording.exchanges), recording.left_out) == (1, {reason: 1})


@pytest.mark.parametrize(
    "change", [{"text": None, "content": {"size": 99}}, {"status": 0} | error("net::ERR_ABORTED"), {"status": 0}]
)
def test_start_with_an_unknown_response_may_have_begun_a_build(change: dict[str, Any]) -> None:
    lost = replace(start(1.0), **change)
    recording = read_har(status_read("not_built", 0.0), lost, status_read("building", 2.0))
    assert [(e.status, e.closed, bool(e.error)) for e in recording.exchanges][1] == (0, "client", True)
    assert (recording.left_out, broken(foreign_files.judged(recording))) == ({}, set())


def test_broken_connection_is_a_finding() -> None:
    lost = replace(status_read("ready", 1.0), status=0, **error("net::ERR_EMPTY_RESPONSE"))
    recording = read_har(status_read("ready", 0.0), lost)
    exchange = recording.exchanges[1]
    assert (exchange.response, exchange.error, exchange.closed) == (None, "net::ERR_EMPTY_RESPONSE", "")
    assert found(recording) == {"http.answers"}


def test_bodies_are_the_received_bytes() -> None:
    text = '{ "ref":"default/hello@1.0.0",\n "status" : "ready", "note": "\\u00e4ä" }'
    coded = base64.encodebytes(b"\xff\xfe\x00" * 40).decode()  # in several lines
    exchanges = read_har(
        HarEntry(text=text), HarEntry(text=coded, content={"encoding": "base64"}, kind="image/png", at=1), publish(2.0)
    ).exchanges
    assert [e.response.body for e in exchanges if e.response][:2] == [text.encode(), b"\xff\xfe\x00" * 40]
    assert json.loads(exchanges[2].request.body)["api_version"] == "orgo.ai/v1"


def test_headers_are_those_of_the_file_or_else_its_media_type() -> None:
    limited = start(1.0, status=429, answer={}, response={"headers": [{"name": "Retry-After", "value": "3"}]})
    exchanges = read_har(status_read("ready", 0.0, response={"headers": []}), limited).exchanges
    headers = [exchange.response.headers for exchange in exchanges if exchange.response]
    assert headers == [(("content-type", "application/json"),), (("Retry-After", "3"),)]


def test_times_follow_from_the_phases() -> None:
    timings = {"blocked": 200, "dns": -0.8, "connect": 100, "ssl": 50, "send": 10, "wait": 40, "receive": 50}
    recording = read_har(
        status_read("ready", 1.0),
        status_read("ready", 0.1, timings=timings, more={"time": 400}),
        status_read("ready", 0.42),
    )
    times = [(e.seq, e.sent_at, e.head_at, e.done_at) for e in recording.exchanges]
    assert times == [(1, 0.0, 0.05, 0.1), (2, 0.02, 0.03, 0.03), (3, 0.6, 0.61, 0.61)]
    assert recording.recorded_at == "2026-03-14T09:00:00.400000Z"


@pytest.mark.parametrize(
    ("writer", "text", "problem", "closed"),
    [
        ("WebInspector", log_text("boot"), "", "server"),
        ("WebInspector", log_text("boot", "ready"), "net::ERR_ABORTED", "client"),
        ("WebInspector", log_text("boot").rstrip(), "", "client"),
        ("Firefox", log_text("boot"), "", "client"),
        ("Firefox", log_text("boot", "ready"), "", "server"),
        ("WebInspector", log_text("boot"), "net::ERR_INCOMPLETE_CHUNKED_ENCODING", ""),
    ],
)
def test_server_closed_a_stream_only_if_the_file_proves_it(writer: str, text: str, problem: str, closed: str) -> None:
    (exchange,) = read_har(foreign_files.log(0.0, text=text, **error(problem)), writer=writer).exchanges
    assert (exchange.closed, bool(exchange.error)) == (closed, closed == "")


@pytest.mark.parametrize(
    ("query", "answer", "note"),
    [
        ("", {}, {"force": False, "auto_build": False}),
        ("?force=TRUE&auto_build=1", {"auto_build": "building"}, {"force": True, "auto_build": True}),
    ],
)
def test_publish_notes_its_query_and_its_digest(query: str, answer: dict[str, Any], note: dict[str, Any]) -> None:
    (exchange,) = read_har(publish(query=query, fields=answer)).exchanges
    assert (exchange.ref, exchange.note) == (REF, note | {"content": DIGEST})


@pytest.mark.parametrize(
    ("posted", "answered", "ref"),
    [
        ('{"template": {"name": "hello", "version": "1.0.0"}}', "team/hello@1.0.0", "team/hello@1.0.0"),
        ('{"template": {"name": "hello", "version": "1.0.0"}}', "default/other@1.0.0", "default/hello@1.0.0"),
        ("api_version: orgo.ai/v1\nname: hello@1.0.0\n", "default/hello@1.0.0", "default/hello@1.0.0"),
        ('{"namespace": "team", "template": {"api_version": "", "name": "a@2.0.0"}}', None, "team/a@2.0.0"),
        ("{{{", "default/hello@1.0.0", "default/hello@1.0.0"),
        ("[]", None, None),
    ],
)
def test_ref_of_a_publish_is_that_of_its_document(posted: str, answered: str | None, ref: str | None) -> None:
    answer = {"digest": DIGEST} | ({"ref": answered} if answered else {})
    assert read_har(publish(posted=posted, answer=answer)).exchanges[0].ref == ref


@pytest.mark.parametrize(
    "unreadable",
    [
        HarEntry(text="%%%", content={"encoding": "base64"}),
        HarEntry(more={"startedDateTime": "2026-02-30T00:00:00Z"}),
        HarEntry(more={"startedDateTime": "1969-12-31T23:59:59Z"}),
    ],
    ids=["base64", "no date", "before 1970"],
)
def test_invalid_entry_is_an_error_at_its_place(unreadable: HarEntry) -> None:
    entries = foreign_files.document(status_read("ready", 0.0), unreadable)
    with pytest.raises(ValueError, match=r"^/log/entries/1: "):
        foreign.recording(entries, "page", "", contract())


# --- schemathesis ----------------------------------------------------------------------------------------------------


def schemathesis_har(*, sanitized: bool = False, as_bytes: bool = False) -> dict[str, Any]:
    """A HAR file of the installed schemathesis."""
    from schemathesis.config import OutputConfig, SanitizationConfig
    from schemathesis.reporting.har import HarWriter

    out = io.StringIO()
    config = OutputConfig(sanitization=SanitizationConfig(enabled=sanitized))
    with HarWriter(out, config, preserve_bytes=as_bytes) as writer:
        writer.open()
        writer.write(foreign_files.schemathesis_scenario())
    return dict(json.loads(out.getvalue()))


@pytest.mark.parametrize("as_bytes", [False, True])
def test_har_of_schemathesis_is_read_by_its_own_clock(as_bytes: bool) -> None:
    file = schemathesis_har(as_bytes=as_bytes)
    assert har.problems(file) == ()
    recording = foreign.recording(file, "st", "", contract())
    assert (foreign_files.credentials(recording), recording.left_out) == (["primary", "none", "primary"], {GIVEN_UP: 1})
    times = [(e.sent_at, e.done_at, e.closed) for e in recording.exchanges]
    assert times == [(0.0, 0.25, ""), (1.0, 1.25, ""), (1.25, 2.25, "server")]
    assert recording.exchanges[0].request.body.startswith(b"api_version: orgo.ai/v1\n")
    assert (recording.exchanges[0].ref, found(recording)) == (REF, set())


def test_har_of_schemathesis_with_masked_keys_leaves_refusals_out() -> None:
    recording = foreign.recording(schemathesis_har(sanitized=True), "st", "", contract())
    assert (foreign_files.credentials(recording), recording.left_out[KEY_UNKNOWN]) == (["primary", "primary"], 1)


# --- a part of all requests ------------------------------------------------------------------------------------------

MISSING: dict[str, Any] = {"status": 404, "answer": {"error": "No such template version."}}


@pytest.mark.parametrize(
    ("first", "is_given"),
    [
        (status_read("building", 0.0), True),
        (start(0.0), True),
        (foreign_files.cancel(0.0), True),
        (foreign_files.log(0.0), True),
        (HarEntry(path=foreign_files.PATH, answer={"ref": REF, "digest": DIGEST, "template": {}}), True),
        (publish(0.0, status=409, answer={"error": "There is one."}), True),
        (publish(0.0), False),
        (HarEntry(**MISSING), False),
        # Inconclusive: the next response decides.
        (foreign_files.cancel(0.0, 404), True),
        (start(0.0, status=429, answer={"error": "Slow down."}), True),
        (HarEntry(status=401, answer={"error": "Missing API key."}, key=None), True),
        (HarEntry(method="HEAD", text=None), True),
        (foreign_files.log(0.0, text=""), True),
    ],
)
def test_first_conclusive_response_decides_whether_a_version_is_given(first: HarEntry, is_given: bool) -> None:
    terms = read_har(first, status_read("not_built", 1.0)).terms
    assert [(one.ref, one.owner, one.outcome) for one in terms.given] == [(REF, "primary", "unknown")] * is_given


@pytest.mark.parametrize(
    ("claim", "check", "evidence", "outcome"),
    [
        # Wrong within one response, whatever other clients do.
        ("status.is-one-of-four", "shape.object", (1,), "broken"),
        ("reuse.is-flagged", "building.life-cycle", (3,), "broken"),
        ("reuse.is-flagged", "digests.shared", (1, 3), "broken"),
        ("publish.auto-build-starts", "publishing.auto-build", (1,), "broken"),
        ("events.timestamps-are-true", "stamps.clock", (1,), "broken"),
        # Unrecorded requests may explain it; an unknown rule is not trusted.
        ("status.ready-stays-ready", "building.life-cycle", (1, 2), "indeterminate"),
        ("lookup.existing-version-is-found", "lookup.own", (1,), "indeterminate"),
        ("publish.auto-build-starts", "publishing.auto-build", (1, 2), "indeterminate"),
        ("limit.ends-after-back-off", "room.free", (1, 2, 3), "indeterminate"),
        ("anything", "a.later-rule", (1,), "indeterminate"),
    ],
)
def test_finding_is_doubted_if_unrecorded_requests_may_explain_it(
    claim: str, check: str, evidence: tuple[int, ...], outcome: Outcome
) -> None:
    judgement = Judgement(claim, "broken", check, "getBuild", evidence, "this", "that")
    recording = read_har(*(status_read("not_built", at) for at in (0.0, 1.0, 2.0)))
    judge = judge_of(recording)
    for exchange in recording.exchanges:
        judge.add(exchange)
    result = doubted(judgement, judge)
    assert (result.outcome, result.claim, result.evidence) == (outcome, claim, evidence)
    assert result is judgement or result.actual.endswith("that")
    upheld = replace(judgement, outcome="held")
    assert doubted(upheld, judge) is upheld


def part_of(exchanges: Sequence[Exchange], chance: random.Random) -> Recording:
    """A foreign recording of half of the exchanges, or of all after some moment."""
    kept = [each for each in exchanges if chance.random() < 0.5]
    if chance.random() < 0.3:
        kept = list(exchanges[chance.randrange(len(exchanges)) :])
    numbered = []
    for seq, each in enumerate(sorted(kept, key=lambda each: each.sent_at), 1):
        query = "&".join(f"{key}={value}".lower() for key, value in each.note.items() if key in {"force", "auto_build"})
        url = each.request.url + (f"?{query}" if query else "")
        numbered.append(noted(replace(each, seq=seq, note={}, request=replace(each.request, url=url))))
    return Recording("part", tuple(numbered), "har", terms=Terms(given=given(numbered)))


def test_part_of_the_requests_to_a_correct_server_has_no_finding() -> None:
    accused, contradictory = set(), 0
    for seed in range(150):
        chance = random.Random(seed)
        exchanges = play(Server(any_manners(chance)), any_story(chance, ("answered",)))
        recording = part_of(exchanges, chance)
        accused |= broken(alone(recording)[0])
        contradictory += bool(broken(foreign_files.judged(recording)))
    assert accused == set()
    assert contradictory > 3
