"""Faults of limits: how a refusal looks, what it does all the same, whom it hits, and when it ends."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from starlette.responses import Response

from touchstone.proof.faults.fault import FAULTS, breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.limit_text import RateLimit
from touchstone.twin.settings import Account

# Room for one build, so that the second of two that are started together is refused.
FULL = {"capacity": 1}

# --- how a refusal looks -----------------------------------------------------------------------------------------


@breaks("load", "http.no-server-error")
class LimitIs503(Engine):
    """A limit is answered with 503."""

    def too_many(self, error: str, wait_s: float) -> Refusal:
        return Refusal(503, error)


@breaks("load", "limit.has-the-error-shape")
class LimitIs409(Engine):
    """A limit is answered with 409, as if the version were in the way."""

    def too_many(self, error: str, wait_s: float) -> Refusal:
        return Refusal(409, error)


class LimitedSays(App):
    """A 429 has another body."""

    def limited(self, refusal: Refusal) -> Response:
        """What a 429 is answered with."""
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> Response:
        return self.limited(refusal) if refusal.status == 429 else super().refused(refusal)


@breaks("schema", "limit.has-the-error-shape")
class LimitSaysDetail(LimitedSays):
    """A 429 says ``detail`` where an error says ``error``."""

    def limited(self, refusal: Refusal) -> Response:
        return answer_json(429, {"detail": "slow down"}, refusal.headers)


@breaks("schema", "limit.has-the-error-shape", also=("http.json-media-type",))
class LimitIsAPage(LimitedSays):
    """A 429 is a page of HTML, as a proxy sends it."""

    def limited(self, refusal: Refusal) -> Response:
        page = "<html><body><h1>429 Too Many Requests</h1></body></html>"
        return Response(page, 429, refusal.headers, "text/html")


@breaks("schema", "limit.has-the-error-shape", pace=FULL)
class FullHostSaysNothing(App):
    """The 429 of a full host has an empty error; the one for the rate is right."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 429 and "capacity" in refusal.body["error"]:
            refusal.body["error"] = ""
        return super().refused(refusal)


# --- what Retry-After says ---------------------------------------------------------------------------------------


class SaysWhen(Engine):
    """Retry-After says something else."""

    def when(self, wait_s: float) -> str:
        """Its value, where *wait_s* seconds are left to wait."""
        raise NotImplementedError

    def too_many(self, error: str, wait_s: float) -> Refusal:
        return Refusal(429, error, {"Retry-After": self.when(wait_s)})


@breaks("load", "limit.retry-after-is-honest")
class RetryAfterIsTooShort(SaysWhen):
    """Retry-After always says one second, and a key that met the limit is served after two and a half."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.free_at: dict[str, float] = {}

    def when(self, wait_s: float) -> str:
        return "1"

    def check_rate(self, account: Account) -> None:
        now_at = time.monotonic()
        if now_at < self.free_at.get(account.key, now_at):
            raise self.too_many("Build rate limit reached.", 1.0)
        try:
            super().check_rate(account)
        except Refusal:
            self.free_at[account.key] = now_at + 2.5
            raise


# When starts are refused, most of a long window is left, for retries that come too soon.
@breaks("load", "limit.retry-after-is-honest", pace={"rate": RateLimit.parse("18/6")})
class RetryAfterIsOver(SaysWhen):
    """Retry-After names a moment that has passed."""

    def when(self, wait_s: float) -> str:
        return formatdate(time.time() - 60.0, usegmt=True)


@breaks("load", "limit.retry-after-is-honest")
class RetryAfterIsZero(SaysWhen):
    """Retry-After says that there is nothing to wait for."""

    def when(self, wait_s: float) -> str:
        return "0"


@breaks("schema", "limit.retry-after-is-valid")
class RetryAfterHasDecimals(SaysWhen):
    """Retry-After says fractions of a second."""

    def when(self, wait_s: float) -> str:
        return f"{wait_s:.3f}"


# --- how it ends -------------------------------------------------------------------------------------------------


@breaks("load", "limit.ends-after-back-off", pace={"retry_after": "none"}, target={"patience_s": 2.0})
class LimitNeverEnds(Engine):
    """A key that has met the limit once is never served again."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.shut_out: set[str] = set()

    def check_rate(self, account: Account) -> None:
        if account.key in self.shut_out:
            raise self.too_many("Build rate limit reached.", 1.0)
        try:
            super().check_rate(account)
        except Refusal:
            self.shut_out.add(account.key)
            raise


