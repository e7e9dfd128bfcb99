"""Readings of limits: how many starts, how they are counted, how a refusal looks."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import Variant, enter, permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.limit_text import RateLimit
from touchstone.twin.limits import SlidingLog
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

_NUMBERS = "api-intro#rate-limits (no number, no window and no way of counting)"
# What all requests of one account may be in a second, where all of them count.
REQUESTS, WINDOW_S = 400, 1.0

for _name, _says, _pace in (
    ("few-starts", "Five starts a second, in windows.", {"rate": RateLimit.parse("5/1")}),
    ("few-starts-by-tokens", "Three at once, ten a second.", {"rate": RateLimit.parse("token-bucket:10/1,burst=3")}),
    (
        "only-builds-count",
        "Twelve builds in four seconds; a start that begins no build is free.",
        {"rate": RateLimit.parse("12/4"), "charges": "builds"},
    ),
    ("room-for-two", "The host has room for two builds.", {"capacity": 2}),
    ("no-limits", "Any number of starts, and always room on the host.", {"rate": None, "capacity": None}),
):  # fmt: skip
    enter(Variant(name=_name, says=_says, source=_NUMBERS, pace=_pace))

enter(
    Variant(
        name="no-retry-after",
        says="A 429 does not say when to come back.",
        answers=(23,),
        source="facts 7.23",
        pace={"retry_after": "none"},
    )
)
enter(
    Variant(
        name="retry-after-is-a-date",
        says="A 429 names the moment at which to come back.",
        answers=(23,),
        source="facts 7.23",
        pace={"retry_after": "date"},
    )
)


@permitted(24)
class LimitsSoundAlike(Engine):
    """A 429 has one text, whether the rate is used up or the host is full."""

    def too_many(self, error: str, wait_s: float) -> Refusal:
        """The usual refusal with that text."""
        refusal = super().too_many(error, wait_s)
        refusal.body = {"error": "Too many requests.", "code": "RATE_LIMITED"}
        return refusal


@permitted(source=_NUMBERS, pace={"rate": RateLimit.parse("sliding-log:30/1")})
class RefusedStartsCount(Engine):
    """A start that is refused for the rate counts like one that is served."""

    def check_rate(self, account: Account) -> None:
        """The usual check; who comes too early waits longer."""
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
        """The usual answer, unless the key is too busy."""
        rate, now_at = self.rates[account.key], time.monotonic()
        wait_s = rate.wait_s(now_at)
        if wait_s > 0:
            raise self.engine.too_many("Too many requests. Back off and retry.", wait_s)
        rate.take(now_at)
        return await super().operate(request, account, resource)
