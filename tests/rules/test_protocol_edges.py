"""Rules on what HTTP asks of any answer, at their edges."""

from typing import Any

import pytest

from tests.rules.exchanges import REF, broken, exchange, history, publish, story_rules, story_verdicts, verdicts
from tests.rules.sentences import findings, story_findings
from touchstone.facts.exchange import Exchange
from touchstone.rules import protocol

ANSWERS, METHOD, HEAD = "http.answers", "http.wrong-method-is-405", "http.head-matches-get"
BODY = "http.body-is-json"
PATH = "/templates/default/touchstone-t1-hello/1.0.0/build"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("size", "outcome"), [(65_536, "broken"), (65_537, "indeterminate")], ids=["at the limit", "above it"]
)
def test_lost_answer_to_a_large_body_is_no_proof(size: int, outcome: str) -> None:
    """RFC 9112 9.6: a server may answer early and close."""
    lost = exchange("publishTemplate", 0, request_body=b"x" * size)

    assert verdicts((protocol.answered,), lost) == {(ANSWERS, outcome)}


def test_finding_on_a_lost_answer_tells_why() -> None:
    """The error of the connection in its own words."""
    assert findings((protocol.answered,), exchange(status=0, error="ReadError: cut")) == [
        (ANSWERS, (1,), "a complete response in time", "ReadError: cut")
    ]


@pytest.mark.parametrize(
    ("facts", "claims"),
    [
        ({}, {BODY}),
        ({"error": "ReadError: cut"}, set()),
        ({"method": "HEAD"}, set()),
        ({"status": 204}, set()),
        ({"status": 304}, set()),
        ({"error": "ReadError: cut", "method": "HEAD"}, set()),
        ({"status": 0}, set()),
    ],
)
def test_body_is_judged_where_there_is_one(facts: dict[str, Any], claims: set[str]) -> None:
    """An answer to HEAD, one without content, or one that was cut off, has no whole body."""
    answer = exchange(**({"body": b"{", "headers": JSON} | facts))

    assert broken(verdicts((protocol.body_is_json,), answer)) == claims


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 501])
def test_wrong_method_may_be_refused_in_other_ways(status: int) -> None:
    """A key, a plan, a version or a limit may be looked at first, and failures have a claim of their own."""
    assert verdicts((protocol.wrong_method,), exchange("", status, method="PUT", path=PATH)) == set()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "CONNECT"])
def test_methods_of_http_itself_are_never_wrong(method: str) -> None:
    """What every server may know is not judged by the paths of this one."""
    assert verdicts((protocol.wrong_method,), exchange("", 200, method=method, path=PATH)) == set()


def test_wrong_method_that_is_served_is_found() -> None:
    """The answer is shown where 405 was expected."""
    assert findings((protocol.wrong_method,), exchange("", 202, method="PUT", path=PATH)) == [
        (METHOD, (1,), "405", "202")
    ]


def get(at: float, status: int, **more: Any) -> Exchange:
    return exchange(status=status, seq=round(at * 10), sent_at=at, done_at=at + 0.5, **more)


def head(at: float, status: int = 200) -> Exchange:
    return get(at, status, method="HEAD")


def test_finding_on_head_shows_the_get_beside_it() -> None:
    """The nearest GET, before or after, and the HEAD."""
    said = "the status of GET and no body, or 405"

    assert story_findings(story_rules("protocol"), get(1, 404), get(4, 200), head(6, 404), get(10, 404)) == [
        (HEAD, (40, 60), said, "404 where GET is answered 200")
    ]
    assert story_findings(story_rules("protocol"), get(1, 404), head(6, 404), get(8, 200)) == [
        (HEAD, (80, 60), said, "404 where GET is answered 200")
    ]
    assert story_findings(story_rules("protocol"), head(6, 503)) == [(HEAD, (60,), said, "503")]


@pytest.mark.parametrize(
    ("change", "judged"),
    [
        (publish(50, sent_at=5.0), False),
        (exchange("deleteTemplate", 204, seq=50, sent_at=5.0), False),
        (exchange("startBuild", 202, seq=50, sent_at=5.0), True),
        (publish(30, sent_at=3.0, done_at=4.0), True),
        (publish(30, sent_at=3.0, done_at=4.1), False),
        (publish(65, sent_at=6.5), True),
        (publish(64, sent_at=6.4), False),
        (publish(10, sent_at=1.0), True),
        (publish(90, sent_at=9.0), True),
    ],
)
def test_head_is_not_compared_across_a_change(change: Exchange, judged: bool) -> None:
    """A publish or delete between the two, or on its way beside one of them, may explain the difference."""
    found = story_verdicts(story_rules("protocol"), get(4, 404), head(6), change)

    assert found == ({(HEAD, "broken")} if judged else set())


