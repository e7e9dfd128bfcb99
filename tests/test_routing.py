"""Recordings are served through respx: what is asked for again, in the order in which it came, and nothing else."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.recorded import recorded
from touchstone.errors import RecordingError
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import replay
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.replay import Playback, request_key

JSON = (("content-type", "application/json"),)


def exchange(
    seq: int, method: str = "GET", target: str = "/a", body: bytes = b"", answer: Response | None = None, **fields: Any
) -> Exchange:
    request = Request(method, BASE_URL + target, (), body)
    answer = answer or Response(200, JSON, b"%d" % seq)
    made = Exchange(seq, "", None, "primary", "", seq, seq + 0.1, seq + 0.2, request, answer)
    return replace(made, **fields)


def client(*exchanges: Exchange, speed: float = float("inf")) -> tuple[httpx.Client, Playback]:
    playback = Playback(Recording("made", exchanges), speed)
    return httpx.Client(transport=httpx.MockTransport(playback.serve), base_url=BASE_URL), playback


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("get", "/a", b""), ("GET", "/a", b"")),
        (("GET", "/a?x=1&y=2", b""), ("GET", "/a?y=2&x=1", b"")),
        (("GET", "/a?x=a%20b", b""), ("GET", "/a?x=a+b", b"")),
        (("GET", "/a%2fb%7e", b""), ("GET", "/a%2Fb~", b"")),
        (("GET", "/api/a", b""), ("GET", "/a", b"")),
        (("POST", "/a", b'{"x": 1, "y": [2]}'), ("POST", "/a", b'{"y":[2],"x":1}')),
    ],
)
def test_request_is_recognised_in_any_spelling(one: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    """The order of parameters and members, white space, percent-encoding and the base path make no difference."""
    assert request_key(*one) == request_key(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("GET", "/a", b""), ("POST", "/a", b"")),
        (("GET", "/a", b""), ("GET", "/A", b"")),
        (("GET", "/a", b""), ("GET", "/a/", b"")),
        (("GET", "/a%2Fb", b""), ("GET", "/a/b", b"")),
        (("GET", "/a?x=1", b""), ("GET", "/a", b"")),
        (("GET", "/a?x=1", b""), ("GET", "/a?x=", b"")),
        (("GET", "/a?x=1&x=2", b""), ("GET", "/a?x=1", b"")),
        (("POST", "/a", b'{"x": 1}'), ("POST", "/a", b'{"x": "1"}')),
        (("POST", "/a", b'{"x": '), ("POST", "/a", b'{"x":')),
        (("POST", "/a", b"x: 1"), ("POST", "/a", b"x:  1")),
        (("POST", "/a", b""), ("POST", "/a", b"{}")),
    ],
)
def test_other_request_is_another_one(one: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    """Method, letters of the path, each parameter and each value count."""
    assert request_key(*one) != request_key(*other)


def test_repeats_are_answered_in_their_order_and_then_no_more() -> None:
    """The same request gets each recorded answer in its turn; once more is an error that names them."""
    asks, playback = client(exchange(1), exchange(2, target="/b"), exchange(3))
    assert [asks.get("/a").json() for _ in range(2)] == [1, 3]
    with pytest.raises(RecordingError, match=r"made: GET /a: asked for the 3\. time, recorded 2 times \(entry 0, 2\)"):
        asks.get("/a")
    assert len(playback.errors) == 1
    assert [left.seq for left in playback.left()] == [2]


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/a?x=2", "the nearest is entry 0; query: sent 'x=2', recorded 'x=1'"),
        ("DELETE", "/a?x=1", "the nearest is entry 0; method: sent 'DELETE', recorded 'GET'"),
        ("GET", "/templates/o/1.0.1?x=1", "the nearest is entry 2; path: sent '/templates/o/1.0.1', recorded"),
        ("POST", "/b", """the nearest is entry 1; body: sent b'', recorded b'{"x":1}'"""),
    ],
)
def test_request_that_was_not_recorded_shows_the_nearest(method: str, path: str, told: str) -> None:
    """The error says which recording is nearest and in what it differs."""
    asks, _ = client(
        exchange(1, target="/a?x=1"),
        exchange(2, "POST", "/b", b'{"x": 1}'),
        exchange(3, target="/templates/o/1.0.0?x=1"),
    )
    with pytest.raises(RecordingError) as error:
        asks.request(method, path)
    assert told in str(error.value)


def test_empty_recording_says_so() -> None:
    """Where nothing was recorded nothing is near."""
    asks, _ = client()
    with pytest.raises(RecordingError, match="made: GET /a: not in this recording; it is empty"):
        asks.get("/a")


def test_status_headers_and_body_are_those_that_were_recorded() -> None:
    """A client sees each header of the answer, and the bytes as they were."""
    answer = Response(429, (("retry-after", "3"), ("x-a", "1"), ("x-a", "2")), b'{"error": "\xc3\xbc"}')
    asks, _ = client(exchange(1, answer=answer))
    got = asks.get("/a")
    assert (got.status_code, got.content) == (429, answer.body)
    assert got.headers.multi_items() == list(answer.headers)


def test_stream_comes_in_its_pieces_at_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """At twice the speed each wait takes half as long; a piece comes when it came."""
    waits: list[float] = []
    monkeypatch.setattr(replay, "wait_s", waits.append)
    pieces = (Chunk(0.1, b"data: 1\n\n"), Chunk(1.1, b"data: 2\n\n"), Chunk(1.1, b"data: 3\n\n"), Chunk(4.1, b"x"))
    answer = Response(200, (("content-type", "text/event-stream"),), b"".join(p.data for p in pieces), pieces)
    asks, _ = client(exchange(0, answer=answer), speed=2.0)
    with asks.stream("GET", "/a") as got:
        assert list(got.iter_bytes()) == [piece.data for piece in pieces]
    assert waits == pytest.approx([0.0, 0.5, 0.0, 1.5])


def test_stream_comes_at_once_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a speed nobody waits."""
    waits: list[float] = []
    monkeypatch.setattr(replay, "wait_s", waits.append)
    asks, _ = client(exchange(0, answer=Response(200, (), b"ab", (Chunk(1.0, b"a"), Chunk(9.0, b"b")))))
    with asks.stream("GET", "/a") as got:
        assert list(got.iter_bytes()) == [b"a", b"b"]
    assert set(waits) == {0.0}


