"""
What the tests of a client borrow: recordings that answer every client, and twins with the options that were asked for.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from touchstone.contract.files import recordings_dir
from touchstone.errors import RecordingError, UsageError
from touchstone.facts.exchange import Exchange
from touchstone.recordings import har, reader, replay, servers
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.servers import ServedRecording, ServedTwin, recorded

SCENARIOS = sorted(path.stem for path in recordings_dir().glob("*.har"))
Ask = Callable[..., httpx.Response]


def build_of(ref: str) -> str:
    """The path of the build of a version."""
    return f"/templates/{ref.replace('@', '/')}/build"


def reads(recording: ServedRecording) -> list[Exchange]:
    """The recorded status reads of the version that a scenario is about."""
    url = recording.url + build_of(recording.ref)
    return [each for each in recording.recording.exchanges if each.request.url == url and each.request.method == "GET"]


# --- recordings ------------------------------------------------------------------------------------------------------


def from_its_base(lent: ServedRecording) -> Any:
    with httpx.Client(base_url=lent.url, headers={"Authorization": f"Bearer {lent.key}"}) as client:
        return client.get(build_of(lent.ref)).json()


def from_a_base_that_ends_in_a_slash(lent: ServedRecording) -> Any:
    with httpx.Client(base_url=f"{lent.url}/") as client:
        return client.get(build_of(lent.ref)[1:]).json()


def at_once(lent: ServedRecording) -> Any:
    return httpx.get(lent.url + build_of(lent.ref)).json()


def with_retries(lent: ServedRecording) -> Any:
    with httpx.Client(transport=httpx.HTTPTransport(retries=2)) as client:
        return client.get(lent.url + build_of(lent.ref)).json()


def asynchronously(lent: ServedRecording) -> Any:
    async def ask() -> Any:
        async with httpx.AsyncClient(base_url=lent.url) as client:
            return (await client.get(build_of(lent.ref))).json()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "ask", [from_its_base, from_a_base_that_ends_in_a_slash, at_once, with_retries, asynchronously]
)
def test_every_httpx_client_is_answered(ask: Callable[[ServedRecording], Any]) -> None:
    """A client is answered in whichever way it is made, each request by the next recorded exchange."""
    with recorded("fresh-build") as lent:
        told = [ask(lent) for _ in reads(lent)]
    assert told == [each.body for each in reads(lent)]
    assert len(told) > 1


def test_client_that_was_made_before_is_answered() -> None:
    """
    A client that has its connections already is answered by the recording, and reaches the network again afterwards.
    """
    with ServedTwin() as twin, httpx.Client(headers={"Authorization": f"Bearer {twin.key}"}) as client:
        ref = twin.publish("echo hello")
        assert client.get(twin.url + build_of(ref)).json()["ref"] == ref
        with recorded("reuse") as lent:
            assert client.post(lent.url + build_of(lent.ref)).json()["ref"] == lent.ref
        assert client.get(twin.url + build_of(ref)).json()["ref"] == ref


def in_pieces(url: str) -> list[bytes]:
    with httpx.stream("GET", url) as response:
        return list(response.iter_raw())


def in_pieces_asynchronously(url: str) -> list[bytes]:
    async def ask() -> list[bytes]:
        async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
            return [piece async for piece in response.aiter_raw()]

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [in_pieces, in_pieces_asynchronously])
def test_stream_comes_in_the_pieces_that_were_recorded(ask: Callable[[str], list[bytes]]) -> None:
    """A client reads a log piece by piece, as the server wrote it."""
    with recorded("events-ready") as lent:
        url = f"{lent.url}{build_of(lent.ref)}/events"
        (first, *_) = [each for each in lent.recording.exchanges if each.request.url == url]
        assert first.response
        assert ask(url) == [chunk.data for chunk in first.response.chunks]
    assert len(first.response.chunks) > 3


def test_speed_divides_the_waits_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    At twice the speed each piece is waited for half as long as when it was recorded; at speed 0 there are no waits.
    """
    waits: list[float] = []
    monkeypatch.setattr(replay, "wait_s", waits.append)
    for speed in (1.0, 2.0, 0.0):
        with recorded("events-ready", speed=speed) as lent:
            in_pieces(f"{lent.url}{build_of(lent.ref)}/events")
    third = len(waits) // 3
    assert max(waits[:third]) > 0.1
    assert waits[third : 2 * third] == [wait / 2 for wait in waits[:third]]
    assert set(waits[2 * third :]) == {0.0}


