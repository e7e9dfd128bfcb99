"""In whatever state a version is: what may not change it does not, and what ends it does."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from situations import ask, find_nothing, lasting, needs_publishing, publish_invalid, raw
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.facts.exchange import Credential

# Of a short build: what is asked while one runs takes as long as this many of them.
OUTLASTING = 4

LATER = pytest.mark.profile("standard")


@dataclass
class Scene:
    """A version, and another one of its name that nobody builds."""

    exam: Examination
    subject: Template
    sibling: Template

    @property
    def ref(self) -> str:
        """What the version is called."""
        return self.subject.ref

    def status(self) -> object:
        """Reads the status."""
        return self.exam.read(self.ref).body.get("status")

    def look(self) -> None:
        """Reads what there is to read of both."""
        self.status()
        ask(self.exam, "getTemplate", self.ref)
        self.exam.read(self.sibling.ref)


def publish_again(scene: Scene) -> None:
    """The same content is published again, and content that is no document."""
    scene.exam.publish(scene.subject)
    publish_invalid(scene.exam, "spoilt", lambda document: document.pop("api_version"))


def conflict(scene: Scene) -> None:
    """Other content is published without force."""
    scene.exam.publish(replace(scene.subject.revised(), fails=not scene.subject.fails))


def others(scene: Scene) -> None:
    """Somebody without a key, and another account, do what they may not."""
    intruders: tuple[Credential, ...] = ("none", "second") if scene.exam.target.second_api_key else ("none",)
    for credential in intruders:
        for operation in ("streamBuildEvents", "startBuild", "cancelBuild", "deleteTemplate"):
            ask(scene.exam, operation, scene.ref, credential)
            scene.status()


def heads(scene: Scene) -> None:
    """The heads of both addresses are asked for."""
    for end in ("/build", ""):
        raw(scene.exam, "HEAD", f"/templates/default/{scene.subject.name}/{scene.subject.version}{end}")


def leave_the_log(scene: Scene) -> None:
    """Somebody follows the log; of a build that runs, no longer than until the log is open."""
    following = scene.exam.follow(scene.ref)
    if scene.status() == "building":
        following.until.set()
    scene.exam.closed(following)


def do_again(scene: Scene) -> None:
    """What runs or is ready is started, and what is at rest cancelled."""
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
    """Nobody has built it."""


def runs_and_is_ready(scene: Scene) -> None:
    """Its build runs; all that is harmless is done meanwhile, too, while somebody follows."""
    scene.exam.start(scene.ref)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.wait(scene.ref)
    scene.exam.closed(following)


def failed(scene: Scene) -> None:
    """Its build has failed; all that is harmless is done while it runs, too."""
    scene.exam.start(scene.ref)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.wait(scene.ref)
    scene.exam.closed(following)


def was_cancelled(scene: Scene) -> None:
    """Its build, which a publish began, was cancelled, after all that is harmless was done while it ran."""
    scene.exam.publish(scene.subject, auto_build=True)
    following = scene.exam.follow(scene.ref)
    do_no_harm(scene)
    scene.exam.cancel(scene.ref)
    scene.exam.settle(scene.ref)
    scene.exam.closed(following)


def do_no_harm(scene: Scene) -> None:
    """Asks for all that is harmless, and looks what it did."""
    scene.look()
    for ask_for in HARMLESS:
        ask_for(scene)
        scene.look()


@pytest.mark.cost(builds=2, requests=110)
@pytest.mark.parametrize(
    "state", [nobody_built, runs_and_is_ready, *(pytest.param(state, marks=LATER) for state in (failed, was_cancelled))]
)
@pytest.mark.claims(
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
    "publish.answers-201",
)
def test_harmless_requests_change_nothing_and_a_delete_everything(
    exam: Examination, state: Callable[[Scene], None]
) -> None:
    """A version keeps its state until it is deleted; then it is gone, and what comes after it begins anew."""
    needs_publishing(exam)
    first = exam.short("sibling")
    subject = replace(first.revised(), version="1.0.1", fails=state is failed, halved=True)
    if state is not nobody_built:
        subject = replace(subject, sleep_s=lasting(exam, OUTLASTING * first.sleep_s))
    exam.publish(subject)
    scene = Scene(exam, subject, first)
    state(scene)
    do_no_harm(scene)
    ask(exam, "deleteTemplate", scene.ref)
    find_nothing(exam, scene.ref)
    scene.subject = replace(subject.revised(), fails=False, sleep_s=first.sleep_s)
    exam.publish(scene.subject)
    conflict(scene)
    scene.look()
    exam.start(scene.ref)
    following = exam.follow(scene.ref)
    scene.look()
    exam.wait(scene.ref)
    exam.closed(following)
    scene.look()
