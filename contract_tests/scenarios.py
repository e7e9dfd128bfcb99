"""The scenarios that `touchstone record` records: small stories that a client may live through, each whole by itself.

A scenario shows the same requests each time: it follows a build by its log, which ends when the build does, rather than
by polling. It says what it expects; what a target answers otherwise ends it, and is not recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass

from touchstone.check.examination import Examination, Following, Unsuited
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential, Exchange
from touchstone.target.call import Call

# Ambiguity 12: where a cancelled build settles.
SETTLED = ("not_built", "failed")

# What went otherwise than the running scenario expects.
_SURPRISES: list[str] = []


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story with a target.

    Attributes:
        name: What a recording of it is called.
        story: Sends its requests.
        builds: Builds that it begins at most.
        claims: What it sets out to show.
    """

    name: str
    story: Callable[[Examination], None]
    builds: int
    claims: tuple[str, ...]

    def play(self, exam: Examination) -> None:
        """Lives through the story.

        Raises:
            Unsuited: something in it was answered otherwise than expected.
        """
        _SURPRISES.clear()
        self.story(exam)
        if _SURPRISES:
            more = f" (and {len(_SURPRISES) - 1} more)" if len(_SURPRISES) > 1 else ""
            raise Unsuited("could-not-run", f"{_SURPRISES[0]}{more}")


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str, builds: int, *claims: str) -> Callable[[Callable[[Examination], None]], Scenario]:
    """Makes a scenario of a function and puts it on the list."""

    def make(story: Callable[[Examination], None]) -> Scenario:
        return SCENARIOS.setdefault(name, Scenario(name, story, builds, claims))

    return make


def expect(exchange: Exchange, *statuses: int, status: str | tuple[str, ...] = "") -> Exchange:
    """Takes note if an exchange was answered otherwise than the scenario expects.

    It goes on then, so that the rules see what becomes of it, and is not recorded.

    Args:
        status: What ``status`` of the body is, or what it may be; empty where the body has none.
    """
    found, wanted = str(exchange.body.get("status")), (status,) if isinstance(status, str) else status
    if exchange.status not in statuses or (status and found not in wanted):
        expected = f"{' or '.join(map(str, statuses))} {' or '.join(wanted)}".strip()
        got = exchange.error or f"{exchange.status} {found if status else ''}".strip()
        where = f"{exchange.request.method} {exchange.request.url}"
        _SURPRISES.append(f"{where}: expected {expected}, got {got}")
    return exchange


def begun(exam: Examination, template: Template) -> None:
    """Starts a build that has to be a new one."""
    expect(exam.start(template.ref, template.owner), 202, status="building")


def followed(exam: Examination, template: Template) -> tuple[Following, Following]:
    """Two who follow a running build: what one of them is told shows whether the other is told the truth."""
    both = exam.follow(template.ref, template.owner), exam.follow(template.ref, template.owner)
    expect(exam.read(template.ref, template.owner), 200, status="building")
    return both


def watched(exam: Examination, template: Template) -> None:
    """Follows a running build until its log is closed, and reads how it ended."""
    for following in followed(exam, template):
        expect(exam.ended(following, template.ref), 200)
    expect(exam.wait(template.ref), 200, status=template.outcome)


def built(exam: Examination, template: Template) -> None:
    """Starts a build and watches it."""
    begun(exam, template)
    watched(exam, template)


def cancelled(exam: Examination, template: Template) -> None:
    """Cancels a running build and waits for its log to close."""
    both = followed(exam, template)
    expect(exam.cancel(template.ref), 202, status="cancelling")
    for following in both:
        expect(exam.closed(following), 200)
    expect(exam.settle(template.ref), 200, status=SETTLED)


def limited(
    exam: Examination,
    ref: str,
    phase: str = "",
    credential: Credential = "primary",
    *,
    operation: str = "startBuild",
    number: int = 1,
) -> Exchange:
    """Sends what may be refused for a limit, which is then what the scenario is about.

    Args:
        phase: What it is for, and in round *number*: see rules/history.py.
    """
    note = {"limit": {"round": number, "phase": phase}} if phase else {"expects": 429}
    return exam.send(Call(operation, ref, credential, note=note))
