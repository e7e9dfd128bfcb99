"""Sequences of builds, cancels, failures, conflicts and deletes of one version."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from situations import cancels, claims, needs_publishing, profile
from touchstone.check.examination import Examination
from touchstone.check.run import Run
from touchstone.check.templates import Template

# When a build is cancelled, as a share of the duration of its steps: during the second sleep, if it has two.
LATE_SHARE = 0.6


@dataclass
class Version:
    """A version and its content.

    Attributes:
        newest: The content that was published last, whether it was accepted or not.
    """

    exam: Examination
    now: Template
    newest: Template

    @property
    def ref(self) -> str:
        """The ref of the version."""
        return self.now.ref

    def other(self, *, fails: bool = False) -> Template:
        """Returns new content, alternately with one and two sleeps: a cancel then hits the first or the last step."""
        then, turned = ("echo never reached",) if fails else (), not self.newest.halved
        self.newest = replace(self.newest.revised(), fails=fails, then=then, halved=turned)
        return self.newest

    def replaced(self, *, fails: bool = False, auto_build: bool = False) -> None:
        """Publishes other content with force."""
        self.now = self.other(fails=fails)
        self.exam.publish(self.now, force=True, auto_build=auto_build)
        self.exam.read(self.ref)

    def read_all(self) -> None:
        """Reads the status and the template."""
        self.exam.read(self.ref)
        self.exam.document(self.ref)


def build(version: Version) -> None:
    """Builds the version, and starts it again after the end of the build."""
    exam, ref = version.exam, version.ref
    exam.start(ref)
    following = exam.follow(ref)
    exam.read(ref)
    exam.wait(ref)
    exam.closed(following)
    exam.read(ref)
    exam.start(ref)
    exam.wait(ref)


def cancel(version: Version) -> None:
    """Starts a build and cancels it."""
    exam, ref = version.exam, version.ref
    if exam.read(ref).body.get("status") == "ready":
        version.replaced()
    exam.start(ref)
    following = exam.follow(ref)
    exam.rest(LATE_SHARE * version.now.sleep_s)
    exam.read(ref)
    exam.cancel(ref)
    exam.settled(ref)
    exam.closed(following)
    exam.read(ref)


def fail(version: Version) -> None:
    """Publishes content whose build fails, and builds the version."""
    version.replaced(fails=True)
    version.exam.start(version.ref)
    version.exam.wait(version.ref)
    version.exam.read(version.ref)


def conflict(version: Version) -> None:
    """Publishes the same content without and with force, then other content twice without force."""
    version.exam.publish(version.now)
    version.exam.publish(version.now, force=True)
    version.exam.read(version.ref)
    other = version.other()
    version.exam.publish(other)
    version.read_all()
    version.exam.publish(other)
    version.read_all()


def change(version: Version) -> None:
    """Publishes other content with force."""
    version.replaced()
    version.exam.document(version.ref)


def automatic(version: Version) -> None:
    """Publishes other content with force and auto_build, and then another template without either parameter."""
    exam, ref = version.exam, version.ref
    version.replaced(auto_build=True)
    exam.wait(ref)
    exam.read(ref)
    exam.start(ref)
    exam.read(exam.published("beside").ref)
    exam.read(ref)


def delete(version: Version) -> None:
    """Deletes the version and publishes it again, first without and then with auto_build."""
    version.exam.delete(version.ref)
    version.exam.read(version.ref)
    version.now = version.other()
    version.exam.publish(version.now)
    version.read_all()
    version.exam.publish(version.now, auto_build=True)
    version.exam.read(version.ref)
    version.exam.wait(version.ref)


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
    "publish.force-replaces",
    "publish.auto-build-starts",
    "publish.conflict-keeps-content",
    "start.after-cancel-builds-again",
    "start.after-failure-builds-again",
    "cancel.next-build-completes",
    "reuse.only-identical-digest",
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