def test_head_is_compared_with_the_same_address_and_key() -> None:
    """Another account may see something else, and so may another path."""
    others = get(4, 404, credential="second"), get(5, 404, path=PATH + "?a=1")

    assert story_verdicts(story_rules("protocol"), *others, head(6)) == set()
    assert others[0].ref == REF


def lengths(head: str | None, *gets: int, status: int = 200) -> set[tuple[str, str]]:
    """What is said of a HEAD that announces *head* bytes after GETs of the same address that had so many."""
    story = [exchange(status=status, body=b"x" * size, seq=seq) for seq, size in enumerate(gets, 1)]
    headers = {} if head is None else {"content-length": head}
    asked = exchange(status=200, method="HEAD", headers=headers, seq=9)
    return story_verdicts(story_rules("protocol"), *story, asked)


@pytest.mark.parametrize(
    ("head", "gets", "outcome"),
    [
        ("12", (12, 12, 12), "held"),
        (None, (12, 12, 12), "held"),
        ("0", (12, 12, 12), "broken"),
        ("13", (12, 12, 12), "broken"),
        ("0", (12,), "held"),
        ("13", (12, 12), "held"),
        ("0", (12, 12, 12, 13), "held"),
    ],
    ids=["as GET", "none", "zero", "another one", "one GET", "two GETs", "where GETs differ"],
)
def test_head_announces_the_length_of_get(head: str | None, gets: tuple[int, ...], outcome: str) -> None:
    """
    RFC 9110 8.6: the length is the one of GET or left out; where that one differs from time to time nothing is told.
    """
    assert lengths(head, *gets) == {("http.head-matches-get", outcome)}


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"content-encoding": "gzip", "content-length": "30"}, "held"),
        ({"content-encoding": "gzip", "content-length": "31"}, "broken"),
        ({"content-encoding": "gzip"}, "held"),
    ],
)
def test_length_of_a_compressed_answer_is_the_one_on_its_way(headers: dict[str, str], outcome: str) -> None:
    """What was unpacked is longer than what was sent, and how long that was the header alone tells."""
    gets = [exchange(body=b"x" * 100, headers=headers, seq=seq) for seq in (1, 2, 3)]
    head = exchange(method="HEAD", headers={"content-length": "30"}, seq=4)

    assert story_verdicts(story_rules("protocol"), *gets, head) == {("http.head-matches-get", outcome)}


def test_length_of_a_body_that_changes_is_not_compared() -> None:
    """An id of each request may happen to be as long a few times, and then be longer."""
    gets = [exchange(status=404, json={"error": "no", "request_id": seq}, seq=seq) for seq in (7, 8, 9)]
    head = exchange(status=404, method="HEAD", headers={"content-length": "33"}, seq=10)

    assert story_verdicts(story_rules("protocol"), *gets, head) == {("http.head-matches-get", "held")}


def test_finding_on_the_length_of_head_says_both() -> None:
    """What GET had is expected, what HEAD announced is what came."""
    gets = [exchange(body=b"x" * 12, seq=seq) for seq in (1, 2, 3)]
    head = exchange(method="HEAD", headers={"content-length": "0"}, seq=4)
    (found,) = protocol.head_matches_get(REF, history(*gets, head))

    assert (found.expected, found.actual) == ("Content-Length 12, as of GET, or none", "0")


@pytest.mark.parametrize(("status", "outcome"), [(200, None), (404, "broken")])
def test_head_is_not_held_to_a_get_that_shows_anothers_version(status: int, outcome: str | None) -> None:
    """What GET should not have shown is told of GET; a HEAD that finds what GET does not find is wrong itself."""
    get = exchange(status=status, credential="second", seq=2)
    head = exchange(status=404 if status == 200 else 200, method="HEAD", credential="second", seq=3)
    told = {o for claim, o in story_verdicts(story_rules("protocol"), publish(1), get, head) if claim == HEAD}

    assert told == ({outcome} if outcome else set())
