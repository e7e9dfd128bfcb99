"""VCR cassettes of schemathesis, vcrpy and others become recordings, which the rules of a check judge."""

import base64
import gzip
import io
import json
from typing import Any

import pytest

from tests.foreign_files import (
    API,
    BUILD,
    EVENTS,
    KEY,
    REF,
    WRONG_KEY,
    broken,
    credentials,
    found,
    judged,
    log_text,
    schemathesis_scenario,
)
from tests.rules.exchanges import DIGEST, contract
from touchstone.recordings import foreign
from touchstone.recordings.recording import BASE_URL, Recording

# What schemathesis 4.32 wrote, without the checks.
CASSETTE = f"""\
command: 'st run builds.yaml --header Authorization: [Filtered]'
recorded_with: 'Schemathesis 4.32.5'
seed: 1
http_interactions:
- id: 'zeqhmG'
  status: 'SUCCESS'
  generation:
    time: 0.0006245179993129568
    mode: positive
  components:
  phase:
    name: 'examples'
    data: {{}}
  recorded_at: '2026-11-26T18:58:36.795555+00:00'
  checks: []
  request:
    uri: '{API}{BUILD}'
    method: 'GET'
    headers:
      "User-Agent":
      - "schemathesis/4.32.5"
      "Authorization":
      - "[Filtered]"
  response:
    status:
      code: '200'
      message: "OK"
    elapsed: '0.002'
    headers:
      "date":
      - "Thu, 26 Nov 2026 18:58:36 GMT"
      "content-type":
      - "application/json"

    body:
      encoding: 'utf-8'
      string: "{{\\"ref\\":\\"{REF}\\",\\"digest\\":\\"{DIGEST}\\",\\"status\\":\\"not_built\\"}}"
    http_version: '1.1'
- id: 'XvXykZ'
  status: 'ERROR'
  metadata: null
  recorded_at: '2026-11-26T18:58:37.795555+00:00'
  checks: []
  request:
    uri: '{API}{BUILD}'
    method: 'GET'
    headers:
      "Authorization":
      - "[Filtered]"
  response: null
"""


def read(text: str) -> Recording:
    return foreign.vcr(text, "cassette", "cassette.yaml", contract())


def vcrpy(*interactions: dict[str, Any]) -> str:
    """A cassette of vcrpy in JSON, which is YAML as well."""
    return json.dumps({"interactions": list(interactions), "version": 1})


def interaction(method: str = "GET", path: str = BUILD, status: Any = 200, **more: Any) -> dict[str, Any]:
    """One interaction as vcrpy writes it."""
    body = {"ref": REF, "digest": DIGEST, "status": "not_built"}
    request = {"method": method, "uri": API + path, "body": None, "headers": {"Authorization": [f"Bearer {KEY}"]}}
    response = {
        "status": {"code": status, "message": ""},
        "headers": {"Content-Type": ["application/json"], "Date": ["Thu, 26 Nov 2026 18:58:36 GMT"]},
        "body": {"string": json.dumps(body)},
    }
    return {"request": request | more.pop("request", {}), "response": response | more.pop("response", {})} | more


def status(word: str, **more: Any) -> dict[str, Any]:
    """The body of a status answer, as vcrpy writes it."""
    return {"body": {"string": json.dumps({"ref": REF, "digest": DIGEST, "status": word} | more)}}


def test_cassette_of_schemathesis_is_read() -> None:
    """The moment of an interaction is the one of its answer; a request that was not answered tells nothing."""
    recording = read(CASSETTE)

    (exchange,) = recording.exchanges
    assert (recording.origin, recording.name, recording.path) == ("vcr", "cassette", "cassette.yaml")
    assert (recording.recorded_at, exchange.done_at) == ("2026-11-26T18:58:36.793555Z", 0.002)
    assert (exchange.operation, exchange.ref, exchange.credential) == ("getBuild", REF, "primary")
    assert exchange.request.url == BASE_URL + BUILD
    assert exchange.request.headers == (("Authorization", "<redacted>"),)
    assert recording.left_out == {"given up before the answer was there": 1}
    assert found(recording) == set()


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("sanitized", [False, True])
def test_what_the_installed_schemathesis_writes_is_read(as_bytes: bool, sanitized: bool) -> None:
    """Its own writer makes what is read here, with keys or masks, bodies as texts or as base64."""
    from schemathesis.config import OutputConfig, SanitizationConfig
    from schemathesis.reporting.vcr import VcrWriter

    out = io.StringIO()
    config = OutputConfig(sanitization=SanitizationConfig(enabled=sanitized))
    with VcrWriter(out, config, preserve_bytes=as_bytes) as writer:
        writer.open(seed=1, command="st run")
        writer.write(schemathesis_scenario())

    recording = read(out.getvalue())

    assert credentials(recording) == (["primary"] * 2 if sanitized else ["primary", "none", "primary"])
    assert recording.exchanges[0].request.body.startswith(b"api_version: orgo.ai/v1\n")
    last = recording.exchanges[-1]
    assert (last.sent_at, last.done_at, last.closed) == (1.25, 2.25, "server")
    assert last.response is not None
    assert last.response.body.decode() == log_text("boot", "ready")
    assert [chunk.at_s for chunk in last.response.chunks] == [1.0, 1.0]
    assert found(recording) == set()
    assert (KEY in out.getvalue(), KEY in str(recording)) == (not sanitized, False)


