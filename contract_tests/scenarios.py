"""Scenarios for `touchstone record`: short, independent sequences of requests of one client.

A scenario sends the same requests each time. So it follows the log of a build: the number of polls would vary. After
an unexpected response, a scenario still sends its other requests, but fails and is not recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from situations import SETTLED
from touchstone.check.examination import Examination, Following, Unsuited
from touchstone.check.expectation import Reply, Steps
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential
from touchstone.target.call import Call


@dataclass(frozen=True, slots=True)
class Scenario:
    """A sequence of requests.

    Attributes:
        name: Name of its recording.
        story: Function that sends the requests.
        builds: Maximum number of builds that the scenario begins.
        claims: Claims that the scenario is meant to test.
    """

    name: str
    story: Callable[[Examination], None]
    builds: int
    claims: tuple[str, ...]

    def play(self, exam: Examination) -> None:
        """Sends the requests; raises `Unsuited` if a response was unexpected."""
        exam = replace(exam, steps=Steps())  # scenarios that run side by side share *exam*
        self.story(exam)
        if unmet := exam.steps.unmet:
            more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
            raise Unsuited("could-not-run", f"{unmet[0]}{more}")


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, builds: int, *claims: str) -> Callable[[Callable[[Examination], None]], Scenario]:
    """Decorator that registers a function as a scenario."""

    def make(story: Callable[[Examination], None]) -> Scenario:
        return SCENARIOS.setdefault(name, Scenario(name, story, builds, claims))

    return make


def begun(exam: Examination, template: Template) -> None:
    """Starts a version; the start must begin a new build."""
    exam.start(template).expect(202, status="building")


def followed(exam: Examination, template: Template) -> tuple[Following, Following]:
    """Follows a running build with two clients, so that their logs can be compared."""
    both = exam.follow(template), exam.follow(template)
    exam.read(template).expect(200, status="building")
    return both


def watched(exam: Examination, template: Template) -> None:
    """Follows the log of a running build until the log ends, and waits for the final status."""
    for following in followed(exam, template):
        exam.ended(following, template.ref).expect(200)
    exam.wait(template).expect(200, status=template.outcome)


def built(exam: Examination, template: Template) -> None:
    """Starts a build, follows its log, and waits for its final status."""
    begun(exam, template)
    watched(exam, template)


def cancelled(exam: Examination, template: Template) -> None:
    """Cancels a running build and waits for the end of its log."""
    both = followed(exam, template)
    exam.cancel(template).expect(202, status="cancelling")
    for following in both:
        exam.closed(following).expect(200)
    exam.settled(template).expect(200, status=SETTLED)


def limited(
    exam: Examination,
    ref: str,
    phase: str = "",
    credential: Credential = "primary",
    *,
    operation: str = "startBuild",
    number: int = 1,
) -> Reply:
    """Sends a request that a limit may refuse; returns a 429 instead of waiting and retrying.

    Args:
        phase: Purpose of the request in round *number*; rules/history.py lists the phases.
    """
    note = {"limit": {"round": number, "phase": phase}} if phase else {"expects": 429}
    return exam.send(Call(operation, ref, credential, note=note))
