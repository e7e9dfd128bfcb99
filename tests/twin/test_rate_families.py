"""Families of limiters over HTTP, with the clock of the limiters in the hand of the test."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.twin.conftest import SECOND, Api
from touchstone.proof.variants import FREEDOMS
from touchstone.twin import App, Engine, RateLimit

WITHIN_S = 20.0


class Stopped(Engine):
    """The clock of the limiters stands still until a test sets it."""

    clock_at = 1_800_000_000.0

    def now_at(self) -> float:
        return self.clock_at


def stopped() -> type[Stopped]:
    """An engine with a clock of its own."""

    class Own(Stopped):
        pass

    return Own


def statuses(api: Api, *names: str) -> list[int]:
    """The status codes of starts of these versions, one after the other."""
    return [api.start(name).status_code for name in names]


def published(api: Api, *names: str) -> None:
    """Publishes versions that build for as long as builds take."""
    for name in names:
        assert api.publish(name).status_code == 201


class Held(App):
    """Holds answers back until the test lets them go, and remembers for how long it should have."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.delays_s: list[float] = []
        self.holding = threading.Semaphore(0)
        self.released = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        HELD.append(self)

    async def hold(self) -> None:
        delay_s = self.engine.pop_delay_s()
        self.delays_s.append(delay_s)
        if delay_s:
            self.loop = asyncio.get_running_loop()
            self.holding.release()
            await self.released.wait()

    def release(self) -> None:
        """Lets all answers go; from any thread."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.released.set)


HELD: list[Held] = []


def test_queue_holds_answers_back_and_nothing_else(connect: Callable[..., Api]) -> None:
    """
    The second start waits for its turn; its build has begun, reads are answered meanwhile, and the fourth is refused.
    """
    rate = RateLimit.parse("leaky-bucket:1/60,burst=2")
    api = connect(rate=rate, app=Held, engine=stopped(), build_s=600.0)
    app = HELD.pop()
    published(api, "one", "two", "three", "four")
    assert statuses(api, "one") == [202]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(api.start, name) for name in ("two", "three")]
        try:
            assert [app.holding.acquire(timeout=WITHIN_S) for _ in waiting] == [True, True]
            assert api.status("two").json()["status"] == "building"
            refused = api.start("four")
            assert [start.done() for start in waiting] == [False, False]
        finally:
            app.release()
        assert [start.result().status_code for start in waiting] == [202, 202]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert app.delays_s == [0.0, 60.0, 120.0]


def test_auto_build_is_held_back_as_well(connect: Callable[..., Api]) -> None:
    """A publish that starts a build is answered when it is the turn of that start."""
    api = connect(rate=RateLimit.parse("leaky-bucket:100/1,burst=1"), engine=stopped(), app=Held)
    app = HELD.pop()
    assert api.publish("one", query="?auto_build=true").json()["auto_build"] == "building"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.publish, "two", query="?auto_build=true")
        assert app.holding.acquire(timeout=WITHIN_S)
        app.release()
        assert waiting.result().json()["auto_build"] == "building"
    assert app.delays_s == pytest.approx([0.0, 0.01], abs=1e-6)


def test_answers_come_after_their_delays(connect: Callable[..., Api]) -> None:
    """Left to itself the twin waits out what its limiter says, and answers."""
    api = connect(rate=RateLimit.parse("leaky-bucket:100/1,burst=2"), engine=stopped())
    published(api, "one", "two", "three")
    assert statuses(api, "one", "two", "three", "one") == [202, 202, 202, 429]


def test_cap_on_answers_refuses_while_they_are_awaited(connect: Callable[..., Api]) -> None:
    """With two starts being answered a third is refused, and another account's is not; later there is room again."""
    engine = stopped()
    api = connect(rate=RateLimit.parse("concurrency:2,takes=30"), engine=engine, app=Held)
    app = HELD.pop()
    other = connect(key=SECOND, to=api.url)
    published(api, "one", "two", "three")
    published(other, "one")
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(api.start, name) for name in ("one", "two")]
        assert [app.holding.acquire(timeout=WITHIN_S) for _ in waiting] == [True, True]
        refused = api.start("three")
        waiting.append(pool.submit(other.start, "one"))
        assert app.holding.acquire(timeout=WITHIN_S)
        app.release()
        assert [start.result().status_code for start in waiting] == [202] * 3
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    engine.clock_at += 30
    assert statuses(api, "three") == [202]


