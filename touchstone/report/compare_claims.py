"""Which claims got another verdict in a second run, and which findings are new or gone; pure."""

from dataclasses import dataclass

from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.rules.verdict import ClaimVerdict, RunVerdict, Verdict, judge, selected

_CLEAR: tuple[Verdict, ...] = ("upheld", "broken")
# What became of a claim, in the order in which it is told.
GROUPS = ("newly broken", "fixed", "no longer judged", "now judged", "not judged for another reason")
NEWLY_BROKEN, FIXED, NO_LONGER, NOW, OTHERWISE = GROUPS


@dataclass(frozen=True, slots=True)
class Turn:
    """One claim with two verdicts."""

    before: ClaimVerdict
    after: ClaimVerdict

    @property
    def group(self) -> str:
        """What became of it, one of GROUPS; a claim that was broken and is not judged any more is not fixed."""
        was, now = self.before.verdict, self.after.verdict
        if now == "broken":
            return NEWLY_BROKEN
        if was == "broken" and now == "upheld":
            return FIXED
        if was in _CLEAR:
            return NO_LONGER
        return NOW if now == "upheld" else OTHERWISE


@dataclass(frozen=True, slots=True)
class ClaimChanges:
    """What two runs say differently about claims.

    Attributes:
        turned: Claims with another verdict, in the order of the second run's ledger.
        only_before: Claims that the second run was not to judge, of those that it does not know any more.
        only_after: Claims that the first run was not to judge, of those that it did not know.
        unasked: How many claims only one of the two runs was asked for, by ``--claims``.
        new: Findings of the second run alone, about claims that the first one was asked for as well.
        gone: Findings of the first run alone, about claims that the second one was asked for as well.
    """

    before: RunVerdict
    after: RunVerdict
    turned: tuple[Turn, ...]
    only_before: tuple[ClaimVerdict, ...]
    only_after: tuple[ClaimVerdict, ...]
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    unasked: int = 0

    def turned_by(self, group: str) -> tuple[Turn, ...]:
        """The claims with another verdict of which this became."""
        return tuple(turn for turn in self.turned if turn.group == group)

    @property
    def newly_broken(self) -> tuple[ClaimVerdict, ...]:
        """The claims that the second run alone found broken, also those that the first one was not asked for."""
        found = (*(turn.after for turn in self.turned_by(NEWLY_BROKEN)), *self.only_after)
        return tuple(item for item in found if item.verdict == "broken")

    @property
    def are_alike(self) -> bool:
        """Whether nothing differs."""
        return not (self.turned or self.only_before or self.only_after or self.new or self.gone)


def compare_claims(before: RunLog, after: RunLog) -> ClaimChanges:
    """Compares the verdicts and findings of two runs."""
    first, second = judge(before), judge(after)
    old = {item.claim.id: item for item in first.claims}
    new = {item.claim.id: item for item in second.claims}
    gone_claims = [item for name, item in old.items() if name not in new]
    new_claims = [item for name, item in new.items() if name not in old]
    removed = _within(gone_claims, after)
    added = _within(new_claims, before)
    met_before, met_after = ({finding.id for finding in log.findings} for log in (before, after))
    return ClaimChanges(
        before=first,
        after=second,
        turned=tuple(
            Turn(old[name], item) for name, item in new.items() if name in old and old[name].verdict != item.verdict
        ),
        only_before=removed,
        only_after=added,
        new=_unmet(after, met_before, before),
        gone=_unmet(before, met_after, after),
        unasked=len(gone_claims) - len(removed) + len(new_claims) - len(added),
    )


def _unmet(log: RunLog, met: set[str], other: RunLog) -> tuple[Finding, ...]:
    asked = other.header.claims_glob
    return tuple(one for one in log.findings if one.id not in met and selected(one.claim, asked))


def _within(claims: list[ClaimVerdict], other: RunLog) -> tuple[ClaimVerdict, ...]:
    """Those that the other run would have judged if it had known them, since its ``--claims`` do not leave them out."""
    return tuple(item for item in claims if selected(item.claim.id, other.header.claims_glob))
