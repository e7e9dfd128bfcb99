"""What a fault is, the list that each one is entered in, and the two ways to write one down: a class or a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Behaviour, says_of, with_method

Kind = Literal["schema", "semantic", "stateful", "timing", "concurrency", "security", "load", "stream"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Behaviour):
    """One promise broken while everything else stays right.

    Attributes:
        kind: What has to be looked at to see it.
        breaks: Claims that have to be found broken; globs in a generated fault, one match of which is enough.
        also: Claims that it cannot help breaking, seen from another side; globs are allowed.
        profile: The smallest profile of a check that can see it.
        generated: Whether it was derived and not thought of.
        permits: The sentence or the ambiguity that permits a derived fault that is none.
        under: What shows it: a check, or only the load of many clients.
    """

    kind: Kind
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()
    profile: Literal["quick", "standard"] = "quick"
    generated: bool = False
    permits: str = ""
    under: Literal["check", "load"] = "check"


FAULTS: dict[str, Fault] = {}


def fault(name: str, kind: Kind, claims: str, says: str, part: Any, /, *, also: str = "", **more: Any) -> None:
    """Enters a fault that is a row.

    Args:
        claims: The claims that it breaks, separated by spaces.
        part: An engine, an application or a wrapper that breaks them.
        also: Globs over what it cannot help breaking as well, separated by spaces.
        more: Other attributes of a fault; what is none is put in the place of an attribute of *part*.
    """
    about = {key: more.pop(key) for key in ("pace", "target", "profile", "under") if key in more}
    if more:
        part = type(part.__name__, (part,), more)
    place = "wrap"
    if isinstance(part, type):
        place = "engine" if issubclass(part, Engine) else "app"
        assert issubclass(part, Engine | App), f"{name}: neither an engine nor an application"
    assert name not in FAULTS, f"{name}: entered twice"
    broken, beside = tuple(claims.split()), tuple(also.split())
    FAULTS[name] = Fault(name=name, says=says, kind=kind, breaks=broken, also=beside, **about, **{place: part})


def breaks(
    kind: Kind, *claims: str, also: str = "", over: Callable[..., Any] | None = None, **more: Any
) -> Callable[[Any], Any]:
    """Enters an engine, an application or a wrapper as a fault that breaks *claims*; its docstring says how.

    The name of the fault is that of the class or function, in lowercase words joined by hyphens.

    Args:
        over: The method of the twin in whose place the function is put.
    """

    def entered(part: Any) -> Any:
        name = re.sub(r"(?<=.)(?=[A-Z])|(?<=[a-z])(?=[0-9])|_", "-", part.__name__).lower()
        fault(name, kind, " ".join(claims), says_of(part), with_method(part, over), also=also, **more)
        return part

    return entered


def own(make: Callable[[], _T]) -> "cached_property[_T]":
    """What each engine or application has one of by itself, made when it is first used."""
    return cached_property(lambda _: make())


def refusing(usual: Callable[..., Any] | None, when: Callable[..., Any], status: int, error: str) -> Callable[..., Any]:
    """A method that refuses where *when* holds, which is called with the same arguments, and does as usual else."""

    def refuses(*given: Any, **more: Any) -> Any:
        if usual is None or when(*given, **more):
            raise Refusal(status, error)
        return usual(*given, **more)

    return refuses


def is_ready(app: App, version: Version) -> bool:
    """Whether a version reads ready."""
    return bool(app.engine.status_body(version)["status"] == "ready")
