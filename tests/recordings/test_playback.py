"""A served recording returns the recorded responses, in their order and at their pace, and nothing else."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from tests.recorded import document, every, recorded, saved
from touchstone import recordings
from touchstone.errors import RecordingError, UsageError
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.recordings import conversation, har, servers
from touchstone.recordings.conversation import Conversation, request_key
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.servers import ServedRecording, ServedTwin

JSON = (("content-type", "application/json"),)


def exchange(
    seq: int, method: str = "GET", target: str = "/a", body: bytes = b"", answer: Response | None = None, **fields: Any
) -> Exchange:
    request = Request(method, BASE_URL + target, (), body)
    answer = answer or Response(200, JSON, b"%d" % seq)
    return replace(Exchange(seq, "", None, "primary", "", seq, seq + 0.1, seq + 0.2, request, answer), **fields)


def client(*exchanges: Exchange, speed: float = 0.0, url: str = BASE_URL) -> tuple[httpx.Client, Conversation]:
    playback = Conversation([Recording("mine", exchanges)], speed, url)
    return httpx.Client(transport=httpx.MockTransport(playback.serve), base_url=url), playback


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        (("get", "/a", b""), ("GET", "/a", b""), True),
        (("GET", "/a?x=1&y=2", b""), ("GET", "/a?y=2&x=1", b""), True),
        (("GET", "/a?x=a%20b", b""), ("GET", "/a?x=a+b", b""), True),
        (("GET", "/a%2fb%7e", b""), ("GET", "/a%2Fb~", b""), True),
        (("POST", "/a", b'{"x": 1, "y": [2]}'), ("POST", "/a", b'{"y":[2],"x":1}'), True),
        (("GET", "/a", b""), ("POST", "/a", b""), False),
        (("GET", "/a", b""), ("GET", "/A", b""), False),
        (("GET", "/a", b""), ("GET", "/a/", b""), False),
        (("GET", "/a%2Fb", b""), ("GET", "/a/b", b""), False),
        (("GET", "/a?x=1", b""), ("GET", "/a", b""), False),
        (("GET", "/a?x=1", b""), ("GET", "/a?x=", b""), False),
        (("POST", "/a", b'{"x": 1}'), ("POST", "/a", b'{"x": "1"}'), False),
        (("POST", "/a", b'{"x": '), ("POST", "/a", b'{"x":'), False),
        (("POST", "/a", b"x: 1"), ("POST", "/a", b"x:  1"), False),
    ],
)
def test_equal_requests_share_a_key(one: tuple[str, str, bytes], other: tuple[str, str, bytes], is_equal: bool) -> None:
    assert (request_key(*one) == request_key(*other)) == is_equal


@pytest.mark.parametrize(
    ("method", "path", "entry", "difference"),
    [
        ("GET", "/a?x=2", 0, ("query", "x=2", "x=1")),
        ("DELETE", "/a?x=1", 0, ("method", "DELETE", "GET")),
        ("GET", "/templates/o/1.0.1?x=1", 2, ("path", "/templates/o/1.0.1", "/templates/o/1.0.0")),
        ("POST", "/b", 1, ("body", b"", b'{"x":1}')),
    ],
)
def test_unrecorded_request_reports_the_nearest_and_its_differences(
    method: str, path: str, entry: int, difference: tuple[str, object, object]
) -> None:
    requests, _ = client(
        exchange(1, target="/a?x=1"),
        exchange(2, "POST", "/b", b'{"x": 1}'),
        exchange(3, target="/templates/o/1.0.0?x=1"),
    )
    with pytest.raises(RecordingError) as error:
        requests.request(method, path)
    assert f"entry {entry};" in str(error.value)
    assert str(error.value).endswith("{}: sent {!r}, recorded {!r}".format(*difference))
    with pytest.raises(RecordingError, match="GET /a"):
        client()[0].get("/a")


def test_key_in_a_request_matches_its_marker() -> None:
    requests, playback = client(exchange(1, target="/a?api_key=<key:primary>"))
    assert requests.get(f"/a?api_key={playback.key}").json() == 1


def test_status_headers_and_body_are_the_recorded_ones() -> None:
    answer = Response(429, (("retry-after", "3"), ("x-a", "1"), ("x-a", "2")), b'{"error": "\xc3\xbc"}')
    others = (("content-length", "7"), ("transfer-encoding", "chunked"), ("location", f"{BASE_URL}/b"))
    requests, _ = client(exchange(1, answer=replace(answer, headers=answer.headers + others)), url="http://other.test")
    got = requests.get("/a")
    assert (got.status_code, got.content) == (429, answer.body)
    assert got.headers.multi_items() == [*answer.headers, ("location", "http://other.test/b")]


PIECES = (Chunk(0.1, b"data: 1\n\n"), Chunk(1.1, b"data: 2\n\n"), Chunk(1.1, b"data: 3\n\n"), Chunk(4.1, b"x"))
STREAM = Response(200, (("content-type", "text/event-stream"),), b"".join(piece.data for piece in PIECES), PIECES)


@pytest.mark.parametrize(("speed", "waits_s"), [(2.0, [0.0, 0.5, 0.0, 1.5]), (0.0, [0.0] * 4)])
def test_stream_keeps_its_chunks_and_its_pace(
    speed: float, waits_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)

    monkeypatch.setattr(conversation.time, "sleep", waited_s.append)
    monkeypatch.setattr("touchstone.recordings.conversation.anyio.sleep", sleep)
    requests, playback = client(exchange(0, answer=STREAM), exchange(1, answer=STREAM), speed=speed)
    with requests.stream("GET", "/a") as got:
        assert list(got.iter_bytes()) == [piece.data for piece in PIECES]
    assert waited_s == pytest.approx(waits_s)
    waited_s.clear()

    async def read() -> list[bytes]:
        transport = httpx.MockTransport(playback.serve)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as other, other.stream("GET", "/a") as got:
            return [piece async for piece in got.aiter_bytes()]

    assert asyncio.run(read()) == [piece.data for piece in PIECES]
    assert waited_s == pytest.approx([wait for wait in waits_s if wait])


def test_recorded_failure_is_raised_again() -> None:
    requests, _ = client(exchange(1, error="ReadTimeout: timed out", response=None))
    with pytest.raises(httpx.ReadTimeout, match="timed out"):
        requests.get("/a")


@pytest.mark.parametrize("error", ["RemoteProtocolError: closed", "body not complete after 30.0 s and 5 bytes"])
def test_broken_stream_breaks_off_after_its_chunks(error: str) -> None:
    requests, _ = client(exchange(1, answer=Response(200, (), b"a", (Chunk(0.0, b"a"),)), error=error))
    with requests.stream("GET", "/a") as stream:
        pieces = stream.iter_bytes()
        assert next(pieces) == b"a"
        with pytest.raises(httpx.RemoteProtocolError):
            next(pieces)


def build_of(ref: str) -> str:
    """The path of the build of a version."""
    return f"/templates/{ref.replace('@', '/')}/build"


BUILD = build_of("default/touchstone-recorded-fresh-build@1.0.0")
UNBUILT = next(each for each in recorded("fresh-build").exchanges if each.operation == "getBuild")


@pytest.mark.parametrize("base_url", [BASE_URL, "http://localhost:8000", "https://www.Orgo.ai:443/api/v2/"])
def test_router_answers_every_httpx_client(base_url: str, tmp_path: Path) -> None:
    async def asynchronous() -> httpx.Response:
        async with httpx.AsyncClient(base_url=base_url) as requests:
            return await requests.get(BUILD)

    for scenario in ("fresh-build", saved(document("fresh-build"), tmp_path)):
        with httpx.Client(base_url=base_url) as before, recordings.router(scenario, base_url) as router:
            responses = [before.get(BUILD), asyncio.run(asynchronous()), httpx.get(base_url.rstrip("/") + BUILD)]
            assert [call.response.json() for call in router.calls] == [UNBUILT.body] * 3
            with before.stream("GET", f"{BUILD}/events") as log:
                assert "phase" in "".join(log.iter_text())
    assert [response.json() for response in responses] == [UNBUILT.body] * 3


def test_router_is_one_of_respx() -> None:
    router = recordings.router("fresh-build", assert_all_called=False)
    router.get("https://other.test/a").respond(204)
    assert (type(router), len(router.routes), router["fresh-build"].called) == (respx.MockRouter, 2, False)

    @router
    def statuses(path: str) -> list[object]:
        return [httpx.get(BASE_URL + path).json()["status"], httpx.get("https://other.test/a").status_code]

    # Each start begins the recording again.
    assert [statuses(BUILD) for _ in range(2)] == [["not_built", 204]] * 2
    with respx.mock(base_url=BASE_URL) as ours, router:
        ours.get("/health").respond(503)
        assert [httpx.get(BASE_URL + path).status_code for path in ("/health", BUILD)] == [503, 200]
        with pytest.raises(RecordingError, match="nearest is entry"):
            httpx.put(BASE_URL + BUILD)
        with pytest.raises(AssertionError, match="not mocked"):
            httpx.get("https://elsewhere.test/a")
    with httpx.Client(transport=httpx.MockTransport(router.handler)) as client:
        assert client.get(BASE_URL + BUILD).json()["status"] == "not_built"


@pytest.mark.parametrize("serve", [servers.recorded, recordings.router])
def test_speed_changes_the_pace_of_a_served_recording(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits_s: list[float] = []
    monkeypatch.setattr(conversation.time, "sleep", waits_s.append)
    for speed in (1.0, 2.0, 0.0):
        with serve("events-ready", speed=speed):
            httpx.get(f"{BASE_URL}{BUILD.replace('fresh-build', 'events-ready')}/events")
    plain, fast, instant = (waits_s[nth * len(waits_s) // 3 :][: len(waits_s) // 3] for nth in range(3))
    assert (max(plain) > 0.1, fast, set(instant)) == (True, [wait / 2 for wait in plain], {0.0})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://www.orgo.ai/api/templates/a?api_key=sk_live_x", "GET https://www.orgo.ai/api/templates/a"),
        ("https://me:secret@builds.test:81/api/templates", "GET https://builds.test:81/api/templates"),
        ("http://builds.test/api/templates", "GET http://builds.test/api/templates"),
        ("https://builds.test/templates/a/b/1.0.0/build", "GET https://builds.test/templates/a/b/1.0.0/build"),
    ],
)
def test_request_to_another_place_is_an_error_without_its_key(url: str, place: str) -> None:
    with servers.recorded("reuse") as served:
        with pytest.raises(RecordingError) as error:
            httpx.get(url)
        served.errors.clear()
    message = str(error.value)
    assert [part in message for part in (place, BASE_URL, "sk_live", "secret")] == [True, True, False, False]


def test_swallowed_error_is_raised_once_at_the_end() -> None:
    with pytest.raises(RecordingError) as error, servers.recorded("reuse") as served:
        for _ in range(2):
            with pytest.raises(RecordingError):
                httpx.put(served.url + build_of(served.ref))
    assert str(error.value).count(f"PUT {build_of(served.ref)}: ") == 1


def test_unused_exchanges_are_listed_and_the_network_is_back() -> None:
    with servers.recorded("cancel-when-idle") as served:
        whole = served.unused
        assert whole[0] == "POST /templates → 201"
        assert len(whole) == len(served.recording.exchanges)
        httpx.delete(served.url + build_of(served.ref))
    assert served.unused == tuple(each for each in whole if not each.startswith("DELETE"))
    with ServedTwin() as twin:
        assert httpx.get(f"{twin.url}/templates").status_code == 401


# In these, it is another version whose start is refused.
SUBJECTS = {
    "below-plan": "default/legacy-demo@1.0.0",
    "capacity": "default/touchstone-recorded-capacity-3@1.0.0",
    "unknown-version": "default/touchstone-recorded-unknown-version@9.9.9",
}


def test_published_recording_is_about_the_version_of_its_scenario() -> None:
    for name in every():
        served = ServedRecording(recorded(name))
        assert served.ref in served.refs
        assert f"{served.namespace}/{served.name}@{served.version}" == served.ref
        assert served.ref == SUBJECTS.get(name, f"default/touchstone-recorded-{name}@1.0.0")


def test_file_of_another_name_is_about_its_first_version(tmp_path: Path) -> None:
    path = tmp_path / "mine.har"
    path.write_text(har.render(replace(recorded("reuse"), name="mine")), "utf-8")
    for where, folder in ((path, None), (str(path), None), ("mine", tmp_path)):
        with servers.recorded(where, folder=folder) as served:
            assert served.ref == "default/touchstone-recorded-reuse@1.0.0"
    assert ServedRecording(Recording("empty", ())).ref == ""


@pytest.mark.parametrize(
    ("scenario", "nearest"), [("rate-limits", "rate-limit?"), ("?", "shared-digest"), ("none.har", ""), (Path("n"), "")]
)
def test_unknown_scenario_is_a_usage_error_with_the_nearest(scenario: str | Path, nearest: str) -> None:
    with pytest.raises(UsageError) as error:
        recordings.router(scenario)
    assert repr(str(scenario)) in str(error.value)
    assert nearest in str(error.value)


@pytest.mark.parametrize(
    "wrong", [*({"speed": speed} for speed in (-1.0, float("nan"), True, "fast")), {"base_url": "localhost:8000"}]
)
def test_wrong_option_is_a_usage_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        recordings.router("reuse", **wrong)
