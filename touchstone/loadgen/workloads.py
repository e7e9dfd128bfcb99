"""The six load scenarios as data for plans and reports. `load/` contains their code, one file per scenario."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from touchstone.errors import UsageError, nearest
from touchstone.facts.events import Model


@dataclass(frozen=True, slots=True)
class Action:
    """Kind of arrival: what its client does."""

    operation: str = "startBuild"  # operation of the first request, the only one whose time the schedule sets
    # version that the action may build: its ``own``, a ``shared`` one, or none (empty)
    builds: Literal["", "own", "shared"] = ""
    lasts: bool = False  # whether the client goes on until the build has ended
    follow_ups: int = 0  # requests after the first one, without polls and retries
    is_followed: bool = False  # whether some client follows the log of the build
    follows: bool = False  # whether the client of this action follows a log


TABLES = tomllib.loads(Path(__file__).with_name("workloads.toml").read_text("utf-8"))
ACTIONS: Mapping[str, Action] = {name: Action(**values) for name, values in TABLES["actions"].items()}
INVARIANTS: tuple[str, ...] = tuple(TABLES["invariants"])
_CLAIMS = ("http.answers", "http.no-server-error", "http.status-is-documented")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load scenario with its defaults."""

    name: str
    description: str
    arrivals: str  # arrival curve as text; or ``at once``: one arrival per build, all at the same moment
    duration_s: float
    mix: Mapping[str, float]  # weights of the actions among the arrivals, all above zero
    builds: int = 0
    watchers: int = 0  # number of clients that follow the log of each build
    # duration of the steps of a build in seconds; *lines* is the number of lines that the steps print
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0  # number of versions that are built before the run begins, so that clients can read them
    needs_second: bool = False
    drift: bool = False  # whether the last part of the run is compared with the first part
    # claims that the scenario tests; a run without a verdict on each of these is no pass
    claims: tuple[str, ...] = _CLAIMS

    def uses(self, flag: str) -> bool:
        """Whether a command-line flag, without its leading dashes, affects the scenario."""
        uses = {
            "builds": self.builds,
            "watchers": self.watchers,
            "lines": any(ACTIONS[action].is_followed for action in self.mix),
            "rate": not self.watchers,
            "arrivals": not self.watchers,
            "mix": len(self.mix) > 1 and not self.watchers,
            "build-s": not self.needs_second,
            "users": self.arrivals != AT_ONCE and not self.needs_second,
        }
        return bool(uses.get(flag, True))


AT_ONCE = "at once"
USERS = 8

SCENARIOS: Mapping[str, Scenario] = {
    name: Scenario(name, **values | {"claims": (*_CLAIMS, *values.get("claims", ()))})
    for name, values in TABLES["scenarios"].items()
}


@dataclass(frozen=True, slots=True)
class Options:
    """A scenario with the settings of one run."""

    scenario: Scenario
    arrivals: str
    duration_s: float
    mix: Mapping[str, float]
    seed: int
    model: Model = "open"
    users: int = USERS  # number of clients in a closed model; each sends its next request after a response
    builds: int = 0
    watchers: int = 0
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0
    max_requests: int | None = None  # requests that the run may send, without set-up and clean-up; None for no limit

    @property
    def arrivals_text(self) -> str:
        """Arrivals as text for reports; in a closed model, the number of clients."""
        return self.arrivals if self.model == "open" else f"after each response, by {self.users} clients"

    @property
    def advice(self) -> str:
        """Advice on the flags that reduce the load."""
        if self.arrivals == AT_ONCE:
            return "lower --builds or --watchers" if self.watchers else "lower --builds"
        return "lower --duration" if self.arrivals.startswith("trace:") else "lower --rate or --duration"


def scenario(name: str) -> Scenario:
    """Scenario by name; raises `UsageError` if the name is unknown."""
    if name not in SCENARIOS:
        raise UsageError(f"scenario {name!r}: no such scenario; {nearest(name, tuple(SCENARIOS))}")
    return SCENARIOS[name]


def mix_of(text: str, default: Mapping[str, float]) -> dict[str, float]:
    """Weights above 0 from ``action=weight,…``; raises `UsageError` for an unknown action or an invalid weight."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        if name not in default:
            raise UsageError(f"--mix {part.strip()!r}: unknown action; {nearest(name, tuple(default))}")
        if name in weights:
            raise UsageError(f"--mix {text!r}: {name} has two weights; keep one of them")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = -1.0
        if not 0 <= weights[name] < float("inf"):
            raise UsageError(f"--mix {part.strip()!r}: expected action=weight with a weight of 0 or more")
    kept = {name: weight for name, weight in weights.items() if weight}
    if not kept:
        raise UsageError(f"--mix {text!r}: no action is left; give one of {', '.join(default)} a weight above 0")
    return kept
