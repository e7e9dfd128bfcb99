"""Two runs beside each other: what may be compared, and all that a comparison comes to; pure."""

from dataclasses import dataclass

from touchstone.errors import UsageError
from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.wording import plural
from touchstone.report.compare_loads import (
    NOISE,
    TOO_FEW,
    UNCERTAIN,
    AnswerTimes,
    Change,
    LoadComparison,
    Mismatch,
    compare_answers,
    compare_loads,
)
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs of one kind.

    Attributes:
        load: None where they are no load runs.
        answers: How long answers took; empty for load runs, which tell it otherwise.
    """

    before: RunLog
    after: RunLog
    claims: ClaimChanges
    load: LoadComparison | None
    answers: tuple[AnswerTimes, ...] = ()

    @property
    def unlike(self) -> tuple[Mismatch, ...]:
        """What the two had not in common to do."""
        if self.load:
            return self.load.mismatches
        first, second = (_options(log) for log in (self.before, self.after))
        return tuple(Mismatch(what, first[what], second[what]) for what in first if first[what] != second[what])

    @property
    def has_new_failure(self) -> bool:
        """Whether the second run broke a claim that the first did not, in a way that fails a run of its kind."""
        strict = self.after.header.strict
        return any(strict or item.claim.level == "must" for item in self.claims.newly_broken)

    @property
    def differing(self) -> tuple[tuple[str, Change], ...]:
        """What differs beyond noise between two load runs, each with its operation."""
        return tuple(one for one in self._changes if one[1].verdict not in (NOISE, UNCERTAIN, TOO_FEW))

    @property
    def open(self) -> int:
        """Of how many statistics it cannot be told whether they differ."""
        return sum(change.verdict in (UNCERTAIN, TOO_FEW) for _, change in self._changes)

    @property
    def is_open(self) -> bool:
        """Whether that is so of all of them."""
        return 0 < self.open == len(self._changes)

    @property
    def _changes(self) -> tuple[tuple[str, Change], ...]:
        operations = self.load.operations if self.load else ()
        return tuple((one.name, change) for one in operations for change in (*one.times, *one.counted) if change.tells)

    @property
    def capacities(self) -> tuple[int, int] | None:
        """The two capacities where both runs met theirs and they are not the same."""
        found = self.load.capacities if self.load else (None, None)
        if not (found[0] and found[1] and found[0].is_known and found[1].is_known):
            return None
        levels = (found[0].at_least, found[1].at_least)
        return levels if levels[0] != levels[1] else None

    @property
    def differs(self) -> bool:
        """Whether anything is different beyond noise."""
        return bool(self.differing or self.capacities) or not self.claims.are_alike

    @property
    def reason(self) -> str:
        """What it comes to, in one sentence."""
        claims = self.claims
        parts = [f"{plural(len(self.differing), 'statistic')} beyond noise"] if self.load else []
        parts += [f"{plural(self.open, 'statistic')} that cannot be told"] if self.open else []
        parts += [f"capacity {self.capacities[0]} before, {self.capacities[1]} now"] if self.capacities else []
        groups = ((group, len(claims.turned_by(group))) for group in GROUPS)
        told = ", ".join(f"{number} {group}" for group, number in groups if number)
        parts.append(f"{plural(len(claims.turned), 'claim')} with another verdict{f' ({told})' if told else ''}")
        parts.append(f"{plural(len(claims.new), 'new finding')}, {len(claims.gone)} gone")
        apart = sum(one.differ for one in self.answers)
        parts += [f"answer times of {plural(apart, 'operation')} beyond noise"] if apart else []
        return ", ".join(parts)


def compare(before: RunLog, after: RunLog) -> Comparison:
    """Compares two runs.

    Raises:
        UsageError: they are runs of different kinds or were judged by different contracts, or a load run sent nothing.
    """
    _check_kinds(before, after)
    if before.workload:
        return Comparison(before, after, compare_claims(before, after), compare_loads(before, after))
    _check_contracts(before, after)
    return Comparison(before, after, compare_claims(before, after), None, compare_answers(before, after))


def kind_of_run(log: RunLog) -> str:
    """What a reader calls the run, such as ``load run (storm)`` or ``check run``."""
    return f"load run ({log.workload.scenario})" if log.workload else f"{log.header.command} run"


def _check_kinds(before: RunLog, after: RunLog) -> None:
    kinds = [(log.workload is None, log.header.command if log.workload is None else "") for log in (before, after)]
    if kinds[0] != kinds[1]:
        raise UsageError(
            f"compare: A ({before.header.run_id}) is a {kind_of_run(before)}, B ({after.header.run_id}) is a "
            f"{kind_of_run(after)}; expected two runs of one kind"
        )
    for name, log in (("A", before), ("B", after)):
        if log.workload is not None and not log.windows:
            raise UsageError(f"compare: {name} ({log.header.run_id}) is a load run that sent no request")


def _check_contracts(before: RunLog, after: RunLog) -> None:
    first, second = before.header, after.header
    if first.contract_sha256 != second.contract_sha256:
        raise UsageError(
            f"compare: A ({first.run_id}) was judged by the contract {first.contract_sha256[:12]} of touchstone "
            f"{first.tool_version}, B ({second.run_id}) by {second.contract_sha256[:12]} of {second.tool_version}; "
            "verdicts of different contracts do not compare: judge both targets with one version"
        )


def _options(log: RunLog) -> dict[str, str]:
    """What a run that is no load was asked for, as far as its verdicts may come from that."""
    header = log.header
    return {
        "profile": header.profile,
        "claims": header.claims_glob,
        "seed": str(header.seed),
        "strict": "yes" if header.strict else "no",
        "version": header.tool_version,
    }


def compare_claims(before: RunLog, after: RunLog) -> ClaimChanges:
    """Compares the verdicts and findings of two runs."""
    first, second = judge(before), judge(after)
    old = {item.claim.id: item for item in first.claims}
    new = {item.claim.id: item for item in second.claims}
    gone_claims = [item for name, item in old.items() if name not in new]
    new_claims = [item for name, item in new.items() if name not in old]
    removed = _within(gone_claims, after)
    added = _within(new_claims, before)
    return ClaimChanges(
        before=first,
        after=second,
        turned=tuple(
            Turn(old[name], item) for name, item in new.items() if name in old and old[name].verdict != item.verdict
        ),
        only_before=removed,
        only_after=added,
        new=_findings(after, before),
        gone=_findings(before, after),
        unasked=len(gone_claims) - len(removed) + len(new_claims) - len(added),
    )


def _findings(log: RunLog, other: RunLog) -> tuple[Finding, ...]:
    """Those of one run alone, about claims that the other one was asked for as well."""
    known = {finding.id for finding in other.findings}
    return tuple(one for one in log.findings if one.id not in known and selected(one.claim, other.header.claims_glob))


def _within(claims: list[ClaimVerdict], other: RunLog) -> tuple[ClaimVerdict, ...]:
    """Those that the other run would have judged if it had known them, since its ``--claims`` do not leave them out."""
    return tuple(item for item in claims if selected(item.claim.id, other.header.claims_glob))
