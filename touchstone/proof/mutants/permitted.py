"""Derived faults that are none: the documentation permits what they do, so that an examination must let them pass."""

from collections.abc import Mapping

# By glob over names: the ambiguity, by number, or the sentence that permits it.
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
