"""Generated faults, derived from the table of the twin's responses. A name says what is changed, and where."""

from collections.abc import Mapping

from touchstone.proof.faults.fault import Fault
from touchstone.proof.mutants.access import access_faults
from touchstone.proof.mutants.answers import answer_faults
from touchstone.proof.mutants.life import LIFE_FAULTS
from touchstone.proof.mutants.logs import log_faults

# Names that a derived fault would have, and the named fault that it would equal. These faults are not generated.
DUPLICATES: Mapping[str, str] = {
    "getBuild.200.ready.build_time_ms.drop": "ready-has-no-build-time",
    "startBuild.202.ready.reused.drop": "reuse-is-not-told", "startBuild.429.code.409": "limit-is-409",
    "startBuild.429.Retry-After.fraction": "retry-after-has-decimals",
    "cancelBuild.202.cancelling.status.drop": "cancel-says-nothing",
    "streamBuildEvents.200.level.warn.warning": "level-is-warning",
    "streamBuildEvents.200.frames.last-dropped": "log-ends-without-end",
    "streamBuildEvents.200.close.never": "log-never-closes", "replace.without-force": "publish-always-replaces",
    "replace.though-refused": "conflict-overwrites", "replace.keeps-golden": "reuse-by-name",
    "delete.skip": "deleted-version-stays", "auto-build.skip": "auto-build-is-forgotten",
    "auto-build.unasked": "publishing-builds", "start.though-refused": "refused-start-builds",
    "start.by-reading": "reading-builds", "join.cancels": "second-start-ends-the-build",
    "reuse.of-cancelled": "half-built-is-reused", "restart-after-failure.skip": "restart-is-forgotten",
    "restart-after-cancel.skip": "start-after-cancel-is-forgotten",
    "restart-after-cancel.joins-the-dying": "start-joins-the-dying",
    "restart-after-cancel.refused": "cancelled-version-conflicts", "succeeds.before-its-steps": "steps-are-skipped",
    "fails.as-ready": "failing-step-is-ignored", "fails.skip": "failing-build-vanishes",
    "cancel.skip": "cancel-does-nothing", "cancel.of-others": "cancel-hits-strangers",
    "cancel.of-finished": "cancel-drops-the-golden", "cancel.of-next": "cancel-poisons-the-next",
    "cancel-settles.never": "cancel-never-settles", "cancel-settles.as-ready": "cancel-marks-ready",
    "cancel-settles.as-building-again": "cancelled-build-resumes",
    "cancel-settles.with-an-open-log": "log-of-a-cancel-stays-open",
    "cancel.of-neighbour-only": "cancel-hits-the-oldest", "cancel.though-not-own": "others-cancel-unseen",
    "delete.though-no-key-fits": "others-delete-unseen", "replace.skip": "force-changes-nothing",
    "reuse.skip": "golden-is-reused-once", "succeeds.never": "no-build-ends", "succeeds.then-gone": "golden-expires",
    "fails.then-gone": "failure-fades", "fails.then-building": "failure-is-retried",
}  # fmt: skip


def generated(seed: int = 1) -> dict[str, Fault]:
    """Returns the derived faults by name; the same seed always gives the same faults."""
    derived = (*answer_faults(seed), *log_faults(), *LIFE_FAULTS.values(), *access_faults())
    faults = {fault.name: fault for fault in derived if fault.name not in DUPLICATES}
    assert len(faults) == sum(fault.name not in DUPLICATES for fault in derived), "two faults have one name"
    return faults
