"""
Servers that break one promise each: the twin with one method overridden, and the claims that must be found broken.

Each is listed by `@breaks` with the claims that its fault breaks by itself. `also` names claims that the same fault
may break as well, seen from another side. Nothing here depends on luck: what happens once in so many times is
counted, and what has to last outlasts what it is compared with by far.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from touchstone.twin import App, Engine, TwinSettings
from touchstone.twin.serve import Asgi

# Fast, and yet such that a build can be seen running.
PACE: dict[str, Any] = {"build_s": 0.05, "settle_s": 0.03}


@dataclass(frozen=True, slots=True)
class BrokenTwin:
    """
    One server and what it does wrong.

    Attributes:
        says: What it does wrong, for people.
        claims: What must be found broken.
        also: What may be found broken as well.
        beside: What `touchstone check --claims` has to select beside *claims* for the fault to have its occasion.
        pace: Settings of the twin that differ from PACE.
        target: Settings of the target that differ from those of the test.
        profile: The smallest profile that can see it.
    """

    name: str
    says: str
    claims: tuple[str, ...]
    also: tuple[str, ...]
    beside: str
    pace: dict[str, Any]
    target: dict[str, Any]
    profile: str
    engine: type[Engine] = Engine
    app: type[App] = App
    wrap: Callable[[Asgi], Asgi] = lambda asgi_app: asgi_app

    def settings(self) -> TwinSettings:
        """
        How the server behaves where it is not broken.
        """
        return TwinSettings(**{**PACE, **self.pace})


BROKEN: list[BrokenTwin] = []


def breaks(
    *claims: str,
    also: tuple[str, ...] = (),
    beside: str = "",
    pace: dict[str, Any] | None = None,
    target: dict[str, Any] | None = None,
    profile: str = "quick",
) -> Callable[[Any], Any]:
    """
    Lists an engine, an application or a wrapper as a server that breaks *claims*; its docstring says how.
    """

    def listed(part: Any) -> Any:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", part.__name__).lower()
        kind = "wrap"
        if isinstance(part, type):
            kind = "engine" if issubclass(part, Engine) else "app"
        says = " ".join((part.__doc__ or "").split())
        BROKEN.append(BrokenTwin(name, says, claims, also, beside, pace or {}, target or {}, profile, **{kind: part}))
        return part

    return listed
