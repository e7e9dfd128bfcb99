"""Faults of limits: how a refusal looks, what it does all the same, whom it hits, and when it ends."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from starlette.responses import Response

from touchstone.proof.boundary import instead, on
from touchstone.proof.faults.fault import FAULTS, breaks, fault, own
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.limits import RateLimit
from touchstone.twin.settings import Account

# Room for one build, so that the second of two that are started together is refused.
FULL = {"capacity": 1}
# Whoever cancels such a version, of which nothing tells that it builds, does not get the answer that it had to.
_CANCELLED = "cancel.idle-is-404"
_REACHED = "Build rate limit reached."
# Few starts in a wide window: three times as many reads have to fit into it on a slow machine, too; and one build runs
# while the key rests.
_POLLED: dict[str, Any] = {
    "profile": "standard", "pace": {"rate": RateLimit.parse("12/2")}, "target": {"build_timeout_s": 30.0},
}  # fmt: skip
_PAGE = "<html><body><h1>429 Too Many Requests</h1></body></html>"
_before = set(FAULTS)


def saying(when: Any) -> Any:
    """What an engine refuses with whose Retry-After says something else: the value for seconds that are left."""
    return lambda _, error, wait_s: Refusal(429, error, {"Retry-After": when(wait_s)})


# fmt: off
fault("limit-is-503", "load", "http.no-server-error", "A limit is answered with 503.",
      Engine, too_many=lambda _, error, wait_s: Refusal(503, error))
fault("limit-is-409", "load", "limit.has-the-error-shape",
      "A limit is answered with 409, as if the version were in the way.",
      Engine, too_many=lambda _, error, wait_s: Refusal(409, error))
fault("limit-says-detail", "schema", "limit.has-the-error-shape",
      "A 429 says `detail` where an error says `error`.", on("startBuild.429", instead(429, {"detail": "slow down"})))
fault("limit-is-a-page", "schema", "limit.has-the-error-shape", "A 429 is a page of HTML, as a proxy sends it.",
      on("startBuild.429", lambda answer, _: replace(answer, body=_PAGE.encode()).with_header(
          "content-type", b"text/html; charset=utf-8")), also="http.json-media-type")
# When starts are refused, most of a long window is left, for retries that come too soon.
fault("retry-after-is-over", "load", "limit.retry-after-is-honest", "Retry-After names a moment that has passed.",
      Engine, too_many=saying(lambda _: formatdate(time.time() - 60.0, usegmt=True)),
      pace={"rate": RateLimit.parse("18/6")})
fault("retry-after-is-zero", "load", "limit.retry-after-is-honest",
      "Retry-After says that there is nothing to wait for.", Engine, too_many=saying(lambda _: "0"))
fault("retry-after-has-decimals", "schema", "limit.retry-after-is-valid", "Retry-After says fractions of a second.",
      Engine, too_many=saying(lambda wait_s: f"{wait_s:.3f}"))
# fmt: on


@breaks("schema", "limit.has-the-error-shape", pace=FULL, over=App.refused)
def full_host_says_nothing(app: App, refusal: Refusal) -> Response:
    """The 429 of a full host has an empty error; the one for the rate is right."""
    if refusal.status == 429 and "capacity" in refusal.body["error"]:
        refusal.body["error"] = ""
    return App.refused(app, refusal)


class Punishes(Engine):
    """A key that met the limit is shut out for some time.

    Attributes:
        shut_s: For how long.
        each_time: Whether a start while it is shut out begins that time anew.
    """

    shut_s = 2.5
    each_time = False
    free_at = own(dict[str, float])

    def check_rate(self, account: Account) -> None:
        now_at = time.monotonic()
        shut = now_at < self.free_at.get(account.key, now_at)
        try:
            if shut:
                raise self.too_many(_REACHED, 1.0)
            super().check_rate(account)
        except Refusal:
            if not shut or self.each_time:
                self.free_at[account.key] = now_at + self.shut_s
            raise


# fmt: off
fault("retry-after-is-too-short", "load", "limit.retry-after-is-honest",
      "Retry-After always says one second, and a key that met the limit is served after two and a half.",
      Punishes, too_many=saying(lambda _: "1"))
fault("limit-never-ends", "load", "limit.ends-after-back-off",
      "A key that has met the limit once is never served again.",
      Punishes, shut_s=1e6, pace={"retry_after": "none"}, target={"patience_s": 2.0})
fault("retries-are-punished", "load", "limit.ends-after-back-off limit.retry-after-is-honest",
      "Each refused start adds more to the wait than Retry-After says.",
      Punishes, shut_s=2.0, each_time=True, target={"patience_s": 2.0})
# fmt: on


class Refuses(Engine):
    """Does something besides when it refuses a start."""

    def besides(self, account: Account, version: Version, refusal: Refusal) -> None:
        raise NotImplementedError

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal as refusal:
            self.besides(account, version, refusal)
            raise

    def begin(self, version: Version) -> None:
        """Launches what was refused, unless it is built, being built or gone by now."""
        slot = self.slot_of(version)
        if not slot.golden and not self.joinable(slot) and self.catalog.holds(version.owner, version.digest):
            slot.last = self.launch(version)


@breaks("load", "limit.refused-start-starts-nothing", also=_CANCELLED, over=Refuses.besides)
def refused_start_builds(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start is refused with 429 after its build has begun."""
    engine.begin(version)


