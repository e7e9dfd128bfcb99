"""Catalogue of faults and variants by name."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain, combinations, islice
from typing import TYPE_CHECKING, TypeVar, get_args

from touchstone.config import Profile
from touchstone.errors import UsageError
from touchstone.proof import faults
from touchstone.proof.result import Sort, Subject
from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.serve import BESIDE, Behaviour, combined

if TYPE_CHECKING:
    from touchstone.proof.faults import Fault
    from touchstone.proof.variants import Variant

_T = TypeVar("_T")
# Number of similar names in the message about an unknown name.
_NEAR = 3
# If names are at least this similar (1: equal), the message suggests no others.
_ALIKE_SHARE = 0.85
ALL_NAMES = "`touchstone prove --list` lists all names; add --generated for those of derived faults"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A twin with a fault or a variant, ready for a trial.

    Attributes:
        profile: Profile of the check that the trial runs.
    """

    subject: Subject
    behaviour: Behaviour
    profile: str = "standard"


def listed_faults(glob: str = "*") -> list[Candidate]:
    """Returns the named faults that match *glob* and that a check can find, ordered by name; or a pair by its name.

    Raises:
        UsageError: all matching faults appear only under load.
    """
    if BESIDE in glob:
        return [_pair(glob)]
    found = [fault for name, fault in faults.FAULTS.items() if fnmatchcase(name, glob)]
    provable = [_fault(fault, "fault") for fault in found if fault.under == "check"]
    if found and not provable:
        raise UsageError(
            f"--fault {glob!r}: no check can find {found[0].name}, because it appears only under load; "
            f"use `touchstone serve --fault {found[0].name}` and `touchstone load --url`"
        )
    return provable


def under_load(glob: str = "*") -> list[Candidate]:
    """Returns the named faults that match *glob* and appear only under load, ordered by name."""
    found = [fault for name, fault in faults.FAULTS.items() if fnmatchcase(name, glob)]
    return [_fault(fault, "fault") for fault in found if fault.under == "load"]


def derived(glob: str = "*", seed: int = 1) -> list[Candidate]:
    """Returns the generated faults that match *glob*, and also generated behaviour that the documentation permits."""
    return [_fault(fault, "generated") for name, fault in _mutants(seed).items() if fnmatchcase(name, glob)]


def variants(glob: str = "*", profile: str = "standard") -> list[Candidate]:
    """Returns variants that match *glob*, in catalogue order; if none match, the parts of combined variants that do."""
    freedoms, known = _variants()
    found = [[one for name, one in those.items() if fnmatchcase(name, glob)] for those in (known, freedoms)]
    return [
        Candidate(Subject(one.name, "variant", one.says, permits=one.source), one, profile)
        for one in found[0] or found[1]
    ]


def correct(profile: str) -> Candidate:
    """Returns the twin itself, for a check with this profile, which is also its name."""
    says = f"The twin itself, in a {profile} check."
    return Candidate(Subject(profile, "variant", says), Behaviour(profile, says), profile)


def pairs(number: int, seed: int, glob: str = "*") -> list[Candidate]:
    """Returns so many random pairs of the named faults that match *glob* and that do not replace the same method."""
    names = [one.subject.name for one in listed_faults(glob)]
    drawn = list(combinations(names, 2))
    random.Random(seed).shuffle(drawn)
    independent = (BESIDE.join(names) for names in drawn if _independent(*map(fault, names)))
    return [_pair(name) for name in islice(independent, number)]


def _pair(name: str) -> Candidate:
    """Returns the twin with several faults, from a name such as ``cancel-does-nothing + reads-lie``."""
    names = name.split(BESIDE)
    found, both = [_fault(fault(each), "fault") for each in names], faulty(names)
    parts = tuple(one.subject for one in found)
    breaks, also = (tuple(chain.from_iterable(getattr(part, of) for part in parts)) for of in ("breaks", "also"))
    profile = max((one.profile for one in found), key=get_args(Profile).index)
    return Candidate(Subject(name, "fault", both.says, "pair", breaks, also, parts=parts), both, profile)


def _independent(one: "Fault", other: "Fault") -> bool:
    """Whether two faults replace different methods and settings of the twin, so that neither hides the other."""
    return not any(mine & others for mine, others in zip(_replaced(one), _replaced(other), strict=True))


def _replaced(fault: "Fault") -> list[set[str]]:
    classes = ((fault.engine, Engine), (fault.app, App))
    methods = (
        {name for part in kind.__mro__ if part not in usual.__mro__ for name in vars(part) if name[:2] != "__"}
        for kind, usual in classes
    )
    return [*methods, {*fault.pace, *fault.target}]


def candidate(name: str, sort: Sort, seed: int) -> Candidate:
    """Returns the candidate with this name."""
    if BESIDE in name:
        return _pair(name)
    if sort == "variant":
        return correct(name) if name in get_args(Profile) else variants(name)[0]
    return _fault(fault(name, seed), sort)


def fault(name: str, seed: int = 1) -> "Fault":
    """Returns the named or generated fault with this name; imports only the necessary modules.

    Raises:
        UsageError: the name is unknown; the message suggests similar names.
    """
    known = faults.found(name) if "." not in name else _mutants(seed).get(name)
    if not known and any(name in some for some in _variants()):
        raise UsageError(f"--fault {name}: is a variant, a correct server; expected a fault; {ALL_NAMES}")
    return known or _known("--fault", name, {**_mutants(seed), **faults.FAULTS})


def faulty(names: Sequence[str], seed: int = 1) -> Behaviour:
    """Returns the behaviour with all these faults; raises a UsageError if one is unknown or contains another."""
    found = [fault(name, seed) for name in names]
    try:
        return found[0] if len(found) == 1 else combined(found)
    except TypeError:  # one class is derived from the other
        raise UsageError(f"--fault {' --fault '.join(names)}: one of them is part of another; leave it out") from None


def variant(name: str) -> "Variant":
    """Returns the variant with this name.

    Raises:
        UsageError: the name is unknown; the message suggests similar names.
    """
    freedoms, known = _variants()
    return _known("--variant", name, {**freedoms, **known})


def proving(claim: str) -> list[str]:
    """Returns the names of the faults that break *claim*, including those that appear only under load."""
    return [name for name, fault in faults.FAULTS.items() if claim in fault.breaks]


def _known(flag: str, name: str, known: Mapping[str, _T]) -> _T:
    if name not in known:
        # There are hundreds of generated names: too many for a message.
        names = sorted(known)
        found = get_close_matches(name, names, _NEAR, _ALIKE_SHARE) or get_close_matches(name, names, _NEAR)
        *others, last = found or [""]
        near = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"{flag} {name!r}: unknown name; {f'did you mean {near}? ' if near else ''}{ALL_NAMES}")
    return known[name]


@cache
def _mutants(seed: int) -> Mapping[str, "Fault"]:
    from touchstone.proof.mutants import generated  # noqa: PLC0415 - named faults do not need it

    return generated(seed)


def _variants() -> tuple[Mapping[str, "Variant"], Mapping[str, "Variant"]]:
    from touchstone.proof.variants import FREEDOMS, VARIANTS  # noqa: PLC0415 - faults do not need it

    return FREEDOMS, VARIANTS


def _fault(fault: "Fault", sort: Sort) -> Candidate:
    if fault.generated:
        sort = "permitted" if fault.permits else "generated"
    subject = Subject(fault.name, sort, fault.says, fault.kind, fault.breaks, fault.also, fault.permits)
    return Candidate(subject, fault, fault.profile)
