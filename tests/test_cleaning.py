"""A recording holds what an exchange means, and neither credentials nor what only one run has."""

from dataclasses import replace

import pytest

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings.recording import BASE_URL, RUN_ID, cleaned, without_credentials

RUN = "260102-030405-ab12cd"
REF = f"default/touchstone-{RUN}-x@1.0.0"


def renamed(text: str) -> str:
    return text.replace("http://127.0.0.1:8123/api", BASE_URL).replace(RUN, RUN_ID)


def made(request: Request, response: Response | None = None, **fields: object) -> Exchange:
    exchange = Exchange(1, "getBuild", REF, "primary", "case", 0.0, 0.1, 0.2, request, response)
    return replace(exchange, **fields)  # type: ignore[arg-type]  # fields of an exchange


def test_run_id_and_base_url_are_replaced_everywhere() -> None:
    """In the URL, headers, bodies, the ref, the note and the error; whatever is the same in the next run stays."""
    url = f"http://127.0.0.1:8123/api/templates/default/touchstone-{RUN}-x/1.0.0"
    request = Request("POST", url, (("Accept", "*/*"),), f'{{"name": "touchstone-{RUN}-x"}}'.encode())
    response = Response(201, (("location", url),), f'{{"ref": "{REF}", "at": "{url}"}}'.encode())
    note = {"marker": f"mark-{RUN}", "lines": [f"{RUN} 1"], "sleep_s": 0.5, "deep": {"a": RUN}}
    clean = cleaned(made(request, response, note=note, error=f"no {RUN}"), renamed)
    new = f"{BASE_URL}/templates/default/touchstone-{RUN_ID}-x/1.0.0"
    assert clean.ref == f"default/touchstone-{RUN_ID}-x@1.0.0"
    assert clean.request == Request("POST", new, (("Accept", "*/*"),), b'{"name": "touchstone-recorded-x"}')
    assert clean.response == Response(201, (("location", new),), f'{{"ref": "{clean.ref}", "at": "{new}"}}'.encode())
    assert clean.note == {"marker": "mark-recorded", "lines": ["recorded 1"], "sleep_s": 0.5, "deep": {"a": "recorded"}}
    assert clean.error == "no recorded"


def test_headers_that_nobody_named_are_left_out() -> None:
    """Cookies, server names, lengths and identifiers of requests are no part of a recording."""
    sent = (("Accept", "*/*"), ("Cookie", "a=b"), ("User-Agent", "x"), ("Authorization", "Bearer <key:primary>"))
    came = (
        ("Content-Type", "a/b"),
        ("Set-Cookie", "a=b"),
        ("Server", "x"),
        ("Content-Length", "2"),
        ("Retry-After", "1"),
    )
    clean = cleaned(made(Request("GET", "u", sent), Response(200, came, b"{}")), str)
    assert clean.request.headers == (sent[0], sent[3])
    assert clean.response is not None
    assert clean.response.headers == (came[0], came[4])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"api_key": "abc", "x": 1}', '{"api_key": "<redacted>", "x": 1}'),
        ('{"Access-Token":"a\\"b"}', '{"Access-Token":"<redacted>"}'),
        ('{"db_password": "p"}', '{"db_password": "<redacted>"}'),
        ("/x?token=abc&y=1", "/x?token=<redacted>&y=1"),
        ("/x?y=1&api_key=abc", "/x?y=1&api_key=<redacted>"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer <redacted>"),
        ('{"api_key": "<key:primary>"}', '{"api_key": "<key:primary>"}'),
        ("/x?api_key=<key:primary>", "/x?api_key=<key:primary>"),
        ("Bearer <key:primary>", "Bearer <key:primary>"),
        ('{"tokens": 5, "token_count": "7", "keyboard": "x"}', '{"tokens": 5, "token_count": "7", "keyboard": "x"}'),
        ("Send it as Authorization: Bearer <key>.", "Send it as Authorization: Bearer <key>."),
    ],
)
def test_credentials_are_known_by_their_names(text: str, expected: str) -> None:
    """Values of members, parameters and schemes that carry credentials are removed, markers of known keys stay."""
    assert without_credentials(text) == expected


def test_stream_is_cut_after_each_frame() -> None:
    """However the network cut it, a piece is a frame, and comes when its last byte came."""
    body = b"data: 1\n\ndata: 2\r\n\r\ndata: 3"
    pieces = (Chunk(1.0, body[:4]), Chunk(2.0, body[4:21]), Chunk(3.0, body[21:]))
    clean = cleaned(made(Request("GET", "u"), Response(200, (), body, pieces)), str)
    assert clean.response is not None
    assert clean.response.chunks == (
        Chunk(2.0, b"data: 1\n\n"),
        Chunk(2.0, b"data: 2\r\n\r\n"),
        Chunk(3.0, b"data: 3"),
    )


def test_pieces_fit_a_body_that_became_shorter() -> None:
    """Where a name in a log is called otherwise, its pieces have other lengths and the same times."""
    body = f"data: {RUN}\n\ndata: {RUN} {RUN}\n\n".encode()
    first = body.index(b"\n\n") + 2
    response = Response(200, (), body, (Chunk(1.0, body[:first]), Chunk(2.0, body[first:])))
    clean = cleaned(made(Request("GET", "u"), response), renamed)
    assert clean.response is not None
    assert clean.response.chunks == (
        Chunk(1.0, b"data: recorded\n\n"),
        Chunk(2.0, b"data: recorded recorded\n\n"),
    )
