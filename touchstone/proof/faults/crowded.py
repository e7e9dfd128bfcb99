"""Faults that appear only under load: with many builds, requests or followers, or after many requests.

No case of a check creates that much load. Load runs do, because their twin has room for one build more than BUILDS.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from touchstone.proof.faults.fault import breaks, fault, own, refusing
from touchstone.proof.faults.limits import Refuses
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.serve import Asgi
from touchstone.twin.settings import Account

BUILDS, FOLLOWERS, REQUESTS = 3, 6, 12
REFUSALS_PER_S, READS_PER_S = 5, 8
FOR_EVER_S = 1e6
SLOWER_S, LONGER_BYTES, KEPT_BYTES = 0.0002, 8, 100_000
FAILS_FROM, FAILS_EVERY = 250, 10
# A 500 in place of a correct response also breaks the claims about that response.
_ANY_ANSWER = "load.errors start.* status.* cancel.* events.* publish.* template.*"


def is_crowded(engine: Engine) -> bool:
    """Whether enough builds run for the fault to appear."""
    return sum(build.in_flight for build in engine.running) >= BUILDS


class Recent:
    """Counter of events within the last second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def tick(self) -> None:
        """Counts one event."""
        self._times.append(time.monotonic())

    def __len__(self) -> int:
        while self._times and self._times[0] < time.monotonic() - 1.0:
            self._times.popleft()
        return len(self._times)


@breaks("load", "status.build-does-not-vanish", also="events.* cancel.* start.*", under="load")
class CrowdedBuildVanishes(Engine):
    """A build that starts while three others run is lost half-way, and the version has the status not_built."""

    def launch(self, version: Version) -> Build:
        crowded = is_crowded(self)
        build = super().launch(version)
        if crowded:
            asyncio.get_running_loop().call_later(build.left_s / 2, self.lose, version, build)
        return build

    def lose(self, version: Version, build: Build) -> None:
        """Drops a running build; the log ends without a final line."""
        slot = self.slot_of(version)
        if slot.last is build and not build.outcome:
            build._stop_working()
            self.running.discard(build)
            slot.last = None
            build.stream.close()


@breaks("load", "status.build-ends", also="events.* limit.ends-after-back-off limit.retry*", under="load")
class CrowdedBuildNeverEnds(Engine):
    """A build that starts while three others run never ends."""

    def make_build(self, version: Version) -> Build:
        build = super().make_build(version)
        if is_crowded(self):
            build.settings = replace(build.settings, build_s=FOR_EVER_S)
        return build


@breaks("load", "load.builds-admitted", also="status.* reuse.* start.*", under="load", over=Engine.status_body)
def crowded_ready_is_building(engine: Engine, version: Version) -> Body:
    """While three builds run, a ready version has the status building, though no client has started a build."""
    body = Engine.status_body(engine, version)
    return engine.building_body(version) if body["status"] == "ready" and is_crowded(engine) else body


@breaks("load", "http.no-server-error", also="status.* load.errors", under="load")
class CrowdedReadFails(App):
    """While three builds run, every third status read is answered with 500."""

    reads = 0

    def get_build(self, version: Version) -> Response:
        self.reads += 1
        if self.reads % 3 == 0 and is_crowded(self.engine):
            raise Refusal(500, "Internal error.")
        return super().get_build(version)


@breaks("load", "http.no-server-error", also="load.errors events.* status.*", under="load")
def crowded_requests_fail(asgi_app: Asgi) -> Asgi:
    """While twelve requests, including open log streams, are in progress, each further request gets a 503."""
    under_way = 0

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        under_way += 1
        try:
            if under_way > REQUESTS:
                await answer_json(503, {"error": "Busy."})(scope, receive, send)
            else:
                await asgi_app(scope, receive, send)
        finally:
            under_way -= 1

    return counted


@breaks("timing", "load.p99", also="load.* start.does-not-wait http.answers", under="load", over=App.answer)
async def crowded_answers_are_slow(app: App, request: Request) -> Response:
    """While three builds run, every response takes two seconds longer."""
    if is_crowded(app.engine):
        await asyncio.sleep(2.0)
    return await App.answer(app, request)