def test_asynchronous_client_is_served_the_same() -> None:
    """A stream can be read asynchronously, in its pieces."""
    pieces = (Chunk(0.0, b"a"), Chunk(0.0, b"b"))
    playback = Playback(Recording("made", (exchange(1, answer=Response(200, (), b"ab", pieces)),)))

    async def read() -> list[bytes]:
        transport = httpx.MockTransport(playback.serve)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as asks, asks.stream("GET", "/a") as got:
            return [piece async for piece in got.aiter_bytes()]

    assert asyncio.run(read()) == [b"a", b"b"]


def test_recorded_failure_is_a_failure_again() -> None:
    """Where no answer came, the client meets the same exception."""
    asks, _ = client(exchange(1, error="ReadTimeout: timed out", response=None))
    with pytest.raises(httpx.ReadTimeout, match="timed out"):
        asks.get("/a")


@pytest.mark.parametrize("error", ["RemoteProtocolError: closed", "body not complete after 30.0 s and 5 bytes"])
def test_stream_that_broke_off_breaks_off_again(error: str) -> None:
    """The client gets what came, and then the error."""
    answer = Response(200, (), b"data: 1\n\n", (Chunk(0.0, b"data: 1\n\n"),))
    asks, _ = client(exchange(1, answer=answer, error=error))
    with asks.stream("GET", "/a") as stream:
        pieces = stream.iter_bytes()
        assert next(pieces) == answer.body
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)


def test_request_is_cleaned_before_it_is_looked_up() -> None:
    """A key in a query is found by the marker that stands for it in the recording."""
    asks, playback = client(exchange(1, target="/a?api_key=<key:primary>"))
    playback.clean = lambda text: text.replace("sk_live_test_x", "<key:primary>")
    assert asks.get("/a?api_key=sk_live_test_x").json() == 1


def test_each_recorded_request_of_the_twin_finds_its_answer() -> None:
    """Whatever was recorded can be asked for, and then nothing is left."""
    playback = Playback(recorded("rate-limit"))
    with httpx.Client(transport=httpx.MockTransport(playback.serve)) as asks:
        for each in playback.recording.exchanges:
            request = each.request
            got = asks.request(request.method, request.url, content=request.body, headers=dict(request.headers))
            assert each.response is not None
            assert (got.status_code, got.content) == (each.response.status, each.response.body)
    assert playback.left() == ()
