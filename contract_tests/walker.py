"""Steps of a random walk: requests about one version that are valid in any state of the version."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.contract.lifecycle import AT_REST

# One in this many contents has a build that fails.
FAILS_EVERY = 4
# When a late cancel or start is sent, as a share of the duration of the build steps: in their second half.
LATER_SHARE = 0.6


@dataclass
class Walker:
    """A version that goes through random steps.

    Attributes:
        contents: All templates published for the version so far; the last one is current.
    """

    exam: Examination
    contents: list[Template]

    @property
    def now(self) -> Template:
        """The template that is published now."""
        return self.contents[-1]

    @property
    def ref(self) -> str:
        """The ref of the version."""
        return self.now.ref

    def read_all(self) -> None:
        """Reads the status and the template."""
        self.exam.read(self.ref)
        self.exam.request("getTemplate", self.ref)

    def rest(self) -> None:
        """Waits until no build runs, because it is undocumented how a build ends whose content is replaced."""
        self.exam.wait(self.ref, AT_REST)

    def other(self) -> Template:
        """Returns a template with content that the version has not had before."""
        newest = max(self.contents, key=lambda content: content.edition).revised()
        return replace(newest, fails=newest.edition % FAILS_EVERY == 0, halved=not newest.halved)

    def hold(self, content: Template) -> Template:
        """Records *content* as the current content, and returns it."""
        self.contents.append(content)
        return content


def start(walker: Walker) -> None:
    """Starts the version."""
    walker.exam.start(walker.ref)


def build(walker: Walker) -> None:
    """Builds the version and follows the log."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.read(walker.ref)
    walker.rest()
    walker.exam.closed(following)


def join(walker: Walker) -> None:
    """Starts the version, follows the log, and starts the version again in the second half of the build."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.read(walker.ref)
    walker.exam.rest(LATER_SHARE * walker.now.sleep_s)
    walker.exam.start(walker.ref)
    walker.exam.read(walker.ref)
    walker.rest()
    walker.exam.closed(following)


def start_together(walker: Walker) -> None:
    """Sends two simultaneous starts."""
    walker.exam.together(*[walker.exam.call("startBuild", walker.ref)] * 2)


def cancel(walker: Walker) -> None:
    """Cancels the build, if any."""
    walker.exam.cancel(walker.ref)


def cancel_late(walker: Walker) -> None:
    """Starts a build and cancels it in its second half."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.rest(LATER_SHARE * walker.now.sleep_s)
    walker.exam.read(walker.ref)
    walker.exam.cancel(walker.ref)
    walker.exam.settled(walker.ref)
    walker.exam.closed(following)


def restart(walker: Walker) -> None:
    """Cancels the build and starts the version again at once."""
    walker.exam.cancel(walker.ref)
    walker.exam.start(walker.ref)


def wait(walker: Walker) -> None:
    """Waits until no build runs."""
    walker.rest()


def follow(walker: Walker) -> None:
    """Follows the log to its end."""
    walker.exam.closed(walker.exam.follow(walker.ref))


def leave(walker: Walker) -> None:
    """Follows the log and disconnects at once."""
    following = walker.exam.follow(walker.ref)
    following.until.set()
    walker.exam.closed(following)


def publish_again(walker: Walker) -> None:
    """Publishes the same content again."""
    walker.exam.publish(walker.now)


def conflict(walker: Walker) -> None:
    """Publishes other content without force."""
    walker.exam.publish(walker.other())


def change(walker: Walker) -> None:
    """Publishes other content with force."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.other()), force=True)


def change_back(walker: Walker) -> None:
    """Publishes the first content with force."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.contents[0]), force=True)


def automatic(walker: Walker) -> None:
    """Publishes other content with force and auto_build."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.other()), force=True, auto_build=True)


def delete(walker: Walker) -> None:
    """Deletes the version, reads it, and publishes other content."""
    walker.rest()
    walker.exam.request("deleteTemplate", walker.ref)
    walker.read_all()
    walker.exam.publish(walker.hold(walker.other()))


def intrude(walker: Walker) -> None:
    """Sends forbidden requests from another account."""
    if walker.exam.target.second_api_key:
        for operation in ("startBuild", "cancelBuild", "deleteTemplate"):
            walker.exam.request(operation, walker.ref, "second")
            walker.exam.read(walker.ref)


Step = Callable[[Walker], None]
STEPS: tuple[Step, ...] = (
    start,
    start,
    build,
    build,
    join,
    start_together,
    cancel,
    cancel_late,
    restart,
    wait,
    follow,
    leave,
    publish_again,
    conflict,
    change,
    change_back,
    automatic,
    delete,
    intrude,
)
