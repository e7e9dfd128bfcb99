"""Named faults: each is one bug of the twin that breaks a claim. A golden is the finished snapshot of a build.

Each fault is an engine, application or wrapper with one bug, and lists the claims that must be found broken.
Faults are deterministic: a rare bug occurs in every n-th request, and delays far exceed the timeout that detects them.
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
    """Returns the fault with this name, or None; imports only the module that defines the fault."""
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
    """Returns the value of *FAULTS*, all faults by name; the first access imports their modules."""
    if name != "FAULTS":
        raise AttributeError(name)
    for path in _MODULES:
        importlib.import_module(f"{__name__}.{path.stem}")
    return dict(sorted(fault.FAULTS.items()))
