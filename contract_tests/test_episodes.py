"""A walk: all pairs of builds, cancels, failures, conflicts and deletes of one version, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from situations import SETTLED, cancels, claims, needs_publishing, profile
from touchstone.check.examination import Examination
from touchstone.check.expectation import Reply
from touchstone.check.run import Run
from touchstone.check.templates import Template

# When a build is cancelled, as a share of the duration of its steps: during the second sleep, if it has two.
LATE_SHARE = 0.6


@dataclass
class Version:
    """A version and its content.

    Attributes:
        newest: The content that was published last, whether it was accepted or not.
        status: What the status of the version may be now.
    """

    exam: Examination
    now: Template
    newest: Template
    status: str | tuple[str, ...] = "not_built"

    def other(self, *, fails: bool = False) -> Template:
        """Returns new content, alternately with one and two sleeps: a cancel then hits the first or the last step."""
        then, turned = ("echo never reached",) if fails else (), not self.newest.halved
        self.newest = replace(self.newest.revised(), fails=fails, then=then, halved=turned)
        return self.newest

    def publish(self, *, force: bool = False, auto_build: bool = False) -> None:
        """Publishes the current content; a limit may refuse the build of an *auto_build*."""
        self.exam.publish(self.now, force=force, auto_build=auto_build).expect(201, 200)
        self.status = ("not_built", "building", "ready") if auto_build else self.status

    def replaced(self, *, fails: bool = False, auto_build: bool = False) -> None:
        """Publishes other content with force."""
        self.now, self.status = self.other(fails=fails), "not_built"
        self.publish(force=True, auto_build=auto_build)
        self.read()

    def start(self) -> None:
        """Starts the version, in any state."""
        self.exam.start(self.now).expect(202, 200, 409, status=("building", "ready"))
        self.status = ("building", self.now.outcome)

    def wait(self) -> None:
        """Waits for the end of the build, which was started."""
        self.status = self.now.outcome
        self.exam.wait(self.now).expect(200, status=self.status)

    def read(self) -> Reply:
        """Reads the status."""
        return self.exam.read(self.now).expect(200, status=self.status)

    def read_all(self) -> None:
        """Reads the status and the template."""
        self.read()
        self.exam.document(self.now).expect(200)


def build(version: Version) -> None:
    """Builds the version, and starts it again after the end of the build."""
    version.start()
    log = version.exam.follow(version.now)
    version.read()
    version.wait()
    version.exam.closed(log).expect(200, 404)
    version.read()
    version.start()
    version.wait()


def cancel(version: Version) -> None:
    """Starts a build and cancels it; a slow server may receive the cancel after the end of the build."""
    exam = version.exam
    if version.read().body.get("status") == "ready":
        version.replaced()
    version.start()
    log = exam.follow(version.now)
    exam.rest(LATE_SHARE * version.now.sleep_s)
    version.read()
    reply = exam.cancel(version.now).expect(202, 404, status=("cancelling", "idle"))
    version.status = SETTLED if reply.status == 202 else version.now.outcome
    exam.settled(version.now).expect(200, status=version.status)
    exam.closed(log).expect(200)
    version.read()


def fail(version: Version) -> None:
    """Publishes content whose build fails, and builds the version."""
    version.replaced(fails=True)
    version.start()
    version.wait()
    version.read()


def conflict(version: Version) -> None:
    """Publishes the same content without and with force, then other content twice without force."""
    version.publish()
    version.publish(force=True)
    version.read()
    other = version.other()
    for _ in range(2):
        version.exam.publish(other).expect(409)
        version.read_all()


def change(version: Version) -> None:
    """Publishes other content with force."""
    version.replaced()
    version.exam.document(version.now).expect(200)


def automatic(version: Version) -> None:
    """Publishes other content with force and auto_build, and then another template without either parameter."""
    exam = version.exam
    version.replaced(auto_build=True)
    exam.wait(version.now).expect(200, status=("ready", "not_built"))
    version.read()
    version.start()
    exam.read(exam.published("beside")).expect(200, status="not_built")
    version.read()


def delete(version: Version) -> None:
    """Deletes the version and publishes it again, first without and then with auto_build."""
    version.exam.delete(version.now).expect(200)
    version.exam.read(version.now).expect(404)
    version.now, version.status = version.other(), "not_built"
    version.publish()
    version.read_all()
    version.publish(auto_build=True)
    version.read()
    version.exam.wait(version.now).expect(200, status=("ready", "not_built"))


Episode = Callable[[Version], None]
EPISODES: tuple[Episode, ...] = (build, conflict, change, cancel, delete, fail, automatic)

# Distances from an episode to the next. As the number of episodes is prime, each stride visits all episodes, and all
# strides together visit all pairs.
STRIDES = range(1, len(EPISODES))


def chapter(stride: int) -> Iterator[Episode]:
    """Yields all episodes in steps of *stride* places; with stride 1, yields each episode twice in a row."""
    for step in range(len(EPISODES) + 1):
        episode = EPISODES[step * stride % len(EPISODES)]
        yield from [episode] * (2 if stride == 1 else 1)


def _chapters() -> Iterator[Any]:
    for stride in STRIDES:
        spends = pytest.mark.cost(builds=14, requests=100) if stride == 1 else pytest.mark.cost(builds=8, requests=60)
        yield pytest.param(stride, marks=spends)


@cancels
@profile("thorough")
@pytest.mark.parametrize("stride", list(_chapters()))
@claims(
    "publish.force-replaces publish.auto-build-starts publish.conflict-keeps-content start.after-cancel-builds-again",
    "start.after-failure-builds-again cancel.next-build-completes reuse.only-identical-digest",
)
def test_what_happened_before_does_not_matter(exam: Examination, run: Run, stride: int) -> None:
    """Builds, cancels, failures, conflicts, replacements and deletes work in any order."""
    needs_publishing(exam)
    first = exam.short("episodes")
    version = Version(exam, first, first)
    for episode in chapter(stride):
        episode(version)
        if run.has_trouble(exam.case):
            return
