"""
Whom faults in the outside of answers are blamed on, whatever they answer: bytes, media types, status codes, delays.
"""

from touchstone.twin.mutants.verdicts import BUILD_TIME, CONTENT, STATE, row

ROWS = (
    row("*.body.cut", "http.body-is-json"),
    row("*.body.empty", "http.body-is-json"),
    row("*.body.doubled", "http.body-is-json"),
    row("*.body.trailed", "http.body-is-json"),
    row("*.Content-Length.more", "http.answers"),
    row("*.delay", "http.answers"),
    row("*.media.text-html", "http.json-media-type"),
    row("*.Content-Type.drop", "http.json-media-type"),
    row("*.code.failing", "http.no-server-error"),
    row("*.code.undocumented", "http.status-is-documented"),
)

# By the thing that is got wrong: claims that speak about it, which may be found broken whatever else has to be.
SEEN = (
    row("*.digest.*", "", CONTENT),
    row("*.build_time_ms.*", "", BUILD_TIME),
    row("getBuild.200.*.status.*", "", STATE),
    row("startBuild.202.*.status.*", "", STATE),
    # A success that calls itself an error has the body of a success, and HEAD, left as it was, says so.
    row("*.20[0-9].*code.*", "", "error.has-the-documented-shape http.head-matches-get"),
    row("*.20[0-9].*code.404", "", "lookup.existing-version-is-found"),
    row("getBuild.*.code.*", "", "status.answers-200"),
    row("startBuild.*.building.code.*", "", "start.answers-202"),
    row("startBuild.*.ready.code.*", "", "reuse.status-code"),
    row("cancelBuild.*.code.*", "", "cancel.*-is-202 cancel.*-is-404 cancel.*-is-idle cancel.second-is-documented"),
    row("publishTemplate.201.*.code.*", "", "publish.answers-201"),
    row("publishTemplate.400.code.*", "", "publish.*-is-400"),
    row("publishTemplate.409.code.*", "", "publish.other-content-is-409"),
    row("publishTemplate.422.code.*", "", "publish.invalid-is-422"),
    row("getTemplate.200.*code.*", "", "template.read-shows-the-published"),
    row("deleteTemplate.200.*code.*", "", "template.delete-says-deleted"),
    row("*.401.code.*", "", "auth.*-is-401"),
    row("startBuild.403.code.*", "", "access.start-needs-scale"),
    row("publishTemplate.403.code.*", "", "access.publish-needs-scale"),
    row("*.404.*code.*", "", "lookup.*-is-404 access.others-version-is-404"),
    row("startBuild.429.code.*", "", "limit.has-the-error-shape"),
    # An answer that is refused has a place of its own in what is said about it.
    row("*.40[0-9].*", "", "error.has-the-documented-shape"),
    row("*.42[0-9].*", "", "error.has-the-documented-shape"),
    row("startBuild.429.*", "", "limit.has-the-error-shape"),
)
