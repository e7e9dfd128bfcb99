"""All pages: requests about one version do not affect other versions."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from situations import (
    SETTLED,
    auto_built,
    cancels,
    claims,
    cost,
    head,
    lasting,
    needs_publishing,
    profile,
    publish_invalid,
)
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential

# When a build is cancelled, as a share of the duration of its steps: during the second sleep.
LATE_SHARE = 0.7
# Duration of the build that must not be affected, as a multiple of a short build: it lasts during all actions.
OUTLASTING = 6

OPERATIONS = ("startBuild", "cancelBuild", "deleteTemplate")


@dataclass
class Subject:
    """The version that all actions change.

    Attributes:
        long_s: Duration, in seconds, of the steps of a build that is to be cancelled.
    """

    exam: Examination
    now: Template
    long_s: float

    def changed(self, *, fails: bool = False, sleep_s: float = 0.0) -> Template:
        """Returns other content for the version; it is not published yet."""
        self.now = replace(self.now.revised(), fails=fails, sleep_s=sleep_s, halved=True)
        return self.now


Action = Callable[[Subject], object]


def conflict(subject: Subject) -> None:
    """Publishes other content without force, and an invalid document."""
    subject.exam.publish(subject.now.revised()).expect(409)
    publish_invalid(subject.exam, "spoilt", lambda document: document.pop("api_version")).expect(422)


def idle_cancel(subject: Subject) -> None:
    """Sends a cancel while no build of the version runs."""
    subject.exam.cancel(subject.now).expect(404, status="idle")


def build(subject: Subject) -> None:
    """Builds the version; a second start reuses the finished snapshot (golden)."""
    head(subject.exam, subject.now)
    subject.exam.start(subject.now).expect(202, status="building")
    subject.exam.wait(subject.now).expect(200, status="ready")
    subject.exam.start(subject.now).expect(202, 200, status="ready")


def fail(subject: Subject) -> None:
    """Publishes content whose build fails, and begins it at once."""
    auto_built(subject.exam, subject.changed(fails=True), force=True)
    subject.exam.wait(subject.now).expect(200, status="failed")


def start(subject: Subject) -> None:
    """Publishes content with a long build, starts the build, and waits until its second sleep."""
    subject.exam.publish(subject.changed(sleep_s=subject.long_s), force=True).expect(201, 200)
    subject.exam.start(subject.now).expect(202, status="building")
    subject.exam.rest(LATE_SHARE * subject.now.sleep_s)
    subject.exam.read(subject.now).expect(200, status="building")


def cancel(subject: Subject) -> None:
    """Cancels the build and waits until it no longer runs."""
    subject.exam.cancel(subject.now).expect(202, status="cancelling")
    subject.exam.settled(subject.now).expect(200, status=SETTLED)


def follow(subject: Subject) -> None:
    """Follows the log to its end."""
    subject.exam.closed(subject.exam.follow(subject.now)).expect(200, 404)


def delete(subject: Subject) -> None:
    """Deletes the version and publishes other content."""
    subject.exam.delete(subject.now).expect(200)
    subject.now = subject.now.revised()
    subject.exam.publish(subject.now).expect(201, 200)


def intrude(subject: Subject) -> None:
    """Sends forbidden requests without a key and from another account, after the version was published again."""
    refusals: dict[Credential, int] = (
        {"none": 401, "second": 404} if subject.exam.target.second_api_key else {"none": 401}
    )
    for operation in OPERATIONS:
        for by, code in refusals.items():
            subject.exam.request(operation, subject.now, by).expect(code)
            subject.exam.read(subject.now).expect(200, status="not_built")


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


@cancels
@profile("standard")
@cost(builds=5, at_once=2, lengths=3, requests=130)
@claims(
    "status.build-does-not-vanish status.good-template-ends-ready status.ready-stays-ready status.failed-stays-failed",
    "status.unbuilt-is-not-built cancel.keeps-neighbours cancel.keeps-finished-golden cancel.finished-is-idle",
    "lookup.existing-version-is-found lookup.deleted-version-is-404 template.read-shows-the-published digest.is-stable",
    "events.own-lines-only events.terminal-frame-comes-last",
)
def test_what_happens_to_one_version_leaves_the_others_alone(exam: Examination) -> None:
    """A running, a ready, a failed and an idle version do not change while another version goes through all actions."""
    needs_publishing(exam)
    failed = exam.short("standing", fails=True)
    alike = replace(failed.revised(), version="1.0.1-rc.1", fails=False)
    exam.publish(alike).expect(201, 200)
    idle, gone = exam.published("standing-idle"), exam.published("gone")
    lasts_s = OUTLASTING * failed.sleep_s + 2 * exam.flow.least_s
    running = replace(failed.revised(), version="1.0.10", fails=False, sleep_s=lasting(exam, lasts_s))
    exam.publish(running).expect(201, 200)
    ready = exam.ready()
    exam.start(failed).expect(202, status="building")
    exam.wait(failed).expect(200, status="failed")
    # The subject has the name of the running and of the failed version, and a number that is part of another.
    subject = Subject(exam, replace(running.revised(), version="1.0.1", sleep_s=0.0), lasting(exam, 3 * failed.sleep_s))
    exam.publish(subject.now).expect(201, 200)
    exam.start(running).expect(202, status="building")
    log = exam.follow(running)
    exam.read(running).expect(200, status="building")
    exam.delete(gone).expect(200)
    late = exam.published("standing-late")
    standing = {ready: "ready", failed: "failed", idle: "not_built", alike: "not_built"}
    for action in (*ACTIONS, intrude):
        action(subject)
        exam.read(subject.now).expect(200)
        exam.read(running).expect(200)
        for version, status in standing.items():
            exam.read(version).expect(200, status=status)
    exam.wait(running).expect(200, status="ready")
    exam.closed(log).expect(200)
    for version, status in (standing | {late: "not_built", running: "ready", subject.now: "not_built"}).items():
        exam.read(version).expect(200, status=status)
        exam.document(version).expect(200)
    exam.read(gone).expect(404)
    exam.document(gone).expect(404)
