"""Runs the scenarios of scenarios.py: to check a target, to record it, or to replay recordings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import scenarios_access
import scenarios_builds
from scenarios import SCENARIOS, Scenario

from touchstone.check.handover import CheckHandover, Errand
from touchstone.check.run import Run

# The imports of these modules register their scenarios, in this order.
__all__ = ["scenarios_builds", "scenarios_access"]

# Approximate number of requests of a scenario, besides those for builds.
REQUESTS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """One case: a scenario, a recording of a scenario, or another recording (*scenario* is then None)."""

    id: str
    scenario: Scenario | None

    def param(self) -> Any:
        """Returns the case as a pytest parameter."""
        if self.scenario is None:
            return pytest.param(self, id=self.id)
        marks = [
            pytest.mark.claims(*self.scenario.claims),
            pytest.mark.cost(builds=self.scenario.builds, requests=REQUESTS),
        ]
        return pytest.param(self, id=self.id, marks=marks)


def parts(errand: Errand) -> Iterator[Part]:
    """Yields the cases to run."""
    if errand.mode == "replay":
        from touchstone.recordings.replay import plays  # noqa: PLC0415 - slow, and only a replay needs it

        recordings = plays(errand.plays, tuple(errand.accounts.items()))
        yield from (Part(name, SCENARIOS.get(recording.name)) for name, recording in recordings.items())
    else:
        yield from (Part(n, s) for n, s in SCENARIOS.items() if n in errand.plays or not errand.plays)


@pytest.mark.once
@pytest.mark.profile("thorough")
@pytest.mark.parametrize("part", [part.param() for part in parts(CheckHandover.received().errand)])
def test_plays(part: Part, run: Run) -> None:
    """A scenario runs on a target, or on a recording of the scenario."""
    with run.playing(part.id, is_story=part.scenario is not None) as exam:
        if part.scenario:
            part.scenario.play(exam)