@breaks("load", "limit.refused-start-starts-nothing", also=_CANCELLED, over=Refuses.besides)
def refused_start_is_queued(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start is refused with 429 and begins a little later."""
    if refusal.status == 429:
        asyncio.get_running_loop().call_later(0.15, engine.begin, version)


@breaks("load", "limit.refused-start-starts-nothing", also=_CANCELLED, profile="standard")
class FullHostBuilds(Engine):
    """A start for which the host has no room is refused with 429, and builds."""

    def check_capacity(self) -> None:
        pass

    def launch(self, version: Version) -> Any:
        full = len([build for build in self.running if build.in_flight]) >= (self.settings.capacity or 99)
        build = super().launch(version)
        if full:
            self.slot_of(version).last = build
            raise self.too_many("Host capacity reached. Back off and retry.", 1.0)
        return build


@breaks("load", "status.build-does-not-vanish", also=f"{_CANCELLED} events.* cancel.*", over=Refuses.besides)
def refusal_ends_running_builds(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start that is refused with 429 ends the builds of its account that run."""
    for build in [build for build in engine.running if build.version.owner == account.key]:
        build.end_cancelled("build ended: too many requests")


@breaks("load", "start.answers-202", also="start.after-cancel-builds-again")
class RefusalSpoilsTheVersion(Refuses):
    """A version that is not built cannot be built any more once its start was refused with 429: later ones are 409."""

    spoilt = own(set[object])

    def start(self, account: Account, version: Version) -> Body:
        if (version.owner, version.ref) in self.spoilt:
            raise Refusal(409, "This version cannot be built.")
        return super().start(account, version)

    def besides(self, account: Account, version: Version, refusal: Refusal) -> None:
        if not self.reusable(self.slot_of(version)):
            self.spoilt.add((version.owner, version.ref))


@breaks("load", "limit.is-per-key")
class LimitIsShared(Engine):
    """All keys use up one rate."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limiters = dict.fromkeys(self._limiters, next(iter(self._limiters.values())))


@breaks("load", "limit.is-per-key", over=Engine.check_rate)
def limit_of_one_is_everybodys(engine: Engine, account: Account) -> None:
    """While one key is refused, so are all the others, whatever they have left."""
    wait_s = max(limiter.wait_s(engine.now_at()) for limiter in engine._limiters.values())
    if wait_s > 0:
        raise engine.too_many("Build rate limit reached. Back off and retry.", wait_s)


@breaks("load", "limit.reads-are-not-charged", **_POLLED)
class PollingIsCharged(Engine):
    """Each read of a status counts as a start."""

    def status_body(self, version: Version) -> Body:
        limiter = self._limiters.get(version.owner)
        if limiter is not None and limiter.wait_s(self.now_at()) <= 0:
            limiter.take(self.now_at())
        return super().status_body(version)


@breaks("load", "limit.reads-are-not-charged", **_POLLED, over=PollingIsCharged.status_body)
def polling_of_a_build_is_charged(engine: PollingIsCharged, version: Version) -> Body:
    """Each read of a status counts as a start as long as the version is being built."""
    if engine.joinable(engine.slot_of(version)):
        return PollingIsCharged.status_body(engine, version)
    return Engine.status_body(engine, version)


# A check begins more builds than these, and what it builds besides does not meet the limit all the time.
BUILDS: Mapping[str, Any] = {"rate": RateLimit.parse("10/4"), "charges": "builds"}

for _fault in [FAULTS[name] for name in FAULTS if name not in _before]:
    _name, _says = f"{_fault.name}-of-builds", f"{_fault.says} Only starts that begin a build count."
    FAULTS[_name] = replace(_fault, name=_name, says=_says, pace={**_fault.pace, **BUILDS}, profile="standard")
