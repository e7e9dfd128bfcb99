"""The faults that show under load alone: the twin keeps its promise until there is a crowd, and then breaks it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from tests.twin.conftest import PRIMARY, SECOND, Api, frames_of
from touchstone.contract import claims
from touchstone.errors import UsageError
from touchstone.proof import catalogue
from touchstone.proof.faults import FAULTS
from touchstone.proof.faults.crowded import FAILS_EVERY, FAILS_FROM, FOLLOWERS, KEPT_BYTES, REFUSALS_PER_S, REQUESTS
from touchstone.twin import Engine, RateLimit, TwinSettings

Serve = Callable[..., Api]
UNDER_LOAD = {name: fault for name, fault in FAULTS.items() if fault.under == "load"}
HOUR = RateLimit.parse("3/3600")
# Builds of a crowd that is to be over: the first one still runs when the last one is started.
CROWDED_S = 1.5


@pytest.fixture
def faulty() -> Iterator[Serve]:
    """Starts a twin with a fault, whose builds do not end within a test, and connects to it."""
    twins, apis = [], []

    def start(name: str, key: str = PRIMARY, to: str = "", **settings: Any) -> Api:
        if not to:
            twins.append(FAULTS[name].twin(TwinSettings(**{"build_s": 600.0, "settle_s": 0.0, **settings})).start())
        apis.append(Api(to or twins[-1].url, key))
        return apis[-1]

    yield start
    for api in apis:
        api.http.close()
    for twin in twins:
        twin.stop()


def crowd(api: Api, builds: int = 3) -> None:
    """Has so many builds running."""
    for number in range(builds):
        api.publish(f"crowd-{number}")
        assert api.start(f"crowd-{number}").status_code == 202


def state(api: Api, name: str = "demo") -> str:
    """What a version reads."""
    return str(api.status(name).json()["status"])


def settled(api: Api, name: str) -> str:
    """What a version reads once its log has ended."""
    api.events(name)
    return state(api, name)


def test_build_is_lost_in_a_crowd_only(faulty: Serve) -> None:
    """The fourth build at a time falls back to not_built; the third, and one that has room, end ready."""
    api = faulty("crowded-build-vanishes", build_s=CROWDED_S)
    crowd(api)
    api.publish()
    assert (api.start().status_code, state(api)) == (202, "building")
    assert settled(api, "demo") == "not_built"
    assert settled(api, "crowd-2") == "ready"
    api.start()
    assert settled(api, "demo") == "ready"


def test_build_is_without_an_end_in_a_crowd_only(faulty: Serve) -> None:
    """The fourth build at a time is still building when the three before it are over."""
    api = faulty("crowded-build-never-ends", build_s=CROWDED_S)
    crowd(api)
    api.publish()
    api.start()
    assert [settled(api, f"crowd-{number}") for number in range(3)] == ["ready"] * 3
    assert state(api) == "building"


def test_ready_version_reads_building_in_a_crowd_only(faulty: Serve) -> None:
    """It is nobody's build, and it is gone when the crowd is."""
    api = faulty("crowded-ready-is-building", build_s=CROWDED_S)
    assert api.built()["status"] == "ready"
    crowd(api)
    assert state(api) == "building"
    settled(api, "crowd-2")
    assert state(api) == "ready"


def test_reads_fail_in_a_crowd_only(faulty: Serve) -> None:
    """One in three, while three builds run."""
    api = faulty("crowded-read-fails")
    crowd(api, 2)
    assert [api.status("crowd-0").status_code for _ in range(6)] == [200] * 6
    crowd(api, 3)
    assert sorted(api.status("crowd-0").status_code for _ in range(6)) == [200] * 4 + [500] * 2


def test_requests_fail_while_many_are_under_way(faulty: Serve) -> None:
    """Followed logs are under way until their build is over; one request beyond twelve is refused with 503."""
    api = faulty("crowded-requests-fail")
    crowd(api, 1)
    with Followers(api, "crowd-0", REQUESTS):
        assert api.status("crowd-0").status_code == 503
    other = faulty("crowded-requests-fail")
    crowd(other, 1)
    with Followers(other, "crowd-0", REQUESTS - 1):
        assert other.status("crowd-0").status_code == 200


