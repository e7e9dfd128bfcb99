"""Verdicts and findings of two or more runs: what changed in which run. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase

from touchstone.facts.events import RunLog
from touchstone.facts.finding import Finding
from touchstone.rules.verdict import ClaimVerdict, RunVerdict, judge, selected

UNKNOWN, LEFT_OUT = "unknown", ""  # instead of a verdict: the run does not know the claim; its --claims leaves it out

GROUPS = (
    *("newly broken", "fixed", "no longer judged", "now judged", "not judged for another reason", "removed", "added"),
)


@dataclass(frozen=True, slots=True)
class ClaimTrend:
    """One claim with its verdict in each run."""

    latest: ClaimVerdict  # of the last run that knows the claim
    verdicts: tuple[str, ...]  # of each run: a verdict, UNKNOWN or LEFT_OUT

    @property
    def changes(self) -> list[tuple[int, str]]:
        """Place and verdict of each run whose verdict differs from the one before; LEFT_OUT is none."""
        judged = [(place, verdict) for place, verdict in enumerate(self.verdicts) if verdict != LEFT_OUT]
        return [after for before, after in pairwise(judged) if before[1] != after[1]]

    @property
    def group(self) -> str:
        """How the last run changed the verdict of the run before it, one of GROUPS; empty if it did not."""
        was, now = self.verdicts[-2:]
        if was == now or LEFT_OUT in (was, now):
            return ""
        if UNKNOWN in (was, now):
            return "added" if was == UNKNOWN else "removed"
        if now == "broken":
            return "newly broken"
        # A broken claim that is no longer judged does not count as fixed.
        if was in ("upheld", "broken"):
            return "fixed" if now == "upheld" else "no longer judged"
        return "now judged" if now == "upheld" else "not judged for another reason"


@dataclass(frozen=True, slots=True)
class Trend:
    """Two or more runs in the order in which they are compared, and how their claims and findings differ."""

    runs: tuple[RunLog, ...]
    verdicts: tuple[RunVerdict, ...]  # of each run
    claims: tuple[ClaimTrend, ...]  # in the order of the last run's ledger
    findings: tuple[tuple[list[Finding], list[Finding]], ...]  # new and gone in each run, none in the first

    @property
    def names(self) -> Sequence[str]:
        """Names of the runs: A, B, C; numbers if there are more runs than letters."""
        number = len(self.runs)
        return ascii_uppercase[:number] if number <= len(ascii_uppercase) else [f"{n}" for n in range(1, number + 1)]

    @property
    def changed(self) -> list[ClaimTrend]:
        """Claims whose verdict is not the same in all runs; those that are broken now come first."""
        return sorted((one for one in self.claims if one.changes), key=lambda one: one.changes[-1][1] != "broken")

    @property
    def turned(self) -> dict[str, list[ClaimTrend]]:
        """Claims of which the last run changed the verdict, by group."""
        return {group: [one for one in self.claims if one.group == group] for group in GROUPS}

    @property
    def left_out(self) -> int:
        """Number of claims that some of the runs left out by ``--claims``, but not all."""
        return sum(LEFT_OUT in one.verdicts for one in self.claims)

    @property
    def newly_broken(self) -> list[ClaimTrend]:
        """Claims that the last run broke, and the run before it did not."""
        return [one for one in self.claims if one.group and one.verdicts[-1] == "broken"]

    @property
    def has_new_failure(self) -> bool:
        """Whether a claim that makes a run fail is newly broken: a ``must`` claim, or with --strict any claim."""
        strict = self.runs[-1].header.strict
        counted = (one.latest for one in self.newly_broken if not one.latest.new)
        return any(strict or claim.claim.level == "must" for claim in counted)

    @property
    def differs(self) -> bool:
        """Whether the runs differ in a verdict or a finding."""
        return bool(self.changed) or any(new or gone for new, gone in self.findings)


def trend_of(runs: Sequence[RunLog]) -> Trend:
    """Compares the verdicts and findings of runs of one kind."""
    judged = tuple(map(judge, runs))
    known = [{item.claim.id: item for item in verdict.claims} for verdict in judged]
    claims = []
    for name in dict.fromkeys(name for items in reversed(known) for name in items):
        absent = [UNKNOWN if selected(name, run.header.claims_glob) else LEFT_OUT for run in runs]
        items = [found.get(name) for found in known]
        verdicts = (item.verdict if item else other for item, other in zip(items, absent, strict=True))
        claims.append(ClaimTrend([item for item in items if item][-1], tuple(verdicts)))
    findings, present, globs = [], dict[str, Finding](), list[str]()
    for run in runs:
        own, glob = {one.id: one for one in run.findings}, run.header.claims_glob
        # A run says nothing about the findings on claims that it left out.
        new = [one for one in run.findings if one.id not in present and any(selected(one.claim, old) for old in globs)]
        gone = [one for one in present.values() if one.id not in own and selected(one.claim, glob)]
        findings.append((new, gone))
        present = {name: one for name, one in present.items() if one not in gone} | own
        globs.append(glob)
    return Trend(tuple(runs), judged, tuple(claims), tuple(findings))
