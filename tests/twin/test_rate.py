"""Limits on starts: rejected starts, the counts of each family, queues, and the host capacity."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.twin.conftest import Serve
from tests.twin.virtual import BEGAN_AT, SECOND, Api
from touchstone.twin import Engine, RateLimit, TwinSettings

BUILD = "/templates/default/{}/1.0.0/build"


def limited(serve: Serve, rate: str, *names: str, **settings: Any) -> Api:
    """A twin with a limit, and published versions whose builds take a hundred seconds."""
    api = serve(rate=RateLimit.parse(rate) if rate else None, **settings)
    publish(api, *names)
    return api


def publish(api: Api, *names: str) -> None:
    for name in names:
        assert api.publish(name, "sleep 100", f"echo {name}").status == 201


def starts(api: Api, *names: str) -> list[int]:
    return [api.start(name).status for name in names]


def retry_after(api: Api, name: str) -> str:
    return api.start(name).header("retry-after")


@pytest.mark.parametrize("family", ["", "sliding-log:", "token-bucket:"])
def test_start_beyond_the_rate_is_429_and_begins_nothing(serve: Serve, family: str) -> None:
    api = limited(serve, f"{family}2/3600", "one", "two", "three")
    assert starts(api, "one", "two") == [202, 202]
    refused = api.start("three")
    assert (refused.status, set(refused.json())) == (429, {"error", "request_id"})
    assert (api.state("three"), api.log("three").status) == ("not_built", 404)


def test_only_starts_are_counted(serve: Serve) -> None:
    api = limited(serve, "1/3600", "demo")
    for _ in range(5):
        publish(api, "demo")
        assert (api.status().status, api.template().status, api.cancel().status) == (200, 200, 404)
    # Unknown and curated versions cost nothing.
    assert [api.start("unknown").status, api.start("openclaw", "1.0.0", "system").status] == [404, 403]
    assert starts(api, "demo", "demo") == [202, 429]
    assert (api.publish("other").status, api.log().events()[-1]["phase"]) == (201, "ready")


def test_joins_and_reuses_count_unless_builds_are_charged(serve: Serve) -> None:
    api = limited(serve, "3/3600", "demo")
    assert starts(api, "demo", "demo") == [202, 202]
    api.log()
    assert starts(api, "demo", "demo") == [202, 429]
    api = limited(serve, "1/3600", "demo", "other", charges="builds")
    assert starts(api, "demo", "demo", "demo") == [202] * 3
    api.log()
    assert (api.start().json()["reused"], api.start("other").status) == (True, 429)


def test_rate_is_per_key(serve: Serve) -> None:
    api = limited(serve, "1/3600", "demo")
    other = api.with_key(SECOND)
    publish(other, "demo")
    assert [*starts(api, "demo", "demo"), *starts(other, "demo")] == [202, 429, 202]


def test_auto_build_counts_and_publishes_even_when_refused(serve: Serve) -> None:
    api = limited(serve, "1/3600")
    answers = [api.publish(name, query="?auto_build=true") for name in ("one", "two")]
    assert [(answer.status, answer.json()["auto_build"]) for answer in answers] == [
        (201, "building"),
        (201, "not_built"),
    ]
    assert api.state("two") == "not_built"


def test_start_after_retry_after_is_accepted(serve: Serve) -> None:
    api = limited(serve, "1/10", "demo")
    assert starts(api, "demo", "demo") == [202, 429]
    api.clock.wait(3.5)
    assert retry_after(api, "demo") == "7"
    api.clock.wait(6.5)
    assert starts(api, "demo", "demo") == [202, 429]


@pytest.mark.parametrize(("wait_s", "value"), [(0.0, "1"), (0.01, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_rounded_up_and_never_zero(wait_s: float, value: str) -> None:
    assert Engine(TwinSettings()).too_many("full", wait_s).headers == {"Retry-After": value}


def test_retry_after_may_be_a_date_or_absent(serve: Serve) -> None:
    api = limited(serve, "1/3600", "demo", retry_after="date")
    api.start()
    value = retry_after(api, "demo")
    assert value.endswith(" GMT")
    assert parsedate_to_datetime(value).timestamp() == BEGAN_AT + 3600
    api = limited(serve, "1/3600", "demo", retry_after="none")
    api.start()
    assert retry_after(api, "demo") == ""


def test_queue_delays_only_responses(serve: Serve) -> None:
    api = limited(serve, "leaky-bucket:1/60,burst=2", "one", "two", "three", "four")
    assert (api.start("one").status, api.clock.now_s) == (202, 0.0)
    second, third = (api.begin("POST", BUILD.format(name)) for name in ("two", "three"))
    refused = api.start("four")
    assert (refused.status, refused.header("retry-after")) == (429, "60")
    assert api.state("two") == "building"
    api.clock.wait(59.9)
    assert (second.status, third.status) == (0, 0)
    api.clock.wait(0.2)
    assert (second.status, third.status) == (202, 0)
    api.clock.wait(60)
    assert third.status == 202
    assert api.publish("five", query="?auto_build=true").json()["auto_build"] == "building"


def test_builds_in_flight_are_capped_for_each_account(serve: Serve) -> None:
    api = limited(serve, "builds:2", "one", "two", "three")
    other = api.with_key(SECOND)
    publish(other, "one")
    assert starts(api, "one", "two", "three", "one") == [202, 202, 429, 202]
    assert (api.state("three"), retry_after(api, "three")) == ("not_built", "101")
    assert starts(other, "one") == [202]


def test_build_keeps_its_place_until_it_has_ended(serve: Serve) -> None:
    api = limited(serve, "builds:1", "one", "two", settle_s=50.0)
    assert starts(api, "one", "two") == [202, 429]
    api.cancel("one")
    assert (starts(api, "two"), retry_after(api, "two")) == ([429], "50")
    api.clock.wait(50.1)
    assert starts(api, "two", "one") == [202, 429]
    api.delete("two")  # which ends its build at once
    assert starts(api, "one") == [202]
    api.log("one")
    assert [api.built(f"demo-{number}", step)["status"] for number, step in enumerate(("exit 1", "echo x"))] == [
        "failed",
        "ready",
    ]


def test_host_is_full_for_all_accounts_but_not_for_joins_and_reuses(serve: Serve) -> None:
    api = limited(serve, "", "one", "two", capacity=2)
    other = api.with_key(SECOND)
    publish(other, "demo")
    api.built("done")
    assert [*starts(api, "one", "two"), *starts(other, "demo")] == [202, 202, 429]
    assert (other.state(), retry_after(other, "demo")) == ("not_built", "101")
    assert (api.start("one").json()["status"], api.start("done").json()["status"]) == ("building", "ready")


def test_every_end_of_a_build_frees_its_room(serve: Serve) -> None:
    api = limited(serve, "", "long", capacity=1, settle_s=600.0)
    assert starts(api, "long") == [202]
    api.cancel("long")  # which gives it back at once
    assert [api.built("good")["status"], api.built("bad", "exit 1")["status"]] == ["ready", "failed"]
    assert api.built("last")["status"] == "ready"
