"""Faults of limits: the form of 429 responses, their side effects, the affected keys, and the duration of refusals."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from touchstone.proof.boundary import instead, on, put
from touchstone.proof.faults.fault import FAULTS, breaks, fault, own
from touchstone.twin.answers import Refusal
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.limits import RateLimit
from touchstone.twin.settings import Account, TwinSettings

# Capacity for one build: the second of two starts at once is refused.
FULL = {"capacity": 1}
# A build that a refused start began also changes the response to a cancel.
_CANCELLED = "cancel.idle-is-404"
_REACHED = "Build rate limit reached."
# Few starts in a wide window: in that window, a slow machine must send three times as many reads.
_POLLED: dict[str, Any] = {
    "pace": {"rate": RateLimit.parse("12/2")}, "target": {"build_timeout_s": 30.0},
}  # fmt: skip
_before = set(FAULTS)


def retry_after(when: Any) -> Any:
    """Returns a method `too_many` with another Retry-After; *when* computes the header from the remaining seconds."""
    return lambda _, error, wait_s: Refusal(429, error, {"Retry-After": when(wait_s)})


# fmt: off
fault("limit-is-503", "load", "http.no-server-error", "A start over the limit is answered with 503.",
      Engine, too_many=lambda _, error, wait_s: Refusal(503, error))
fault("limit-is-409", "load", "limit.has-the-error-shape",
      "A start over the limit is answered with 409.", Engine, too_many=lambda _, error, wait_s: Refusal(409, error),
      also="start.answers-202 start.after-cancel-builds-again")
fault("limit-says-detail", "schema", "limit.has-the-error-shape",
      "The body of a 429 has `detail` instead of `error`.", on("startBuild.429", instead(429, {"detail": "slow down"})))
fault("full-host-says-nothing", "schema", "limit.has-the-error-shape",
      "The 429 for a full host has an empty error text.", on("startBuild.429", put(
          error=lambda data: "" if "capacity" in data["error"] else data["error"])), pace=FULL)
# A long window: when a start is refused, most of the window is left, so a retry at once is refused again.
fault("retry-after-is-over", "load", "limit.retry-after-is-honest", "Retry-After is a date in the past.",
      Engine, too_many=retry_after(lambda _: formatdate(time.time() - 60.0, usegmt=True)),
      pace={"rate": RateLimit.parse("18/6")})
fault("retry-after-has-decimals", "schema", "limit.retry-after-is-valid", "Retry-After is a decimal fraction.",
      Engine, too_many=retry_after(lambda wait_s: f"{wait_s:.3f}"))
# fmt: on


class Punishes(Engine):
    """After a 429, a key is refused for a fixed time.

    Attributes:
        shut_s: Seconds for which the key is refused.
        each_time: Whether another start in this time extends the refusal.
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
      "Retry-After is always 1, but the key is refused for 2.5 seconds.",
      Punishes, too_many=retry_after(lambda _: "1"))
fault("limit-never-ends", "load", "limit.ends-after-back-off",
      "After its first 429, a key is refused forever.",
      Punishes, shut_s=1e6, pace={"retry_after": "none"}, target={"patience_s": 2.0})
fault("retries-are-punished", "load", "limit.ends-after-back-off limit.retry-after-is-honest",
      "Each refused start extends the wait beyond the Retry-After that was sent.",
      Punishes, shut_s=2.0, each_time=True, target={"patience_s": 2.0})
# fmt: on


class Refuses(Engine):
    """Base class: a refused start has a side effect."""

    def besides(self, account: Account, version: Version, refusal: Refusal) -> None:
        raise NotImplementedError

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal as refusal:
            self.besides(account, version, refusal)
            raise

    def begin(self, version: Version) -> None:
        """Begins the refused build, unless the version has since been built, started or deleted."""
        slot = self.slot_of(version)
        if not slot.golden and not self.joinable(slot) and self.catalog.holds(version.owner, version.digest):
            slot.last = self.launch(version)


@breaks("load", "limit.refused-start-starts-nothing", over=Refuses.besides,
        also=f"{_CANCELLED} status.ready-after-its-steps")  # fmt: skip
def refused_start_builds(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start that is refused with 429 still begins a build."""
    engine.begin(version)


@breaks("load", "limit.refused-start-starts-nothing", also=_CANCELLED, over=Refuses.besides)
def refused_start_is_queued(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start that is refused with 429 begins a build a moment later."""
    if refusal.status == 429:
        asyncio.get_running_loop().call_later(0.15, engine.begin, version)


@breaks("load", "limit.refused-start-starts-nothing", also=_CANCELLED)
class FullHostBuilds(Engine):
    """A start that is refused with 429 because the host is full still begins a build."""

    def check_capacity(self) -> None:
        pass

    def launch(self, version: Version) -> Any:
        full = len([build for build in self.running if build.in_flight]) >= (self.settings.capacity or 99)
        build = super().launch(version)
        if full:
            self.slot_of(version).last = build
            raise self.too_many("Host capacity reached. Back off and retry.", 1.0)
        return build


@breaks("load", "status.build-does-not-vanish", also="events.* cancel.* publish.auto-build-*", over=Refuses.besides)
def refusal_ends_running_builds(engine: Refuses, account: Account, version: Version, refusal: Refusal) -> None:
    """A start that is refused with 429 ends the running builds of the account."""
    for build in [build for build in engine.running if build.version.owner == account.key]:
        build.end_cancelled("build ended: too many requests")


@breaks("load", "start.answers-202", also="start.after-cancel-builds-again")
class RefusalSpoilsTheVersion(Refuses):
    """After one 429 for a start of an unbuilt version, every later start of that version is answered with 409."""

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
    """All keys share one rate limit."""

    def configure(self, settings: TwinSettings) -> None:
        super().configure(settings)
        self._limiters = dict.fromkeys(self._limiters, next(iter(self._limiters.values())))


@breaks("load", "limit.reads-are-not-charged", **_POLLED)
class PollingIsCharged(Engine):
    """Each status read counts as a start for the rate limit."""

    def status_body(self, version: Version) -> Body:
        limiter = self._limiters.get(version.owner)
        if limiter is not None and limiter.wait_s(self.now_at()) <= 0:
            limiter.take(self.now_at())
        return super().status_body(version)


@breaks("load", "limit.reads-are-not-charged", **_POLLED, over=PollingIsCharged.status_body)
def polling_of_a_build_is_charged(engine: PollingIsCharged, version: Version) -> Body:
    """Each status read of a version that is being built counts as a start for the rate limit."""
    if engine.joinable(engine.slot_of(version)):
        return PollingIsCharged.status_body(engine, version)
    return Engine.status_body(engine, version)


# Ten builds in 4 s: a check begins more builds, but only its cases about limits regularly reach this limit.
BUILDS: Mapping[str, Any] = {"rate": RateLimit.parse("10/4"), "charges": "builds"}

for _fault in [FAULTS[name] for name in FAULTS if name not in _before]:
    _name, _says = f"{_fault.name}-of-builds", f"{_fault.says} Only starts that begin a build count for the limit."
    FAULTS[_name] = replace(_fault, name=_name, says=_says, pace={**_fault.pace, **BUILDS})
