"""Everything about a twin that can be chosen."""

import math
from dataclasses import dataclass
from typing import Literal

from touchstone.errors import UsageError
from touchstone.twin.limits import RateLimit

Plan = Literal["scale", "hacker"]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may use the twin.

    Attributes:
        key: The whole API key.
        plan: ``scale`` may publish and build; ``hacker`` may not.
        name: What the twin's announcements call it.
    """

    key: str
    plan: Plan = "scale"
    name: str = ""


DEFAULT_ACCOUNTS = (
    Account("sk_live_test_primary", "scale", "primary"),
    Account("sk_live_test_second", "scale", "second"),
    Account("sk_live_test_restricted", "hacker", "restricted"),
)


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """How a twin behaves; every default keeps every promise.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        base_path: What every path starts with; empty for none.
        accounts: Who may use it; keys differ.
        build_s: How long a build takes besides its own ``sleep`` steps.
        settle_s: How long a cancelled build still reads ``building``.
        rate: Limit on starts per account; None for no limit.
        charges: What the rate counts: all starts, or only those that begin a build.
        capacity: Builds in flight at once, all accounts together; None for no limit.
        latency_s: Added to every answer.
        retry_after: How a 429 says when to come back.
        build_timeout_s: A build that takes longer ends as failed; None for no limit.
        digest_scope: ``content`` leaves name and version out of the digest.
        seed: Makes the request ids of errors repeat from run to run.
    """

    host: str = "127.0.0.1"
    port: int = 0
    base_path: str = "/api"
    accounts: tuple[Account, ...] = DEFAULT_ACCOUNTS
    build_s: float = 0.2
    settle_s: float = 0.05
    rate: RateLimit | None = None
    charges: Literal["starts", "builds"] = "starts"
    capacity: int | None = None
    latency_s: float = 0.0
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    build_timeout_s: float | None = None
    digest_scope: Literal["document", "content"] = "document"
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            UsageError: a number is out of range, two accounts share a key, or the base path is none.
        """
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
        _check("accounts", f"{len(self.accounts)} accounts", "at least one, each with a key of its own", self._keyed())

    def _keyed(self) -> bool:
        keys = [account.key for account in self.accounts]
        return bool(keys) and all(keys) and len(set(keys)) == len(keys)


def _check(name: str, value: object, expected: str, fine: bool) -> None:
    if not fine:
        raise UsageError(f"twin: {name}: found {value!r}; expected {expected}")
