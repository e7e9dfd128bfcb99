"""Base classes of the scenarios: a client of the build API, and a shape that runs users in steps.

Each scenario is a Locust file. Plain Locust runs its users and its shape, as plain.py prepares them. `touchstone load`
follows a schedule instead: for each arrival, it creates a user and calls its method ``do_ACTION``.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gevent
from locust import LoadTestShape, User, between
from locust.env import Environment
from locust.runners import MasterRunner

from plain import IS_CHILD, arrive, state
from touchstone.facts.exchange import Credential
from touchstone.loadgen.load_run import Arrival, Flow, LoadRun
from touchstone.loadgen.plan import SCENARIOS
from touchstone.target.call import Answer

# A master learns from its workers every 3 seconds how many users they have.
REPORTS_S = 4.0
SET_UP_POLL_S = 0.1


class BuildUser(User):
    """One client of the build API. With an arrival of a schedule it is used once, without one again and again."""

    abstract = True
    scenario: ClassVar[str] = ""
    wait_time = between(0.5, 1.5)

    def __init_subclass__(cls) -> None:
        state.scenario = cls.scenario or state.scenario

    def __init__(self, environment: Environment, run: LoadRun | None = None, arrival: Arrival | None = None) -> None:
        super().__init__(environment)
        self._arrival = arrival
        self.run_: LoadRun = run  # type: ignore[assignment]  # see on_start

    def on_start(self) -> None:
        """Waits for the set-up of plain Locust; if it failed, until the test ends."""
        if self._arrival is None:
            while state.run is None:
                gevent.sleep(SET_UP_POLL_S)
            self.run_ = state.run

    def arrive(self, *, builds: bool = False) -> Arrival:
        """The arrival of the schedule, or a new one. *builds*: whether it needs a version that nobody has built."""
        return self._arrival or arrive(builds=builds)

    def refs(self, role: str) -> tuple[str, ...]:
        """Versions that were published for *role*, see `touchstone.loadgen.plan.Need`."""
        return self.run_.go.stage.refs(role)

    def flow(self, arrival: Arrival, *, keep: bool, credential: Credential = "primary", phase: str = "") -> Flow:
        """The requests of a client; *keep*: whether the run log of `touchstone load` keeps its exchanges."""
        return Flow(self.run_, arrival.number, arrival.due_at, keep, credential, phase)

    def build(self) -> tuple[str, Flow, Answer]:
        """Starts a build of a version that nobody has built; returns the version, the flow, and its last response."""
        arrival, refs = self.arrive(builds=True), self.refs("own")
        ref = refs[arrival.nth_build % len(refs)]
        flow = self.flow(arrival, keep=self.run_.keeps(arrival.nth_build))
        return ref, flow, flow.start(ref, fresh=True)


def weighted(users: type[User], scenario: str) -> list[Any]:
    """Tasks of Locust: the actions of *users*, with the weights that they have in the scenario."""
    mix: Mapping[str, float] = SCENARIOS[scenario].mix
    return [getattr(users, f"do_{action}") for action, weight in mix.items() for _ in range(round(weight))]


class Shape(LoadTestShape):
    """A shape of plain Locust; `touchstone load` has a schedule of its own instead."""

    abstract = True

    def __init_subclass__(cls) -> None:
        cls.abstract = cls.abstract or IS_CHILD


class Steps(Shape):
    """Runs users in steps: all users of a step start at once, and the next step begins when all of them have left."""

    abstract = True

    def steps(self, builds: int) -> Sequence[tuple[int, type[User]]]:
        """Number and class of the users in each step; *builds* is --scenario-builds."""
        raise NotImplementedError

    def reset_time(self) -> None:
        """Begins with the first step."""
        super().reset_time()  # type: ignore[no-untyped-call]  # Locust's shapes are not typed
        self._step, self._busy_at = 0, time.monotonic()

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Called by Locust every second: the users that there should be now; None at the end."""
        runner, now = self.runner, time.monotonic()
        assert runner is not None
        assert runner.environment.parsed_options is not None
        steps = self.steps(max(runner.environment.parsed_options.scenario_builds, 1))
        # Between two steps, the number of users is 0 for a moment: else Locust would replace those that have left.
        step, is_between = divmod(self._step, 2)
        if runner.user_count or not state.is_ready:
            self._busy_at = now
        elif is_between or now - self._busy_at > (REPORTS_S if isinstance(runner, MasterRunner) else 0.5):
            self._step, self._busy_at = self._step + 1, now
            step, is_between = divmod(self._step, 2)
        if self._step > 2 * len(steps) - 2:
            return None
        number, user = steps[step]
        is_alone = isinstance(runner, MasterRunner) and not runner.worker_count  # no worker has connected yet
        return 0 if is_between or is_alone else number, number, [user]
