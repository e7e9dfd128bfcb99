"""What a request asks for, and what about it is unusual."""

from typing import Any

import pytest

from tests.rules.exchanges import contract, exchange
from touchstone.facts.exchange import Exchange, Request
from touchstone.rules.messages import excused, operation_of, parts, path_of, spelling, tidied


def at(url: str) -> Exchange:
    return Exchange(1, "", None, "primary", "", 0.0, 0.0, 0.0, Request("GET", url))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h/api/templates/a/b/1.0.0?x=/templates", "/templates/a/b/1.0.0"),
        ("http://templates.test/templates", "/templates"),
        ("http://h/templates-api/v1/templates/a/b/1.0.0/build", "/templates/a/b/1.0.0/build"),
        ("http://h/api//templates/a/b/1.0.0/build", ""),
        ("http://h/api/other", ""),
        ("http://h", ""),
    ],
)
def test_path_starts_below_the_base(url: str, path: str) -> None:
    """The base of a target is no part of the path, whatever it is called."""
    assert path_of(at(url)) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/templates", "plain"),
        ("/templates/default/a-b/1.0.0", "plain"),
        ("/templates/default/%61-b/1.0.0/build/events?x=1", "plain"),
        ("/templates/default/a/10.20.30/build", "plain"),
        ("/templates/default/a/v1.0.0/build", "misspelt"),
        ("/templates/default/A/1.0.0", "misspelt"),
        ("/templates/default/a%0Ab/1.0.0", "misshapen"),
        ("/templates/default/" + "a" * 65 + "/1.0.0", "misspelt"),
        ("/templates/default/" + "a" * 300 + "/1.0.0", "misshapen"),
        ("/templates/default/a%2Fb/1.0.0", "misshapen"),
        ("/templates/default/a%5Cb/1.0.0", "misshapen"),
        ("/templates/default/../1.0.0", "misshapen"),
        ("/templates/default/%2E%2e/1.0.0", "misshapen"),
        ("/templates/default/%ff/1.0.0", "misshapen"),
        ("/templates/default/%zz/1.0.0", "misshapen"),
        ("/templates/default/a b/1.0.0", "misshapen"),
        ("/templates/default/a/1.0.0/build/", "misshapen"),
        ("/templates/", "misshapen"),
    ],
)
def test_spelling_is_measured_by_the_contract(path: str, expected: str) -> None:
    """A path is plain where each segment is one of the contract's, misshapen where servers differ in reading it."""
    assert spelling(exchange(path=path), contract()) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("//templates///a/b/1.0.0/build/", "/templates/a/b/1.0.0/build"),
        ("/templates/a/x/../b/./1.0.0", "/templates/a/b/1.0.0"),
        ("/templates/a%2Fb%2f1.0.0", "/templates/a/b/1.0.0"),
        ("/../../..", ""),
    ],
)
def test_tidied_path_is_what_a_generous_server_sees(path: str, expected: str) -> None:
    """Tidying decodes, resolves dots and drops empty segments."""
    assert tidied(exchange(path=path)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, set()),
        ({"path": "/templates/default/A/1.0.0/build"}, {400, 404, 405, 414, 422, 431}),
        ({"request_body": b"x"}, {400, 411, 413, 415, 422}),
        ({"request_headers": {"Accept": "*/*"}}, set()),
        ({"request_headers": {"accept": "text/csv"}}, {406}),
        ({"path": "/templates/default/a/1.0.0/build?x=1"}, {400, 422}),
        ({"path": "/templates/default/a/1.0.0/build?api_key=x", "credential": "query"}, set()),
        ({"operation": "publishTemplate", "request_headers": {"Content-Type": "application/yaml"}}, set()),
        ({"operation": "publishTemplate", "request_headers": {"Content-Type": "text/plain"}}, {400, 415}),
    ],
)
def test_only_what_is_odd_excuses(facts: dict[str, Any], expected: set[int]) -> None:
    """Each oddity of a request excuses the statuses that answer it, and a usual request excuses none."""
    assert excused(exchange(**facts), contract()) == expected


def test_operation_needs_its_own_method() -> None:
    """A request with another method is not the operation whose path it uses."""
    assert operation_of(exchange("getBuild", method="HEAD"), contract()) is None
    assert operation_of(exchange("nonsense"), contract()) is None
    assert operation_of(exchange("getBuild"), contract()) == contract().operations["getBuild"]


def test_ref_is_taken_apart_at_its_first_slash_and_last_at() -> None:
    """A ref has three parts, also where a name is odd."""
    assert parts("default/a/b@c@1.0.0") == ("default", "a/b@c", "1.0.0")
