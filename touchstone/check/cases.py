"""Cases of a run: what each says of itself, in which order they run, and which a proof can leave out.

A fault is proven if the right claim is blamed and no other one. So a proof that has found it goes on until the general
cases are over and two thirds of all other claims have been judged; a case that would judge nothing new is left out.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FAIR_SHARE = 2 / 3


@dataclass(frozen=True, slots=True)
class Quarry:
    """What a proof is after, by globs over claims: one broken claim for each, or *any_one* of all."""

    breaks: tuple[str, ...]
    any_one: bool = False

    def is_found(self, broken: Collection[str]) -> bool:
        """Whether *broken* claims are what was looked for."""
        found = [any(fnmatchcase(claim, glob) for claim in broken) for glob in self.breaks]
        return any(found) if self.any_one else all(found)

    def expects(self, claim: str) -> bool:
        """Whether *claim* is one of those that are to be found broken."""
        return any(fnmatchcase(claim, glob) for glob in self.breaks)

    def may_stop(self, broken: Collection[str], judged: Collection[str], claims: Iterable[str]) -> bool:
        """Whether the quarry is found and FAIR_SHARE of the other *claims* have been judged, whichever way."""
        others = [claim for claim in claims if not self.expects(claim)]
        had_a_chance = sum(claim in judged for claim in others)
        return self.is_found(broken) and had_a_chance >= FAIR_SHARE * len(others)

    def may_skip(self, case: Collection[str], broken: Collection[str], judged: Collection[str]) -> bool:
        """Whether the quarry is found and a case that sets out to show these claims would judge nothing new."""
        return self.is_found(broken) and all(claim in judged or self.expects(claim) for claim in case)


GENERAL_CASES = "test_lifecycle.py"
LAST_CASES = "test_wrap_up.py"

# In requests: a build is waited for, and a request that is drawn is computed first.
BUILD_COSTS = 5
DRAWN_CASES, DRAWN_COSTS = "test_generated.py", 20


@dataclass(frozen=True, slots=True)
class Declared:
    """What a case says of itself by its name and its marks.

    Attributes:
        id: Subject and name: ``test_cancel.py::test_in_flight[x]`` is ``cancel.in_flight[x]``.
        builds: How many it begins at most.
        requests: About how many it sends besides polls.
        profile: The smallest profile that runs it.
        is_given: Whether it shows something where nothing may be published, too.
        is_once: Whether its body cannot be called again: a generated case has arguments that its generator knows.
    """

    id: str
    file: str
    title: str = ""
    claims: tuple[str, ...] = ()
    builds: int = 0
    requests: int = 0
    profile: str = "quick"
    is_given: bool = False
    is_once: bool = False

    @property
    def may_be_left_out(self) -> bool:
        """Whether a proof that is complete can do without the case."""
        return self.file not in (GENERAL_CASES, LAST_CASES)

    def place(self, quarry: Quarry | None) -> tuple[int, float]:
        """Its place in a proof: general cases, likely culprits, what judges most for its cost, a last look."""
        if not self.may_be_left_out:
            return (0 if self.file == GENERAL_CASES else 3, 0)
        each = DRAWN_COSTS if self.file == DRAWN_CASES else 1
        likely = quarry is not None and any(map(quarry.expects, self.claims))
        return (1 if likely else 2, (each * self.requests + BUILD_COSTS * self.builds) / len(self.claims))


def declared_by(item: "pytest.Item", profile: str) -> Declared:
    """What a case says of itself in a run with this profile: a cost is a number, or one number a profile."""
    cost, smallest = item.get_closest_marker("cost"), item.get_closest_marker("profile")
    costs = cost.kwargs if cost else {}
    builds, requests = (
        int(value[profile] if isinstance(value, Mapping) else value)
        for value in (costs.get("builds", 0), costs.get("requests", 0))
    )
    return Declared(
        id=f"{item.path.stem.removeprefix('test_')}.{item.name.removeprefix('test_')}",
        file=item.path.name,
        title=" ".join((getattr(getattr(item, "function", None), "__doc__", "") or "").split()),
        claims=tuple(claim for mark in item.iter_markers("claims") for claim in mark.args),
        builds=builds,
        requests=requests,
        profile=str(smallest.args[0]) if smallest else "quick",
        is_given=item.get_closest_marker("given") is not None,
        is_once=item.get_closest_marker("once") is not None,
    )
