"""Harmless requests for a version in each of its states, and a delete afterwards."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from situations import cancels, claims, find_nothing, lasting, needs_publishing, publish_invalid, raw
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential

# Duration of a build, as a multiple of a short build: it lasts during all harmless requests.
OUTLASTING = 4


@dataclass
class Scene:
    """A version (*subject*), and an unbuilt version with the same name (*sibling*)."""

    exam: Examination
    subject: Template
    sibling: Template

    @property
    def ref(self) -> str:
        """The ref of the version."""
        return self.subject.ref

    def status(self) -> object:
        """Reads the build status of the version and returns it."""
        return self.exam.read(self.ref).body.get("status")

    def read_all(self) -> None:
        """Reads both versions."""
        self.status()
        self.exam.document(self.ref)
        self.exam.read(self.sibling.ref)


def publish_again(scene: Scene) -> None:
    """Publishes the same content again, and an invalid document."""
    scene.exam.publish(scene.subject)
    publish_invalid(scene.exam, "spoilt", lambda document: document.pop("api_version"))


def conflict(scene: Scene) -> None:
    """Publishes other content without force."""
    scene.exam.publish(replace(scene.subject.revised(), fails=not scene.subject.fails))


def others(scene: Scene) -> None:
    """Sends forbidden requests without a key and from another account."""
    intruders: tuple[Credential, ...] = ("none", "second") if scene.exam.target.second_api_key else ("none",)
    for credential in intruders:
        for operation in ("streamBuildEvents", "startBuild", "cancelBuild", "deleteTemplate"):
            scene.exam.request(operation, scene.ref, credential)
            scene.status()


def heads(scene: Scene) -> None:
    """Sends HEAD to the paths of the build and the template."""
    for end in ("/build", ""):
        raw(scene.exam, "HEAD", f"/templates/default/{scene.subject.name}/{scene.subject.version}{end}")


def leave_the_log(scene: Scene) -> None:
    """Disconnects once the log is open if a build runs, else follows the log to its end."""
    following = scene.exam.follow(scene.ref)
    if scene.status() == "building":
        following.until.set()
    scene.exam.closed(following)


def do_again(scene: Scene) -> None:
    """Starts a version that is building or ready; cancels a version whose build does not run."""
    status = scene.status()
    if status in ("building", "ready"):
        scene.exam.start(scene.ref)
        scene.status()
    if status == "ready":
        scene.exam.publish(scene.subject, auto_build=True)
        scene.status()
    if status != "building":
        scene.exam.cancel(scene.ref)


HARMLESS: tuple[Callable[[Scene], None], ...] = (publish_again, conflict, others, heads, leave_the_log, do_again)


def nobody_built(scene: Scene) -> None:
    """Leaves the version in the status not_built."""


def runs_and_is_ready(scene: Scene) -> None:
    """Builds the version until it is ready, with harmless requests during the build."""
    scene.exam.start(scene.ref)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.wait(scene.ref)
    scene.exam.closed(following)


def failed(scene: Scene) -> None:
    """Builds the version until the build fails, with harmless requests during the build."""
    scene.exam.start(scene.ref)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.wait(scene.ref)
    scene.exam.closed(following)


def was_cancelled(scene: Scene) -> None:
    """Starts a build with auto_build, sends harmless requests during the build, and cancels it."""
    scene.exam.publish(scene.subject, auto_build=True)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.cancel(scene.ref)
    scene.exam.settled(scene.ref)
    scene.exam.closed(following)


def _states() -> Iterator[Any]:
    for state, builds in {nobody_built: 0, runs_and_is_ready: 2, failed: 1, was_cancelled: 1}.items():
        least, costs = "standard" if builds else "quick", pytest.mark.cost(builds=builds, at_once=1, requests=110)
        yield pytest.param(state, marks=[pytest.mark.profile(least), costs])


def do_no_harm(scene: Scene) -> None:
    """Sends all harmless requests, and reads both versions after each request."""
    scene.read_all()
    for action in HARMLESS:
        action(scene)
        scene.read_all()


@cancels
@pytest.mark.parametrize("state", list(_states()))
@claims(
    "status.changes-only-by-a-start",
    "status.build-does-not-vanish",
    "status.ready-stays-ready",
    "status.failed-stays-failed",
    "publish.conflict-keeps-content",
    "access.others-change-nothing",
    "lookup.deleted-version-is-404",
    "start.refuses-deleted-version",
    "reuse.only-identical-digest",
    "events.carry-the-output",
)
def test_harmless_requests_change_nothing_and_a_delete_everything(
    exam: Examination, state: Callable[[Scene], None]
) -> None:
    """A version keeps its state until it is deleted; when it is published again, its life cycle begins anew."""
    needs_publishing(exam)
    first = exam.short("sibling")
    subject = replace(first.revised(), version="1.0.1", fails=state is failed, halved=True)
    if state is not nobody_built:
        subject = replace(subject, sleep_s=lasting(exam, OUTLASTING * first.sleep_s))
    exam.publish(subject)
    scene = Scene(exam, subject, first)
    state(scene)
    do_no_harm(scene)
    exam.delete(scene.ref)
    find_nothing(exam, scene.ref)
    scene.subject = replace(subject.revised(), fails=False, sleep_s=first.sleep_s)
    exam.publish(scene.subject)
    conflict(scene)
    scene.read_all()
    if state is not runs_and_is_ready:
        return
    exam.start(scene.ref)
    following = exam.follow(scene.ref)
    scene.read_all()
    exam.wait(scene.ref)
    exam.closed(following)
    scene.read_all()
