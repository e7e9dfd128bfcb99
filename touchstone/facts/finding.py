"""Judgements of rules, and the findings made from broken judgements."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from touchstone.contract.claims import Level

Outcome = Literal["held", "broken", "indeterminate"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rule or test (*check*) says about one claim after one chance to break it."""

    claim: str  # Id of the claim.
    outcome: Outcome  # ``indeterminate`` if no verdict is possible.
    check: str  # Id of the rule or test.
    operation: str  # operationId of the judged exchange.
    evidence: tuple[int, ...]  # ``seq`` of the exchanges that prove the outcome; the last exchange decides.
    expected: str = ""  # What the contract allows; only for ``broken``.
    actual: str = ""  # Observed value, or the reason for ``indeterminate``.

    @property
    def finding_id(self) -> str:
        """Id of the finding if the claim is broken. The same finding in another run has the same id."""
        text = "\x1f".join((self.claim, self.operation, self.check, self.expected))
        # surrogatepass: *expected* may contain a lone surrogate from the target
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Finding:
    """A disagreement between the target and one claim."""

    id: str  # Twelve hexadecimal digits; the same finding in another run has the same id.
    claim: str
    level: Level
    operation: str
    check: str
    expected: str
    actual: str
    where: str  # Method and path of the deciding request.
    curl: str  # Command that repeats the deciding request, with environment variables in place of keys.
    evidence: tuple[int, ...]

    def sentence(self) -> str:
        """Returns the line that describes the finding in every report."""
        subject = f"{self.operation or 'request'} {self.level.upper()} {self.claim}"
        return f"{subject}: {self.where} → expected {self.expected}; actual {self.actual}"
