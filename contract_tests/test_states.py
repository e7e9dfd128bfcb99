"""A walk, pages *Get build status*, *Publish* and *Delete*: harmless requests in each state, and then a delete."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from situations import (
    SETTLED,
    amid,
    auto_built,
    cancels,
    claims,
    find_nothing,
    lasting,
    needs_publishing,
    not_found,
    publish_invalid,
    read_as_caches,
    read_at_once,
    strangers,
)
from touchstone.check.examination import Examination
from touchstone.check.expectation import Reply
from touchstone.check.templates import Template

# Duration of a build, as a multiple of a short build: it lasts during all harmless requests.
OUTLASTING = 4


@dataclass
class Scene:
    """A version (*subject*), and an unbuilt version with the same name (*sibling*).

    Attributes:
        status: What the status of the subject may be now.
    """

    exam: Examination
    subject: Template
    sibling: Template
    status: str | tuple[str, ...] = "not_built"

    def read(self) -> Reply:
        """Reads the build status of the subject."""
        return self.exam.read(self.subject).expect(200, status=self.status)

    def read_all(self) -> None:
        """Reads both versions."""
        self.read()
        self.exam.document(self.subject).expect(200)
        self.exam.read(self.sibling).expect(200, status="not_built")


def publish_again(scene: Scene) -> None:
    """Publishes the same content again, and an invalid document."""
    scene.exam.publish(scene.subject).expect(201, 200)
    publish_invalid(scene.exam, "spoilt", lambda document: document.pop("api_version")).expect(422)


def conflict(scene: Scene) -> None:
    """Publishes other content without force."""
    scene.exam.publish(replace(scene.subject.revised(), fails=not scene.subject.fails)).expect(409)


def others(scene: Scene) -> None:
    """Sends forbidden requests without a key and from another account."""
    for by in strangers(scene.exam, scene.subject):
        for operation in ("streamBuildEvents", "startBuild", "cancelBuild", "deleteTemplate"):
            codes = (401,) if by == "none" else (*not_found(operation), 429)
            scene.exam.request(operation, scene.subject, by).expect(*codes)
            scene.read()


def caches(scene: Scene) -> None:
    """Reads the version as caches do, and from several clients at once."""
    read_as_caches(scene.exam, scene.subject)
    read_at_once(scene.exam, scene.subject)


def leave_the_log(scene: Scene) -> None:
    """Disconnects once the log is open if a build runs, else follows the log to its end."""
    log = scene.exam.follow(scene.subject)
    if scene.read().body.get("status") == "building":
        log.until.set()
    scene.exam.closed(log).expect(200, 404)


def do_again(scene: Scene) -> None:
    """Starts a version that is building or ready; cancels a version whose build does not run.

    In between, a build may end by itself, so that a step expects what holds before and after that.
    """
    status = scene.read().body.get("status")
    if status in ("building", "ready"):
        scene.exam.start(scene.subject).expect(202, 200, 409, status=("building", "ready"))
        scene.read()
    if status == "ready":
        scene.exam.publish(scene.subject, auto_build=True).expect(201, 200)
        scene.read()
    if status != "building":
        codes = (404, 202) if "building" in scene.status else (404,)
        scene.exam.cancel(scene.subject).expect(*codes, status=("idle", "cancelling"))


HARMLESS: tuple[Callable[[Scene], None], ...] = (caches, publish_again, conflict, others, leave_the_log, do_again)


def nobody_built(scene: Scene) -> None:
    """Leaves the version in the status not_built."""


def is_built(scene: Scene) -> None:
    """Builds the version until it is ready, or fails, with harmless requests during the build."""
    amid(scene.exam, "startBuild", scene.subject).expect(202, status="building")
    scene.status = ("building", scene.subject.outcome)
    log = scene.exam.follow(scene.subject)
    do_no_harm(scene)
    scene.status = scene.subject.outcome
    scene.exam.wait(scene.subject).expect(200, status=scene.status)
    scene.exam.closed(log).expect(200)


def runs_and_is_ready(scene: Scene) -> None:
    """Builds the version until it is ready."""
    is_built(scene)


def failed(scene: Scene) -> None:
    """Builds the version until the build fails."""
    is_built(scene)


def was_cancelled(scene: Scene) -> None:
    """Starts a build with auto_build, sends harmless requests during the build, and cancels it.

    A slow server may receive the cancel after the end of the build.
    """
    auto_built(scene.exam, scene.subject)
    scene.status = ("building", "ready")
    log = scene.exam.follow(scene.subject)
    do_no_harm(scene)
    reply = amid(scene.exam, "cancelBuild", scene.subject).expect(202, 404, status=("cancelling", "idle"))
    scene.status = SETTLED if reply.status == 202 else "ready"
    scene.exam.settled(scene.subject).expect(200, status=scene.status)
    scene.exam.closed(log).expect(200)


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
    "status.changes-only-by-a-start status.build-does-not-vanish status.ready-stays-ready status.failed-stays-failed",
    "publish.conflict-keeps-content access.others-change-nothing lookup.deleted-version-is-404",
    "start.refuses-deleted-version reuse.only-identical-digest events.carry-the-output",
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
    exam.publish(subject).expect(201, 200)
    scene = Scene(exam, subject, first)
    state(scene)
    do_no_harm(scene)
    amid(exam, "deleteTemplate", subject).expect(200)
    read_as_caches(exam, subject, 404)
    read_at_once(exam, subject, 404)
    find_nothing(exam, subject)
    scene.subject = replace(subject.revised(), fails=False, sleep_s=first.sleep_s)
    scene.status = "not_built"
    exam.publish(scene.subject).expect(201, 200)
    conflict(scene)
    caches(scene)
    scene.read_all()
    if state is not runs_and_is_ready:
        return
    exam.start(scene.subject).expect(202, status="building")
    scene.status = ("building", "ready")
    log = exam.follow(scene.subject)
    scene.read_all()
    scene.status = "ready"
    exam.wait(scene.subject).expect(200, status="ready")
    exam.closed(log).expect(200)
    scene.read_all()
