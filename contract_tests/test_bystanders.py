"""Whatever is asked about one version, the others stay as they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from situations import ask, lasting, needs_publishing, publish_invalid
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential

# Of what the build steps take: the second half of the sleep has begun by then, and is not over.
LATE_SHARE = 0.7
# As long as that of a short build: in this time all that is done to the other version can be done.
OUTLASTING = 6

OPERATIONS = ("startBuild", "cancelBuild", "deleteTemplate")


@dataclass
class Subject:
    """The version that everything is done to.

    Attributes:
        long_s: How long the build steps take of a build that is to be cancelled, in seconds.
    """

    exam: Examination
    now: Template
    long_s: float

    @property
    def ref(self) -> str:
        """What it is called."""
        return self.now.ref

    def replaced(self, *, fails: bool = False, sleep_s: float = 0.0) -> None:
        """Gives it other content, by force."""
        self.now = replace(self.now.revised(), fails=fails, sleep_s=sleep_s, halved=True)
        self.exam.publish(self.now, force=True)


Action = Callable[[Subject], object]


def conflict(subject: Subject) -> None:
    """Other content is refused without force, and what is no document always."""
    subject.exam.publish(subject.now.revised())
    publish_invalid(subject.exam, "spoilt", lambda document: document.pop("api_version"))


def idle_cancel(subject: Subject) -> None:
    """There is nothing to cancel."""
    subject.exam.cancel(subject.ref)


def build(subject: Subject) -> None:
    """It is built, and its golden used."""
    subject.exam.start(subject.ref)
    subject.exam.wait(subject.ref)
    subject.exam.start(subject.ref)


def fail(subject: Subject) -> None:
    """Its build fails."""
    subject.replaced(fails=True)
    subject.exam.start(subject.ref)
    subject.exam.wait(subject.ref)


def start(subject: Subject) -> None:
    """Its build is started, and comes to its last step."""
    subject.replaced(sleep_s=subject.long_s)
    subject.exam.start(subject.ref)
    subject.exam.rest(LATE_SHARE * subject.now.sleep_s)
    subject.exam.read(subject.ref)


def cancel(subject: Subject) -> None:
    """Its build is cancelled."""
    subject.exam.cancel(subject.ref)
    subject.exam.settle(subject.ref)


def follow(subject: Subject) -> None:
    """Somebody looks at its log."""
    subject.exam.closed(subject.exam.follow(subject.ref))


def delete(subject: Subject) -> None:
    """It is deleted, and published with other content."""
    ask(subject.exam, "deleteTemplate", subject.ref)
    subject.now = subject.now.revised()
    subject.exam.publish(subject.now)


def intrude(subject: Subject) -> None:
    """Somebody without a key, and another account, do what they may not."""
    intruders: tuple[Credential, ...] = ("none", "second") if subject.exam.target.second_api_key else ("none",)
    for operation in OPERATIONS:
        for credential in intruders:
            ask(subject.exam, operation, subject.ref, credential)
            subject.exam.read(subject.ref)


ACTIONS: tuple[Action, ...] = (
    idle_cancel,
    conflict,
    build,
    idle_cancel,
    follow,
    fail,
    idle_cancel,
    start,
    cancel,
    delete,
)


@pytest.mark.cost(builds=7, requests=130)
@pytest.mark.claims(
    "status.build-does-not-vanish",
    "status.good-template-ends-ready",
    "status.ready-stays-ready",
    "status.failed-stays-failed",
    "status.unbuilt-is-not-built",
    "cancel.keeps-neighbours",
    "lookup.existing-version-is-found",
    "lookup.deleted-version-is-404",
    "template.read-shows-the-published",
    "digest.is-stable",
    "events.own-lines-only",
    "events.terminal-frame-comes-last",
)
def test_what_happens_to_one_version_leaves_the_others_alone(exam: Examination) -> None:
    """
    A running, a ready, a failed and an idle version stay so while another one goes through all that can be done to it.
    """
    needs_publishing(exam)
    failed = exam.short("standing-failed", fails=True)
    idle, gone = exam.published("standing"), exam.published("gone")
    running = exam.published("standing-running", sleep_s=lasting(exam, OUTLASTING * failed.sleep_s))
    sibling = replace(running.revised(), version="1.0.2", sleep_s=failed.sleep_s / 2)
    exam.publish(sibling)
    refs = [exam.ready().ref, failed.ref, idle.ref, sibling.ref]
    for ref in (failed.ref, sibling.ref):
        exam.start(ref)
        exam.wait(ref)
    # Another version of the name that runs: what goes by the name alone hits it.
    subject = Subject(exam, replace(running.revised(), version="1.0.1", sleep_s=0.0), lasting(exam, 3 * failed.sleep_s))
    exam.publish(subject.now)
    exam.start(running.ref)
    following = exam.follow(running.ref)
    exam.read(running.ref)
    ask(exam, "deleteTemplate", gone.ref)
    late = exam.published("standing-late")
    for action in (*ACTIONS, intrude):
        action(subject)
        for ref in (subject.ref, running.ref, *refs):
            exam.read(ref)
    exam.wait(running.ref)
    exam.closed(following)
    for ref in (*refs, late.ref, running.ref, subject.ref, gone.ref):
        exam.read(ref)
        ask(exam, "getTemplate", ref)
