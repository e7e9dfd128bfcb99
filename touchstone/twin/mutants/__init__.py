"""
Faults that nobody had to think of: derived from the surface of the twin, named after how they are derived.
"""

from touchstone.twin.faults.fault import Fault
from touchstone.twin.mutants import (  # entering their transitions is what they are for
    endings,
    shelving,
    starting,
    stopping,
)
from touchstone.twin.mutants.doors import door_faults
from touchstone.twin.mutants.fields import field_faults
from touchstone.twin.mutants.frames import frame_faults
from touchstone.twin.mutants.messages import message_faults
from touchstone.twin.mutants.permitted import PERMITTED
from touchstone.twin.mutants.transitions import transition_faults

__all__ = ["PERMITTED", "endings", "generated", "shelving", "starting", "stopping"]


def generated(seed: int = 1) -> dict[str, Fault]:
    """
    The derived faults by name, the same ones for one seed.
    """
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
