"""Named ways in which the twin can behave differently and still keep every promise.

Each freedom is an engine, an application or a wrapper that behaves otherwise in one respect, and names the ambiguities
of the documentation that leave it. An examination of a server takes seconds, so those that do not hide each other are
taken together: the variants are the servers that are tried, with one freedom or with many.
"""

from touchstone.proof.variants.combined import VARIANTS
from touchstone.proof.variants.variant import COMBINED, FREEDOMS, Variant

__all__ = ["COMBINED", "FREEDOMS", "VARIANTS", "Variant"]
