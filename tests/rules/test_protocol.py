"""Rules on HTTP itself: for each claim an answer that breaks it, and answers that do not."""

from typing import Any

import pytest

from tests.rules.exchanges import (
    OTHER_REF,
    REF,
    broken,
    build,
    exchange,
    exchange_rules,
    story_rules,
    story_verdicts,
    verdicts,
)

PATH = "/templates/default/touchstone-t1-hello/1.0.0/build"
ERROR = {"error": "There is no such version."}

BREAKS: list[tuple[str, str, dict[str, Any]]] = [
    ("http.answers", "no answer in time", {"status": 0}),
    ("http.answers", "connection refused", {"status": 0, "error": "ConnectError: refused"}),
    ("http.answers", "cut off", {"json": build(), "error": "RemoteProtocolError: incomplete chunked read"}),
    ("http.answers", "a stream that broke off", {"operation": "streamBuildEvents", "error": "ReadError: reset"}),
    ("http.no-server-error", "500", {"status": 500, "json": ERROR}),
    ("http.no-server-error", "503 in place of 429", {"status": 503, "json": ERROR}),
    ("http.no-server-error", "501 to a method that it has", {"status": 501, "json": ERROR}),
    ("http.status-is-documented", "a redirect", {"status": 307, "headers": {"location": "/"}}),
    ("http.status-is-documented", "a teapot", {"status": 418, "json": ERROR}),
    ("http.status-is-documented", "no content", {"operation": "deleteTemplate", "status": 204}),
    ("http.status-is-documented", "415 without a body", {"operation": "startBuild", "status": 415, "json": ERROR}),
    ("http.status-is-documented", "200 for a cancel", {"operation": "cancelBuild", "json": {"status": "cancelling"}}),
    ("http.json-media-type", "text", {"json": build(), "headers": {"content-type": "text/plain"}}),
    (
        "http.json-media-type",
        "HTML errors",
        {"status": 404, "body": b"<p>no", "headers": {"content-type": "text/html"}},
    ),
    ("http.json-media-type", "no type", {"body": b"{}"}),
    ("http.json-media-type", "YAML", {"json": build(), "headers": {"content-type": "application/x-yaml"}}),
    ("http.body-is-json", "half a value", {"body": b'{"status":', "headers": {"content-type": "application/json"}}),
    ("http.body-is-json", "two values", {"body": b"{}{}", "headers": {"content-type": "application/json"}}),
    (
        "http.body-is-json",
        "NaN",
        {"body": b'{"a":NaN}', "headers": {"content-type": "application/json; charset=utf-8"}},
    ),
    ("http.body-is-json", "Latin-1", {"body": b'{"a":"\xe9"}', "headers": {"content-type": "application/json"}}),
    ("http.wrong-method-is-405", "served", {"operation": "", "method": "PUT", "path": PATH, "json": {}}),
    ("http.wrong-method-is-405", "created", {"operation": "", "method": "PATCH", "path": PATH, "status": 201}),
    ("http.wrong-method-is-405", "on /templates", {"operation": "", "method": "DELETE", "path": "/templates"}),
    ("http.wrong-method-is-405", "POST on events", {"operation": "", "method": "POST", "path": f"{PATH}/events"}),
]