def test_body_and_query_may_be_spelled_otherwise() -> None:
    """
    The order of keys and white space of a JSON body do not matter, nor does the order of a query; another value does.
    """
    with recorded("fresh-build") as lent:
        (sent,) = [each.request for each in lent.recording.exchanges if each.request.url == f"{lent.url}/templates"]
        document = json.loads(sent.body)
        other = json.dumps(dict(reversed(document.items())), indent=3)
        assert httpx.post(sent.url, content=other).status_code == 201
        with pytest.raises(RecordingError, match="body: sent"):
            httpx.post(sent.url, json=document | {"api_version": "other"})
        lent.errors.clear()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "https://www.orgo.ai/api/templates/a/b/1.0.0/build?api_key=sk_live_x",
            "GET https://www.orgo.ai/api/templates",
        ),
        ("https://me:secret@builds.test:81/api/templates", "GET https://builds.test:81/api/templates"),
        ("http://builds.test/api/templates", "GET http://builds.test/api/templates"),
        ("https://builds.test/templates/a/b/1.0.0/build", "GET https://builds.test/templates/a/b/1.0.0/build"),
    ],
)
def test_request_to_another_place_says_so(url: str, shown: str) -> None:
    """A request that leaves the API is an error that names the place and the URL that is right, and shows no key."""
    with recorded("reuse") as lent:
        with pytest.raises(RecordingError) as told:
            httpx.get(url)
        lent.errors.clear()
    assert shown in str(told.value)
    assert BASE_URL in str(told.value)
    assert "sk_live" not in str(told.value)
    assert "secret" not in str(told.value)


def test_swallowed_error_is_told_at_the_end() -> None:
    """What a recording could not answer is an error when it is given back, told once, with the nearest exchange."""
    with pytest.raises(RecordingError) as told, recorded("reuse") as lent:
        for _ in range(2):
            with pytest.raises(RecordingError):
                httpx.put(lent.url + build_of(lent.ref))
    assert str(told.value).count(f"PUT {build_of(lent.ref)}: not in this recording; the nearest is entry") == 1


def test_exception_of_a_test_comes_first() -> None:
    """A test that fails by itself fails with its own exception, and takes the recording off."""
    with pytest.raises(ZeroDivisionError), recorded("reuse") as lent:
        with pytest.raises(RecordingError):
            httpx.put(lent.url)
        raise ZeroDivisionError
    with recorded("reuse") as lent:
        assert at_once(lent)["status"] == "building"


