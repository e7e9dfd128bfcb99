"""
Whom faults in the outside of answers are blamed on, whatever they answer: bytes, media types, status codes, delays.
"""

from touchstone.proof.mutants.verdicts import BUILD_TIME, CONTENT, EXISTENCE, LOG, REFUSING, STATE, row

# The transitions that lead from one state of a build to another; the others are about which versions there are.
ABOUT_STATES = (
    *("auto-build", "start", "join", "reuse", "succeeds", "fails", "cancel", "cancel-settles"),
    *("restart-after-cancel", "restart-after-failure"),
)

ROWS = (
    row("*.body.cut", "http.body-is-json"),
    row("*.body.empty", "http.body-is-json *.body-is-documented"),
    row("*.body.trailed", "http.body-is-json"),
    row("*.Content-Length.more", "http.answers"),
    row("*.delay", "http.answers"),
    row("*.media.text-html", "http.json-media-type"),
    row("*.Content-Type.drop", "http.json-media-type"),
    row("[!c]*.20[0-9].*code.404", "lookup.existing-version-is-found"),
    row("*.code.failing", "http.no-server-error"),
    row("*.401.code.*", "auth.*-is-401", "http.status-is-documented"),
    row("*.code.undocumented", "http.status-is-documented"),
)

# By the thing that is got wrong: claims that speak about it, which may be found broken whatever else has to be.
SEEN = (
    row("*.digest.*", "", CONTENT),
    row("*.build_time_ms.*", "", BUILD_TIME),
    row("getBuild.200.*.status.*", "", STATE),
    row("startBuild.202.*.status.*", "", STATE),
    *(row(f"{transition}.*", "", STATE) for transition in ABOUT_STATES),
    row("streamBuildEvents.200.phase.*", "", LOG),
    row("streamBuildEvents.200.level.*", "", LOG),
    row("streamBuildEvents.200.line.*", "", LOG),
    row("streamBuildEvents.200.frames.*", "", LOG),
    # A success that calls itself an error has the body of a success, and HEAD, left as it was, says so.
    row("*.20[0-9].*code.*", "", "error.has-the-documented-shape http.head-matches-get"),
    row("getBuild.*.code.*", "", "status.answers-200"),
    # A start that says that it failed, and builds.
    row("startBuild.20[0-9].*.code.*", "", f"{STATE} start.answers-202 start.concurrent-answers-are-documented"),
    row("startBuild.*.ready.code.*", "", "reuse.status-code"),
    row("cancelBuild.*.code.*", "", f"{STATE} cancel.*"),
    # A version that is there though its publish says that it failed.
    row("publishTemplate.201.*.code.*", "", f"{EXISTENCE} publish.answers-201"),
    row("publishTemplate.400.code.*", "", "publish.*-is-400"),
    row("publishTemplate.409.code.*", "", "publish.other-content-is-409"),
    row("publishTemplate.422.code.*", "", "publish.invalid-is-422"),
    row("getTemplate.200.*code.*", "", "template.read-shows-the-published"),
    # A version that is gone though its delete says that it failed.
    row("deleteTemplate.200.*code.*", "", f"{EXISTENCE} template.* status.answers-200"),
    # A refusal that calls itself a success has the body of a refusal.
    row("cancelBuild.404.*code.202", "", "cancel.says-cancelling"),
    row("deleteTemplate.404.code.200", "", "template.delete-says-deleted"),
    row("getTemplate.404.code.200", "", "template.read-shows-the-published"),
    row("getBuild.404.code.200", "", "status.body-is-documented"),
    row("startBuild.40[0-9].code.202", "", "start.body-is-documented"),
    row("publishTemplate.4[0-9][0-9].code.201", "", "publish.body-is-documented"),
    # A success that some other request had, in the place of a refusal.
    row("*.answer.*", "", REFUSING),
    row("startBuild.403.code.*", "", f"{EXISTENCE} access.start-needs-scale"),
    row("publishTemplate.403.code.*", "", f"{EXISTENCE} access.publish-needs-scale"),
    row("*.404.*code.*", "", EXISTENCE),
    row("startBuild.429.code.*", "", "limit.has-the-error-shape"),
    # An answer that is refused has a place of its own in what is said about it.
    row("*.40[0-9].*", "", "error.has-the-documented-shape"),
    row("*.42[0-9].*", "", "error.has-the-documented-shape"),
    row("startBuild.429.*", "", "limit.has-the-error-shape"),
)
