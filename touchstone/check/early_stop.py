"""When an examination that proves a fault may stop: the fault is found, and the other claims have had a fair chance.

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

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
