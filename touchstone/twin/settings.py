"""Everything about a twin that can be chosen."""

import math
from dataclasses import dataclass
from typing import Literal

from touchstone.errors import UsageError
from touchstone.twin.limits import RateLimit

Plan = Literal["scale", "hacker"]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may use the twin."""

    key: str
    plan: Plan = "scale"  # ``hacker`` may neither publish nor build
    name: str = ""  # what announcements call it


DEFAULT_ACCOUNTS = (
    Account("sk_live_test_primary", "scale", "primary"),
    Account("sk_live_test_second", "scale", "second"),
    Account("sk_live_test_restricted", "hacker", "restricted"),
)


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """How a twin behaves; every default keeps every promise."""

    host: str = "127.0.0.1"
    port: int = 0  # any free one
    base_path: str = "/api"
    accounts: tuple[Account, ...] = DEFAULT_ACCOUNTS  # their keys differ
    build_s: float = 0.2  # of a build besides its own ``sleep`` steps
    settle_s: float = 0.05  # for so long a cancelled build still reads ``building``
    rate: RateLimit | None = None  # on starts per account
    charges: Literal["starts", "builds"] = "starts"  # what the rate counts: all starts, or those that begin a build
    capacity: int | None = None  # builds in flight at once, all accounts together
    latency_s: float = 0.0  # added to every answer
    retry_after: Literal["seconds", "date", "none"] = "seconds"  # how a 429 says when to come back
    build_timeout_s: float | None = None  # a build that takes longer ends as failed
    digest_scope: Literal["document", "content"] = "document"  # ``content`` leaves name and version out of the digest
    seed: int | None = None  # makes the request ids of errors repeat

    def __post_init__(self) -> None:
        _check("port", self.port, "0 to 65535", 0 <= self.port <= 65535)
        for name in ("build_s", "settle_s", "latency_s"):
            value = getattr(self, name)
            _check(name, value, "seconds, 0 or more", 0 <= value < math.inf)
        if self.build_timeout_s is not None:
            _check("build_timeout_s", self.build_timeout_s, "seconds, more than 0", 0 < self.build_timeout_s < math.inf)
        if self.capacity is not None:
            _check("capacity", self.capacity, "1 build or more", self.capacity >= 1)
        rooted = not self.base_path or (self.base_path.startswith("/") and not self.base_path.endswith("/"))
        _check("base_path", self.base_path, "a path such as /api, without a slash at its end", rooted)
        keys = [account.key for account in self.accounts]
        fine = bool(keys) and all(keys) and len(set(keys)) == len(keys)
        _check("accounts", f"{len(keys)} accounts", "at least one, each with a key of its own", fine)


def _check(name: str, value: object, expected: str, fine: bool) -> None:
    if not fine:
        raise UsageError(f"twin: {name}: found {value!r}; expected {expected}")
