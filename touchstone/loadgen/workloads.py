"""The six load scenarios as data for plans and reports; what one arrival does is in `load/`, one file a scenario."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from touchstone.errors import UsageError, nearest
from touchstone.facts.events import Model


@dataclass(frozen=True, slots=True)
class Action:
    """What one arrival does.

    Attributes:
        operation: The operation of its first request, which it is timed by, and which thresholds are set for.
        builds: The build that it may begin: one of a version of its ``own``, or of one that is ``shared``.
        lasts: Whether its client goes on to the end of the build.
        follow_ups: Requests after the first one, besides polls and what a refusal costs.
        is_followed: Whether somebody follows the log of its build; *follows*: whether it follows a log itself.
    """

    operation: str = "startBuild"
    builds: Literal["", "own", "shared"] = ""
    lasts: bool = False
    follow_ups: int = 0
    is_followed: bool = False
    follows: bool = False


ACTIONS: Mapping[str, Action] = {
    "read": Action("getBuild"),
    "start": Action(builds="own", lasts=True),
    "cancel": Action(builds="own", follow_ups=1),
    "stream": Action(builds="own", lasts=True, follow_ups=1, is_followed=True, follows=True),
    "race": Action(builds="shared", follow_ups=2),
    "host": Action(builds="own", lasts=True, is_followed=True),
    "watch": Action("streamBuildEvents", follows=True),
    "modest": Action(),
    "greedy": Action(),
}

# What a load run judges of itself as a whole. Each is a must there, also where a check takes it for a should.
INVARIANTS: tuple[str, ...] = (
    "http.status-is-documented",
    "http.no-server-error",
    "limit.refused-start-starts-nothing",
    "limit.ends-after-back-off",
    "limit.retry-after-is-honest",
    "limit.is-per-key",
    "limit.reads-are-not-charged",
    "status.build-ends",
    "status.build-does-not-vanish",
    "events.watchers-agree",
    "events.carry-the-output",
    "load.builds-admitted",
)

_SHOWN = ("http.answers", "http.no-server-error", "http.status-is-documented")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load scenario with its defaults.

    Attributes:
        arrivals: The arrival curve as text, or ``at once``: then *builds* say how many.
        mix: Weights of the actions among the arrivals, none of them zero.
        watchers: Followers of each build.
        build_s: Seconds that the steps of a build take; *lines*: how many it prints.
        ready: Versions that are built before the run begins, for reads.
        drift: Whether the last part of the run is compared with the first.
        shows: Claims that it is for; without a verdict on one of them a run is no pass.
    """

    name: str
    says: str
    arrivals: str
    duration_s: float
    mix: Mapping[str, float]
    builds: int = 0
    watchers: int = 0
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0
    needs_second: bool = False
    drift: bool = False
    shows: tuple[str, ...] = _SHOWN

    def heeds(self, flag: str) -> bool:
        """Whether a flag, by its name without dashes, changes anything about the scenario."""
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
    scenario.name: scenario
    for scenario in (
        Scenario(
            "storm",
            "Starts many builds at the same moment, over what the target admits, and backs off until each is built.",
            AT_ONCE,
            1.0,
            {"start": 1},
            builds=24,
            shows=(*_SHOWN, "start.answers-202", "status.build-ends"),
        ),
        Scenario(
            "steady",
            "A mix of reads, starts, cancels and followed builds at a given rate.",
            "constant:20",
            20.0,
            {"read": 88, "start": 4, "cancel": 4, "stream": 4},
            ready=4,
        ),
        Scenario(
            "churn",
            "Starts and cancels a few versions from many clients at once, so that the two race.",
            "constant:6",
            15.0,
            {"race": 1},
            builds=4,
        ),
        Scenario(
            "watchers",
            "Many clients follow the logs of a few builds, each from before its output to its end.",
            AT_ONCE,
            1.0,
            {"host": 1, "watch": 1},
            builds=2,
            watchers=12,
            build_s=4.0,
            lines=40,
            shows=(*_SHOWN, "events.answers-200", "events.watchers-agree", "events.carry-the-output"),
        ),
        Scenario(
            "soak",
            "The mix of steady, gently and for long: what drifts in the answers, in time, in size or in errors?",
            "poisson:5",
            3600.0,
            {"read": 94, "start": 2, "cancel": 2, "stream": 2},
            ready=4,
            drift=True,
        ),
        Scenario(
            "fairness",
            "One key starts at a modest pace, first alone and then beside a greedy one.",
            "constant:1",
            24.0,
            {"modest": 1, "greedy": 20},
            needs_second=True,
            shows=(*_SHOWN, "limit.is-per-key"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Options:
    """A scenario with the caller's wishes in it.

    Attributes:
        users: Clients that send one request after the other; only in a closed model.
        max_requests: Requests that the run may send, set-up and clean-up not counted; None for no bound.
    """

    scenario: Scenario
    arrivals: str
    duration_s: float
    mix: Mapping[str, float]
    seed: int
    model: Model = "open"
    users: int = USERS
    builds: int = 0
    watchers: int = 0
    build_s: float = 0.5
    lines: int = 1
    ready: int = 0
    max_requests: int | None = None

    @property
    def arrivals_text(self) -> str:
        """When what is to be sent is sent."""
        return self.arrivals if self.model == "open" else f"as answered, by {self.users} clients"

    @property
    def advice(self) -> str:
        """Which flags make less of something of which there is too much."""
        if self.arrivals == AT_ONCE:
            return "lower --builds or --watchers" if self.watchers else "lower --builds"
        return "lower --duration" if self.arrivals.startswith("trace:") else "lower --rate or --duration"

    def public(self) -> dict[str, Any]:
        """Every setting by name as JSON values."""
        return asdict(self) | {"scenario": self.scenario.name}


def scenario(name: str) -> Scenario:
    """The scenario called *name*; a `UsageError` where there is none."""
    if name not in SCENARIOS:
        raise UsageError(f"scenario {name!r}: no such scenario; {nearest(name, tuple(SCENARIOS))}")
    return SCENARIOS[name]


def mix_of(text: str, default: Mapping[str, float]) -> dict[str, float]:
    """The weights of ``action=weight,…``, 0 or more; a `UsageError` where an action is unknown, or a weight none."""
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
