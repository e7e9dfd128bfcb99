"""What three examiners said about the same servers, beside each other: found or missed, false alarms, totals; pure."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from touchstone.proof.result import Subject, median

EXAMINERS = ("touchstone", "default", "best")
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Measured:
    """One examiner before one server, once.

    Attributes:
        server: A name; ``correct`` for the twin as it is.
        sort: ``fault``, ``variant`` or ``correct``.
        kind: The class of a fault; empty for what is none.
        said: Each complaint in words: the claims that ours found broken, the kinds of alarms of plain Schemathesis.
        found: Of ours, whether the right claims were blamed; None where the complaints have to be compared first.
        strange: Of ours, how many claims were blamed that have nothing to do with the fault.
        ended: Whether it came to its end.
    """

    examiner: str
    server: str
    sort: str
    kind: str
    seed: int
    said: tuple[str, ...]
    found: bool | None
    strange: int
    requests: int
    seconds: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One examiner's part of a line.

    Attributes:
        new: What it said about this server and about no correct twin.
    """

    found: bool
    new: tuple[str, ...]
    measured: Measured

    def text(self) -> str:
        """Found or missed, with what, in WIDTH characters."""
        run = self.measured
        word = "found" if self.found else "missed"
        strange = f"+{run.strange}" if run.strange else ""
        return f"{word + strange:<9}{run.requests:>7}{run.seconds:>6.1f}{' ' if run.ended else '*'} "


def sampled(faults: Sequence[Subject], size: int, seed: int) -> list[Subject]:
    """
    So many faults, of each class in turn as long as there are some; a smaller sample is the beginning of a larger one.
    """
    chance = random.Random(seed)
    by_kind: dict[str, list[Subject]] = {}
    for fault in sorted(faults, key=lambda fault: (fault.kind, fault.name)):
        by_kind.setdefault(fault.kind, []).append(fault)
    for group in by_kind.values():
        chance.shuffle(group)
    longest = max(map(len, by_kind.values()), default=0)
    turns = (group[turn] for turn in range(longest) for group in by_kind.values() if turn < len(group))
    return list(turns)[:size]


def usual(measured: Iterable[Measured]) -> dict[str, frozenset[str]]:
    """By examiner, what it says about the correct twin, in any of its runs."""
    alarms: dict[str, frozenset[str]] = dict.fromkeys(EXAMINERS, frozenset())
    for run in measured:
        if run.sort == "correct":
            alarms[run.examiner] |= frozenset(run.said)
    return alarms


def cell(run: Measured, known: Mapping[str, frozenset[str]]) -> Cell:
    """What a run comes to: a fault is found by who says anything that it does not say about the correct twin; of ours,
    the right claims have to be blamed.
    """
    new = tuple(said for said in run.said if said not in known[run.examiner])
    return Cell(bool(new) if run.found is None else run.found, new, run)


@dataclass(frozen=True, slots=True)
class Line:
    """One server that all examiners have seen."""

    server: str
    sort: str
    kind: str
    cells: Mapping[str, Cell]

    def text(self) -> str:
        """The line of the matrix."""
        return f"{self.kind:<12} {self.server:<38} " + "| ".join(self.cells[name].text() for name in EXAMINERS).rstrip()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was measured."""

    measured: Sequence[Measured]

    def lines(self, sort: str) -> list[Line]:
        """The servers of one sort that all examiners have seen, by class and name."""
        known = usual(self.measured)
        seen: dict[tuple[str, str], dict[str, Cell]] = {}
        for run in self.measured:
            if run.sort == sort:
                seen.setdefault((run.kind, run.server), {})[run.examiner] = cell(run, known)
        whole = sorted(item for item in seen.items() if len(item[1]) == len(EXAMINERS))
        return [Line(server, sort, kind, cells) for (kind, server), cells in whole]

    def matrix(self) -> str:
        """Faults × examiners."""
        head = f"{'class':<12} {'fault':<38} " + "| ".join(f"{name:<{WIDTH}}" for name in EXAMINERS)
        units = " " * 52 + "| ".join(f"{'':<9}{'requests':>7}{'s':>5}  " for _ in EXAMINERS)
        return "\n".join([head.rstrip(), units.rstrip(), *(line.text() for line in self.lines("fault"))])

    def totals(self) -> str:
        """How many faults of each class each examiner found."""
        lines = self.lines("fault")
        rows = [f"{'class':<12}{'faults':>8}" + "".join(f"{name:>12}" for name in EXAMINERS)]
        for kind in [*sorted({line.kind for line in lines}), "all"]:
            of_kind = [line for line in lines if kind in (line.kind, "all")]
            counts = (sum(line.cells[name].found for line in of_kind) for name in EXAMINERS)
            rows.append(f"{kind:<12}{len(of_kind):>8}" + "".join(f"{count:>12}" for count in counts))
        for what, unit in (("requests", "median requests"), ("seconds", "median seconds")):
            values = (median(getattr(line.cells[name].measured, what) for line in lines) for name in EXAMINERS)
            digits = 1 if what == "seconds" else 0
            rows.append(f"{unit:<20}" + "".join(f"{value:>12.{digits}f}" for value in values))
        cut = (sum(not line.cells[name].measured.ended for line in lines) for name in EXAMINERS)
        rows.append(f"{'cut off (*)':<20}" + "".join(f"{count:>12}" for count in cut))
        return "\n".join(rows)

    def false_alarms(self) -> str:
        """What each examiner said about servers that are right."""
        rows = [f"{'':<44}" + "".join(f"{name:>12}" for name in EXAMINERS)]
        correct = [run for run in self.measured if run.sort == "correct"]
        of = {name: [run for run in correct if run.examiner == name] for name in EXAMINERS}
        accused = (f"{sum(bool(run.said) for run in of[name])} of {len(of[name])}" for name in EXAMINERS)
        known = usual(self.measured)
        variants = self.lines("variant")
        counts = (sum(bool(line.cells[name].measured.said) for line in variants) for name in EXAMINERS)
        more = (sum(bool(line.cells[name].new) for line in variants) for name in EXAMINERS)
        rows.append(f"{'runs on the correct twin that accuse it':<44}" + "".join(f"{text:>12}" for text in accused))
        rows.append(f"{'kinds of complaints in them':<44}" + "".join(f"{len(known[name]):>12}" for name in EXAMINERS))
        title = f"accused of {len(variants)} variants"
        rows.append(f"{title:<44}" + "".join(f"{count:>12}" for count in counts))
        rows.append(f"{'… of something new':<44}" + "".join(f"{count:>12}" for count in more))
        return "\n".join(rows)

    def words(self) -> str:
        """What plain Schemathesis said about whom, so that everybody can judge whether it is what is wrong."""
        rows = [
            f"{name} on the correct twin: {said}" for name in EXAMINERS for said in sorted(usual(self.measured)[name])
        ]
        for sort in ("variant", "fault"):
            for line in self.lines(sort):
                for name in EXAMINERS[1:]:
                    rows += [f"{name} on {line.server}: {said}" for said in line.cells[name].new]
        return "\n".join(rows)