FITS: list[tuple[str, dict[str, Any]]] = [
    ("a plain read", {"json": build()}),
    ("nothing where the shape tells it", {"status": 404, "headers": {"content-type": "application/json"}}),
    ("a charset", {"json": build(), "headers": {"content-type": "Application/JSON; charset=UTF-8"}}),
    ("a limit", {"operation": "startBuild", "status": 429, "json": ERROR, "headers": {"retry-after": "3"}}),
    ("a joined start", {"operation": "startBuild", "json": build()}),
    ("a start refused while building", {"operation": "startBuild", "status": 409, "json": ERROR}),
    ("a stream left alone", {"operation": "streamBuildEvents", "closed": "client", "frames": [{"line": "x"}]}),
    (
        "a stream that times out on us",
        {"operation": "streamBuildEvents", "closed": "client", "error": "ReadTimeout: x"},
    ),
    ("an idle cancel", {"operation": "cancelBuild", "status": 404, "json": {"status": "idle"}}),
    ("PUT refused", {"operation": "", "method": "PUT", "path": PATH, "status": 405, "json": ERROR}),
    ("PUT refused as text", {"operation": "", "method": "PUT", "path": PATH, "status": 405, "body": b"no"}),
    ("PUT without a key", {"operation": "", "method": "PUT", "path": PATH, "status": 401, "credential": "none"}),
    ("a method known nowhere", {"operation": "", "method": "BREW", "path": PATH, "status": 501}),
    ("OPTIONS served", {"operation": "", "method": "OPTIONS", "path": PATH, "status": 204}),
    ("versions listed", {"operation": "", "method": "GET", "path": "/templates", "json": {"templates": []}}),
    ("another page", {"operation": "", "method": "GET", "path": "/templates/validate", "status": 404, "body": b"x"}),
    ("a trailing slash", {"path": f"{PATH}/", "status": 307, "headers": {"location": PATH}}),
    ("a long path", {"path": PATH.replace("hello", "x" * 4000), "status": 414, "body": b"too long"}),
    ("a slash in a name", {"path": PATH.replace("hello", "a%2Fb"), "status": 400, "body": b"<h1>Bad Request"}),
    ("an odd version", {"path": PATH.replace("1.0.0", "latest"), "status": 422, "json": ERROR}),
    ("a body where none belongs", {"operation": "startBuild", "request_body": b"{", "status": 415, "json": ERROR}),
    ("an odd Accept", {"request_headers": {"Accept": "image/png"}, "status": 406, "body": b"no"}),
    ("no room on our side", {"status": 0, "error": "OutOfRoom: max_total_bytes = 1"}),
    ("our own mistake", {"status": 0, "error": "LocalProtocolError: Illegal header value"}),
    ("no connection free", {"status": 0, "error": "PoolTimeout: "}),
    (
        "an unknown type of document",
        {"operation": "publishTemplate", "status": 415, "request_headers": {"Content-Type": "text/csv"}, "json": ERROR},
    ),
    (
        "a huge document",
        {"operation": "publishTemplate", "status": 413, "request_body": b"x" * 2_000_000, "body": b"too large"},
    ),
    (
        "an answer lost behind a huge document",
        {"operation": "publishTemplate", "status": 0, "request_body": b"x" * 2_000_000, "error": "WriteError: broken"},
    ),
]


@pytest.mark.parametrize(("claim", "facts"), [(c, f) for c, _, f in BREAKS], ids=[f"{c}-{n}" for c, n, _ in BREAKS])
def test_broken_answer_is_blamed_on_its_claim_alone(claim: str, facts: dict[str, Any]) -> None:
    """An answer that breaks one promise of HTTP is blamed on that promise and on no other."""
    assert broken(verdicts(exchange_rules("protocol"), exchange(**facts))) == {claim}


@pytest.mark.parametrize("facts", [f for _, f in FITS], ids=[n for n, _ in FITS])
def test_fair_answer_is_blamed_on_nothing(facts: dict[str, Any]) -> None:
    """An answer that HTTP and the contract allow breaks no claim."""
    assert broken(verdicts(exchange_rules("protocol"), exchange(**facts))) == set()


def test_good_read_upholds_what_is_at_stake() -> None:
    """A plain answer shows each claim on HTTP that it could have broken, and none that it could not."""
    assert verdicts(exchange_rules("protocol"), exchange(json=build())) == {
        ("http.answers", "held"),
        ("http.no-server-error", "held"),
        ("http.status-is-documented", "held"),
        ("http.json-media-type", "held"),
        ("http.body-is-json", "held"),
    }


def test_refused_method_upholds_405() -> None:
    """405 to a method that the path does not have upholds the claim."""
    refused = exchange("", 405, method="PUT", path=PATH, json=ERROR)

    assert ("http.wrong-method-is-405", "held") in verdicts(exchange_rules("protocol"), refused)