@breaks(
    "load",
    "limit.ends-after-back-off",
    "limit.retry-after-is-honest",
    target={"patience_s": 2.0},
)
class RetriesArePunished(Engine):
    """Each refused start adds more to the wait than Retry-After says."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.free_at: dict[str, float] = {}

    def check_rate(self, account: Account) -> None:
        now_at = time.monotonic()
        try:
            if now_at < self.free_at.get(account.key, now_at):
                raise self.too_many("Build rate limit reached.", 1.0)
            super().check_rate(account)
        except Refusal:
            self.free_at[account.key] = now_at + 2.0
            raise


# --- what it does all the same -----------------------------------------------------------------------------------

# Whoever cancels such a version, of which nothing tells that it builds, does not get the answer that it had to.
_CANCELLED = "cancel.idle-is-404"


@breaks("load", "limit.refused-start-starts-nothing", also=(_CANCELLED,))
class RefusedStartBuilds(Engine):
    """A start is refused with 429 after its build has begun."""

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal:
            slot = self.slot_of(version)
            if not slot.golden and not self.joinable(slot):
                slot.last = self.launch(version)
            raise


@breaks("load", "limit.refused-start-starts-nothing", also=(_CANCELLED,))
class RefusedStartIsQueued(Engine):
    """A start is refused with 429 and begins a little later."""

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal as refusal:
            if refusal.status == 429:
                asyncio.get_running_loop().call_later(0.15, self.begin, version)
            raise

    def begin(self, version: Version) -> None:
        """Launches what was refused, unless it is built or being built by now."""
        slot = self.slot_of(version)
        if not slot.golden and not self.joinable(slot) and self.catalog.holds(version.owner, version.digest):
            slot.last = self.launch(version)


@breaks("load", "limit.refused-start-starts-nothing", also=(_CANCELLED,), profile="standard")
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


@breaks("load", "status.build-does-not-vanish", also=(_CANCELLED, "events.*", "cancel.*"))
class RefusalEndsRunningBuilds(Engine):
    """A start that is refused with 429 ends the builds of its account that run."""

    def start(self, account: Account, version: Version) -> Body:
        try:
            return super().start(account, version)
        except Refusal:
            for build in [build for build, owner in self._started_by.items() if owner == account.key]:
                build.end_cancelled("build ended: too many requests")
            raise


@breaks("load", "start.answers-202", also=("start.after-cancel-builds-again",))
class RefusalSpoilsTheVersion(Engine):
    """A version that is not built cannot be built any more once its start was refused with 429: later ones are 409."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.spoilt: set[object] = set()

    def start(self, account: Account, version: Version) -> Body:
        if (version.owner, version.ref) in self.spoilt:
            raise Refusal(409, "This version cannot be built.")
        try:
            return super().start(account, version)
        except Refusal:
            if not self.reusable(self.slot_of(version)):
                self.spoilt.add((version.owner, version.ref))
            raise


# --- whom it hits ------------------------------------------------------------------------------------------------


@breaks("load", "limit.is-per-key")
class LimitIsShared(Engine):
    """All keys use up one rate."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limiters = dict.fromkeys(self._limiters, next(iter(self._limiters.values())))


@breaks("load", "limit.is-per-key")
class LimitOfOneIsEverybodys(Engine):
    """While one key is refused, so are all the others, whatever they have left."""

    def check_rate(self, account: Account) -> None:
        now_at = self.now_at()
        wait_s = max(limiter.wait_s(now_at) for limiter in self._limiters.values())
        if wait_s > 0:
            raise self.too_many("Build rate limit reached. Back off and retry.", wait_s)


# Few starts in a wide window: three times as many reads have to fit into it on a slow machine, too.
@breaks(
    "load",
    "limit.reads-are-not-charged",
    profile="standard",
    pace={"rate": RateLimit.parse("12/2")},
    target={"build_timeout_s": 30.0},  # one build runs while the key rests
)
class PollingIsCharged(Engine):
    """Each read of a status counts as a start."""

    def status_body(self, version: Version) -> Body:
        limiter = self._limiters.get(version.owner)
        if limiter is not None and limiter.wait_s(self.now_at()) <= 0:
            limiter.take(self.now_at())
        return super().status_body(version)


@breaks(
    "load",
    "limit.reads-are-not-charged",
    profile="standard",
    pace={"rate": RateLimit.parse("12/2")},
    target={"build_timeout_s": 30.0},  # one build runs while the key rests
)
class PollingOfABuildIsCharged(PollingIsCharged):
    """Each read of a status counts as a start as long as the version is being built."""

    def status_body(self, version: Version) -> Body:
        if self.joinable(self.slot_of(version)):
            return super().status_body(version)
        return Engine.status_body(self, version)


# --- the same where only builds count ----------------------------------------------------------------------------

# A check begins more builds than these, and what it builds besides does not meet the limit all the time.
BUILDS: Mapping[str, Any] = {"rate": RateLimit.parse("10/4"), "charges": "builds"}

for _fault in list(FAULTS.values()):
    if (_fault.engine if _fault.engine is not Engine else _fault.app).__module__ == __name__:
        _name, _says = f"{_fault.name}-of-builds", f"{_fault.says} Only starts that begin a build count."
        FAULTS[_name] = replace(_fault, name=_name, says=_says, pace={**_fault.pace, **BUILDS}, profile="standard")
