"""
What a variant is, and the list that each one is entered in.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.twin.app import App
from touchstone.twin.behaviour import Behaviour
from touchstone.twin.engine import Engine


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
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])|_")


def enter(variant: Variant) -> Variant:
    """
    Enters a variant in the list.
    """
    assert variant.name not in VARIANTS, f"{variant.name}: entered twice"
    VARIANTS[variant.name] = variant
    return variant


def permitted(
    *answers: int,
    source: str = "",
    pace: Mapping[str, Any] | None = None,
    target: Mapping[str, Any] | None = None,
) -> Callable[[Any], Any]:
    """
    Enters an engine, an application or a wrapper as a reading of the ambiguities *answers*; its docstring says which.

    The name of the variant is that of the class or function, in lowercase words joined by hyphens. Where no ambiguity
    permits it, *source* does.
    """

    def entered(part: Any) -> Any:
        place = "wrap"
        if isinstance(part, type):
            place = "engine" if issubclass(part, Engine) else "app"
            assert issubclass(part, Engine | App), f"{part.__name__}: neither an engine nor an application"
        enter(
            Variant(
                name=_WORDS.sub("-", part.__name__).lower(),
                says=" ".join((part.__doc__ or "").split()),
                answers=answers,
                source=source or "facts " + ", ".join(f"7.{number}" for number in answers),
                pace=pace or {},
                target=target or {},
                **{place: part},
            )
        )
        return part

    return entered
