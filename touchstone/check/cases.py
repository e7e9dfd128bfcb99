"""Cases of a run: what each costs, in which order they run, and which a proof can leave out.

A fault is only proven if the right claim is blamed and no other one. An examination that stopped at the first finding
would never see the others, so it goes on until all of this holds:

1. Each expected claim is broken (of a generated fault: at least one of them).
2. The general cases are over: the plain life of a version, seen by whoever looks.
3. Two thirds of all other claims have been judged on an occasion, held or broken: each of these could have been
   blamed and was not.
4. Every version that the run left alone has been read once more, and the clean-up is over. These come last whatever
   happens, and their exchanges are judged like all others.

A fault that is not found meets the whole examination. Once it is found, a case of whose claims each has been judged is
left out: it would add nothing to the share.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.config import Settings

if TYPE_CHECKING:
    import pytest

FAIR_SHARE = 2 / 3


@dataclass(frozen=True, slots=True)
class Quarry:
    """What an examination is after.

    Attributes:
        breaks: Globs over claims.
        any_one: Whether one broken claim that matches is enough; otherwise each glob needs one.
    """

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
        """Whether the quarry is found and the other claims have had a fair chance.

        Args:
            broken: Claims found broken so far.
            judged: Claims that a check has judged on an occasion so far, whichever way.
            claims: All claims of the examination.
        """
        others = [claim for claim in claims if not self.expects(claim)]
        had_a_chance = sum(claim in judged for claim in others)
        return self.is_found(broken) and had_a_chance >= FAIR_SHARE * len(others)

    def may_skip(self, case: Collection[str], broken: Collection[str], judged: Collection[str]) -> bool:
        """Whether the quarry is found and a case that sets out to show these claims would judge nothing new."""
        return self.is_found(broken) and all(claim in judged or self.expects(claim) for claim in case)


@dataclass(frozen=True, slots=True)
class Cost:
    """At most how many builds a case begins, and about how many requests it sends besides polls."""

    builds: int
    requests: int


def cost_of(declared: Mapping[str, object], settings: Settings) -> Cost:
    """The cost that a case declares: numbers, or one number a profile."""
    return Cost(_number(declared.get("builds", 0), settings), _number(declared.get("requests", 0), settings))


def write_plan(cases: Sequence[tuple[str, tuple[str, ...], Cost]], path: Path) -> None:
    """Writes the plan as JSON to *path*."""
    rows = [
        {"case": name, "claims": list(claims), "builds": cost.builds, "requests": cost.requests}
        for name, claims, cost in cases
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")


def _number(value: object, settings: Settings) -> int:
    if isinstance(value, Mapping):
        value = value[settings.profile]
    return int(str(value))


# What goes wrong anyway is to be seen before what is special, or it would be blamed on what is special.
GENERAL_CASES = "test_lifecycle.py"
LAST_CASES = "test_wrap_up.py"

# In requests: a build is waited for, and a request that is drawn is computed first.
BUILD_COSTS = 5
DRAWN_CASES, DRAWN_COSTS = "test_generated.py", 20


def general_first(items: "list[pytest.Item]") -> "list[pytest.Item]":
    """The cases as files and lines order them, but for the general ones, which come first."""
    return sorted(items, key=lambda item: item.path.name != GENERAL_CASES)


def culprits_first(
    items: "list[pytest.Item]",
    quarry: Quarry | None,
    declared: "Callable[[pytest.Item], tuple[str, ...]]",
    cost: "Callable[[pytest.Item], Cost]",
) -> "list[pytest.Item]":
    """The order of a proof: general cases, likely culprits, what judges most for its cost, a last look.

    A case is a likely culprit if it sets out to show what is expected to be broken. Once that is found, nothing is
    expected any more, and *quarry* is None.
    """

    def place(item: "pytest.Item") -> tuple[int, float]:
        if item.path.name == GENERAL_CASES:
            return (0, 0)
        if item.path.name == LAST_CASES:
            return (3, 0)
        claims = declared(item)
        likely = quarry is not None and any(map(quarry.expects, claims))
        return (1 if likely else 2, _weight(item, cost(item)) / len(claims))

    return sorted(items, key=place)


def _weight(item: "pytest.Item", spends: Cost) -> float:
    each = DRAWN_COSTS if item.path.name == DRAWN_CASES else 1
    return each * spends.requests + BUILD_COSTS * spends.builds


def may_be_left_out(item: "pytest.Item") -> bool:
    """Whether a proof that is complete can do without the case."""
    return item.path.name not in (GENERAL_CASES, LAST_CASES)