def test_unused_is_what_nobody_asked_for() -> None:
    """Each request takes one exchange out of what is left."""
    with recorded("cancel-when-idle") as lent:
        whole = lent.unused
        assert whole[0] == "POST /templates → 201"
        assert len(whole) == len(lent.recording.exchanges)
        httpx.delete(lent.url + build_of(lent.ref))
    assert lent.unused == tuple(each for each in whole if not each.startswith("DELETE"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_scenario_has_a_main_version(scenario: str) -> None:
    """Every recording that is lent by name says which version it is about, in one piece and in three."""
    with recorded(scenario) as lent:
        assert lent.ref in lent.refs
        assert f"{lent.namespace}/{lent.name}@{lent.version}" == lent.ref
        assert (lent.name, lent.version) == (f"touchstone-recorded-{scenario}", "1.0.0")


def test_recording_of_others_is_about_its_first_version(tmp_path: Path) -> None:
    """A file of any name is lent by its path; without a scenario its main version is the first one, or none."""
    made = reader.read(recordings_dir() / "reuse.har")
    text = har.render(replace(made, name="mine"))
    (tmp_path / "mine.har").write_text(text, "utf-8")
    for known in (tmp_path / "mine.har", str(tmp_path / "mine.har")):
        with recorded(known) as lent:
            assert lent.ref == "default/touchstone-recorded-reuse@1.0.0"
    with recorded("mine", folder=tmp_path) as lent:
        assert lent.recording.name == "mine"
    assert ServedRecording(Recording("empty", ())).ref == ""


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("rate-limits", "scenario 'rate-limits': no recording of it; did you mean rate-limit?"),
        ("?", f"scenario '?': no recording of it; known: {', '.join(SCENARIOS)}"),
        ("none.har", "recording 'none.har': no such file; expected one, or the name of a scenario"),
        (Path("none"), "recording 'none': no such file; expected one, or the name of a scenario"),
    ],
)
def test_unknown_scenario_names_the_nearest(scenario: str | Path, message: str) -> None:
    """A name that no recording has is answered with the nearest one that has it."""
    with pytest.raises(UsageError) as told:
        servers.found(scenario)
    assert str(told.value) == message


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf"), True, "fast"])
def test_speed_that_is_none_is_refused(speed: Any) -> None:
    """A speed is a number of 0 or more."""
    with pytest.raises(UsageError, match=r"speed: found .*; expected a number of 0 or more"):
        ServedRecording(Recording("empty", ()), speed)


# --- twins -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def api() -> Iterator[Ask]:
    """Asks a twin with the key that it lends."""
    with httpx.Client() as client:

        def ask(twin: ServedTwin, method: str, ref: str, rest: str = "") -> httpx.Response:
            headers = {"Authorization": f"Bearer {twin.key}"}
            return client.request(method, twin.url + build_of(ref) + rest, headers=headers)

        yield ask


def test_published_steps_are_what_is_built(api: Ask) -> None:
    """A version is published by its steps, with a name of its own or one that is asked for, and its build runs them."""
    with ServedTwin() as twin:
        first, second = twin.publish("echo hello"), twin.publish("exit 4", name="mine", version="2.0.0")
        third = twin.publish()
        assert (second, len({first, second, third})) == ("default/mine@2.0.0", 3)
        for ref, line in ((first, "hello"), (second, "build.run step 1 ended with exit status 4")):
            assert api(twin, "POST", ref).json()["status"] == "building"
            assert line in api(twin, "GET", ref, "/events").text
        assert [api(twin, "GET", ref).json()["status"] for ref in (first, second)] == ["ready", "failed"]


def test_publishing_says_why_it_is_refused() -> None:
    """A version that the twin does not take is an error with the answer in it."""
    with ServedTwin() as twin:
        with pytest.raises(UsageError, match=r"publish Mine@1\.0\.0: the twin answers 422 .*template\.name"):
            twin.publish(name="Mine")
        twin.publish("echo one", name="mine")
        with pytest.raises(UsageError, match=r"publish mine@1\.0\.0: the twin answers 409"):
            twin.publish("echo two", name="mine")


def test_publishing_goes_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not asked for what is on this machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with ServedTwin() as twin:
        assert twin.publish("echo hello")


def test_twins_know_nothing_of_each_other(api: Ask) -> None:
    """What is published on one twin is not on another."""
    with ServedTwin() as one, ServedTwin() as other:
        ref = one.publish("echo hello")
        assert [api(twin, "GET", ref).status_code for twin in (one, other)] == [200, 404]


def test_twin_is_gone_when_it_is_given_back() -> None:
    """Nobody answers at the address of a twin that was given back."""
    with ServedTwin() as twin:
        url = twin.url
        assert httpx.get(f"{url}/templates").status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/templates")


