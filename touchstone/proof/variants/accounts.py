"""Variants: which keys and plans get access, how the others are refused, and what a rate limit counts."""

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
    """The error text of a 401 is short and has no full stop."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 401:
            refusal.body["error"] = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
        return super().refused(refusal)


@permitted(18, 50)
class RefusalsTellWhereKeysComeFrom(App):
    """The error text of a 401 says where to get a key, and the response has no WWW-Authenticate header."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 401:
            text = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
            refusal.body["error"] = f"{text}. Keys are made and listed at /workspaces."
            refusal.headers.clear()
        return super().refused(refusal)


@permitted(19)
class MalformedHeaderIsNoKey(Engine):
    """An Authorization header without a bearer key gets the same 401 as a missing header."""

    def account_of(self, authorization: list[str]) -> Account:
        scheme, _, token = authorization[0].partition(" ") if authorization else ("", "", "")
        fits = len(authorization) == 1 and self.is_bearer(scheme) and token.strip(" ")
        return super().account_of(authorization if fits else [])


@permitted(20)
class PlanRefusalHasNoCode(App):
    """The 403 for an account below the Scale plan has an error text, but no code."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 403:
            refusal.body = {"error": "Your plan does not include this. Upgrade to Scale or higher."}
        return super().refused(refusal)


@permitted(21)
class VersionIsLookedForFirst(App):
    """If an account below the Scale plan starts an unknown version, it gets a 404 instead of a 403."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        if resource.kind != "templates":
            self.engine.require(account, resource.ref)
        return await super().operate(request, account, resource)


@permitted(22)
class PlanGatesEveryOperation(App):
    """Every request of an account below the Scale plan is answered with 403."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        self.engine.require_plan(account, "Using")
        return await super().operate(request, account, resource)


@permitted(44, over=Engine.require_own)
def curated_is_hidden(engine: Engine, version: Version) -> None:
    """Starting, cancelling or deleting a curated version is answered with 404."""
    if version.curated:
        raise no_such_version()


@permitted(44, over=Engine.require_own)
def curated_is_not_allowed(engine: Engine, version: Version) -> None:
    """Starting, cancelling or deleting a curated version is answered with 405."""
    if version.curated:
        raise Refusal(405, "Curated versions cannot be changed.", {"Allow": "GET, HEAD"})


@permitted(44, over=Engine.require_own)
def curated_is_in_conflict(engine: Engine, version: Version) -> None:
    """A start, cancel or delete of a curated version (published by the API itself) is answered with 409."""
    if version.curated:
        raise Refusal(409, "Curated versions are always built.")


@permitted(47)
class CuratedNeedsAPlan(Engine):
    """An account below the Scale plan gets a 404 for every curated version."""

    def find(self, account: Account, ref: Ref) -> Version | None:
        version = super().find(account, ref)
        return None if version is not None and version.curated and not self.may_build(account) else version


@permitted(source="api-intro#statuses (404 and 405, without an order of precedence)")
class UnknownMethodIsNotFound(App):
    """An unsupported method is answered with 404 instead of 405."""

    def refused(self, refusal: Refusal) -> Response:
        if refusal.status == 405:
            refusal = Refusal(404, "No such path.")
        return super().refused(refusal)


_NUMBERS = "api-intro#rate-limits (no number, no window and no method of counting)"
# Limit for all requests of one account.
REQUESTS, WINDOW_S = 400, 1.0

# fmt: off
freedom("few-starts", "The rate limit is five starts a second, in fixed windows.", Engine, source=_NUMBERS,
        pace={"rate": RateLimit.parse("5/1")})
freedom("few-starts-by-tokens", "The rate limit is a token bucket: ten starts a second, bursts of three.", Engine,
        source=_NUMBERS, pace={"rate": RateLimit.parse("token-bucket:10/1,burst=3")})
freedom("only-builds-count", "The rate limit is twelve builds in four seconds; other starts are free.", Engine,
        source=_NUMBERS, pace={"rate": RateLimit.parse("12/4"), "charges": "builds"})
freedom("room-for-two", "The host runs at most two builds at a time.", Engine, source=_NUMBERS, pace={"capacity": 2})
freedom("no-limits", "There is no rate limit and no capacity limit.", Engine, source=_NUMBERS,
        pace={"rate": None, "capacity": None})
freedom("no-retry-after", "A 429 has no Retry-After.", Engine, 23, pace={"retry_after": "none"})
freedom("retry-after-is-a-date", "The Retry-After of a 429 is a date.", Engine, 23,
        pace={"retry_after": "date"})
# fmt: on


@permitted(24)
class LimitsSoundAlike(Engine):
    """The 429 for the rate limit and the 429 for a full host have the same error text."""

    def too_many(self, error: str, wait_s: float) -> Refusal:
        refusal = super().too_many(error, wait_s)
        refusal.body = {"error": "Too many requests.", "code": "RATE_LIMITED"}
        return refusal


@permitted(source=_NUMBERS, pace={"rate": RateLimit.parse("sliding-log:30/1")})
class RefusedStartsCount(Engine):
    """Starts that are refused with 429 count for the rate limit like accepted ones."""

    def check_rate(self, account: Account) -> None:
        limiter, now_at = self._limiters[account.key], self.now_at()
        if limiter.wait_s(now_at) > 0:
            limiter.take(now_at)
        super().check_rate(account)


@permitted(source="api-intro#rate-limits (a rate limit for each key, not only for starts)")
class EveryRequestCounts(App):
    """A second rate limit, 400 a second for each key, counts all requests, not only starts."""

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
