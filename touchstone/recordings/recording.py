"""A recording: the exchanges of one scenario, and the terms on which they were made. Values only.

Whatever tells one run from another and is no secret stays as it was, but for two things: the base URL is BASE_URL, and
the run id in names is RUN_ID, so that a test that uses a recording does not change when it is made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from touchstone.facts.exchange import Exchange

BASE_URL = "https://builds.test/api"
RUN_ID = "recorded"

Origin = Literal[
    "touchstone",  # made by `touchstone record`
    "har",  # saved by a browser or a proxy
    "vcr",  # saved by schemathesis or another writer of VCR cassettes
]
Owner = Literal["primary", "second", "restricted"]
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
        shown: By *seq*, the claims that an exchange was evidence for when it was recorded.
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
    shown: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    is_changed: bool = False

    @property
    def place(self) -> str:
        """What to call it in messages."""
        return PurePath(self.path).name or self.name
