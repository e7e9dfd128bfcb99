"""Readings of who is let in, what those are told who are not, and of limits."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import freedom, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal, no_such_version
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.limit_text import RateLimit
from touchstone.twin.limits import SlidingLog
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

MISSING, INVALID = "Missing API key", "Invalid API key"


@permitted(18, over=App.refused)
def refusals_of_keys_are_short(app: App, refusal: Refusal) -> Response:
    """The text of a 401 is what both pages have in common, without a full stop."""
    if refusal.status == 401:
        refusal.body["error"] = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
    return App.refused(app, refusal)


@permitted(18, 50, over=App.refused)
def refusals_tell_where_keys_come_from(app: App, refusal: Refusal) -> Response:
    """The text of a 401 tells where to get a key, and there is no WWW-Authenticate."""
    if refusal.status == 401:
        text = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
        refusal.body["error"] = f"{text}. Keys are made and listed at /workspaces."
        refusal.headers.clear()
    return App.refused(app, refusal)


@permitted(19, over=Engine.account_of)
def malformed_header_is_no_key(engine: Engine, authorization: list[str]) -> Account:
    """An Authorization header that carries no bearer key counts as none."""
    scheme, _, token = authorization[0].partition(" ") if authorization else ("", "", "")
    fits = len(authorization) == 1 and engine.is_bearer(scheme) and token.strip(" ")
    return Engine.account_of(engine, authorization if fits else [])


@permitted(20, over=App.refused)
def plan_refusal_has_no_code(app: App, refusal: Refusal) -> Response:
    """The 403 for a plan that is too small is a text and nothing else."""
    if refusal.status == 403:
        refusal.body = {"error": "Your plan does not include this. Upgrade to Scale or higher."}
    return App.refused(app, refusal)


@permitted(21, over=App.operate)
async def version_is_looked_for_first(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """An account below the plan that starts a version which it does not have hears 404."""
    if resource.kind != "templates":
        app.engine.require(account, resource.ref)
    return await App.operate(app, request, account, resource)


@permitted(22, over=App.operate)
async def plan_gates_every_operation(app: App, request: Request, account: Account, resource: Resource) -> Response:
    """An account below the plan is answered 403 whatever it asks for."""
    app.engine.require_plan(account, "Using")
    return await App.operate(app, request, account, resource)


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


@permitted(47, over=Engine.find)
def curated_needs_a_plan(engine: Engine, account: Account, ref: Ref) -> Version | None:
    """An account below the plan finds no curated version."""
    version = Engine.find(engine, account, ref)
    return None if version is not None and version.curated and not engine.may_build(account) else version


@permitted(source="api-intro#statuses (404 and 405 without an order between them)", over=App.refused)
def unknown_method_is_not_found(app: App, refusal: Refusal) -> Response:
    """A method that a path does not have is answered like a path that does not exist."""
    if refusal.status == 405:
        refusal = Refusal(404, "No such path.")
    return App.refused(app, refusal)


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


@permitted(24, over=Engine.too_many)
def limits_sound_alike(engine: Engine, error: str, wait_s: float) -> Refusal:
    """A 429 has one text, whether the rate is used up or the host is full."""
    refusal = Engine.too_many(engine, error, wait_s)
    refusal.body = {"error": "Too many requests.", "code": "RATE_LIMITED"}
    return refusal


@permitted(source=_NUMBERS, pace={"rate": RateLimit.parse("sliding-log:30/1")}, over=Engine.check_rate)
def refused_starts_count(engine: Engine, account: Account) -> None:
    """A start that is refused for the rate counts like one that is served."""
    limiter, now_at = engine._limiters[account.key], engine.now_at()
    if limiter.wait_s(now_at) > 0:
        limiter.take(now_at)
    Engine.check_rate(engine, account)


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
