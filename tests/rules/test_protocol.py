"""Rules on HTTP: responses that break each claim, and responses that do not."""

from typing import Any

import pytest

from tests.rules.exchanges import ERROR, build, exchange, publish
from tests.rules.judging import Evidence, broken, cases, exchange_rules, findings, outcome, story_rules, verdicts
from tests.rules.stories import delete, read, start
from touchstone.facts.exchange import Exchange

RULES, STORY_RULES = exchange_rules("protocol"), story_rules("protocol")
PATH = "/templates/default/touchstone-t1-hello/1.0.0/build"
ANSWERS, FAILS, STATUS = "http.answers", "http.no-server-error", "http.status-is-documented"
TYPE, BODY, METHOD, HEAD = (
    "http.json-media-type",
    "http.body-is-json",
    "http.wrong-method-is-405",
    "http.head-matches-get",
)
JSON = {"content-type": "application/json"}
CUT = "ReadError: reset"


def put(status: int = 200, **more: Any) -> dict[str, Any]:
    """A request with a wrong method."""
    return {"operation": "", "method": "PUT", "path": PATH, "status": status} | more


@cases(
    "facts expected",
    {
        "no answer": ({"status": 0}, {ANSWERS}),
        "connection refused": ({"status": 0, "error": "ConnectError: refused"}, {ANSWERS}),
        "cut off": ({"json": build(), "error": "RemoteProtocolError: incomplete"}, {ANSWERS}),
        "a stream cut off": ({"operation": "streamBuildEvents", "error": CUT}, {ANSWERS}),
        "500": ({"status": 500, "json": ERROR}, {FAILS}),
        "503": ({"status": 503, "json": ERROR}, {FAILS}),
        "501 to a known method": ({"status": 501, "json": ERROR}, {FAILS}),
        "a redirect": ({"status": 307, "headers": {"location": "/"}}, {STATUS}),
        "a teapot": ({"status": 418, "json": ERROR}, {STATUS}),
        "no content": ({"operation": "deleteTemplate", "status": 204}, {STATUS}),
        "415 without a body": ({"operation": "startBuild", "status": 415, "json": ERROR}, {STATUS}),
        "200 for a cancel": ({"operation": "cancelBuild", "json": {"status": "cancelling"}}, {STATUS}),
        "text": ({"json": build(), "headers": {"content-type": "text/plain"}}, {TYPE}),
        "HTML": ({"status": 404, "body": b"<p>no", "headers": {"content-type": "text/html"}}, {TYPE}),
        "no type": ({"body": b"{}"}, {TYPE}),
        "YAML": ({"json": build(), "headers": {"content-type": "application/x-yaml"}}, {TYPE}),
        "half a value": ({"body": b'{"status":', "headers": JSON}, {BODY}),
        "NaN": ({"body": b'{"a":NaN}', "headers": {"content-type": "application/json; charset=utf-8"}}, {BODY}),
        "Latin-1": ({"body": b'{"a":"\xe9"}', "headers": JSON}, {BODY}),
        "PUT served": (put(json={}), {METHOD}),
        "DELETE on /templates": (put(method="DELETE", path="/templates"), {METHOD}),
        "POST on events": (put(method="POST", path=f"{PATH}/events"), {METHOD}),
        "a plain read": ({"json": build()}, set()),
        "nothing, announced as JSON": ({"status": 404, "headers": JSON}, set()),
        "a charset": ({"json": build(), "headers": {"content-type": "Application/JSON; charset=UTF-8"}}, set()),
        "a limit": ({"operation": "startBuild", "status": 429, "json": ERROR, "headers": {"retry-after": "3"}}, set()),
        "a start while building": ({"operation": "startBuild", "status": 409, "json": ERROR}, set()),
        "a stream left": ({"operation": "streamBuildEvents", "closed": "client", "error": "ReadTimeout: x"}, set()),
        "an idle cancel": ({"operation": "cancelBuild", "status": 404, "json": {"status": "idle"}}, set()),
        "half a value, cut off": ({"body": b"{", "headers": JSON, "error": CUT}, {ANSWERS}),
        "half a value for HEAD": ({"body": b"{", "headers": JSON, "method": "HEAD"}, set()),
        "half a value with 304": (put(304, method="GET", path="/else", body=b"{", headers=JSON), set()),
        "PUT refused as text": (put(405, body=b"no"), set()),
        **{f"PUT refused, {status}": (put(status), set()) for status in (400, 401, 403, 404, 405, 429)},
        **{f"{method} served": (put(method=method), set()) for method in ("HEAD", "OPTIONS", "CONNECT")},
        "a method known nowhere": (put(501, method="BREW"), set()),
        "versions listed": (put(method="GET", path="/templates", json={"templates": []}), set()),
        "another page": (put(404, method="GET", path="/templates/validate", body=b"x"), set()),
        "a slash in a name": ({"path": PATH.replace("hello", "a%2Fb"), "status": 400, "body": b"<h1>Bad"}, set()),
        "an odd version": ({"path": PATH.replace("1.0.0", "latest"), "status": 422, "json": ERROR}, set()),
        "a body where none belongs": ({"operation": "startBuild", "request_body": b"{", "status": 415, "json": ERROR},
            set()),
        "an odd Accept": ({"request_headers": {"Accept": "image/png"}, "status": 406, "body": b"no"}, set()),
        **{
            f"ours: {e}": ({"status": 0, "error": e}, set())
            for e in ("OutOfRoom: x", "LocalProtocolError: x", "PoolTimeout: ")
        },
        "a document of another type": ({"operation": "publishTemplate", "status": 415,
            "request_headers": {"Content-Type": "text/csv"}, "json": ERROR}, set()),
        "a huge document": ({"operation": "publishTemplate", "status": 413, "request_body": b"x" * 600_000,
            "body": b"too large"}, set()),
        "a refused key": ({"status": 418, "json": ERROR, "credential": "none"}, set()),
    },
)  # fmt: skip
def test_answer_is_blamed_on_the_claims_that_it_breaks(facts: dict[str, Any], expected: set[str]) -> None:
    assert broken(verdicts(RULES, exchange(**facts))) == expected


