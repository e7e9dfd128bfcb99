"""One exchange as a person reads it."""

from typing import Any

import pytest

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.report.view import MAX_BODY_CHARS, MAX_HEADERS, readable


def exchange(response: Response | None, **changes: Any) -> Exchange:
    """An exchange with this answer."""
    request = Request("GET", "http://h/api/templates/x", (("accept", "*/*"),))
    values: dict[str, Any] = {"error": "", "closed": ""} | changes
    return Exchange(7, "getBuild", "n/m@1.0.0", "primary", "c", 1.0, 1.1, 1.25, request, response, **values)


def body_of(data: bytes) -> tuple[str, str]:
    """Body and remark of an answer with these bytes."""
    half = readable(exchange(Response(200, (), data)), {}).response
    assert half is not None
    return half.body, half.remark


def test_exchange_in_one_line_leaves_the_base_out() -> None:
    """One line has method, path and status; the full address is in the request."""
    shown = readable(exchange(Response(404)), {}, "http://h/api")

    assert shown.line == "GET /templates/x → 404"
    assert shown.request.start == "GET http://h/api/templates/x"


def test_json_is_indented() -> None:
    """A JSON body gets line breaks, and escapes are read."""
    assert body_of(b'{"a":"\\u00fc"}') == ('{\n  "a": "ü"\n}', "")


@pytest.mark.parametrize("data", [b'{"a":1,"a":2}', b"not json", b"[" * 100_000])
def test_what_indenting_would_change_stays_as_it_came(data: bytes) -> None:
    """Keys that occur twice are evidence and must not be tidied away; neither does depth break the report."""
    assert body_of(data)[0][:10] == data.decode()[:10]


def test_long_body_is_cut_and_says_so() -> None:
    """A body over the limit ends in an ellipsis and tells its full length."""
    body, remark = body_of(b"x" * 5_000)

    assert (len(body), body[-1], remark) == (MAX_BODY_CHARS, "…", "cut: the whole body has 5,000 bytes")


def test_body_that_the_log_cut_tells_its_full_length() -> None:
    """The length is that of the answer, not of what the run log kept."""
    half = readable(exchange(Response(200, (), b"x" * 10)), {(7, "response"): 99_999}).response

    assert half is not None
    assert half.remark == "cut: the whole body has 99,999 bytes"


def test_body_that_is_no_text_is_shown_in_hexadecimal() -> None:
    """Bytes that are not UTF-8 are not guessed at."""
    assert body_of(b"\xff\x00") == ("ff 00", "2 bytes, not UTF-8: the first 2 in hexadecimal")


def test_surplus_headers_are_counted() -> None:
    """Headers over the limit are left out and counted."""
    half = readable(exchange(Response(200, (("a", "b"),) * (MAX_HEADERS + 3))), {}).response

    assert half is not None
    assert half.headers[-1] == "… and 3 more headers"


def test_stream_tells_its_pace_and_its_end() -> None:
    """A streamed answer says when its pieces came and who ended it."""
    response = Response(200, (), b"ab", (Chunk(0.01, b"a"), Chunk(0.2, b"b")))
    half = readable(exchange(response, closed="client"), {}).response

    assert half is not None
    assert half.remark == (
        "read as a stream: 2 pieces, the first after 10 ms, the last after 200 ms; "
        "still open when its time was up after 250 ms"
    )


def test_missing_response_gives_the_error() -> None:
    """Where nothing came back the reason stands in its place, in the line too."""
    shown = readable(exchange(None, error="ReadTimeout: 30 s"), {}, "http://h/api")

    assert (shown.response, shown.error) == (None, "ReadTimeout: 30 s")
    assert shown.line == "GET /templates/x → no response (ReadTimeout: 30 s)"
