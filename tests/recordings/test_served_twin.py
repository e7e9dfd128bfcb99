"""A twin for tests of a client: published versions, options, and unknown names."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from touchstone.errors import UsageError
from touchstone.recordings.servers import ServedTwin

Request = Callable[..., httpx.Response]


@pytest.fixture
def request_build() -> Iterator[Request]:
    """Sends requests for the build of a version, with the key of the twin."""
    with httpx.Client(verify=False) as client:

        def request(twin: ServedTwin, method: str, ref: str, rest: str = "") -> httpx.Response:
            headers = {"Authorization": f"Bearer {twin.key}"}
            return client.request(method, f"{twin.url}/templates/{ref.replace('@', '/')}/build{rest}", headers=headers)

        yield request


def test_build_runs_the_published_steps(request_build: Request) -> None:
    with ServedTwin() as twin:
        first, second = twin.publish("echo hello"), twin.publish("exit 4", name="mine", version="2.0.0")
        assert (second, len({first, second, twin.publish()})) == ("default/mine@2.0.0", 3)
        for ref, line in ((first, "hello"), (second, "exit status 4")):
            assert request_build(twin, "POST", ref).json()["status"] == "building"
            assert line in request_build(twin, "GET", ref, "/events").text
        assert [request_build(twin, "GET", ref).json()["status"] for ref in (first, second)] == ["ready", "failed"]


def test_rejected_publish_is_a_usage_error_with_the_response() -> None:
    with ServedTwin() as twin:
        with pytest.raises(UsageError, match=r"Mine@1\.0\.0: .*422 .*template\.name"):
            twin.publish(name="Mine")
        twin.publish("echo one", name="mine")
        with pytest.raises(UsageError, match=r"mine@1\.0\.0: .*409"):
            twin.publish("echo two", name="mine")


def test_plan_chooses_the_key(request_build: Request) -> None:
    with ServedTwin(plan="hacker") as below, ServedTwin() as scale:
        assert list(below.keys) == ["primary", "second", "restricted"]
        assert (below.key, scale.key) == (below.keys["restricted"], scale.keys["primary"])
        assert request_build(below, "POST", below.publish("echo hello")).status_code == 403


@pytest.mark.parametrize(
    ("options", "statuses", "retry_after"),
    [
        ({"rate": "1/60", "retry_after": "none"}, [202, 429], False),
        ({"capacity": 1}, [202, 429], True),
        ({"capacity": None}, [202, 202], False),
        ({"variant": "no-retry-after", "capacity": 1}, [202, 429], False),
    ],
)
def test_limits_are_the_chosen_ones(
    options: dict[str, Any], statuses: list[int], retry_after: bool, request_build: Request
) -> None:
    with ServedTwin(**options) as twin:
        answers = [request_build(twin, "POST", twin.publish("sleep 60")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == statuses
    assert answers[1].headers.get("retry-after", "").isdecimal() == retry_after


def test_fault_breaks_its_promise(request_build: Request) -> None:
    with ServedTwin(fault="cancel-answers-200") as twin:
        ref = twin.publish("sleep 60")
        request_build(twin, "POST", ref)
        assert request_build(twin, "DELETE", ref).status_code == 200


@pytest.mark.parametrize(
    ("options", "name", "nearest"),
    [
        ({"capasity": 1}, "capasity", "capacity"),
        ({"fault": "log-time-out"}, "fault", "log-times-out"),
        ({"variant": "no-retry-afer"}, "variant", "no-retry-after"),
        ({"fault": "log-times-out", "variant": "no-retry-after"}, "fault and variant", ""),
        ({"variant": "no-retry-after", "retry_after": "date"}, "retry_after", "no-retry-after"),
        ({"retry_after": "second"}, "retry_after", "seconds"),
        ({"rate": "2"}, "rate", "'2'"),
        ({"rate": "fixd-window:2/1"}, "rate", "fixed-window"),
        ({"build_timeout_s": 0}, "build_timeout_s", "0.0"),
    ],
)
def test_wrong_option_is_a_usage_error_with_the_nearest(options: dict[str, Any], name: str, nearest: str) -> None:
    with pytest.raises(UsageError) as error:
        ServedTwin(**options)
    assert name in str(error.value)
    assert nearest in str(error.value)


def test_switch_of_a_limit_keeps_the_faults_and_the_other_way_round(request_build: Request) -> None:
    with ServedTwin(fault="cancel-answers-200") as twin:
        twin.switch(capacity=1)
        refs = [twin.publish("sleep 60") for _ in range(2)]
        assert [request_build(twin, "POST", ref).status_code for ref in refs] == [202, 429]
        assert request_build(twin, "DELETE", refs[0]).status_code == 200
        twin.switch()
        assert request_build(twin, "DELETE", twin.publish("echo x")).status_code == 404
        with pytest.raises(UsageError, match="nothing-like-it"):
            twin.switch("nothing-like-it")
