"""Faults that nobody had to think of: derived from the surface of the twin, named after how they are derived."""

from touchstone.proof.faults.fault import Fault
from touchstone.proof.mutants import (
    endings,
    shelving,
    starting,
    stopping,
)
from touchstone.proof.mutants.doors import door_faults
from touchstone.proof.mutants.fields import field_faults
from touchstone.proof.mutants.frames import frame_faults
from touchstone.proof.mutants.messages import message_faults
from touchstone.proof.mutants.permitted import PERMITTED
from touchstone.proof.mutants.transitions import transition_faults

__all__ = ["PERMITTED", "endings", "generated", "shelving", "starting", "stopping"]


def generated(seed: int = 1) -> dict[str, Fault]:
    """The derived faults by name, the same ones for one seed."""
    derived = (
        *field_faults(seed),
        *message_faults(seed),
        *frame_faults(),
        *transition_faults(),
        *door_faults(),
    )
    faults = {fault.name: fault for fault in derived}
    assert len(faults) == len(derived), "two faults have one name"
    return faults