def test_cap_on_builds_is_of_each_account_and_not_of_joins(connect: Callable[..., Api]) -> None:
    """
    A third build is refused and begins nothing; joining one that runs needs no place, and another account has its own.
    """
    api = connect(rate=RateLimit.parse("builds:2"), build_s=600.0)
    other = connect(key=SECOND, to=api.url)
    published(api, "one", "two", "three")
    published(other, "one")
    assert statuses(api, "one", "two", "three", "one") == [202, 202, 429, 202]
    assert api.status("three").json()["status"] == "not_built"
    assert int(api.start("three").headers["retry-after"]) in range(540, 601)
    assert statuses(other, "one") == [202]


def test_cancelled_build_keeps_its_place_until_it_reads_so(connect: Callable[..., Api]) -> None:
    """A build that is being cancelled still reads ``building`` and is in flight; its end makes room."""
    api = connect(rate=RateLimit.parse("builds:1"), build_s=600.0, settle_s=600.0)
    published(api, "one", "two")
    assert statuses(api, "one", "two") == [202, 429]
    api.cancel("one")
    assert api.status("one").json()["status"] == "building"
    assert statuses(api, "two") == [429]
    api.delete("one")  # ends it at once
    assert statuses(api, "two") == [202]


@pytest.mark.parametrize(("steps", "state"), [("echo done", "ready"), ("exit 1", "failed")])
def test_build_that_ends_makes_room_for_the_next(connect: Callable[..., Api], steps: str, state: str) -> None:
    """Ready or failed, it is in flight no more when it reads so."""
    api = connect(rate=RateLimit.parse("builds:1"))
    assert [api.built(f"demo-{number}", steps)["status"] for number in range(3)] == [state] * 3


def test_start_that_one_tier_refuses_costs_the_other_nothing(connect: Callable[..., Api]) -> None:
    """What is refused for builds in flight takes no token."""
    api = connect(rate=RateLimit.parse("token-bucket:3/3600+builds:1"), build_s=600.0)
    published(api, "one", "two")
    assert statuses(api, "one", "two", "two", "two") == [202, 429, 429, 429]
    api.delete("one")
    assert statuses(api, "two", "two", "two") == [202, 202, 429]


def test_retry_after_of_a_block_is_the_block(connect: Callable[..., Api]) -> None:
    """The refusal that shuts the account says when it opens again."""
    engine = stopped()
    api = connect(rate=RateLimit.parse("1/10,block=90"), engine=engine)
    published(api, "one")
    assert statuses(api, "one") == [202]
    assert [api.start("one").headers["retry-after"] for _ in range(2)] == ["90", "90"]
    engine.clock_at += 90
    assert statuses(api, "one", "one") == [202, 429]


def test_windows_of_the_clock_end_with_it(connect: Callable[..., Api]) -> None:
    """Two starts shortly before a full minute of the clock of the day leave two for the next one."""
    engine = stopped()
    engine.clock_at = 1_800_000_059.0
    api = connect(rate=RateLimit.parse("2/60,opens=clock"), engine=engine)
    published(api, "one")
    assert statuses(api, "one", "one", "one") == [202, 202, 429]
    assert api.start("one").headers["retry-after"] == "1"
    engine.clock_at += 1
    assert statuses(api, "one", "one", "one") == [202, 202, 429]


def test_refused_starts_count_where_the_text_says_so(connect: Callable[..., Api]) -> None:
    """Who does not wait keeps the log full."""
    engine = stopped()
    api = connect(rate=RateLimit.parse("sliding-log:1/10,refused=count"), engine=engine)
    published(api, "one")
    codes = []
    for _ in range(4):
        codes += statuses(api, "one")
        engine.clock_at += 9
    assert codes == [202, 429, 429, 429]
    engine.clock_at += 1
    assert statuses(api, "one") == [202]


@pytest.mark.parametrize("text", ["none", "builds:9", "8/4"])
def test_variants_of_limits_work_with_every_family(connect: Callable[..., Api], text: str) -> None:
    """A variant that overrides how starts are checked finds its limiter, whatever it is."""
    variant = FREEDOMS["refused-starts-count"]
    api = connect(rate=RateLimit.parse(text), engine=variant.engine)
    assert api.built()["status"] == "ready"
