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


def said(exchange: Exchange, *statuses: int, told: str | tuple[str, ...] = "") -> Exchange:
    """Takes note if an exchange was answered otherwise than the scenario expects.

    It goes on then, so that the rules see what becomes of it, and is not recorded.

    Args:
        told: What ``status`` of the body says, or what it may say; empty where the body says nothing of it.
    """
    found, words = str(exchange.body.get("status")), (told,) if isinstance(told, str) else told
    if exchange.status not in statuses or (told and found not in words):
        wanted = f"{' or '.join(map(str, statuses))} {' or '.join(words)}".strip()
        got = exchange.error or f"{exchange.status} {found if told else ''}".strip()
        where = f"{exchange.request.method} {exchange.request.url}"
        _SURPRISES.append(f"{where}: expected {wanted}, got {got}")
    return exchange


def begun(exam: Examination, template: Template) -> None:
    """Starts a build that has to be a new one."""
    said(exam.start(template.ref, template.owner), 202, told="building")


def followed(exam: Examination, template: Template) -> tuple[Following, Following]:
    """Two who follow a running build: what one of them is told shows whether the other is told the truth."""
    both = exam.follow(template.ref, template.owner), exam.follow(template.ref, template.owner)
    said(exam.read(template.ref, template.owner), 200, told="building")
    return both


def watched(exam: Examination, template: Template) -> None:
    """Follows a running build until its log is closed, and reads how it ended."""
    for following in followed(exam, template):
        said(exam.ended(following, template.ref), 200)
    said(exam.wait(template.ref), 200, told=template.outcome)


def built(exam: Examination, template: Template) -> None:
    """Starts a build and watches it."""
    begun(exam, template)
    watched(exam, template)


def cancelled(exam: Examination, template: Template) -> None:
    """Cancels a running build and waits for its log to close."""
    both = followed(exam, template)
    said(exam.cancel(template.ref), 202, told="cancelling")
    for following in both:
        said(exam.closed(following), 200)
    said(exam.settle(template.ref), 200, told=SETTLED)


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