def test_start_is_answered_oddly_in_a_crowd_only(faulty: Serve) -> None:
    """423 is a status that no operation documents."""
    api = faulty("crowded-start-is-423")
    crowd(api)
    api.publish()
    assert (api.start().status_code, api.start("crowd-0").status_code) == (423, 202)


def test_answers_are_slow_in_a_crowd_only(faulty: Serve) -> None:
    """A client that does not wait two seconds gets no answer while three builds run."""
    api = faulty("crowded-answers-are-slow")
    crowd(api, 2)
    hasty = {"timeout": httpx.Timeout(1.5)}
    assert api.http.get("/templates/default/crowd-0/1.0.0/build", **hasty).status_code == 200
    crowd(api, 3)
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/templates/default/crowd-0/1.0.0/build", **hasty)


def test_refused_start_builds_in_a_crowd_only(faulty: Serve) -> None:
    """With room for three, the fourth is refused and built; with room for two, the third is refused and is not."""
    api = faulty("crowded-refusal-builds", capacity=3)
    crowd(api)
    api.publish()
    assert (api.start().status_code, state(api)) == (429, "building")
    small = faulty("crowded-refusal-builds", capacity=2)
    crowd(small, 2)
    small.publish()
    assert (small.start().status_code, state(small)) == (429, "not_built")


def test_many_refusals_of_one_key_shut_out_the_other(faulty: Serve) -> None:
    """A few do not."""
    greedy = faulty("greedy-key-shuts-out-others", rate=RateLimit.parse("1/3600"))
    modest = faulty("", SECOND, to=greedy.url)
    greedy.publish()
    modest.publish()
    greedy.start()
    for _ in range(REFUSALS_PER_S - 1):
        greedy.start()
    assert modest.start().status_code == 202
    other = faulty("greedy-key-shuts-out-others", rate=RateLimit.parse("1/3600"))
    other.publish()
    assert [other.start().status_code for _ in range(REFUSALS_PER_S + 3)] == [202] + [429] * (REFUSALS_PER_S + 2)
    shut_out = faulty("", SECOND, to=other.url)
    shut_out.publish()
    assert shut_out.start().status_code == 429