# A build that begins after a refusal also changes the response to a cancel.
@breaks(
    "load",
    "limit.refused-start-starts-nothing",
    also="status.* cancel.idle-is-404 load.builds-admitted",
    under="load",
    over=Refuses.besides,
)
def crowded_refusal_builds(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start that is refused with 429 while three builds run still begins a build."""
    if refusal.status == 429 and is_crowded(engine):
        engine.begin(version)


@breaks("load", "limit.is-per-key", under="load")
class GreedyKeyShutsOutOthers(Engine):
    """While one key gets more than five 429 responses in a second, all other keys are refused as well."""

    refusals = own(dict[str, Recent])

    def check_rate(self, account: Account) -> None:
        if any(len(recent) > REFUSALS_PER_S for key, recent in self.refusals.items() if key != account.key):
            raise self.too_many("Build rate limit reached. Back off and retry.", 1.0)
        try:
            super().check_rate(account)
        except Refusal:
            self.refusals.setdefault(account.key, Recent()).tick()
            raise


@breaks("load", "limit.reads-are-not-charged", under="load")
class FastPollingIsCharged(Engine):
    """A key's status reads beyond eight in a second count as starts for the rate limit."""

    reads = own(dict[str, Recent])

    def status_body(self, version: Version) -> Body:
        limiter = self._limiters.get(version.owner)
        if limiter is not None:
            recent = self.reads.setdefault(version.owner, Recent())
            recent.tick()
            if len(recent) > READS_PER_S and limiter.wait_s(self.now_at()) <= 0:
                limiter.take(self.now_at())
        return super().status_body(version)


class FollowedByMany(Engine):
    """Base class: if more than six clients follow a log at once, those after the sixth get a wrong log."""

    followers = own(Counter[int])

    def late(self, build: Build) -> AsyncIterator[bytes]:
        """Yields the frames for the seventh follower and all later ones."""
        raise NotImplementedError

    async def follow(self, build: Build) -> AsyncIterator[bytes]:
        self.followers[id(build)] += 1
        frames = self.late(build) if self.followers[id(build)] > FOLLOWERS else build.stream.follow()
        try:
            async for frame in frames:
                yield frame
        finally:
            self.followers[id(build)] -= 1


@breaks("stream", "events.watchers-agree", "events.carry-the-output", also="events.*", under="load")
class CrowdedLogDropsLines(FollowedByMany):
    """If more than six clients follow a log at once, those after the sixth miss every third line, except the last."""

    async def late(self, build: Build) -> AsyncIterator[bytes]:
        number = 0
        async for frame in build.stream.follow():
            number += 1
            if number % 3 or build.outcome:
                yield frame


@breaks("stream", "events.open-while-building", also="events.*", under="load", over=FollowedByMany.late)
async def crowded_log_ends_early(engine: FollowedByMany, build: Build) -> AsyncIterator[bytes]:
    """If more than six clients follow a log at once, those after the sixth get only its first five lines."""
    number = 0
    async for frame in build.stream.follow():
        yield frame
        number += 1
        if number == 5:
            return


@breaks("stream", "events.own-lines-only", also="events.*", under="load", over=FollowedByMany.late)
async def crowded_logs_mix(engine: FollowedByMany, build: Build) -> AsyncIterator[bytes]:
    """If more than six clients follow a log at once, those after the sixth also get lines of other builds."""
    sent: set[bytes] = set()
    async for frame in build.stream.follow():
        others = [line for other in engine.running - {build} for line in other.stream.frames if line not in sent]
        sent.update(others)
        for line in others:
            yield line
        yield frame


class Wears(App):
    """Base class: each response is a little worse than the previous one."""

    answers = 0

    async def answer(self, request: Request) -> Response:
        self.answers += 1
        return await self.worn(request, await super().answer(request))

    async def worn(self, request: Request, response: Response) -> Response:
        """Returns the worse response."""
        raise NotImplementedError


@breaks("timing", "load.drift-latency", also="load.* start.does-not-wait http.answers", under="load", over=Wears.worn)
async def answers_become_slower(app: Wears, request: Request, response: Response) -> Response:
    """Each response takes 0.2 ms longer than the previous one."""
    await asyncio.sleep(app.answers * SLOWER_S)
    return response


@breaks("load", "load.drift-bytes", under="load", over=Wears.worn)
async def answers_become_longer(app: Wears, request: Request, response: Response) -> Response:
    """Each response of the server makes all later status responses eight trailing blanks longer."""
    is_status = request.method == "GET" and request.url.path.endswith("/build")
    if not is_status or response.status_code != 200:
        return response
    body = bytes(response.body) + b" " * (LONGER_BYTES * app.answers)
    return Response(body, 200, media_type="application/json")


@breaks("load", "load.drift-errors", "http.no-server-error", also=_ANY_ANSWER, under="load", over=Wears.worn)
async def errors_become_frequent(app: Wears, request: Request, response: Response) -> Response:
    """After 250 responses, every tenth one is a 500."""
    if app.answers > FAILS_FROM and app.answers % FAILS_EVERY == 0:
        raise Refusal(500, "Internal error.")
    return response


@breaks("load", "load.drift-memory", under="load")
class MemoryIsKept(Wears):
    """Each response leaks 100 kB of memory."""

    kept = own(list[Any])

    async def worn(self, request: Request, response: Response) -> Response:
        self.kept.append(bytearray(b"\1" * KEPT_BYTES))
        return response


# fmt: off
fault("crowded-start-is-423", "load", "http.status-is-documented",
      "While three builds run, a start of another version is answered with 423.", Engine,
      check_capacity=refusing(Engine.check_capacity, is_crowded, 423, "The host is busy."),
      also="start.* limit.* load.errors", under="load")
# fmt: on
