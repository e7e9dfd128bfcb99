"""Constructor of derived (generated) faults, and groups of related claims."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from touchstone.proof.boundary import Change, wrapped
from touchstone.proof.faults.fault import Fault, Kind

# Derived behaviour that is no fault, by glob over fault names: the ambiguity or sentence that permits the behaviour.
PERMITTED: Mapping[str, str] = {
    "getBuild.200.ready.reused.drop": "ambiguity 7.6: a build that reused nothing may leave the flag out",
    "startBuild.202.ready.code.200": "ambiguity 7.5: a reused build is answered with 202 or with 200",
    "publishTemplate.201.*.code.200": "ambiguity 7.37: a publish may also be answered with 200",
    "publishTemplate.201.auto_build.auto_build.ready": "ambiguity 7.41: each of the four statuses is allowed",
    "publishTemplate.201.auto_build.auto_build.queued": "ambiguity 7.41: any string is allowed",
    "streamBuildEvents.200.ts.drop": "ambiguity 7.31: no field of a frame is required",
    "streamBuildEvents.200.source.drop": "ambiguity 7.31: no field of a frame is required",
    "streamBuildEvents.200.frames.first-dropped": "ambiguity 7.27: a follower may miss the first lines",
    "cancel-settles.as-failed": "ambiguity 7.12: a cancelled build settles in not_built or in failed",
    "access.deleted-version.skip.cancelBuild": "ambiguity 7.14: an idle version and an unknown one are both 404",
    "startBuild.429.Retry-After.drop": "ambiguity 7.23: the documentation does not mention the header",
    "getBuild.401.WWW-Authenticate.drop": "auth#errors: a 401 is documented by status and text, without headers",
}
# Groups of claims about one subject: a fault in that subject may break any of them.

# The state of a version, and its transitions.
STATE = (
    "status.* start.visible-to-next-read start.fresh-is-building start.while-building-is-harmless start.after-* "
    "start.concurrent-* start.does-not-wait reuse.ready-at-once reuse.only-* cancel.* "
    "publish.auto-build-* events.*-ends-on-* events.open-while-building events.close-at-the-end "
    "auth.refused-changes-nothing access.others-change-nothing limit.refused-start-starts-nothing"
)
# The content of a version.
CONTENT = (
    "digest.* publish.force-replaces publish.conflict-keeps-content publish.republish-identical-is-accepted "
    "reuse.only-* reuse.same-digest-elsewhere start.fresh-is-building template.read-shows-the-published"
)
# The build time of a version.
BUILD_TIME = (
    "status.build-time-* status.ready-has-build-time status.ready-after-its-steps status.concurrent-reads-agree "
    "events.build-time-agrees"
)
# The existence of versions.
EXISTENCE = (
    "lookup.*-is-404 lookup.existing-version-is-found access.others-version-is-404 start.refuses-deleted-version "
    "status.answers-200 template.read-shows-the-published publish.republish-identical-is-accepted "
    "publish.other-content-is-409"
)
# Requests that must be refused.
REFUSING = (
    "lookup.*-is-404 access.*-is-404 start.refuses-deleted-version publish.*-is-4* cancel.*-is-404 cancel.*-is-idle "
    "cancel.says-idle"
)
# The completeness of a log.
LOG = (
    "events.carry-the-output events.own-lines-only events.watchers-agree events.*-ends-on-* events.terminal-* "
    "events.timestamps-in-order"
)


def derived(
    name: str, says: str, kind: Kind, breaks: str, also: str = "", *, change: Change | None = None, **parts: Any
) -> Fault:
    """Returns a derived fault.

    Args:
        name: Kind of response and change, such as ``getBuild.200.ready.digest.drop``.
        breaks: Globs of claims, separated by spaces; one claim must be found broken.
        also: Globs of claims that may be found broken as well.
        change: Change that the fault makes in the responses of a correct twin.
        parts: Other attributes of the fault, such as its engine, application or wrapper.
    """
    if change is not None:
        parts["wrap"] = wrapped(change)
    parts["target"] = parts.get("target") or {}
    beside = tuple(dict.fromkeys(also.split()))
    permits = next((reason for glob, reason in PERMITTED.items() if fnmatchcase(name, glob)), "")
    parts |= {"breaks": tuple(breaks.split()), "also": beside, "permits": permits}
    return Fault(name=name, says=says, kind=kind, generated=True, **parts)