def test_fast_polling_uses_up_the_rate_and_slow_polling_does_not(
    faulty: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads beyond so many in a second count as starts."""
    monkeypatch.setattr("touchstone.proof.faults.crowded.READS_PER_S", 5)
    api = faulty("fast-polling-is-charged", rate=HOUR)
    api.publish()
    for _ in range(5):
        api.status()
    assert api.start().status_code == 202
    for _ in range(20):
        api.status()
    assert api.start().status_code == 429


class Followers(contextlib.ExitStack):
    """So many who follow one build, one after the other: each is there once it was sent the first piece of the log."""

    def __init__(self, api: Api, name: str, number: int) -> None:
        super().__init__()
        self._logs: list[tuple[bytes, Iterator[bytes]]] = []
        for _ in range(number):
            path = f"/templates/default/{name}/1.0.0/build/events"
            pieces = self.enter_context(api.http.stream("GET", path)).iter_raw()
            self._logs.append((next(pieces), pieces))

    def lines(self) -> list[list[str]]:
        """What each of them was sent, to the end of the log."""
        texts = ((first + b"".join(rest)).decode() for first, rest in self._logs)
        return [[frame["line"] for frame in frames_of(text)] for text in texts]


def logs_of(api: Api) -> list[list[str]]:
    """The lines that eight followers of a build were sent until it was cancelled, in the order in which they came."""
    api.publish("demo", *(f"echo line {number}" for number in range(12)), "sleep 600")
    api.start("demo")
    with Followers(api, "demo", FOLLOWERS + 2) as followers:
        assert api.cancel("demo").status_code == 202
        return followers.lines()


@pytest.mark.parametrize("fault", ["crowded-log-drops-lines", "crowded-log-ends-early", "crowded-logs-mix"])
def test_log_is_spoilt_for_the_seventh_follower_only(faulty: Serve, fault: str) -> None:
    """Six are sent the whole log; who comes later is sent less, or what is another's."""
    api = faulty(fault, build_s=0.0)
    if fault == "crowded-logs-mix":
        api.publish("other", "echo other", "sleep 600")
        api.start("other")
    *whole, seventh, eighth = logs_of(api)
    assert all(log == whole[0] for log in whole)
    assert "line 11" in whole[0]
    for log in (seventh, eighth):
        match fault:
            case "crowded-log-drops-lines":
                assert "line 3" in whole[0]
                assert set(log) < set(whole[0])
                assert log[-1] == whole[0][-1]
            case "crowded-log-ends-early":
                assert log == whole[0][:5]
            case _:
                assert log.count("other") == 1
                assert "other" not in whole[0]


# --- what wears out --------------------------------------------------------------------------------------------------


def test_statuses_become_longer(faulty: Serve) -> None:
    """By blanks, so that what they say stays the same."""
    api = faulty("answers-become-longer")
    api.publish()
    first, second = api.status(), api.status()
    assert len(second.content) - len(first.content) == 8
    assert first.json() == second.json()


def test_errors_become_frequent(faulty: Serve) -> None:
    """None at first, then one in ten."""
    api = faulty("errors-become-frequent")
    api.publish()
    codes = [api.status().status_code for _ in range(FAILS_FROM + 2 * FAILS_EVERY)]
    assert (codes[:FAILS_FROM].count(500), codes[FAILS_FROM:].count(500)) == (0, 2)


def worn(name: str, answers: int) -> Any:
    """An application with a fault that has given so many answers."""
    app: Any = FAULTS[name].app(Engine(TwinSettings()))
    for _ in range(answers):
        app.answers += 1
        asyncio.run(app.worn(None, Response("x")))
    return app


def test_memory_is_kept_for_each_answer() -> None:
    """A hundred kilobytes."""
    assert [len(kept) for kept in worn("memory-is-kept", 3).kept] == [KEPT_BYTES] * 3


def test_each_answer_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a millisecond longer than the one before."""
    waited_s: list[float] = []

    async def wait(seconds: float) -> None:
        waited_s.append(seconds)

    monkeypatch.setattr("touchstone.proof.faults.crowded.asyncio.sleep", wait)
    worn("answers-become-slower", 3)
    assert waited_s == pytest.approx([0.0002, 0.0004, 0.0006])


# --- the list --------------------------------------------------------------------------------------------------------


def test_every_load_fault_breaks_a_claim_that_a_load_run_judges() -> None:
    """Of the ledger, and never one that is misspelt."""
    ledger = claims.load()
    known = {claim.id for claim in (*ledger.judged(), *ledger.judged("load"))}
    assert {claim for fault in UNDER_LOAD.values() for claim in fault.breaks} <= known
    assert all(fault.breaks and fault.says.endswith(".") for fault in UNDER_LOAD.values())
    assert len(UNDER_LOAD) >= 15


def test_prove_leaves_out_what_it_cannot_see_and_serve_knows_it() -> None:
    """A glob that matches nothing else says how to meet such a fault."""
    assert {one.subject.name for one in catalogue.named_faults()} == set(FAULTS) - set(UNDER_LOAD)
    assert {one.subject.name for one in catalogue.under_load()} == set(UNDER_LOAD)
    assert catalogue.fault("crowded-build-vanishes") is FAULTS["crowded-build-vanishes"]
    assert "crowded-answers-are-slow" in catalogue.proving("load.p99")
    with pytest.raises(UsageError, match=r"'crowded-l\*': crowded-log-drops-lines shows under load alone"):
        catalogue.named_faults("crowded-l*")
    assert catalogue.named_faults("no-such-*") == []
