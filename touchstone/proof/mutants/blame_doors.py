"""Whom faults in letting in and in refusing are blamed on."""

from touchstone.proof.mutants.verdicts import EXISTENCE, row

# What is served in the place of something else is asked for, deleted, cancelled and followed under a name not its own.
OTHERS = (
    f"{EXISTENCE} *.ref-is-the-path lookup.odd-spelling-is-404 events.own-lines-only cancel.keeps-neighbours "
    "status.build-does-not-vanish"
)

ROWS = (
    row("auth.missing-key.skip.*", "auth.missing-key-is-401", "auth.refused-changes-nothing auth.query-key-is-401"),
    row("auth.unknown-key.skip.*", "auth.unknown-key-is-401", "auth.refused-changes-nothing"),
    row("auth.longer-key.skip.*", "auth.near-key-is-401", "auth.refused-changes-nothing"),
    row("auth.shorter-key.skip.*", "auth.near-key-is-401", "auth.refused-changes-nothing"),
    row("auth.malformed-header.skip.*", "auth.malformed-header-is-401", "auth.refused-changes-nothing"),
    row("auth.query-key.skip.*", "auth.query-key-is-401", "auth.refused-changes-nothing"),
    row("auth.valid-key.refuse.*", "auth.valid-key-is-accepted", "auth.scheme-ignores-case"),
    row("access.others-version.skip.*", "access.others-version-is-404", "access.others-change-nothing"),
    row("access.deleted-version.skip.startBuild", "start.refuses-deleted-version"),
    row("access.deleted-version.skip.*", "lookup.deleted-version-is-404"),
    row("access.unknown-version.skip.*", "lookup.unknown-version-is-404", OTHERS),
    row("access.unknown-name.skip.*", "lookup.unknown-name-is-404", OTHERS),
    row("access.unknown-namespace.skip.*", "lookup.unknown-namespace-is-404", OTHERS),
    row("access.plan.skip.startBuild", "access.start-needs-scale"),
    row("access.plan.skip.publishTemplate", "access.publish-needs-scale"),
    row("*.401.WWW-Authenticate.drop", "auth.missing-key-is-401"),
    row("*.404.*code.*", "lookup.*-is-404 access.others-version-is-404"),
    row("startBuild.403.code.401", "access.plan-is-no-key-matter"),
    row("startBuild.403.code.*", "access.start-needs-scale"),
    row("publishTemplate.403.code.401", "access.plan-is-no-key-matter"),
    row("publishTemplate.403.code.*", "access.publish-needs-scale"),
    row("*.error.*", "error.has-the-documented-shape"),
)
