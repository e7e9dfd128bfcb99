"""
Which claims got another verdict in a second run, and which findings are new or gone; pure.
"""

from dataclasses import dataclass

from touchstone.finding import Finding
from touchstone.runfacts import RunLog
from touchstone.verdict import ClaimVerdict, RunVerdict, judge


@dataclass(frozen=True, slots=True)
class Turn:
    """
    One claim with two verdicts.
    """

    before: ClaimVerdict
    after: ClaimVerdict


@dataclass(frozen=True, slots=True)
class ClaimChanges:
    """
    What two runs say differently about claims.

    Attributes:
        turned: Claims with another verdict, in the order of the second run's ledger.
        only_before: Claims that the second run was not to judge.
        only_after: Claims that the first run was not to judge.
        new: Findings of the second run alone.
        gone: Findings of the first run alone.
    """

    before: RunVerdict
    after: RunVerdict
    turned: tuple[Turn, ...]
    only_before: tuple[ClaimVerdict, ...]
    only_after: tuple[ClaimVerdict, ...]
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]

    @property
    def are_alike(self) -> bool:
        """
        Whether nothing differs.
        """
        return not (self.turned or self.only_before or self.only_after or self.new or self.gone)


def compare_claims(before: RunLog, after: RunLog) -> ClaimChanges:
    """
    Compares the verdicts and findings of two runs.
    """
    first, second = judge(before), judge(after)
    old = {item.claim.id: item for item in first.claims}
    new = {item.claim.id: item for item in second.claims}
    met_before, met_after = ({finding.id for finding in log.findings} for log in (before, after))
    return ClaimChanges(
        before=first,
        after=second,
        turned=tuple(
            Turn(old[name], item) for name, item in new.items() if name in old and old[name].verdict != item.verdict
        ),
        only_before=tuple(item for name, item in old.items() if name not in new),
        only_after=tuple(item for name, item in new.items() if name not in old),
        new=tuple(finding for finding in after.findings if finding.id not in met_before),
        gone=tuple(finding for finding in before.findings if finding.id not in met_after),
    )
