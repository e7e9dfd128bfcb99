"""How a derived fault is put together, and the groups of claims that speak about one thing."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from touchstone.proof.boundary import Change, wrapped
from touchstone.proof.faults.fault import Fault, Kind

# By glob over names, derived faults that are none: the ambiguity, by number, or the sentence that permits it.
PERMITTED: Mapping[str, str] = {
    "getBuild.200.ready.reused.drop": "facts 7.6: a build that reused nothing may leave the flag out",
    "startBuild.202.ready.code.200": "facts 7.5: a reused build is answered with 202 or with 200",
    "publishTemplate.201.*.code.200": "facts 7.37: 200 is seen for a published version, too",
    "publishTemplate.201.auto_build.auto_build.ready": "facts 7.41: any of the four statuses may be told",
    "publishTemplate.201.auto_build.auto_build.queued": "facts 7.41: it is a free text, others are recorded",
    "streamBuildEvents.200.ts.drop": "facts 7.31: no field of a frame is required",
    "streamBuildEvents.200.source.drop": "facts 7.31: no field of a frame is required",
    "streamBuildEvents.200.frames.first-dropped": "facts 7.27: nobody is promised the first lines",
    "cancel-settles.as-failed": "facts 7.12: a cancelled build settles in not_built or in failed",
    "access.deleted-version.skip.cancelBuild": "facts 7.14: nothing to cancel and no such version are both 404",
    "startBuild.429.Retry-After.drop": "facts 7.23: the header is never mentioned",
    "getBuild.401.WWW-Authenticate.drop": "auth#errors: a refused key is told by status and text, no header is named",
}
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


def derived(
    name: str, says: str, kind: Kind, breaks: str, also: str = "", *, change: Change | None = None, **parts: Any
) -> Fault:
    """A fault derived from the surface.

    Args:
        name: Where and how it is derived.
        breaks: Globs of claims one of which has to be found broken, separated by spaces.
        also: Globs of those that may be as well.
        change: What it does to answers, where it sits at the boundary.
        parts: Other attributes of a fault: an engine, an application or a wrapper in the place of the usual one.
    """
    if change is not None:
        parts["wrap"] = wrapped(change)
    parts["target"] = parts.get("target") or {}
    beside = tuple(dict.fromkeys(also.split()))
    permits = next((reason for glob, reason in PERMITTED.items() if fnmatchcase(name, glob)), "")
    return Fault(
        name=name,
        says=says,
        kind=kind,
        breaks=tuple(breaks.split()),
        also=beside,
        generated=True,
        permits=permits,
        **parts,
    )