def test_stream_left_alone_shows_no_complete_answer() -> None:
    """A stream that the run left is no evidence that answers are complete."""
    left = exchange("streamBuildEvents", closed="client")

    assert "http.answers" not in {claim for claim, _ in verdicts(exchange_rules("protocol"), left)}


def test_server_that_is_gone_is_told_once() -> None:
    """Of many requests that reach nobody, only the first is a finding."""
    first = exchange(status=0, seq=1, error="ConnectError: refused")
    second = exchange(status=0, seq=2, error="ConnectError: refused")

    assert verdicts(exchange_rules("protocol"), first, second) == set()


def test_refused_key_with_another_status_is_left_to_its_own_claim() -> None:
    """The wrong status for a refused key is no matter of documented statuses."""
    assert broken(verdicts(exchange_rules("protocol"), exchange(status=418, json=ERROR, credential="none"))) == set()


HEAD: list[tuple[str, int, int, set[str]]] = [
    ("as GET", 200, 200, {"held"}),
    ("405", 200, 405, {"held"}),
    ("404 as GET", 404, 404, {"held"}),
    ("404 for what GET finds", 200, 404, {"broken"}),
    ("200 for what GET does not find", 404, 200, {"broken"}),
    ("500", 200, 500, {"broken"}),
    ("a limit", 200, 429, set()),
    ("GET limited", 429, 200, set()),
    ("GET fails", 500, 200, set()),
    ("GET takes the key for a wrong one", 401, 200, set()),
    ("401 for who may GET", 200, 401, {"broken"}),
]


@pytest.mark.parametrize(("get", "head", "outcomes"), [row[1:] for row in HEAD], ids=[row[0] for row in HEAD])
def test_head_is_measured_by_get(get: int, head: int, outcomes: set[str]) -> None:
    """HEAD is held against the GET of the same address."""
    asked = (exchange(status=get, json=build(), seq=1), exchange("", head, method="HEAD", path=PATH, seq=2))

    assert story_verdicts(story_rules("protocol"), *asked) == {
        ("http.head-matches-get", outcome) for outcome in outcomes
    }


def test_head_without_a_key_is_measured_by_get_without_one() -> None:
    """What GET refuses HEAD does not serve."""
    get = exchange(status=401, json={"error": "x"}, seq=1, credential="none")
    head = exchange("", 200, method="HEAD", path=PATH, seq=2, credential="none")

    assert ("http.head-matches-get", "broken") in story_verdicts(story_rules("protocol"), get, head)


def test_head_with_a_body_is_broken() -> None:
    """A body after HEAD is never right."""
    asked = (exchange(json=build(), seq=1), exchange("", method="HEAD", path=PATH, json=build(), seq=2))

    assert story_verdicts(story_rules("protocol"), *asked) == {("http.head-matches-get", "broken")}


def test_head_across_a_delete_is_not_compared() -> None:
    """A version that was deleted between GET and HEAD explains a difference."""
    asked = (
        exchange(json=build(), seq=1),
        exchange("deleteTemplate", json={"deleted": True}, seq=2),
        exchange("", 404, method="HEAD", path=PATH, seq=3),
    )

    assert story_verdicts(story_rules("protocol"), *asked) == set()


def test_head_of_events_depends_on_the_moment() -> None:
    """Whether a build has a log changes with time, so HEAD of events is only judged where it makes the server fail."""
    get = exchange("streamBuildEvents", frames=[], seq=1)
    fine = exchange("", 404, method="HEAD", path=f"{PATH}/events", seq=2)
    failed = exchange("", 500, method="HEAD", path=f"{PATH}/events", seq=2)

    assert story_verdicts(story_rules("protocol"), get, fine) == set()
    assert story_verdicts(story_rules("protocol"), get, failed) == {("http.head-matches-get", "broken")}


def test_head_with_another_key_is_not_compared() -> None:
    """A GET with another key says nothing about a HEAD."""
    asked = (exchange(json=build(), seq=1), exchange("", 401, method="HEAD", path=PATH, seq=2, credential="none"))

    assert story_verdicts(story_rules("protocol"), *asked) == set()
    assert story_verdicts(story_rules("protocol"), *asked, ref=OTHER_REF) == set()
    assert asked[0].ref == REF