def test_cassette_without_times_is_in_order() -> None:
    """Where no times are told, one follows the other, and nothing is measured by the clock of the server."""
    recording = read(
        vcrpy(
            interaction(),
            interaction("POST", status=202, response=status("building")),
            interaction(response=status("building")),
            interaction(response=status("ready", build_time_ms=118_420)),
        )
    )

    assert [e.seq for e in recording.exchanges] == [1, 2, 3, 4]
    assert [e.sent_at for e in recording.exchanges] == [0.0, 0.001, 0.002, 0.003]
    assert {name.lower() for e in recording.exchanges if e.response for name, _ in e.response.headers} == {
        "content-type"
    }
    assert recording.recorded_at == ""
    assert found(recording) == set()


def test_changed_answer_of_a_cassette_is_found() -> None:
    """A status that the contract does not have is a finding."""
    assert found(read(vcrpy(interaction(), interaction(response=status("queued"))))) == {"status.is-one-of-four"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"string": "plain ä"}, "plain ä".encode()),
        ("plain ä", "plain ä".encode()),
        (None, b""),
        ({"encoding": "ISO-8859-1", "string": "Ã¤"}, "ä".encode()),
        ({"encoding": "no-such", "string": "ä"}, "ä".encode()),
        ({"encoding": "utf-8", "base64_string": base64.b64encode(b"\xff\x00").decode()}, b"\xff\x00"),
        ({"string": None}, b""),
    ],
)
def test_bodies_are_read_as_each_tool_writes_them(body: Any, expected: bytes) -> None:
    """A body is a text, an object with one and its encoding, or base64."""
    (exchange,) = read(vcrpy(interaction(response={"body": body}))).exchanges

    assert exchange.response is not None
    assert exchange.response.body == expected


def test_bodies_in_yaml_may_be_binary() -> None:
    """A body that vcrpy keeps compressed is what it is without that."""
    zipped = base64.b64encode(gzip.compress(b'{"status": "ready"}')).decode()
    text = f"""
interactions:
- request:
    body: null
    headers: {{}}
    method: GET
    uri: {API}{BUILD}
  response:
    body:
      string: !!binary |
        {zipped}
    headers:
      Content-Encoding: [gzip]
      Content-Type: application/json
    status: {{code: 200, message: OK}}
version: 1
"""
    (exchange,) = read(text).exchanges

    assert exchange.response is not None
    assert exchange.response.body == b'{"status": "ready"}'
    assert exchange.credential == "primary"


@pytest.mark.parametrize(
    "response",
    [{"status": 404}, {"status": {"code": "404"}}, {"status_code": 404, "status": None}],
)
def test_status_is_read_as_each_tool_writes_it(response: dict[str, Any]) -> None:
    """A status is a number, a text of digits, or an object with one."""
    made = interaction(response=response)
    if response.get("status") is None and "status_code" in response:
        del made["response"]["status"]

    assert read(vcrpy(made)).exchanges[0].status == 404


@pytest.mark.parametrize("at", ["Thu, 26 Nov 2026 18:58:36 GMT", "2026-11-26T18:58:36"])
def test_moment_to_the_second_tells_no_more_than_the_beginning(at: str) -> None:
    """
    Betamax and VCR write whole seconds, which say when a cassette was made, and nothing of how long anything took.
    """
    text = json.dumps({"http_interactions": [interaction(recorded_at=at), interaction(recorded_at=at)]})

    recording = read(text)

    assert recording.recorded_at == "2026-11-26T18:58:36.000000Z"
    assert [e.sent_at for e in recording.exchanges] == [0.0, 0.001]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"truncated_from": 2_000_000}, "with a body that was cut"),
        (None, "given up before the answer was there"),
    ],
)
def test_interaction_without_its_answer_is_left_out(response: dict[str, Any] | None, reason: str) -> None:
    """Nothing is judged by a part of a body, nor by an answer that is missing; a start without one may have acted."""
    made, start = interaction(response=response or {}), interaction("POST", response=response or {})
    if response is None:
        made["response"] = start["response"] = None

    recording = read(vcrpy(interaction(), made, start))

    assert recording.left_out == {reason: 1}
    assert [(e.operation, e.status, e.closed) for e in recording.exchanges] == [
        ("getBuild", 200, ""),
        ("startBuild", 0, "client"),
    ]


