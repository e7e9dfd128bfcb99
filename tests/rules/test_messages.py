"""Properties of requests and responses."""

from typing import Any

import pytest

from tests.rules.exchanges import contract, exchange
from tests.rules.judging import cases
from touchstone.facts.exchange import Exchange, Request
from touchstone.rules.messages import excused, path_of, spelling, tidied
from touchstone.rules.rule import describe

BUILD = "/templates/default/a/1.0.0/build"
NO_SUCH_PATH = {400, 404, 405, 414, 422, 431}


def at(url: str) -> Exchange:
    return Exchange(1, "", None, "primary", "", 0.0, 0.0, 0.0, Request("GET", url))


@pytest.mark.parametrize(
    ("url", "path", "tidy"),
    [
        ("http://h/api/templates/a/b/1.0.0?x=/templates", "/templates/a/b/1.0.0", "/templates/a/b/1.0.0"),
        ("http://templates.test/templates", "/templates", "/templates"),
        ("http://h/templates-api/v1/templates/a/b/1", "/templates/a/b/1", "/templates/a/b/1"),
        ("http://h/api//templates///a/b/1.0.0/build/", "", "/templates/a/b/1.0.0/build"),
        ("http://h/templates/a/x/../b/./1", "/templates/a/x/../b/./1", "/templates/a/b/1"),
        ("http://h/templates/a%2Fb%2f1", "/templates/a%2Fb%2f1", "/templates/a/b/1"),
        ("http://h/templates/a/b/1?to=x://y/templates/z", "/templates/a/b/1", "/templates/a/b/1"),
        ("http://h/templates/a/http://b/1", "/templates/a/http://b/1", "/templates/a/http:/b/1"),
        ("http://h/../../..", "", ""),
        ("http://h/api/other", "", ""),
        ("http://h", "", ""),
    ],
)
def test_path_lies_below_the_base_of_the_target(url: str, path: str, tidy: str) -> None:
    assert (path_of(at(url)), tidied(at(url))) == (path, tidy)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/templates", "plain"),
        ("/templates/default/a-b/1.0.0", "plain"),
        ("/templates/default/%61-b/1.0.0/build/events?x=1", "plain"),
        ("/templates/default/a/10.20.30/build", "plain"),
        ("/templates/default/" + "a" * 64 + "/1.0.0", "plain"),
        ("/templates/default/" + "a" * 65 + "/1.0.0", "misspelt"),
        ("/templates/default/" + "a" * 255 + "/1.0.0", "misspelt"),
        ("/templates/default/" + "a" * 256 + "/1.0.0", "misshapen"),
        ("/templates/default/a/v1.0.0/build", "misspelt"),
        ("/templates/default/A/1.0.0", "misspelt"),
        *((f"/templates/default/{odd}/1.0.0", "misshapen") for odd in ("a%0Ab", "a%0A", "a%2Fb", "a%5Cb", "..", ".")),
        *((f"/templates/default/{odd}/1.0.0", "misshapen") for odd in ("%2E%2e", "%2e", "%ff", "%zz", "a b")),
        (BUILD + "/", "misshapen"),
        ("/templates/", "misshapen"),
    ],
)
def test_spelling_is_measured_by_the_contract(path: str, expected: str) -> None:
    assert spelling(exchange(path=path), contract()) == expected


@cases(
    "facts expected",
    {
        "a usual request": ({}, set()),
        "a misspelt path": ({"path": "/templates/default/A/1.0.0/build"}, NO_SUCH_PATH),
        "a misshapen path": ({"path": BUILD + "/"}, NO_SUCH_PATH | {301, 302, 303, 307, 308}),
        "a body": ({"request_body": b"x"}, {400, 411, 413, 415, 422}),
        "Accept of anything": ({"request_headers": {"Accept": "*/*"}}, set()),
        "Accept of a type": ({"request_headers": {"accept": "text/csv"}}, {406}),
        "a document": ({"operation": "publishTemplate", "request_headers": {"Content-Type": "application/yaml"}},
            set()),
        "a text": ({"operation": "publishTemplate", "request_headers": {"Content-Type": "text/plain"}}, {400, 415}),
        "a document without a type": ({"operation": "publishTemplate"}, {400, 415}),
    },
)  # fmt: skip
def test_only_what_is_odd_excuses_an_answer(facts: dict[str, Any], expected: set[int]) -> None:
    assert excused(exchange(**facts), contract()) == expected


@cases(
    "facts expected",
    {
        "an object": ({"status": 404, "json": {"error": "no"}}, '404 {"error": "no"}'),
        "bytes": ({"status": 502, "body": b"bad gateway"}, "502 b'bad gateway'"),
        "no body": ({"status": 204}, "204"),
        "no answer": ({"status": 0, "error": "ConnectError: refused"}, "ConnectError: refused"),
    },
)
def test_answer_is_described_by_status_and_body(facts: dict[str, Any], expected: str) -> None:
    assert describe(exchange(**facts)) == expected
