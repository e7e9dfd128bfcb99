"""
Named ways in which the twin can behave differently and still keep every promise.

Each is an engine, an application or a wrapper with one freedom taken, and names the ambiguities of the documentation
that leave it. A few take many freedoms at once, since a rule may bear each of two and not both together.
"""

from touchstone.twin.variants import bodies, builds, cancels, combined, frames, limits, logs, shelf, who, wire
from touchstone.twin.variants.variant import VARIANTS, Variant

PARTS = (bodies, builds, cancels, combined, frames, limits, logs, shelf, who, wire)

__all__ = ["PARTS", "VARIANTS", "Variant"]
