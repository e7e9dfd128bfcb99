"""The rate limit and the capacity over HTTP. Windows are an hour long, so that the clock decides nothing."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest

from tests.twin.conftest import SECOND, Api
from touchstone.twin import Engine, RateLimit, TwinSettings

HOUR_S = 3600


def limited(limit: int, text: str = "") -> RateLimit:
    """So many starts an hour."""
    return RateLimit.parse(f"{text}{limit}/{HOUR_S}")


@pytest.mark.parametrize("algorithm", ["", "sliding-log:", "token-bucket:"])
def test_start_beyond_the_rate_is_429_and_starts_nothing(connect: Callable[..., Api], algorithm: str) -> None:
    """The refused start has the shape of an error and leaves the version not built."""
    api = connect(rate=limited(2, algorithm))
    for name in ("one", "two", "three"):
        api.publish(name)
    codes = [api.start(name).status_code for name in ("one", "two")]
    refused = api.start("three")
    assert (codes, refused.status_code, set(refused.json())) == ([202, 202], 429, {"error", "request_id"})
    assert api.status("three").json()["status"] == "not_built"
    assert api.http.get("/templates/default/three/1.0.0/build/events").status_code == 404


def test_reads_cancels_and_publishes_are_not_counted(connect: Callable[..., Api]) -> None:
    """Polling, cancelling and publishing cost nothing, and work when starts are refused."""
    api = connect(rate=limited(1))
    for _ in range(5):
        api.publish()
        api.status()
        api.template()
        api.cancel()
    assert api.start().status_code == 202
    assert api.start().status_code == 429
    assert api.publish("other").status_code == 201
    assert [api.status().status_code for _ in range(20)] == [200] * 20
    assert api.events()[-1]["phase"] == "ready"


def test_joining_and_reusing_starts_are_counted(connect: Callable[..., Api]) -> None:
    """Every start that is let through takes one, whatever it finds."""
    api = connect(rate=limited(3))
    api.built()
    assert [api.start().status_code for _ in range(3)] == [202, 202, 429]


def test_joining_and_reusing_starts_are_free_where_builds_are_charged(connect: Callable[..., Api]) -> None:
    """Only a start that begins a build takes one, and only such a start is refused."""
    api = connect(rate=limited(1), charges="builds", build_s=0.05)
    for name in ("demo", "other"):
        api.publish(name)
    assert [api.start().status_code for _ in range(3)] == [202] * 3
    assert api.events()[-1]["phase"] == "ready"
    assert api.start().json()["reused"] is True
    assert api.start("other").status_code == 429


def test_starts_that_fail_for_another_reason_are_not_counted(connect: Callable[..., Api]) -> None:
    """Unknown and curated versions, wrong keys and small plans cost nothing."""
    api = connect(rate=limited(1))
    api.publish()
    codes = [api.start("unknown").status_code, api.start("openclaw", namespace="system").status_code]
    assert (codes, api.start().status_code) == ([404, 403], 202)


def test_rate_is_per_key(connect: Callable[..., Api]) -> None:
    """Another account's starts are not refused."""
    api = connect(rate=limited(1))
    other = connect(key=SECOND, to=api.url)
    for account in (api, other):
        account.publish()
    assert [api.start().status_code, api.start().status_code, other.start().status_code] == [202, 429, 202]


def test_auto_build_counts_as_a_start_and_publishes_even_when_refused(connect: Callable[..., Api]) -> None:
    """The refused build reads ``not_built`` in an answer that is still 201."""
    api = connect(rate=limited(1))
    answers = [api.publish(name, query="?auto_build=true") for name in ("one", "two")]
    assert [(answer.status_code, answer.json()["auto_build"]) for answer in answers] == [
        (201, "building"),
        (201, "not_built"),
    ]
    assert api.status("two").json()["status"] == "not_built"


def test_retry_after_in_seconds_is_whole_and_never_too_short(connect: Callable[..., Api]) -> None:
    """The header names the rest of the window, rounded up."""
    api = connect(rate=limited(1))
    api.publish()
    api.start()
    assert int(api.start().headers["retry-after"]) in range(HOUR_S - 60, HOUR_S + 1)


@pytest.mark.parametrize(("wait_s", "value"), [(0.0, "1"), (0.01, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_rounded_up_and_never_zero(wait_s: float, value: str) -> None:
    """Who waits as long as told does not come too early."""
    assert Engine(TwinSettings()).too_many("full", wait_s).headers == {"Retry-After": value}


def test_retry_after_as_a_date_lies_ahead(connect: Callable[..., Api]) -> None:
    """The header is an HTTP date, not before the end of the window."""
    api = connect(rate=limited(1), retry_after="date")
    api.publish()
    before = time.time()
    api.start()
    value = api.start().headers["retry-after"]
    assert value.endswith(" GMT")
    assert 0 <= parsedate_to_datetime(value).timestamp() - before - HOUR_S < 60


def test_retry_after_can_be_left_out(connect: Callable[..., Api]) -> None:
    """The header is optional."""
    api = connect(rate=limited(1), retry_after="none")
    api.publish()
    api.start()
    refused = api.start()
    assert (refused.status_code, "retry-after" in refused.headers) == (429, False)


def test_start_is_let_through_after_the_window(connect: Callable[..., Api]) -> None:
    """Backing off as long as told ends the refusals."""
    api = connect(rate=RateLimit(1, 0.05))
    api.publish()
    api.start()
    deadline_at = time.monotonic() + 20
    while api.start().status_code == 429:
        assert time.monotonic() < deadline_at
    assert api.status().status_code == 200


def test_build_beyond_the_capacity_is_429_and_starts_nothing(connect: Callable[..., Api]) -> None:
    """All accounts share the host; what is refused changes nothing."""
    api = connect(capacity=2, build_s=600.0, settle_s=600.0)
    other = connect(key=SECOND, to=api.url)
    for name in ("one", "two"):
        api.publish(name)
    other.publish()
    assert [api.start("one").status_code, api.start("two").status_code, other.start().status_code] == [202, 202, 429]
    assert other.status().json()["status"] == "not_built"
    assert int(other.start().headers["retry-after"]) in range(540, 601)


def test_full_host_still_joins_and_reuses(connect: Callable[..., Api]) -> None:
    """A start that needs no new build needs no room."""
    api = connect(capacity=1)
    api.built("done")
    api.publish("long", "sleep 600")
    assert api.start("long").status_code == 202
    assert api.start("long").json()["status"] == "building"
    assert api.start("done").json()["status"] == "ready"


def test_capacity_is_free_again_after_cancel_failure_and_success(connect: Callable[..., Api]) -> None:
    """Every way in which a build ends gives its room back; a cancelled one gives it back at once."""
    api = connect(capacity=1, settle_s=600.0)
    api.publish("long", "sleep 600")
    assert api.start("long").status_code == 202
    api.cancel("long")
    assert api.built("good")["status"] == "ready"
    assert api.built("bad", "exit 1")["status"] == "failed"
    assert api.built("last")["status"] == "ready"


def test_start_refused_for_capacity_costs_no_rate(connect: Callable[..., Api]) -> None:
    """A refused start changes nothing, the count of starts included."""
    api = connect(capacity=1, rate=limited(2))
    api.publish("long", "sleep 600")
    api.publish("next")
    api.start("long")
    assert [api.start("next").status_code for _ in range(3)] == [429] * 3
    api.cancel("long")
    assert api.start("next").status_code == 202
