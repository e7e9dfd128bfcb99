"""A row of the tables that say whom a derived fault is blamed on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """
    Faults by a glob over their names; globs of claims one of which must be broken, and of those that may be as well.
    """

    glob: str
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()


def row(glob: str, breaks: str, also: str = "") -> Row:
    """A row; claims are separated by spaces."""
    return Row(glob, tuple(breaks.split()), tuple(also.split()))


# The claims that speak about one thing: whoever gets that thing wrong may be found out by each of them.

# What state a version is in, and how it got there.
STATE = (
    "status.* start.visible-to-next-read start.fresh-is-building start.while-building-is-harmless start.after-* "
    "start.concurrent-* start.does-not-wait reuse.ready-at-once reuse.only-* cancel.* "
    "publish.auto-build-* events.*-ends-on-* events.open-while-building events.close-at-the-end "
    "auth.refused-changes-nothing access.others-change-nothing limit.refused-start-starts-nothing"
)
# Which content a version has.
CONTENT = (
    "digest.* publish.force-replaces publish.conflict-keeps-content publish.republish-identical-is-accepted "
    "reuse.only-* reuse.same-digest-elsewhere start.fresh-is-building template.read-shows-the-published"
)
# How long its build took.
BUILD_TIME = (
    "status.build-time-* status.ready-has-build-time status.ready-after-its-steps status.concurrent-reads-agree "
    "events.build-time-agrees"
)
# Which versions there are.
EXISTENCE = (
    "lookup.*-is-404 lookup.existing-version-is-found access.others-version-is-404 start.refuses-deleted-version "
    "status.answers-200 template.read-shows-the-published publish.republish-identical-is-accepted "
    "publish.other-content-is-409"
)
# What has to be refused.
REFUSING = (
    "lookup.*-is-404 access.*-is-404 start.refuses-deleted-version publish.*-is-4* cancel.*-is-404 cancel.*-is-idle "
    "cancel.says-idle"
)
# That a log is complete and belongs to its build.
LOG = (
    "events.carry-the-output events.own-lines-only events.watchers-agree events.*-ends-on-* events.terminal-* "
    "events.timestamps-in-order"
)