def test_answer_without_a_body_in_the_file_is_left_out() -> None:
    """Schemathesis writes no body where it kept none."""
    made = interaction()
    del made["response"]["body"]

    assert read(vcrpy(interaction(), made)).left_out == {"without a captured body": 1}


def test_log_without_times_is_ended_by_what_it_tells() -> None:
    """Nobody says who closed a log, unless its last frame does."""
    kinds = {"Content-Type": "text/event-stream"}
    told = [{"headers": kinds, "body": {"string": log_text(*phases)}} for phases in (("boot", "ready"), ("boot",))]

    recording = read(vcrpy(*(interaction(path=EVENTS, response=each) for each in told)))

    assert [e.closed for e in recording.exchanges] == ["server", "client"]


def test_refused_keys_of_a_cassette_are_told_apart() -> None:
    """What is not masked tells which key was shown, and that there was none."""
    wrong = {"headers": {"authorization": f"Bearer {WRONG_KEY}"}}
    error = {"body": {"string": '{"error": "Invalid API key."}'}}
    missing = {"body": {"string": '{"error": "Missing API key."}'}}

    recording = read(
        vcrpy(
            interaction(),
            interaction(status=401, request=wrong, response=error),
            interaction(status=401, request={"headers": {}}, response=missing),
        )
    )

    assert credentials(recording) == ["primary", "unknown", "none"]
    assert broken(judged(recording)) == set()


def test_empty_cassette_has_no_exchanges() -> None:
    """Schemathesis writes nothing after the name of the list where it sent nothing."""
    recording = read("command: 'st run'\nrecorded_with: 'Schemathesis 4.32.5'\nseed: 1\nhttp_interactions:")

    assert (recording.exchanges, recording.left_out, recording.recorded_at) == ((), {}, "")


def wrong(**change: Any) -> str:
    made = interaction()
    for part, value in change.items():
        made[part] = value if not isinstance(value, dict) else made[part] | value
    return vcrpy(interaction(), made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"^line 2: is no YAML: .*; expected a VCR cassette$"),
        ("{", r"^line 1: is no JSON: .*; expected a VCR cassette$"),
        ("a: 2026-02-30", r"^the document: .*; expected a VCR cassette$"),
        ("- 1", r"^the document: is a list; expected an object with http_interactions$"),
        ("", r"^the document: is missing; expected an object with http_interactions$"),
        ("log: {}", r"^the document: has log; expected http_interactions, or interactions of vcrpy$"),
        ("http_interactions: 7", r"^http_interactions: is a int; expected a list$"),
        ("interactions: [1]", r"^interactions\[0\]: is a int; expected an object with request and response$"),
        (wrong(request=None), r"^interactions\[1\]\.request: is missing; expected an object$"),
        (wrong(request={"method": 1}), r"^interactions\[1\]\.request\.method: is a int; expected a text$"),
        (wrong(request={"uri": None}), r"^interactions\[1\]\.request\.uri: is missing; expected a text$"),
        (wrong(request={"headers": []}), r"^interactions\[1\]\.request\.headers: is a list; expected an object$"),
        (
            wrong(response=[1]),
            r"^interactions\[1\]\.response: is a list; expected an object, or null without an answer$",
        ),
        (
            wrong(response={"status": {}}),
            r"^interactions\[1\]\.response\.status\.code: is None; expected a status code",
        ),
        (wrong(response={"body": 7}), r"^interactions\[1\]\.response\.body: is a int; expected a text or an object"),
        (
            wrong(response={"body": {"base64_string": "a"}}),
            r"^interactions\[1\]\.response\.body\.base64_string: .*base64$",
        ),
        (
            wrong(response={"body": "\x1f", "headers": {}}).replace('"\\u001f"', '{"base64_string": "H4sAAA=="}'),
            r"^interactions\[1\]\.response\.body: .*; expected what gzip wrote, as it begins so$",
        ),
    ],
)
def test_text_that_is_no_cassette_is_refused(text: str, message: str) -> None:
    """What is wrong is told with its place and with what would be right."""
    with pytest.raises(ValueError, match=message):
        read(text)
