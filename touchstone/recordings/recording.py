"""A recording: the exchanges of one scenario, the terms on which they were made, and the steps that they show.

Whatever tells one run from another and is no secret stays as it was, but for two things: the base URL is BASE_URL, and
the run id in names is RUN_ID, so that a test that uses a recording does not change when it is made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import PurePath
from typing import Literal

from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange

BASE_URL = "https://builds.test/api"
RUN_ID = "recorded"

_PUBLISHED = {200: "published", 201: "published", 409: "publish conflicts"}
_REFUSED = {401: "key refused", 403: "not allowed", 404: "not found", 405: "no such method", 429: "limited"}

Origin = Literal[
    "touchstone",  # made by `touchstone record`
    "har",  # saved by a browser, a proxy or a tester
]
Owner = Literal["primary", "second", "restricted"]
# Whose a key of a file of others is, and of each key which of them.
Account = Literal["primary", "second", "restricted", "unknown"]
Accounts = Mapping[str, Account]
Ends = Literal["ready", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Given:
    """A version that was there before the recording began: whose it is, and how its build ends."""

    ref: str
    owner: Owner = "primary"
    outcome: Ends = "unknown"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a scenario was played on, and has to be played on again to send the same requests.

    Attributes:
        latency_s: What a status read took, coarse enough to be the same the next time.
        keys: Which accounts had a key, by role.
    """

    latency_s: float = 0.0
    build_timeout_s: float = 600.0
    cancel_timeout_s: float = 60.0
    patience_s: float = 120.0
    publish: Literal["raw", "wrapped", "never"] = "raw"
    keys: tuple[Owner, ...] = ("primary",)
    given: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """The exchanges of one scenario.

    Attributes:
        name: The scenario; of a file that somebody else wrote, its name.
        path: Where it was read from; empty for one that was not.
        exchanges: In the order of *seq*; *sent_at* of the first one is 0.
        recorded_at: ISO 8601 in UTC, with microseconds: when the first request was sent. Empty where nobody says.
        tool_version: Which version of Touchstone wrote it; empty for the work of others.
        contract_sha256: Digest of the contract that it was judged by when it was made.
        target: What was recorded: ``embedded``, or the name of a target of the settings.
        case: Stable id of the case that sent the requests.
        claims: What the scenario sets out to show.
        evidence: By *seq*, the claims that an exchange was evidence for when it was recorded.
        left_out: How many exchanges of a file are not part of this, by reason.
        is_changed: Whether the file was changed since Touchstone wrote it.
    """

    name: str
    exchanges: tuple[Exchange, ...]
    origin: Origin = "touchstone"
    path: str = ""
    recorded_at: str = ""
    tool_version: str = ""
    contract_sha256: str = ""
    target: str = ""
    case: str = ""
    claims: tuple[str, ...] = ()
    terms: Terms = Terms()
    evidence: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    is_changed: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that it shows, in order; one that is repeated stands once."""
        return tuple(name for name, _ in groupby(map(step, self.exchanges)))

    @property
    def place(self) -> str:
        """What to call it in messages."""
        return PurePath(self.path).name or self.name


def moved(exchange: Exchange, seq: int, by_s: float) -> Exchange:
    """The exchange with another number, so many seconds later."""
    sent_at, head_at, done_at = (round(at + by_s, 6) for at in (exchange.sent_at, exchange.head_at, exchange.done_at))
    return replace(exchange, seq=seq, sent_at=sent_at, head_at=head_at, done_at=done_at)


def step(exchange: Exchange) -> str:
    """The step that one exchange shows, such as ``building`` or ``nothing to cancel``."""
    status, told = exchange.status, str(exchange.body.get("status", ""))
    if exchange.response is None:
        return "no answer"
    if exchange.operation == "cancelBuild" and status in (202, 404) and told:
        return told.replace("idle", "nothing to cancel")
    if status in _REFUSED:
        return _REFUSED[status]
    match exchange.operation:
        case "publishTemplate":
            auto = exchange.body.get("auto_build")
            return _PUBLISHED.get(status, f"publish refused: {status}") + (f", {auto}" if auto else "")
        case "startBuild" if told == "ready":
            return "reused"
        case "startBuild" | "getBuild" if told:
            return told.replace("_", " ")
        case "deleteTemplate" if 200 <= status < 300:
            return "deleted"
        case "streamBuildEvents" if 200 <= status < 300:
            return f"log ends on {_last_phase(exchange)}"
    return f"{exchange.operation or exchange.request.method}: {status}"


def _last_phase(exchange: Exchange) -> str:
    events = parse(exchange.response.body).events if exchange.response else ()
    if not events:
        return "nothing"
    try:
        value = read_json(events[-1].data.encode())
    except ValueError:
        return "what is no JSON"
    if not isinstance(value, dict):
        return "what is no object"
    return str(value.get("phase")) + (", an error" if value.get("level") == "error" else "")
