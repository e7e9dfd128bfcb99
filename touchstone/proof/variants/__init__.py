"""Variants: correct twins that behave differently, and still break no claim.

A *freedom* is one difference that the documentation permits: an engine, an application or a wrapper. A check takes
seconds, so a variant combines several freedoms that do not hide each other. A freedom that changes times or the number
of events could hide others, so it is a variant of its own.
"""

from typing import Any

from touchstone.proof.variants import accounts, builds, http, logs, versions, world  # noqa: F401 - freedoms
from touchstone.proof.variants.variant import COMBINED, FREEDOMS, Variant, together
from touchstone.twin.limits import RateLimit

__all__ = ["COMBINED", "FREEDOMS", "VARIANTS", "Variant"]


def combined(name: str, says: str, taken: str, **pace: Any) -> None:
    """Registers a variant that combines freedoms, given by name."""
    name = f"combined-{name}"
    COMBINED[name] = together(name, says, [FREEDOMS[one] for one in taken.split()], pace)


# fmt: off
combined("bare", "Everything optional is missing: fields, codes, ids, earlier log lines, Retry-After.",
         "plan-gates-every-operation reads-leave-out-reused reuse-answers-200 start-while-building-is-200 "
         "second-cancel-finds-nothing late-follower-hears-what-comes unknown-version-is-idle digest-has-a-prefix "
         "invalid-document-lists-errors-only refusals-of-keys-are-short errors-hold-error-alone curated-is-hidden "
         "no-retry-after")
combined("lavish", "Everything optional is present, and more: fields, codes, ids, headers, media type parameters.",
         "golden-dir-is-shown fresh-start-says-reused-false reads-remember-the-reuse auto-build-says-reused "
         "failure-looks-like-an-error frames-hold-more more-fields-than-documented idle-has-an-error "
         "refusals-tell-where-keys-come-from every-error-has-a-code curated-is-not-allowed more-headers "
         "media-types-with-charset")
combined("strict", "Requests that may be refused with 409 or 400 are refused, and a cancelled build ends failed.",
         "start-while-settling-is-409 force-while-building-is-409 curated-is-in-conflict cancelled-reads-failed "
         "log-is-gone-after-the-build odd-spelling-is-400 version-is-looked-for-first republish-is-200 "
         "auto-build-refused-is-429 documents-are-raw secrets-crash-the-build head-is-405 time-limit-on-builds")
combined("shelf", "Versions, digests and documents have other valid forms.",
         "digest-of-another-form golden-goes-with-its-version everything-is-in-default publish-is-200 "
         "published-in-another-form template-shows-defaults malformed-header-is-no-key unknown-method-is-not-found "
         "curated-needs-a-plan json-spelled-otherwise frames-spelled-otherwise")
combined("calm", "Logs of idle versions are empty, other logs come in batches, and builds outlive versions.",
         "log-is-empty-at-rest log-of-unknown-version-is-empty log-comes-in-lumps build-outlives-its-version "
         "timed-out-reads-not-built plan-refusal-has-no-code json-in-chunks")
# A low limit: a burst of starts exceeds it even if each response is slow.
combined("proxy", "A proxy adds latency, compression, small chunks and upper-case headers, and closes connections.",
         "far-away last-line-tells-no-time request-id-in-a-header-only header-names-in-capitals connections-are-closed "
         "answers-are-compressed log-in-small-pieces",
         rate=RateLimit.parse("20/2"))
combined("busy", "The host runs two builds at a time, refused starts count for the rate limit, and latency is 5 ms.",
         "refused-starts-count limits-sound-alike auto-build-refused-says-so room-for-two retry-after-is-a-date",
         rate=RateLimit.parse("sliding-log:12/1"),
         build_s=0.3,
         settle_s=0.3,
         latency_s=0.005)
combined("fast", "Builds take 10 ms, cancels settle at once, and there are no limits.",
         "fast-builds build-time-is-rounded cancel-settles-at-once no-limits")
combined("slow", "Builds and cancels take a second, and logs close half a second after their builds.",
         "slow-builds cancel-settles-slowly log-closes-later")
combined("log-kept-alive", "Logs have comments between frames; frames have no level, and some have no line.",
         "frames-with-keep-alives frames-have-no-level frames-have-no-line times-in-whole-seconds lines-have-prefixes")
combined("log-with-ids", "Log frames have ids and no phase.",
         "frames-with-ids frames-have-no-phase failure-has-another-phase times-with-zero-offset")
combined("log-in-crlf", "Log lines end in CR LF, and frames contain only a line.",
         "frames-end-in-crlf frames-hold-the-line-alone failure-has-no-phase phases-are-skipped")
combined("log-in-lines", "Log frames span several lines, and commands are logged before their output.",
         "frames-in-several-lines times-in-another-zone steps-are-announced")
# fmt: on

_TAKEN = {name for variant in COMBINED.values() for name in variant.takes}
VARIANTS: dict[str, Variant] = {name: one for name, one in FREEDOMS.items() if name not in _TAKEN} | COMBINED
