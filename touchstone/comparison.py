"""
Two runs beside each other: what may be compared, and all that a comparison comes to; pure.
"""

from dataclasses import dataclass

from touchstone.comparing import NOISE, TOO_FEW, UNCERTAIN, Change, LoadComparison, compare_loads
from touchstone.comparing_claims import ClaimChanges, compare_claims
from touchstone.errors import UsageError
from touchstone.runfacts import RunLog
from touchstone.verdict import plural


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Two runs of one kind.

    Attributes:
        load: None where they are no load runs.
    """

    before: RunLog
    after: RunLog
    claims: ClaimChanges
    load: LoadComparison | None

    @property
    def differing(self) -> tuple[tuple[str, Change], ...]:
        """
        What differs beyond noise between two load runs, each with its operation.
        """
        return tuple(told for told in self._told if told[1].verdict not in (NOISE, UNCERTAIN, TOO_FEW))

    @property
    def open(self) -> int:
        """
        Of how many statistics it cannot be told whether they differ.
        """
        return sum(change.verdict in (UNCERTAIN, TOO_FEW) for _, change in self._told)

    @property
    def is_open(self) -> bool:
        """
        Whether that is so of all of them.
        """
        return 0 < self.open == len(self._told)

    @property
    def _told(self) -> tuple[tuple[str, Change], ...]:
        operations = self.load.operations if self.load else ()
        return tuple((one.name, change) for one in operations for change in (*one.times, *one.counted) if change.tells)

    @property
    def capacities(self) -> tuple[int, int] | None:
        """
        The two capacities where both runs met theirs and they are not the same.
        """
        found = self.load.capacities if self.load else (None, None)
        if not (found[0] and found[1] and found[0].is_known and found[1].is_known):
            return None
        levels = (found[0].at_least, found[1].at_least)
        return levels if levels[0] != levels[1] else None

    @property
    def differs(self) -> bool:
        """
        Whether anything is different beyond noise.
        """
        return bool(self.differing or self.capacities) or not self.claims.are_alike

    @property
    def reason(self) -> str:
        """
        What it comes to, in one sentence.
        """
        claims = self.claims
        parts = [f"{plural(len(self.differing), 'statistic')} beyond noise"] if self.load else []
        parts += [f"{plural(self.open, 'statistic')} that cannot be told"] if self.open else []
        parts += [f"capacity {self.capacities[0]} before, {self.capacities[1]} now"] if self.capacities else []
        parts.append(f"{plural(len(claims.turned), 'claim')} with another verdict")
        parts.append(f"{plural(len(claims.new), 'new finding')}, {len(claims.gone)} gone")
        return ", ".join(parts)


def compare(before: RunLog, after: RunLog) -> Comparison:
    """
    Compares two runs.

    Raises:
        UsageError: one of them is a load run and the other is none, or a load run sent nothing.
    """
    _check_kinds(before, after)
    load = compare_loads(before, after) if before.workload else None
    return Comparison(before, after, compare_claims(before, after), load)


def kind_of_run(log: RunLog) -> str:
    """
    What a reader calls the run, such as ``load run (storm)`` or ``check run``.
    """
    return f"load run ({log.workload.scenario})" if log.workload else f"{log.header.command} run"


def _check_kinds(before: RunLog, after: RunLog) -> None:
    if (before.workload is None) != (after.workload is None):
        raise UsageError(
            f"compare: A ({before.header.run_id}) is a {kind_of_run(before)}, B ({after.header.run_id}) is a "
            f"{kind_of_run(after)}; expected two load runs, or two runs that are none"
        )
    for name, log in (("A", before), ("B", after)):
        if log.workload is not None and not log.windows:
            raise UsageError(f"compare: {name} ({log.header.run_id}) is a load run that sent no request")
