"""Runs the scenarios of scenarios.py: to check a target, or to record it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import scenarios_access
import scenarios_builds
from scenarios import SCENARIOS, Scenario

from touchstone.check.handover import CheckHandover
from touchstone.check.run import Run

# The imports of these modules register their scenarios, in this order.
__all__ = ["scenarios_builds", "scenarios_access"]

# Approximate number of requests of a scenario, besides those for builds.
REQUESTS = 12


def parts(plays: Sequence[str]) -> Iterator[Any]:
    """Yields the scenarios to run as pytest parameters; all if *plays* is empty."""
    for name, scenario in SCENARIOS.items():
        if name in plays or not plays:
            marks = [pytest.mark.claims(*scenario.claims), pytest.mark.cost(builds=scenario.builds, requests=REQUESTS)]
            yield pytest.param(scenario, id=name, marks=marks)


@pytest.mark.once
@pytest.mark.profile("thorough")
@pytest.mark.parametrize("scenario", parts(CheckHandover.received().errand.plays))
def test_plays(scenario: Scenario, run: Run) -> None:
    """A scenario runs on a target."""
    scenario.play(run.exam)
