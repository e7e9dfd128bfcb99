"""Settings of a twin."""

import math
from dataclasses import dataclass
from typing import Literal

from touchstone.errors import UsageError
from touchstone.twin.limits import RateLimit

Plan = Literal["scale", "hacker"]


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the twin."""

    key: str
    plan: Plan = "scale"  # ``hacker`` may neither publish nor build
    name: str = ""  # for messages


DEFAULT_ACCOUNTS = (
    Account("sk_live_test_primary", "scale", "primary"),
    Account("sk_live_test_second", "scale", "second"),
    Account("sk_live_test_restricted", "hacker", "restricted"),
)


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """Settings of a twin; with the defaults, it keeps every promise of the documentation."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    base_path: str = "/api"
    accounts: tuple[Account, ...] = DEFAULT_ACCOUNTS  # no two with the same key
    build_s: float = 0.2  # duration of a build without its ``sleep`` steps
    settle_s: float = 0.05  # a cancelled build has the status ``building`` for this time
    rate: RateLimit | None = None  # limit on the build starts of each account
    charges: Literal["starts", "builds"] = "starts"  # what *rate* counts: all starts, or only new builds
    capacity: int | None = None  # most builds that may run at once, over all accounts
    latency_s: float = 0.0  # delay of every response
    retry_after: Literal["seconds", "date", "none"] = "seconds"  # form of the Retry-After header
    build_timeout_s: float | None = None  # maximum duration; a longer build fails
    digest_scope: Literal["document", "content"] = "document"  # ``content``: the digest excludes name and version
    seed: int | None = None  # makes request ids repeatable

    def __post_init__(self) -> None:
        _check("port", self.port, "0 to 65535", 0 <= self.port <= 65535)
        for name in ("build_s", "settle_s", "latency_s"):
            value = getattr(self, name)
            _check(name, value, "seconds, 0 or more", 0 <= value < math.inf)
        if self.build_timeout_s is not None:
            _check("build_timeout_s", self.build_timeout_s, "seconds, more than 0", 0 < self.build_timeout_s < math.inf)
        if self.capacity is not None:
            _check("capacity", self.capacity, "1 build or more", self.capacity >= 1)
        forms = "seconds, date or none"
        _check("retry_after", self.retry_after, forms, self.retry_after in forms.replace(" or", ",").split(", "))
        is_rooted = not self.base_path or (self.base_path.startswith("/") and not self.base_path.endswith("/"))
        _check("base_path", self.base_path, "a path such as /api, without a final slash", is_rooted)
        keys = [account.key for account in self.accounts]
        is_valid = bool(keys) and all(keys) and len(set(keys)) == len(keys)
        _check("accounts", f"{len(keys)} accounts", "at least one, each with a key of its own", is_valid)


def _check(name: str, value: object, expected: str, is_valid: bool) -> None:
    if not is_valid:
        raise UsageError(f"twin: {name}: found {value!r}; expected {expected}")
