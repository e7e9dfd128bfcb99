"""What a fault is, and the list that each one is entered in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from touchstone.twin.app import App
from touchstone.twin.behaviour import Behaviour, says_of
from touchstone.twin.engine import Engine

Kind = Literal["schema", "semantic", "stateful", "timing", "concurrency", "security", "load", "stream"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Under = Literal["check", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Behaviour):
    """One promise broken while everything else stays right.

    Attributes:
        kind: What has to be looked at to see it.
        breaks: Claims that have to be found broken; globs in a generated fault, one match of which is enough.
        also: Claims that it cannot help breaking, seen from another side; globs are allowed.
        profile: The smallest profile of a check that can see it.
        generated: Whether it was derived and not thought of.
        under: What shows it: a check, or only the load of many clients.
    """

    kind: Kind
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()
    profile: Literal["quick", "standard"] = "quick"
    generated: bool = False
    under: Under = "check"


FAULTS: dict[str, Fault] = {}


def breaks(
    kind: Kind,
    *claims: str,
    also: tuple[str, ...] = (),
    pace: Mapping[str, Any] | None = None,
    target: Mapping[str, Any] | None = None,
    profile: Literal["quick", "standard"] = "quick",
    under: Under = "check",
) -> Callable[[Any], Any]:
    """Enters an engine, an application or a wrapper as a fault that breaks *claims*; its docstring says how.

    The name of the fault is that of the class or function, in lowercase words joined by hyphens.
    """

    def entered(part: Any) -> Any:
        name = re.sub(r"(?<=.)(?=[A-Z])|(?<=[a-z])(?=[0-9])|_", "-", part.__name__).lower()
        place = "wrap"
        if isinstance(part, type):
            place = "engine" if issubclass(part, Engine) else "app"
            assert issubclass(part, Engine | App), f"{name}: neither an engine nor an application"
        assert name not in FAULTS, f"{name}: entered twice"
        FAULTS[name] = Fault(
            name=name,
            says=says_of(part),
            kind=kind,
            breaks=claims,
            also=also,
            pace=pace or {},
            target=target or {},
            profile=profile,
            under=under,
            **{place: part},
        )
        return part

    return entered
