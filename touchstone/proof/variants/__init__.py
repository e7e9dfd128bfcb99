"""Named ways in which the twin can behave differently and still keep every promise.

Each freedom is an engine, an application or a wrapper that behaves otherwise in one respect, and names the ambiguities
of the documentation that leave it. An examination of a server takes seconds, so those that do not hide each other are
taken together: the variants are the servers that are tried, with one freedom or with many. Taken alone are those that
change when something happens, or how often: they could hide another, or it them.
"""

from typing import Any

from touchstone.proof.variants import accounts, builds, http, logs, versions  # noqa: F401 - they enter the freedoms
from touchstone.proof.variants.variant import COMBINED, FREEDOMS, Variant, together
from touchstone.twin.limits import RateLimit

__all__ = ["COMBINED", "FREEDOMS", "VARIANTS", "Variant"]


def combined(name: str, says: str, taken: str, **pace: Any) -> None:
    """Enters a variant that takes freedoms, given by name, at once."""
    name = f"combined-{name}"
    COMBINED[name] = together(name, says, [FREEDOMS[one] for one in taken.split()], pace)


# fmt: off
combined("bare", "All that is optional is left out: fields, codes, ids, earlier lines, Retry-After.",
         "plan-gates-every-operation reads-leave-out-reused reuse-answers-200 start-while-building-is-200 "
         "second-cancel-finds-nothing late-follower-hears-what-comes unknown-version-is-idle digest-has-a-prefix "
         "invalid-document-lists-errors-only refusals-of-keys-are-short errors-hold-error-alone curated-is-hidden "
         "no-retry-after")
combined("lavish", "All that is optional is there, and more: fields, codes, ids, headers, parameters of media types.",
         "golden-dir-is-shown fresh-start-says-reused-false reads-remember-the-reuse auto-build-says-reused "
         "failure-looks-like-an-error frames-hold-more more-fields-than-documented idle-has-an-error "
         "refusals-tell-where-keys-come-from every-error-has-a-code curated-is-not-allowed more-headers "
         "media-types-with-charset")
combined("strict", "What can be a conflict or a bad request is one, and a cancelled build has failed.",
         "start-while-settling-is-409 force-while-building-is-409 curated-is-in-conflict cancelled-reads-failed "
         "log-is-gone-after-the-build odd-spelling-is-400 version-is-looked-for-first republish-is-200 "
         "auto-build-refused-is-429 documents-are-raw secrets-crash-the-build head-is-405 time-limit-on-builds")
combined("shelf", "Versions and what is known of them are shown in other ways.",
         "digest-of-another-form golden-goes-with-its-version everything-is-in-default publish-is-200 "
         "published-in-another-form template-shows-defaults malformed-header-is-no-key unknown-method-is-not-found "
         "curated-needs-a-plan json-spelled-otherwise frames-spelled-otherwise")
combined("calm", "Logs of what is at rest are empty, others come in lumps, and what has begun goes on.",
         "log-is-empty-at-rest log-of-unknown-version-is-empty log-comes-in-lumps build-outlives-its-version "
         "timed-out-reads-not-built plan-refusal-has-no-code json-in-chunks")
# So few starts that a burst of them meets the limit, however long each answer takes.
combined("proxy", "A proxy stands before it: far away, in pieces, compressed, in capitals, each connection closed.",
         "far-away last-line-tells-no-time request-id-in-a-header-only header-names-in-capitals connections-are-closed "
         "answers-are-compressed log-in-small-pieces",
         rate=RateLimit.parse("20/2"))
combined("busy", "A host with room for two builds and a sliding rate that refused starts count against, some way off.",
         "refused-starts-count limits-sound-alike auto-build-refused-says-so room-for-two retry-after-is-a-date",
         rate=RateLimit.parse("sliding-log:12/1"),
         build_s=0.3,
         settle_s=0.3,
         latency_s=0.005)
combined("fast", "Builds take no time, cancels none, and there are no limits.",
         "fast-builds build-time-is-rounded cancel-settles-at-once no-limits")
combined("slow", "Builds, cancels and the end of a log take their time.",
         "slow-builds cancel-settles-slowly log-closes-later")
combined("log-kept-alive", "Comments between the frames, which have no level; some have no line.",
         "frames-with-keep-alives frames-have-no-level frames-have-no-line times-in-whole-seconds lines-have-prefixes")
combined("log-with-ids", "Ids beside the frames, which have no phase.",
         "frames-with-ids frames-have-no-phase failure-has-another-phase times-with-zero-offset")
combined("log-in-crlf", "CR LF at the ends of lines, and frames that hold a line and nothing else.",
         "frames-end-in-crlf frames-hold-the-line-alone failure-has-no-phase phases-are-skipped")
combined("log-in-lines", "Frames that go over several lines, of commands and what they print.",
         "frames-in-several-lines times-in-another-zone steps-are-announced")
# fmt: on

_TAKEN = {name for variant in COMBINED.values() for name in variant.takes}
VARIANTS: dict[str, Variant] = {name: one for name, one in FREEDOMS.items() if name not in _TAKEN} | COMBINED