def test_good_answers_uphold_what_is_at_stake() -> None:
    assert verdicts(RULES, read(1)) == {(claim, "held") for claim in (ANSWERS, FAILS, STATUS, TYPE, BODY)}
    assert outcome(RULES, METHOD, exchange(**put(405, json=ERROR))) == "held"
    assert outcome(RULES, ANSWERS, exchange("streamBuildEvents", closed="client")) == ""


@pytest.mark.parametrize(("size", "expected"), [(65_536, "broken"), (65_537, "indeterminate")])
def test_lost_answer_to_a_large_body_is_no_proof(size: int, expected: str) -> None:
    assert outcome(RULES, ANSWERS, exchange("publishTemplate", 0, request_body=b"x" * size)) == expected


def test_server_that_is_gone_is_found_once() -> None:
    gone: dict[str, Any] = {"status": 0, "error": "ConnectError: refused"}

    assert verdicts(RULES, exchange(seq=1, **gone), exchange(seq=2, **gone)) == set()


# --- HEAD -------------------------------------------------------------------------------------------------------------


def get(moment: float, status: int = 200, **more: Any) -> Exchange:
    return read(moment, status=status, **({"json": build() if status == 200 else ERROR} | more))


def head(moment: float, status: int = 200, **more: Any) -> Exchange:
    return exchange("", status, **({"method": "HEAD", "path": PATH} | more), seq=round(moment), sent_at=moment)


@pytest.mark.parametrize(
    ("of_get", "of_head", "expected"),
    [
        (200, 200, "held"),
        (200, 405, "held"),
        (404, 404, "held"),
        (200, 404, "broken"),
        (404, 200, "broken"),
        (200, 500, "broken"),
        (200, 429, ""),
        (429, 200, ""),
        (500, 200, ""),
        (401, 200, ""),
        (200, 401, "broken"),
    ],
)
def test_head_has_the_status_of_get(of_get: int, of_head: int, expected: str) -> None:
    assert outcome(STORY_RULES, HEAD, get(1, of_get), head(2, of_head)) == expected


EVENTS = {"path": f"{PATH}/events"}
KEYLESS: dict[str, Any] = {"credential": "none"}
SECOND: dict[str, Any] = {"credential": "second"}


