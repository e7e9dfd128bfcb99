"""Named ways in which the twin can be told to break exactly one promise.

Each is an engine, an application or a wrapper in which one thing is otherwise, and names the claims that must be found
broken. Nothing in a fault depends on luck: what happens once in so many times is counted, and what has to last
outlasts what it is compared with by far.
"""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path

from touchstone.proof.faults import fault
from touchstone.proof.faults.fault import KINDS, Fault, Kind, breaks

__all__ = ["FAULTS", "KINDS", "Fault", "Kind", "breaks", "found"]

FAULTS: Mapping[str, Fault]
_MODULES = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "fault"))


def found(name: str) -> Fault | None:
    """The fault called *name*, for which only the module that says its name is imported; None where there is none."""
    if re.fullmatch(r"[a-z0-9-]+", name):
        alone = name.removesuffix("-of-builds")
        its = re.compile(
            rf'^(?:(?:class|(?:async )?def) {alone.replace("-", "_?")}\(|fault\("{alone}")',
            re.IGNORECASE | re.MULTILINE,
        )
        for path in _MODULES:
            if its.search(path.read_text(encoding="utf-8")):
                importlib.import_module(f"{__name__}.{path.stem}")
    return fault.FAULTS.get(name)


def __getattr__(name: str) -> Mapping[str, Fault]:
    """All faults, by name; the first look at them imports all of their modules."""
    if name != "FAULTS":
        raise AttributeError(name)
    for path in _MODULES:
        importlib.import_module(f"{__name__}.{path.stem}")
    return dict(sorted(fault.FAULTS.items()))
