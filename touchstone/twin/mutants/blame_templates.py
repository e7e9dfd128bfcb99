"""
Whom faults in publishing, reading and deleting versions are blamed on.
"""

from touchstone.twin.mutants.verdicts import row

ROWS = (
    row("publishTemplate.201.*.ref.swap", "publish.ref-is-the-document"),
    row("publishTemplate.201.*.ref.*-version", "publish.ref-is-the-document"),
    row("publishTemplate.201.*.digest.repeat", "digest.*"),
    row("publishTemplate.201.*.digest.swap", "digest.*"),
    row("publishTemplate.201.*.digest.other-digits", "digest.*"),
    row("publishTemplate.201.*.digest.*", "digest.has-the-documented-form publish.body-is-documented"),
    row("publishTemplate.201.auto_build.auto_build.*", "publish.auto-build-starts publish.body-is-documented"),
    row("publishTemplate.201.*.status.*", "publish.answers-201 http.status-is-documented"),
    row("publishTemplate.201.*", "publish.body-is-documented"),
    row("publishTemplate.400.status.*", "publish.empty-is-400 publish.unparsable-is-400"),
    row("publishTemplate.409.status.*", "publish.other-content-is-409"),
    row("publishTemplate.422.*", "publish.invalid-is-422"),
    row(
        "getTemplate.200.status.*",
        "template.read-shows-the-published lookup.existing-version-is-found http.status-is-documented",
    ),
    row("getTemplate.200.digest.*", "template.read-shows-the-published digest.*"),
    row("getTemplate.200.*", "template.read-shows-the-published"),
    row(
        "deleteTemplate.200.*",
        "template.delete-says-deleted lookup.existing-version-is-found http.status-is-documented",
    ),
    row("publish.skip", "lookup.existing-version-is-found"),
    row("publish.late", "lookup.existing-version-is-found"),
    row("publish.to-other-account", "lookup.existing-version-is-found access.others-version-is-404"),
    row("publish.to-everybody", "access.others-version-is-404"),
    row("replace.keeps-golden", "reuse.only-identical-digest"),
    row("replace.without-force", "publish.other-content-is-409"),
    row("replace.though-refused", "publish.conflict-keeps-content"),
    row("replace.of-neighbour", "digest.* status.*"),
    row("replace.*", "publish.force-replaces"),
    row("delete.of-*", "lookup.existing-version-is-found"),
    row("delete.drops-shared-golden", "status.ready-stays-ready"),
    row("delete.though-no-key-fits", "access.others-change-nothing"),
    row("delete.*", "lookup.deleted-version-is-404 start.refuses-deleted-version"),
)
