"""The steps of a random walk: what can happen to one version, from whatever came before."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from situations import ask, call
from touchstone.check.examination import Examination
from touchstone.check.templates import Template
from touchstone.contract.lifecycle import AT_REST

# Every so many contents one fails.
FAILS_EVERY = 4
# Of what the build steps take: well within a build, and in its second half.
LATER_SHARE = 0.6


@dataclass
class Walker:
    """A version on its way.

    Attributes:
        contents: What it has held, the last one now.
    """

    exam: Examination
    contents: list[Template]

    @property
    def now(self) -> Template:
        """What it holds."""
        return self.contents[-1]

    @property
    def ref(self) -> str:
        """What it is called."""
        return self.now.ref

    def look(self) -> None:
        """Reads what there is to read."""
        self.exam.read(self.ref)
        ask(self.exam, "getTemplate", self.ref)

    def rest(self) -> None:
        """Waits until no build runs: what becomes of one whose content is taken away is undocumented."""
        self.exam.wait(self.ref, AT_REST)

    def other(self) -> Template:
        """Content that it never had."""
        newest = max(self.contents, key=lambda content: content.edition).revised()
        return replace(newest, fails=newest.edition % FAILS_EVERY == 0, halved=not newest.halved)

    def hold(self, content: Template) -> Template:
        """Remembers what it holds from now on."""
        self.contents.append(content)
        return content


def start(walker: Walker) -> None:
    """It is started."""
    walker.exam.start(walker.ref)


def build(walker: Walker) -> None:
    """It is built, while somebody follows."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.read(walker.ref)
    walker.rest()
    walker.exam.closed(following)


def join(walker: Walker) -> None:
    """It is started twice, the second time when half is done, and built while somebody follows."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.read(walker.ref)
    walker.exam.rest(LATER_SHARE * walker.now.sleep_s)
    walker.exam.start(walker.ref)
    walker.exam.read(walker.ref)
    walker.rest()
    walker.exam.closed(following)


def start_together(walker: Walker) -> None:
    """It is started twice at once."""
    walker.exam.together(*[call("startBuild", walker.ref)] * 2)


def cancel(walker: Walker) -> None:
    """What runs is cancelled."""
    walker.exam.cancel(walker.ref)


def cancel_late(walker: Walker) -> None:
    """It is started and cancelled when more than half is done."""
    walker.exam.start(walker.ref)
    following = walker.exam.follow(walker.ref)
    walker.exam.rest(LATER_SHARE * walker.now.sleep_s)
    walker.exam.read(walker.ref)
    walker.exam.cancel(walker.ref)
    walker.exam.settle(walker.ref)
    walker.exam.closed(following)


def restart(walker: Walker) -> None:
    """It is cancelled and started at once."""
    walker.exam.cancel(walker.ref)
    walker.exam.start(walker.ref)


def wait(walker: Walker) -> None:
    """Nothing happens until no build runs."""
    walker.rest()


def follow(walker: Walker) -> None:
    """Somebody follows whatever there is to follow, to its end."""
    walker.exam.closed(walker.exam.follow(walker.ref))


def leave(walker: Walker) -> None:
    """Somebody follows and hangs up."""
    following = walker.exam.follow(walker.ref)
    following.until.set()
    walker.exam.closed(following)


def publish_again(walker: Walker) -> None:
    """The same content is published again."""
    walker.exam.publish(walker.now)


def conflict(walker: Walker) -> None:
    """Other content is refused."""
    walker.exam.publish(walker.other())


def change(walker: Walker) -> None:
    """Other content is published by force."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.other()), force=True)


def change_back(walker: Walker) -> None:
    """The first content is published by force."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.contents[0]), force=True)


def automatic(walker: Walker) -> None:
    """Other content is published by force, and built by that."""
    walker.rest()
    walker.exam.publish(walker.hold(walker.other()), force=True, auto_build=True)


def delete(walker: Walker) -> None:
    """It is deleted, looked for, and published with other content."""
    walker.rest()
    ask(walker.exam, "deleteTemplate", walker.ref)
    walker.look()
    walker.exam.publish(walker.hold(walker.other()))


def intrude(walker: Walker) -> None:
    """Another account does what it may not."""
    if walker.exam.target.second_api_key:
        for operation in ("startBuild", "cancelBuild", "deleteTemplate"):
            ask(walker.exam, operation, walker.ref, "second")
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
