"""
Named ways in which the twin can behave differently and still keep every promise.
"""

from dataclasses import dataclass

from touchstone.twin.behaviour import Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Behaviour):
    """
    A legitimate reading of the documentation.

    Attributes:
        answers: The ambiguities that it is one reading of, by number.
        source: The sentence or the ambiguity that permits it.
    """

    answers: tuple[int, ...] = ()
    source: str = ""


VARIANTS: dict[str, Variant] = {}
