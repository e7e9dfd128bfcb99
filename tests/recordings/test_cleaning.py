"""A recording has no credentials, no irrelevant headers, and no data of a single run."""

from dataclasses import replace

import pytest

from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings.recording import BASE_URL, RUN_ID, cleaned, without_credentials

RUN = "260102-030405-ab12cd"
REF = f"default/touchstone-{RUN}-x@1.0.0"


def renamed(text: str) -> str:
    return text.replace("http://127.0.0.1:8123/api", BASE_URL).replace(RUN, RUN_ID)


def exchange(request: Request, response: Response | None = None, **fields: object) -> Exchange:
    plain = Exchange(1, "getBuild", REF, "primary", "case", 0.0, 0.1, 0.2, request, response)
    return replace(plain, **fields)  # type: ignore[arg-type]  # fields of an exchange


def test_run_id_and_base_url_are_replaced_everywhere() -> None:
    url = f"http://127.0.0.1:8123/api/templates/default/touchstone-{RUN}-x/1.0.0"
    request = Request("POST", url, (("Accept", "*/*"),), f'{{"name": "touchstone-{RUN}-x"}}'.encode())
    response = Response(201, (("location", url),), f'{{"ref": "{REF}", "at": "{url}"}}'.encode())
    note = {"marker": f"mark-{RUN}", "lines": [f"{RUN} 1"], "sleep_s": 0.5, "deep": {"a": RUN}}
    clean = cleaned(exchange(request, response, note=note, error=f"no {RUN}"), renamed)
    new = f"{BASE_URL}/templates/default/touchstone-{RUN_ID}-x/1.0.0"

    assert clean.ref == f"default/touchstone-{RUN_ID}-x@1.0.0"
    assert clean.request == Request("POST", new, (("Accept", "*/*"),), b'{"name": "touchstone-recorded-x"}')
    assert clean.response == Response(201, (("location", new),), f'{{"ref": "{clean.ref}", "at": "{new}"}}'.encode())
    assert clean.note == {"marker": "mark-recorded", "lines": ["recorded 1"], "sleep_s": 0.5, "deep": {"a": "recorded"}}
    assert clean.error == "no recorded"


def test_irrelevant_headers_are_removed() -> None:
    request = (("Accept", "*/*"), ("Authorization", "Bearer <key:primary>"), ("Cookie", "a=b"), ("User-Agent", "x"))
    response = (("Content-Type", "a/b"), ("Retry-After", "1"), ("Set-Cookie", "a=b"), ("Server", "x"))
    clean = cleaned(exchange(Request("GET", "u", request), Response(200, response, b"{}")), str)
    assert clean.response
    assert (clean.request.headers, clean.response.headers) == (request[:2], response[:2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"api_key": "abc", "x": 1}', '{"api_key": "<redacted>", "x": 1}'),
        ('{"Access-Token":"a\\"b"}', '{"Access-Token":"<redacted>"}'),
        ('{"db_password": "p"}', '{"db_password": "<redacted>"}'),
        ("/x?token=abc&y=1", "/x?token=<redacted>&y=1"),
        ("/x?y=1&api_key=abc", "/x?y=1&api_key=<redacted>"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer <redacted>"),
        *(
            (text, text)
            for text in (
                '{"api_key": "<key:primary>"}',
                "/x?api_key=<key:primary>",
                "Bearer <key:primary>",
                '{"tokens": 5, "token_count": "7", "keyboard": "x"}',
                "Send it as Authorization: Bearer <key>.",
            )
        ),
    ],
)
def test_credentials_are_removed_by_their_names(text: str, expected: str) -> None:
    assert without_credentials(text) == expected


@pytest.mark.parametrize(
    ("body", "cuts", "expected"),
    [
        (
            "data: 1\n\ndata: 2\r\n\r\ndata: 3",
            (4, 21),
            [(2.0, "data: 1\n\n"), (2.0, "data: 2\r\n\r\n"), (3.0, "data: 3")],
        ),
        (
            f"data: {RUN}\n\ndata: {RUN} {RUN}\n\n",
            (6 + len(RUN) + 2,),
            [(1.0, "data: recorded\n\n"), (2.0, "data: recorded recorded\n\n")],
        ),
    ],
    ids=["cut-anywhere", "renamed"],
)
def test_stream_is_cut_after_each_frame(body: str, cuts: tuple[int, ...], expected: list[tuple[float, str]]) -> None:
    bounds = (0, *cuts, len(body))
    chunks = tuple(Chunk(float(nth), body[bounds[nth - 1] : bounds[nth]].encode()) for nth in range(1, len(bounds)))
    clean = cleaned(exchange(Request("GET", "u"), Response(200, (), body.encode(), chunks)), renamed)
    assert clean.response
    assert clean.response.chunks == tuple(Chunk(at_s, text.encode()) for at_s, text in expected)
