"""HAR files of browsers, proxies and schemathesis become recordings, which the rules of a check judge."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.foreign_files import (
    BUILD,
    EVENTS,
    PATH,
    REF,
    Seen,
    broken,
    cancel,
    credentials,
    document,
    found,
    judged,
    log,
    log_text,
    page,
    publish,
    read_har,
    schemathesis_scenario,
    start,
    status_read,
)
from tests.rules.exchanges import DIGEST, contract
from touchstone.recordings import foreign, har
from touchstone.recordings.foreign import NO_TEXT
from touchstone.recordings.recording import BASE_URL


def chrome_preflight(path: str = BUILD) -> Seen:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    return Seen(method="OPTIONS", path=path, status=204, key=None, headers=asked, text=None, kind="x-unknown")


def test_correct_page_has_no_finding() -> None:
    """
    A page that publishes, starts, follows, polls and cancels is judged in full, and a correct answer breaks nothing.
    """
    recording = read_har(*page())

    said = judged(recording)

    assert (len(recording.exchanges), recording.left_out, recording.origin) == (12, {}, "har")
    assert (recording.name, recording.path, recording.place) == ("page", "page.har", "page.har")
    assert recording.recorded_at == "2026-03-14T09:00:00.000000Z"
    assert recording.terms.keys == ("primary",)
    assert broken(said) == set()
    assert {
        "publish.answers-201",
        "start.fresh-is-building",
        "events.ready-ends-on-ready",
        "events.open-while-building",
        "status.build-time-is-ms",
        "template.read-shows-the-published",
        "publish.auto-build-starts",
        "cancel.settles",
        "cancel.says-idle",
        "digest.is-the-published-one",
    } <= {judgement.claim for judgement in said if judgement.outcome == "held"}


def test_curated_template_that_is_started_and_followed_has_no_finding() -> None:
    """A version that the file does not see published is judged as one that was there before."""
    system = "/templates/system/claude-code/1.0.0/build"
    told: dict[str, Any] = {"path": system, "fields": {"ref": "system/claude-code@1.0.0"}}
    recording = read_har(
        status_read("not_built", 0.0, **told),
        start(1.0, path=system, answer={"ref": "system/claude-code@1.0.0", "digest": DIGEST, "status": "building"}),
        log(1.1, receive_s=3.0, path=f"{system}/events"),
        status_read("building", 2.0, **told),
        status_read("ready", 5.0, path=system, fields={"ref": "system/claude-code@1.0.0", "build_time_ms": 2900}),
        cancel(5.1, 404, path=system),
    )

    said = judged(recording)

    assert [(one.ref, one.owner, one.outcome) for one in recording.terms.given] == [
        ("system/claude-code@1.0.0", "primary", "unknown")
    ]
    assert broken(said) == set()
    held = {judgement.claim for judgement in said if judgement.outcome == "held"}
    assert {"events.ready-ends-on-ready", "start.fresh-is-building", "cancel.finished-is-idle"} <= held


@pytest.mark.parametrize(
    ("number", "change", "claim"),
    [
        (4, {"answer": {"ref": REF, "digest": DIGEST, "status": "queued"}}, "status.is-one-of-four"),
        (4, {"answer": {"ref": REF, "digest": "abc", "status": "building"}}, "digest.has-the-documented-form"),
        (5, {"answer": {"ref": REF, "digest": DIGEST, "status": "ready"}}, "status.ready-has-build-time"),
        (
            1,
            {"answer": {"ref": "default/else@1.0.0", "digest": DIGEST, "status": "building"}},
            "status.ref-is-the-path",
        ),
        (3, {"text": log_text("boot", "polish", "ready")}, "events.phase-is-documented"),
        (3, {"text": "data: hello\n\n"}, "events.json-per-frame"),
        (0, {"status": 418}, "http.status-is-documented"),
        (2, {"status": 500, "answer": {"error": "oops"}}, "http.no-server-error"),
        (9, {"answer": {"status": "stopped"}}, "cancel.says-cancelling"),
        (7, {"answer": {"ref": REF, "digest": DIGEST, "published": "2026-03-14"}}, "publish.auto-build-starts"),
    ],
)
def test_changed_answer_of_a_page_is_found(number: int, change: dict[str, Any], claim: str) -> None:
    """An answer that contradicts the contract by itself is found, whatever else happened to the account."""
    entries = page()
    entries[number] = replace(entries[number], **change)

    assert found(read_har(*entries)) == {claim}


def test_everything_else_of_a_page_is_left_out_and_counted() -> None:
    """
    Files, other APIs, preflight requests and what is no HTTP are no exchanges, and the user is told how many there are.
    """
    recording = read_har(
        Seen(url="https://www.orgo.test/", key=None, kind="text/html"),
        Seen(url="data:image/png;base64,iVBORw0KGgo=", key=None),
        Seen(url="https://mail.test/v3/templates", answer={"templates": []}),
        Seen(url="https://www.orgo.test/api/workspaces", answer={}),
        Seen(url="https://www.orgo.test/templates/default/hello/1.0.0", kind="text/html"),
        chrome_preflight(),
        chrome_preflight(EVENTS),
        Seen(method="OPTIONS", status=405, answer={"error": "no"}),
        *page(),
    )

    assert len(recording.exchanges) == 13
    assert recording.left_out == {"of another API": 4, "not over HTTP": 1, "preflight requests": 2}
    assert found(recording) == set()


def test_file_without_the_api_is_left_out_as_a_whole() -> None:
    """Where no path fits the contract there are no exchanges, and no moment at which they began."""
    recording = read_har(Seen(url="https://shop.test/basket"), Seen(url="https://shop.test/api/templates"))

    assert (recording.exchanges, recording.left_out) == ((), {"of another API": 2})
    assert (recording.recorded_at, recording.terms.keys, recording.terms.given) == ("", (), ())


def test_base_with_more_of_the_contract_wins() -> None:
    """An API that has but a path called /templates is not taken for ours, however often it is asked."""
    mails = [Seen(method="POST", url="https://mail.test/v3/templates", posted="{}") for _ in range(9)]

    recording = read_har(*mails, status_read("ready", 1.0))

    assert [e.request.url for e in recording.exchanges] == [BASE_URL + BUILD]


@pytest.mark.parametrize(
    ("base", "method", "path", "operation", "ref"),
    [
        ("http://127.0.0.1:8123/api", "GET", BUILD, "getBuild", REF),
        ("https://host.test", "get", f"{EVENTS}?since=0#top", "streamBuildEvents", REF),
        ("https://host.test/v1/api", "PUT", BUILD, "", REF),
        ("https://user:secret-word-1@host.test/api", "GET", PATH, "getTemplate", REF),
        ("https://host.test:443/api", "GET", "/templates/default/a%20b/1.0.0", "getTemplate", "default/a b@1.0.0"),
        ("https://host.test/api", "GET", "/templates", "", None),
        ("https://host.test/api", "POST", "/templates/validate", "", None),
        ("https://host.test/api", "GET", "/templates/global/system/claude-code", "", None),
    ],
)
def test_request_is_written_down_below_the_base_of_recordings(
    base: str, method: str, path: str, operation: str, ref: str | None
) -> None:
    """
    Whatever the host and the path before it, the rest stands as it was sent, and the contract says what it asks for.
    """
    other = Seen(method="DELETE", url=base.replace(":443", "") + BUILD, status=401, key=None)
    recording = read_har(other, Seen(method=method, url=base + path, answer={}, at=1))

    exchange = recording.exchanges[-1]

    assert exchange.request.url == BASE_URL + path.partition("#")[0]
    assert (exchange.operation, exchange.ref) == (operation, ref)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": None, "content": {"size": 128}}, NO_TEXT),
        (
            {"text": None, "response": {"headers": [{"name": "Content-Length", "value": "9"}]}},
            NO_TEXT,
        ),
        ({"text": None, "kind": "text/event-stream", "path": EVENTS}, NO_TEXT),
        ({"text": '{"a"', "content": {"comment": "Body truncated: 4 of 9 bytes recorded"}}, "with a body that was cut"),
        ({"more": {"_fromCache": "disk"}}, "from the cache"),
        ({"more": {"_fetchType": "Memory Cache"}}, "from the cache"),
        ({"more": {"timings": {}}}, "from the cache"),
        ({"status": 304, "headers": {"If-None-Match": '"a"'}}, "from the cache"),
        ({"response": {"_fetchedViaServiceWorker": True}}, "answered by a service worker"),
        ({"more": {"_resourceType": "preflight"}, "method": "OPTIONS"}, "preflight requests"),
        ({"status": 0, "response": {"_error": "net::ERR_ABORTED"}}, "given up before the answer was there"),
        ({"status": 0}, "given up before the answer was there"),
        ({"text": '{"re', "response": {"_error": "net::ERR_ABORTED"}}, "given up before the answer was there"),
        ({"status": 0, "response": {"_error": "net::ERR_NAME_NOT_RESOLVED"}}, "that did not reach the server"),
        ({"status": 0, "response": {"_error": "net::ERR_BLOCKED_BY_CLIENT"}}, "that did not reach the server"),
    ],
)
def test_entry_without_an_answer_of_the_server_is_left_out(change: dict[str, Any], reason: str) -> None:
    """Nothing is judged that the server was not asked, did not answer now, or answered with what is not in the file."""
    read = replace(status_read("ready", 1.0), **change)

    recording = read_har(start(0.0), read)

    assert (len(recording.exchanges), recording.left_out) == (1, {reason: 1})


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (202, {"text": None, "content": {"size": 99}}),
        (0, {"response": {"_error": "net::ERR_ABORTED"}}),
        (0, {"response": {"_error": "net::ERR_FAILED"}}),
        (0, {}),
    ],
)
def test_start_whose_answer_is_not_known_may_have_begun_a_build(status: int, change: dict[str, Any]) -> None:
    """
    A request that may have changed something stays in the story, nobody is blamed for its answer, nor for what follows.
    """
    lost = replace(start(1.0), status=status, **change)

    recording = read_har(status_read("not_built", 0.0), lost, status_read("building", 2.0))

    assert [(e.status, e.closed, bool(e.error)) for e in recording.exchanges][1] == (0, "client", True)
    assert recording.left_out == {}
    assert broken(judged(recording)) == set()


def test_start_that_was_refused_needs_no_body() -> None:
    """A refused request without its body has changed nothing, so that it is left out like any other."""
    recording = read_har(status_read("ready", 0.0), start(1.0, status=429, text=None, content={"size": 10}))

    assert (len(recording.exchanges), recording.left_out) == (1, {NO_TEXT: 1})


def test_connection_that_broke_is_an_exchange_without_a_response() -> None:
    """Where the client is not to blame for a missing answer, the error says why there is none, and it is a finding."""
    broke = replace(status_read("ready", 1.0), status=0, response={"_error": "net::ERR_EMPTY_RESPONSE"})

    recording = read_har(status_read("ready", 0.0), broke)

    exchange = recording.exchanges[1]
    assert (exchange.response, exchange.error, exchange.closed) == (None, "net::ERR_EMPTY_RESPONSE", "")
    assert found(recording) == {"http.answers"}


def test_bodies_are_what_was_received() -> None:
    """JSON stays byte for byte, also in unusual spelling, and what is written as base64 is read as bytes."""
    text = '{ "ref":"default/hello@1.0.0",\n "status" : "ready", "note": "\\u00e4ä" }'
    coded = base64.b64encode(b"\xff\xfe\x00").decode()

    recording = read_har(
        Seen(text=text), Seen(text=coded, content={"encoding": "base64"}, kind="image/png", at=1), publish(2.0)
    )

    bodies = [exchange.response.body for exchange in recording.exchanges if exchange.response]
    assert bodies[:2] == [text.encode(), b"\xff\xfe\x00"]
    assert json.loads(recording.exchanges[2].request.body)["api_version"] == "orgo.ai/v1"


def test_form_without_text_is_put_together() -> None:
    """A form that a browser wrote down as fields is the body that they make."""
    posted = {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a b", "value": "ü"}]}

    recording = read_har(publish(request={"postData": posted}))

    assert recording.exchanges[0].request.body == b"a+b=%C3%BC"


def test_times_follow_from_the_phases() -> None:
    """Waiting for a connection is before the request is sent, what was not measured takes no time, overlaps stay."""
    timings = {"blocked": 200, "dns": -0.8, "connect": 100, "ssl": 50, "send": 10, "wait": 40, "receive": 50}
    recording = read_har(
        status_read("ready", 1.0),
        status_read("ready", 0.1, timings=timings, more={"time": 400}),
        status_read("ready", 0.42),
    )

    times = [(e.seq, e.sent_at, e.head_at, e.done_at) for e in recording.exchanges]

    assert times == [(1, 0.0, 0.05, 0.1), (2, 0.02, 0.03, 0.03), (3, 0.6, 0.61, 0.61)]
    assert recording.recorded_at == "2026-03-14T09:00:00.400000Z"


def test_stream_is_cut_into_its_frames() -> None:
    """A log has a piece for each frame, all of them there when the answer was over, and was ended by the server."""
    recording = read_har(log(0.0, "boot", "install", "ready", receive_s=2.0))

    (exchange,) = recording.exchanges
    assert exchange.response is not None
    assert [chunk.at_s for chunk in exchange.response.chunks] == [2.01] * 3
    assert b"".join(chunk.data for chunk in exchange.response.chunks) == exchange.response.body
    assert exchange.closed == "server"


@pytest.mark.parametrize(
    ("writer", "text", "error", "closed"),
    [
        ("WebInspector", log_text("boot"), "", "server"),
        ("WebInspector", log_text("boot", "ready"), "net::ERR_ABORTED", "client"),
        ("WebInspector", log_text("boot").rstrip(), "", "client"),
        ("Firefox", log_text("boot"), "", "client"),
        ("Firefox", log_text("boot", "ready"), "", "server"),
        ("WebInspector", log_text("boot"), "net::ERR_INCOMPLETE_CHUNKED_ENCODING", ""),
    ],
)
def test_server_ended_a_stream_only_if_the_file_tells_it(writer: str, text: str, error: str, closed: str) -> None:
    """A log that its reader may have left is no short one; one that broke off is."""
    recording = read_har(log(0.0, text=text, response={"_error": error or None}), writer=writer)

    (exchange,) = recording.exchanges
    assert (exchange.closed, bool(exchange.error)) == (closed, closed == "")


def test_answer_without_any_header_has_the_type_that_the_file_tells() -> None:
    """A tool that leaves all headers out does not make the server one that sends none."""
    assert found(read_har(status_read("ready", 0.0, response={"headers": []}))) == set()


@pytest.mark.parametrize(
    ("query", "answer", "note"),
    [
        ("", {}, {"force": False, "auto_build": False}),
        ("?force=TRUE&auto_build=1", {"auto_build": "building"}, {"force": True, "auto_build": True}),
        ("?force=false", {}, {"force": False, "auto_build": False}),
    ],
)
def test_publish_notes_its_query_and_stands_for_its_digest(
    query: str, answer: dict[str, Any], note: dict[str, Any]
) -> None:
    """What a publish put there is known by the digest that it was answered."""
    (exchange,) = read_har(publish(query=query, fields=answer)).exchanges

    assert (exchange.ref, exchange.note) == (REF, note | {"content": DIGEST})


@pytest.mark.parametrize(
    ("posted", "told", "ref"),
    [
        ('{"template": {"name": "hello", "version": "1.0.0"}}', "team/hello@1.0.0", "team/hello@1.0.0"),
        ('{"template": {"name": "hello", "version": "1.0.0"}}', "default/other@1.0.0", "default/hello@1.0.0"),
        ("api_version: orgo.ai/v1\nname: hello@1.0.0\n", "default/hello@1.0.0", "default/hello@1.0.0"),
        ('{"namespace": "team", "template": {"api_version": "", "name": "a@2.0.0"}}', None, "team/a@2.0.0"),
        ("{{{", "default/hello@1.0.0", "default/hello@1.0.0"),
        ("[]", None, None),
    ],
)
def test_publish_is_about_the_version_of_its_document(posted: str, told: str | None, ref: str | None) -> None:
    """The document says which version is published, and the answer where the document does not."""
    answer = {"digest": DIGEST} | ({"ref": told} if told else {})

    assert read_har(publish(posted=posted, answer=answer)).exchanges[0].ref == ref


def test_entry_that_cannot_be_read_is_named() -> None:
    """A body that is not what its encoding says is told by its place in the file."""
    entries = document(status_read("ready", 0.0), Seen(text="%%%", content={"encoding": "base64"}))

    with pytest.raises(ValueError, match=r"^/log/entries/1: .*; expected base64"):
        foreign.recording(entries, "page", "", contract())


def test_moment_that_cannot_be_read_is_named() -> None:
    """A date that no calendar has is told by its place in the file."""
    entries = document(Seen(more={"startedDateTime": "2026-02-30T00:00:00Z"}))

    with pytest.raises(ValueError, match=r"^/log/entries/0: startedDateTime: .*; expected a date-time"):
        foreign.recording(entries, "page", "", contract())


def schemathesis_har(*, sanitized: bool, as_bytes: bool) -> dict[str, Any]:
    """What the writer of the installed schemathesis makes of a publish, a refused publish, a log and a lost request."""
    from schemathesis.config import OutputConfig, SanitizationConfig
    from schemathesis.reporting.har import HarWriter

    out = io.StringIO()
    config = OutputConfig(sanitization=SanitizationConfig(enabled=sanitized))
    with HarWriter(out, config, preserve_bytes=as_bytes) as writer:
        writer.open()
        writer.write(schemathesis_scenario())
    made: dict[str, Any] = json.loads(out.getvalue())
    return made


@pytest.mark.parametrize("as_bytes", [False, True])
def test_har_of_schemathesis_is_read(as_bytes: bool) -> None:
    """Its moments are those of the answers, and a log began when the exchange before it was over."""
    made = schemathesis_har(sanitized=False, as_bytes=as_bytes)
    assert har.problems(made) == ()

    recording = foreign.recording(made, "st", "", contract())

    assert credentials(recording) == ["primary", "none", "primary"]
    assert recording.left_out == {"given up before the answer was there": 1}
    assert [(e.sent_at, e.done_at, e.closed) for e in recording.exchanges] == [
        (0.0, 0.25, ""),
        (1.0, 1.25, ""),
        (1.25, 2.25, "server"),
    ]
    assert recording.exchanges[0].request.body.startswith(b"api_version: orgo.ai/v1\n")
    assert recording.exchanges[0].ref == REF
    assert found(recording) == set()


def test_har_of_schemathesis_that_masks_keys_leaves_refused_ones_out() -> None:
    """Where the keys are masked, whatever was served is ours, and nobody knows why the rest was refused."""
    recording = foreign.recording(schemathesis_har(sanitized=True, as_bytes=False), "st", "", contract())

    assert credentials(recording) == ["primary", "primary"]
    assert recording.left_out["refused, and the file does not say with which key"] == 1
