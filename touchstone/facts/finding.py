"""What a rule says: a judgement of one claim on one occasion, and the finding that a broken one becomes."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from touchstone.contract.claims import Level

Outcome = Literal["held", "broken", "indeterminate"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One claim, judged on one occasion."""

    claim: str  # Id of the claim.
    outcome: Outcome  # ``held``, ``broken``, or ``indeterminate`` where the occasion allows no verdict.
    check: str  # Id of the rule or test that judged.
    operation: str  # operationId that the occasion is about.
    evidence: tuple[int, ...]  # ``seq`` of the exchanges that it rests on, in order; the last one shows the outcome.
    expected: str = ""  # What the contract allows; only for ``broken``.
    actual: str = ""  # What was seen, the value's repr where it is short; or the reason for ``indeterminate``.


@dataclass(frozen=True, slots=True)
class Finding:
    """A disagreement between the target and one claim."""

    id: str  # Twelve hexadecimal digits, the same for the same disagreement in another run.
    claim: str
    level: Level
    operation: str
    check: str
    expected: str
    actual: str
    where: str  # Method and path of the deciding request, run-specific parts left as they were.
    curl: str  # A command that sends the deciding request again, keys as environment variables.
    evidence: tuple[int, ...]

    def sentence(self) -> str:
        """The finding in one line, the same in every report."""
        subject = f"{self.operation or 'request'} {self.level.upper()} {self.claim}"
        return f"{subject}: {self.where} → expected {self.expected}; actual {self.actual}"


def finding_id(claim: str, operation: str, check: str, expected: str) -> str:
    """The stable id of a disagreement: it depends on what was promised, not on the run that saw it broken."""
    text = "\x1f".join((claim, operation, check, expected))
    # surrogatepass: a lone surrogate that a target sent may have found its way into *expected*
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