@cases(
    "story expected",
    {
        "a body": ((get(1), head(2, json=build())), "broken"),
        "no key": ((get(1, 401, **KEYLESS), head(2, **KEYLESS)), "broken"),
        "another key": ((get(1), head(2, 401, **KEYLESS)), ""),
        "another account": ((get(1, 404, **SECOND), head(2)), ""),
        "another path": ((get(1, 404, path=PATH + "?a=1"), head(2)), ""),
        "a log": ((exchange("streamBuildEvents", seq=1), head(2, 404, **EVENTS)), ""),
        "a log, failing": ((exchange("streamBuildEvents", seq=1), head(2, 500, **EVENTS)), "broken"),
        "a delete in between": ((get(1.0, 404), delete(5.0), head(6)), ""),
        "a publish in between": ((get(4.0, 404), publish(5.0), head(6)), ""),
        "a start in between": ((get(4.0, 404), start(5.0), head(6)), "broken"),
        "a publish before": ((get(4.0, 404), publish(3.5), head(6)), "broken"),
        "a publish beside GET": ((get(4.0, 404), publish(3.6), head(6)), ""),
        "a publish later": ((get(4.0, 404), publish(6.01), head(6)), "broken"),
        "a publish beside HEAD": ((get(4.0, 404), publish(6.005), head(6)), ""),
        "another's version": ((publish(0), get(1, **SECOND), head(2, 404, **SECOND)), ""),
        "another's version, not found": ((publish(0), get(1, 404, **SECOND), head(2, **SECOND)), "broken"),
    },
)
def test_head_is_measured_by_the_get_beside_it(story: tuple[Exchange, ...], expected: str) -> None:
    assert outcome(STORY_RULES, HEAD, *story) == expected


@cases(
    "story expected",
    {
        "before": ((get(1, 404), get(4), head(6, 404), get(10, 404)), [(HEAD, (4, 6))]),
        "after": ((get(1, 404), head(6, 404), get(8)), [(HEAD, (8, 6))]),
        "none": ((head(6, 503),), [(HEAD, (6,))]),
    },
)
def test_finding_on_head_has_the_nearest_get(story: tuple[Exchange, ...], expected: Evidence) -> None:
    assert findings(STORY_RULES, *story) == expected


@cases(
    "length sizes headers expected",
    {
        "as GET": ("12", (12, 12, 12), {}, "held"),
        "none": (None, (12, 12, 12), {}, "held"),
        "zero": ("0", (12, 12, 12), {}, "broken"),
        "another one": ("13", (12, 12, 12), {}, "broken"),
        "one GET": ("0", (12,), {}, "held"),
        "compressed": ("30", (99, 99, 99), {"content-encoding": "gzip", "content-length": "30"}, "held"),
        "compressed, another one": ("30", (99, 99, 99), {"content-encoding": "gzip", "content-length": "31"}, "broken"),
        "compressed, unknown": ("30", (99, 99, 99), {"content-encoding": "gzip"}, "held"),
    },
)
def test_head_announces_the_length_of_get(length: str | None, sizes: Any, headers: Any, expected: str) -> None:
    gets = [exchange(body=b"x" * size, headers=headers, seq=seq) for seq, size in enumerate(sizes, 1)]
    head = exchange(method="HEAD", headers={"content-length": length} if length else {}, seq=9)

    assert outcome(STORY_RULES, HEAD, *gets, head) == expected


def test_length_of_a_body_that_changes_is_not_compared() -> None:
    gets = [exchange(status=404, json={"error": "no", "request_id": seq}, seq=seq) for seq in (7, 8, 9)]
    head = exchange(status=404, method="HEAD", headers={"content-length": "33"}, seq=10)

    assert outcome(STORY_RULES, HEAD, *gets, head) == "held"


@cases(
    "times expected",
    {
        "as fast": ([0.1] * 20, "held"),
        "a few slow ones": ([0.1] * 16 + [9.0] * 4, "held"),
        "slower": ([0.1] * 10 + [0.9] * 10, "broken"),
        "slow from the start": ([0.9] * 20, "held"),
        "too few": ([0.1] * 10 + [0.9] * 9, ""),
    },
)
def test_last_responses_are_as_fast_as_the_first(times: list[float], expected: str) -> None:
    reads = [exchange(seq=seq, sent_at=seq, done_at=seq + time_s) for seq, time_s in enumerate(times, 1)]

    assert outcome(RULES, "http.stays-fast", *reads) == expected
