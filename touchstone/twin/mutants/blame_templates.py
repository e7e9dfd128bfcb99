"""
Whom faults in publishing, reading and deleting versions are blamed on.
"""

from touchstone.twin.mutants.verdicts import CONTENT, EXISTENCE, STATE, row

ROWS = (
    row("publishTemplate.201.*.ref.swap*", "publish.ref-is-the-document"),
    row("publishTemplate.201.*.ref.*-version", "publish.ref-is-the-document"),
    row("publishTemplate.201.*.ref.*", "publish.body-is-documented", "publish.ref-is-the-document"),
    row("publishTemplate.201.*.digest.repeat", "digest.*"),
    row("publishTemplate.201.*.digest.swap*", "digest.*"),
    row("publishTemplate.201.*.digest.other-digits", "digest.*"),
    row("publishTemplate.201.*.digest.*", "digest.has-the-documented-form publish.body-is-documented"),
    row("publishTemplate.201.auto_build.auto_build.drop", "publish.auto-build-starts publish.body-is-documented"),
    row("publishTemplate.201.auto_build.auto_build.*", "publish.body-is-documented"),
    row("publishTemplate.201.*.code.*", "publish.answers-201"),
    row("publishTemplate.201.*", "publish.body-is-documented"),
    row("publishTemplate.answer.swap", "publish.ref-is-the-document", CONTENT),
    row("publishTemplate.answer.repeat", "publish.force-replaces digest.*", f"{CONTENT} publish.auto-build-starts"),
    row("publishTemplate.400.code.*", "publish.empty-is-400 publish.unparsable-is-400"),
    row("publishTemplate.409.code.*", "publish.other-content-is-409"),
    row("publishTemplate.422.*", "publish.invalid-is-422"),
    row("getTemplate.200.code.*", "template.read-shows-the-published"),
    row("getTemplate.200.template.repeat", "publish.force-replaces"),
    row("getTemplate.200.digest.*", "template.read-shows-the-published digest.*"),
    row("getTemplate.200.*", "template.read-shows-the-published"),
    row("getTemplate.answer.repeat", "lookup.deleted-version-is-404 publish.force-replaces", CONTENT),
    row("getTemplate.answer.swap", "template.read-shows-the-published", f"{CONTENT} {EXISTENCE}"),
    # It may be refused with 409, but then the version has to stay.
    row("deleteTemplate.200.code.409", "lookup.existing-version-is-found"),
    row("deleteTemplate.200.*", "template.delete-says-deleted"),
    row("deleteTemplate.answer.*", "lookup.deleted-version-is-404", EXISTENCE),
    row("publish.skip", "lookup.existing-version-is-found", EXISTENCE),
    row("publish.late", "lookup.existing-version-is-found", f"{EXISTENCE} digest.* status.*"),
    row("publish.to-other-account", "lookup.existing-version-is-found access.others-version-is-404", EXISTENCE),
    row("publish.to-everybody", "access.others-version-is-404", EXISTENCE),
    row("replace.keeps-golden", "reuse.only-identical-digest", STATE),
    row("replace.without-force", "publish.other-content-is-409", CONTENT),
    row(
        "replace.though-refused",
        "publish.conflict-keeps-content",
        f"{STATE} {CONTENT} publish.other-content-is-409 events.build-time-agrees",
    ),
    row("replace.of-neighbour", "digest.* status.*", f"{CONTENT} cancel.keeps-neighbours"),
    row("replace.*", "publish.force-replaces", f"{STATE} {CONTENT} lookup.deleted-version-is-404"),
    row("delete.of-*", "lookup.existing-version-is-found", EXISTENCE),
    row("delete.drops-shared-golden", "status.ready-stays-ready", f"{STATE} reuse.same-digest-elsewhere"),
    row(
        "delete.though-no-key-fits",
        "access.others-change-nothing",
        f"{EXISTENCE} cancel.in-flight-is-202 events.answers-200",
    ),
    row("delete.*", "lookup.deleted-version-is-404 start.refuses-deleted-version", EXISTENCE),
)
