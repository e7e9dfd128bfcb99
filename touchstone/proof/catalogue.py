"""The servers that can be put before the examination, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from touchstone.errors import UsageError
from touchstone.proof import faults
from touchstone.proof.result import Sort, Subject
from touchstone.twin.serve import Behaviour

if TYPE_CHECKING:
    from touchstone.proof.faults import Fault
    from touchstone.proof.variants import Variant

_T = TypeVar("_T")
# So many names are told of those that are near to an unknown one.
_NEAR = 3
# A name that is as much like it is what was meant.
_ALIKE_SHARE = 0.85
ALL_NAMES = "`touchstone prove --list` shows all names, and with --generated those of derived faults"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server, and what is to become of it.

    Attributes:
        profile: The profile of the examination.
    """

    subject: Subject
    behaviour: Behaviour
    profile: str = "quick"


def named_faults(glob: str = "*") -> list[Candidate]:
    """The named faults that match *glob* and that a check can show, in the order of their names.

    Raises:
        UsageError: only faults match that show under load alone.
    """
    found = [fault for name, fault in faults.FAULTS.items() if fnmatchcase(name, glob)]
    shown = [_fault(fault, "fault") for fault in found if fault.under == "check"]
    if found and not shown:
        raise UsageError(
            f"--fault {glob!r}: {found[0].name} shows under load alone, which no check brings; "
            f"`touchstone serve --fault {found[0].name}` and `touchstone load --url` meet it"
        )
    return shown


def under_load(glob: str = "*") -> list[Candidate]:
    """The named faults that match *glob* and that load alone shows, in the order of their names."""
    found = [fault for name, fault in faults.FAULTS.items() if fnmatchcase(name, glob)]
    return [_fault(fault, "fault") for fault in found if fault.under == "load"]


def derived(glob: str = "*", seed: int = 1) -> list[Candidate]:
    """The generated faults that match *glob*, the permitted ones among them."""
    return [_fault(fault, "generated") for name, fault in _mutants(seed).items() if fnmatchcase(name, glob)]


def variants(glob: str = "*", profile: str = "quick") -> list[Candidate]:
    """The variants that match *glob*, in the order of their list; where none does, the freedoms that do, each alone."""
    freedoms, known = _variants()
    found = [[one for name, one in those.items() if fnmatchcase(name, glob)] for those in (known, freedoms)]
    return [
        Candidate(Subject(one.name, "variant", one.says, permits=one.source), one, profile)
        for one in found[0] or found[1]
    ]


def candidate(name: str, sort: Sort, seed: int) -> Candidate:
    """The one called *name*."""
    return variants(name)[0] if sort == "variant" else _fault(fault(name, seed), sort)


def fault(name: str, seed: int = 1) -> "Fault":
    """The fault called *name*, a named or a generated one; imports no more than it needs.

    Raises:
        UsageError: there is none; the message names the nearest one.
    """
    known = faults.found(name) if "." not in name else _mutants(seed).get(name)
    return known or _known("--fault", name, {**_mutants(seed), **faults.FAULTS})


def variant(name: str) -> "Variant":
    """The variant called *name*.

    Raises:
        UsageError: there is none; the message names the nearest one.
    """
    freedoms, known = _variants()
    return _known("--variant", name, {**freedoms, **known})


def proving(claim: str) -> list[str]:
    """The named faults that *claim* has to be found broken for, also those that show under load alone."""
    return [name for name, fault in faults.FAULTS.items() if claim in fault.breaks]


def _known(flag: str, name: str, known: Mapping[str, _T]) -> _T:
    if name not in known:
        # Hundreds of names are derived from the contract: too many for a message.
        names = sorted(known)
        found = get_close_matches(name, names, _NEAR, _ALIKE_SHARE) or get_close_matches(name, names, _NEAR)
        *others, last = found or [""]
        near = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"{flag} {name!r}: there is none; {f'did you mean {near}? ' if near else ''}{ALL_NAMES}")
    return known[name]


@cache
def _mutants(seed: int) -> Mapping[str, "Fault"]:
    from touchstone.proof.mutants import generated  # noqa: PLC0415 - the named ones do without

    return generated(seed)


def _variants() -> tuple[Mapping[str, "Variant"], Mapping[str, "Variant"]]:
    from touchstone.proof.variants import FREEDOMS, VARIANTS  # noqa: PLC0415 - faults do without

    return FREEDOMS, VARIANTS


def _fault(fault: "Fault", sort: Sort) -> Candidate:
    if fault.generated:
        sort = "permitted" if fault.permits else "generated"
    subject = Subject(fault.name, sort, fault.says, fault.kind, fault.breaks, fault.also, fault.permits)
    return Candidate(subject, fault, fault.profile)
