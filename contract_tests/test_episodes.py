"""Whatever happened to a version before, the next thing that happens to it happens as documented."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from situations import ask, needs_publishing
from touchstone.check.examination import Examination
from touchstone.check.run import Run
from touchstone.check.templates import Template

# Of what the build steps take: where they sleep twice, the second sleep has begun by then.
LATE_SHARE = 0.6


@dataclass
class Version:
    """A version and what it holds now.

    Attributes:
        newest: Its last content, whether it was accepted or not.
    """

    exam: Examination
    now: Template
    newest: Template

    @property
    def ref(self) -> str:
        """What it is called."""
        return self.now.ref

    def other(self, *, fails: bool = False) -> Template:
        """
        Content that it never had: what is cancelled is sometimes in its first step, and sometimes in its last one.
        """
        then, turned = ("echo never reached",) if fails else (), not self.newest.halved
        self.newest = replace(self.newest.revised(), fails=fails, then=then, halved=turned)
        return self.newest

    def replaced(self, *, fails: bool = False, auto_build: bool = False) -> None:
        """Gives it other content, by force."""
        self.now = self.other(fails=fails)
        self.exam.publish(self.now, force=True, auto_build=auto_build)
        self.exam.read(self.ref)

    def look(self) -> None:
        """Reads what there is to read."""
        self.exam.read(self.ref)
        ask(self.exam, "getTemplate", self.ref)


def build(version: Version) -> None:
    """It is built to its end, and started once more."""
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
    """A build of it is cancelled."""
    exam, ref = version.exam, version.ref
    if exam.read(ref).body.get("status") == "ready":
        version.replaced()
    exam.start(ref)
    following = exam.follow(ref)
    exam.rest(LATE_SHARE * version.now.sleep_s)
    exam.read(ref)
    exam.cancel(ref)
    exam.settle(ref)
    exam.closed(following)
    exam.read(ref)


def fail(version: Version) -> None:
    """It gets content whose build fails, and is built."""
    version.replaced(fails=True)
    version.exam.start(version.ref)
    version.exam.wait(version.ref)
    version.exam.read(version.ref)


def conflict(version: Version) -> None:
    """The same content is published again, with force too, and then, twice, other content without it."""
    version.exam.publish(version.now)
    version.exam.publish(version.now, force=True)
    version.exam.read(version.ref)
    other = version.other()
    version.exam.publish(other)
    version.look()
    version.exam.publish(other)
    version.look()


def change(version: Version) -> None:
    """Other content is published by force."""
    version.replaced()
    ask(version.exam, "getTemplate", version.ref)


def automatic(version: Version) -> None:
    """Other content is published by force, and built by that; what is published next is not."""
    exam, ref = version.exam, version.ref
    version.replaced(auto_build=True)
    exam.wait(ref)
    exam.read(ref)
    exam.start(ref)
    exam.read(exam.published("beside").ref)
    exam.read(ref)


def delete(version: Version) -> None:
    """It is deleted, published again, and then once more to be built."""
    ask(version.exam, "deleteTemplate", version.ref)
    version.exam.read(version.ref)
    version.now = version.other()
    version.exam.publish(version.now)
    version.look()
    version.exam.publish(version.now, auto_build=True)
    version.exam.read(version.ref)
    version.exam.wait(version.ref)


Episode = Callable[[Version], None]
EPISODES: tuple[Episode, ...] = (build, conflict, change, cancel, delete, fail, automatic)

# Their number is prime, so each stride meets all of them, and all strides meet all pairs.
STRIDES = {1: "standard", 2: "thorough", 3: "standard", 4: "quick", 5: "standard", 6: "thorough"}


def chapter(stride: int) -> Iterator[Episode]:
    """All episodes, each followed by the one that many places further; with a stride of 1 each follows itself, too."""
    for step in range(len(EPISODES) + 1):
        episode = EPISODES[step * stride % len(EPISODES)]
        yield from [episode] * (2 if stride == 1 else 1)


def _chapters() -> Iterator[Any]:
    for stride, least in STRIDES.items():
        spends = pytest.mark.cost(builds=14, requests=100) if stride == 1 else pytest.mark.cost(builds=8, requests=60)
        yield pytest.param(stride, marks=[pytest.mark.profile(least), spends])


@pytest.mark.parametrize("stride", _chapters())
@pytest.mark.claims(
    "publish.force-replaces",
    "publish.auto-build-starts",
    "publish.conflict-keeps-content",
    "start.after-cancel-builds-again",
    "start.after-failure-builds-again",
    "cancel.next-build-completes",
    "reuse.only-identical-digest",
)
def test_what_happened_before_does_not_matter(exam: Examination, run: Run, stride: int) -> None:
    """Builds, cancels, failures, conflicts, replacements and deletions follow each other in any order."""
    needs_publishing(exam)
    first = exam.short("episodes")
    version = Version(exam, first, first)
    for episode in chapter(stride):
        episode(version)
        if run.has_trouble():
            return
