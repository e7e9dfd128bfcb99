"""
How a derived fault is put together: its name says where and how, the table of claims says whom it must be blamed on.
"""

from collections.abc import Mapping
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.blame import claims_of
from touchstone.proof.mutants.boundary import Change, wrapped


def derived(
    name: str,
    says: str,
    kind: Kind,
    *,
    change: Change | None = None,
    target: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Fault:
    """A fault derived from the surface.

    Args:
        change: What it does to answers, where it sits at the boundary.
        parts: Engine, application or wrapper in the place of the usual one.
    """
    if change is not None:
        parts["wrap"] = wrapped(change)
    breaks, also = claims_of(name)
    return Fault(
        name=name, says=says, kind=kind, breaks=breaks, also=also, target=target or {}, generated=True, **parts
    )
