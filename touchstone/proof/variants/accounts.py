"""Readings of who is let in, what those are told who are not, and of limits."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal, no_such_version
from touchstone.twin.app import Resource
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.limits import RateLimit, SlidingLog
from touchstone.twin.settings import Account

MISSING, INVALID = "Missing API key", "Invalid API key"


@permitted(18)
class RefusalsOfKeysAreShort(App):
    """The text of a 401 is what both pages have in common, without a full stop."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 401:
            refusal.body["error"] = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
        return super().refused(refusal)


@permitted(18, 50)
class RefusalsTellWhereKeysComeFrom(App):
    """The text of a 401 tells where to get a key, and there is no WWW-Authenticate."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 401:
            text = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
            refusal.body["error"] = f"{text}. Keys are made and listed at /workspaces."
            refusal.headers.clear()
        return super().refused(refusal)


@permitted(19)
class MalformedHeaderIsNoKey(Engine):
    """An Authorization header that carries no bearer key counts as none."""

    def account_of(self, authorization: list[str]) -> Account:
        scheme, _, token = authorization[0].partition(" ") if authorization else ("", "", "")
        fits = len(authorization) == 1 and self.is_bearer(scheme) and token.strip(" ")
        return super().account_of(authorization if fits else [])


@permitted(20)
class PlanRefusalHasNoCode(App):
    """The 403 for a plan that is too small is a text and nothing else."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 403:
            refusal.body = {"error": "Your plan does not include this. Upgrade to Scale or higher."}
        return super().refused(refusal)


@permitted(21)
class VersionIsLookedForFirst(App):
    """An account below the plan that starts a version which it does not have hears 404."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "templates":
            self.engine.require(account, resource.ref)
        return await super().operate(request, account, resource)


@permitted(22)
class PlanGatesEveryOperation(App):
    """An account below the plan is answered 403 whatever it asks for."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        self.engine.require_plan(account, "Using")
        return await super().operate(request, account, resource)


@permitted(44, over=Engine.require_own)
def curated_is_hidden(engine: Engine, version: Version) -> None:
    """Who starts, cancels or deletes a curated version hears that it does not exist."""
    if version.curated:
        raise no_such_version()


@permitted(44, over=Engine.require_own)
def curated_is_not_allowed(engine: Engine, version: Version) -> None:
    """Curated versions do not have the methods that start, cancel or delete."""
    if version.curated:
        raise Refusal(405, "Curated versions cannot be changed.", {"Allow": "GET, HEAD"})


@permitted(44, over=Engine.require_own)
def curated_is_in_conflict(engine: Engine, version: Version) -> None:
    """Who starts, cancels or deletes a curated version hears that its state does not allow it."""
    if version.curated:
        raise Refusal(409, "Curated versions are always built.")


@permitted(47)
class CuratedNeedsAPlan(Engine):
    """An account below the plan finds no curated version."""

    def find(self, account: Account, ref: Ref) -> Version | None:
        version = super().find(account, ref)
        return None if version is not None and version.curated and not self.may_build(account) else version


@permitted(source="api-intro#statuses (404 and 405 without an order between them)")
class UnknownMethodIsNotFound(App):
    """A method that a path does not have is answered like a path that does not exist."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 405:
            refusal = Refusal(404, "No such path.")
        return super().refused(refusal)


_NUMBERS = "api-intro#rate-limits (no number, no window and no way of counting)"
# What all requests of one account may be in a second, where all of them count.
REQUESTS, WINDOW_S = 400, 1.0

# fmt: off
freedom("few-starts", "Five starts a second, in windows.", Engine, source=_NUMBERS,
        pace={"rate": RateLimit.parse("5/1")})
freedom("few-starts-by-tokens", "Three at once, ten a second.", Engine, source=_NUMBERS,
        pace={"rate": RateLimit.parse("token-bucket:10/1,burst=3")})
freedom("only-builds-count", "Twelve builds in four seconds; a start that begins no build is free.", Engine,
        source=_NUMBERS, pace={"rate": RateLimit.parse("12/4"), "charges": "builds"})
freedom("room-for-two", "The host has room for two builds.", Engine, source=_NUMBERS, pace={"capacity": 2})
freedom("no-limits", "Any number of starts, and always room on the host.", Engine, source=_NUMBERS,
        pace={"rate": None, "capacity": None})
freedom("no-retry-after", "A 429 does not say when to come back.", Engine, 23, pace={"retry_after": "none"})
freedom("retry-after-is-a-date", "A 429 names the moment at which to come back.", Engine, 23,
        pace={"retry_after": "date"})
# fmt: on


@permitted(24)
class LimitsSoundAlike(Engine):
    """A 429 has one text, whether the rate is used up or the host is full."""

    def too_many(self, error: str, wait_s: float) -> Refusal:
        refusal = super().too_many(error, wait_s)
        refusal.body = {"error": "Too many requests.", "code": "RATE_LIMITED"}
        return refusal


@permitted(source=_NUMBERS, pace={"rate": RateLimit.parse("sliding-log:30/1")})
class RefusedStartsCount(Engine):
    """A start that is refused for the rate counts like one that is served."""

    def check_rate(self, account: Account) -> None:
        limiter, now_at = self._limiters[account.key], self.now_at()
        if limiter.wait_s(now_at) > 0:
            limiter.take(now_at)
        super().check_rate(account)


@permitted(source="api-intro#rate-limits (a rate of each key, not of its starts alone)")
class EveryRequestCounts(App):
    """Each request of a key counts against a rate of its own beside the one of starts."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rates = {account.key: SlidingLog(REQUESTS, WINDOW_S) for account in self.settings.accounts}

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        rate, now_at = self.rates[account.key], time.monotonic()
        wait_s = rate.wait_s(now_at)
        if wait_s > 0:
            raise self.engine.too_many("Too many requests. Back off and retry.", wait_s)
        rate.take(now_at)
        return await super().operate(request, account, resource)
