"""The terms on which an examination runs: what it may spend, what it tells about templates, and how it gives up."""

from typing import Protocol

from touchstone.check.templates import Template
from touchstone.config import TargetSettings
from touchstone.facts.events import NoticeVerdict
from touchstone.facts.exchange import Exchange

# What would let a claim be judged that a target does not offer the means for.
PUBLISH_ADVICE = 'publishing is switched off (publish = "never"); set publish = "raw" for this target'


def how_ended(ref: str, ended: Exchange) -> str:
    """What became of a build, by the last read of its status."""
    status = ended.body.get("status")
    if status is not None:
        return f"the build of {ref} ended {status!r}"
    return f"the end of the build of {ref} was not seen: {ended.error or f'its status is answered with {ended.status}'}"


def second_key_advice(target: TargetSettings) -> str:
    """What lets claims be judged that take another account."""
    return target.key_sources.advice("second", "another account's key")


def restricted_key_advice(target: TargetSettings) -> str:
    """What lets claims be judged that take an account below the Scale plan."""
    return target.key_sources.advice("restricted", "a key below the Scale plan")


class Unsuited(Exception):
    """The case cannot go on; what it was to show gets *verdict* unless something showed it already."""

    def __init__(self, verdict: NoticeVerdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class Ledger(Protocol):
    """What the examination tells the outside about templates, before and after it touches them."""

    def intend(self, template: Template) -> None:
        """*template* is about to be published."""

    def published(self, template: Template, digest: str) -> None:
        """*template* was published."""

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        """*template* was deleted, or could not be; *sure* is whether it ever was on the target."""
