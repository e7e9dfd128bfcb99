"""What an answer is before anybody asks what it means."""

import pytest

from tests.rules.exchanges import exchange
from touchstone.facts.exchange import Response
from touchstone.rules.messages import announces_json, error_problem, json_problem
from touchstone.rules.rule import describe


@pytest.mark.parametrize(
    ("media_type", "json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/html", False),
        ("", False),
    ],
)
def test_json_is_announced_by_its_media_type(media_type: str, json: bool) -> None:
    """RFC 6839 3.1: a suffix tells that a type is JSON as well."""
    assert announces_json(Response(200, (("content-type", media_type),))) is json


def test_problem_of_a_body_says_what_is_wrong() -> None:
    """The words are those of the parser; a good body has no problem."""
    assert json_problem(b'{"a": 1}') == ""
    assert "delimiter" in json_problem(b'{"a" 1}')


@pytest.mark.parametrize(
    ("headers", "body", "problem"),
    [
        ((), b'{"error": "no"}', ""),
        ((), b'{"error": " "}', '{"error": " "}'),
        ((), b'{"detail": "no"}', '{"detail": "no"}'),
        ((("content-type", "text/html"),), b"<p>", "text/html b'<p>'"),
        ((), b"<p>", "no media type b'<p>'"),
    ],
)
def test_problem_of_an_error_shows_the_body_and_how_it_is_announced(
    headers: tuple[tuple[str, str], ...], body: bytes, problem: str
) -> None:
    """A body that is no error object is shown with its media type, an object without its text as it is."""
    assert error_problem(Response(500, headers, body)) == problem


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"status": 404, "json": {"error": "no"}}, '404 {"error": "no"}'),
        ({"status": 502, "body": b"bad gateway"}, "502 b'bad gateway'"),
        ({"status": 204}, "204"),
        ({"status": 200, "json": {}}, "200 {}"),
        ({"status": 0, "error": "ConnectError: refused"}, "ConnectError: refused"),
    ],
)
def test_answer_is_told_by_its_status_and_its_body(facts: dict[str, object], words: str) -> None:
    """A finding says what came, a JSON object as one; no body has nothing to show."""
    assert describe(exchange(**facts)) == words  # type: ignore[arg-type]