def test_plan_chooses_the_key(api: Ask) -> None:
    """Each account has a role; the key that is lent is one of the plan that was asked for."""
    with ServedTwin(plan="hacker") as below, ServedTwin() as scale:
        assert list(below.keys) == ["primary", "second", "restricted"]
        assert (below.key, scale.key) == (below.keys["restricted"], scale.keys["primary"])
        assert api(below, "POST", below.publish("echo hello")).status_code == 403


def test_limits_are_those_that_were_asked_for(api: Ask) -> None:
    """A rate and a capacity are met, and a refusal says when to come back in the form that was asked for."""
    with ServedTwin(rate="1/60", retry_after="none") as twin:
        ref = twin.publish("echo hello")
        assert [api(twin, "POST", ref).status_code for _ in range(2)] == [202, 429]
        assert "retry-after" not in api(twin, "POST", ref).headers
    with ServedTwin(capacity=1) as twin:
        answers = [api(twin, "POST", twin.publish("sleep 60")) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 429]
        assert answers[1].headers["retry-after"].isdecimal()


def test_faults_and_variants_have_their_names(api: Ask) -> None:
    """
    A twin breaks the promise that is named, or reads the documentation as the variant does; a variant may be a freedom.
    """
    with ServedTwin(fault="cancel-answers-200", capacity=None) as twin:
        ref = twin.publish("sleep 60")
        api(twin, "POST", ref)
        assert api(twin, "DELETE", ref).status_code == 200
    with ServedTwin(variant="no-retry-after", capacity=1) as twin:
        answers = [api(twin, "POST", twin.publish("sleep 60")) for _ in range(2)]
        assert "retry-after" not in answers[1].headers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capasity": 1}, "capasity: there is no such option; did you mean capacity?"),
        ({"falt": "x"}, "falt: there is no such option; did you mean fault?"),
        ({"port": 80}, "port: there is no such option; known: build_s, "),
        ({"fault": "log-time-out"}, "fault 'log-time-out': there is none; did you mean log-times-out?"),
        ({"fault": "?"}, "fault '?': there is none; `touchstone prove --list` shows all names"),
        ({"fault": 3}, "fault: found 3; expected a text"),
        ({"variant": "no-retry-afer"}, "variant 'no-retry-afer': there is none; did you mean no-retry-after?"),
        ({"fault": "log-times-out", "variant": "no-retry-after"}, "fault and variant: a twin has one of them"),
        ({"variant": "no-retry-after", "retry_after": "date"}, "retry_after: no-retry-after needs none; leave"),
        ({"plan": "scal"}, "plan: found 'scal'; expected scale or hacker"),
        (
            {"retry_after": "second"},
            "retry_after: found 'second'; expected seconds, date or none",
        ),
        ({"rate": 2}, "rate: found 2; expected [FAMILY:]LIMIT/SECONDS"),
        ({"rate": "2"}, "rate: found '2'; expected [FAMILY:]LIMIT/SECONDS"),
        ({"rate": "fixd-window:2/1"}, "rate: unknown family 'fixd-window'"),
        ({"capacity": 0}, "capacity: found 0; expected a whole number of 1 or more"),
        ({"capacity": "1"}, "capacity: found '1'; expected a whole number of 1 or more"),
        ({"build_s": "0.1"}, "build_s: found '0.1'; expected a number of 0 or more"),
        ({"latency_s": -1}, "latency_s: found -1; expected a number of 0 or more"),
        ({"build_timeout_s": 0}, "build_timeout_s: found 0.0; expected seconds, more than 0"),
    ],
)
def test_wrong_option_names_the_nearest_right_one(options: dict[str, Any], message: str) -> None:
    """An unknown option, an unknown name and a value that does not fit say what would."""
    with pytest.raises(UsageError) as told:
        ServedTwin(**options)
    assert message in str(told.value)
