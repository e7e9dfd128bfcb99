"""Fault, the registry of faults, and two ways to define one: the decorator `breaks`, and a call of `fault`."""

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
    """A bug of the twin that breaks at least one claim.

    Attributes:
        kind: Class of the fault: the kind of observation that finds it.
        breaks: Claims that must be found broken; for a generated fault, globs: at least one must match a broken claim.
        also: Globs of claims that the fault may break as a side effect.
        profile: The smallest profile of a check that finds the fault.
        generated: Whether the fault is generated from the table of the twin's responses.
        permits: Sentence or ambiguity of the documentation that permits a generated behaviour; if any, it is no fault.
        under: ``check`` if a check can reveal the fault, ``load`` if only the load of many clients can.
    """

    kind: Kind
    breaks: tuple[str, ...]
    also: tuple[str, ...] = ()
    profile: Literal["quick", "standard", "thorough"] = "standard"
    generated: bool = False
    permits: str = ""
    under: Literal["check", "load"] = "check"


FAULTS: dict[str, Fault] = {}


def fault(name: str, kind: Kind, claims: str, says: str, part: Any, /, *, also: str = "", **more: Any) -> None:
    """Registers a fault that is given as one call instead of a decorated class or function.

    Args:
        claims: The claims that the fault breaks, separated by spaces.
        part: An engine, an application or a wrapper with the bug.
        also: Globs of claims that the fault may break as a side effect, separated by spaces.
        more: Attributes of the fault (*pace*, *target*, *profile*, *under*); other names override those of *part*.
    """
    about = {key: more.pop(key) for key in ("pace", "target", "profile", "under") if key in more}
    if more:
        part = type(part.__name__, (part,), more)
    place = "wrap"
    if isinstance(part, type):
        place = "engine" if issubclass(part, Engine) else "app"
        assert issubclass(part, Engine | App), f"{name}: neither an engine nor an application"
    assert name not in FAULTS, f"{name}: registered twice"
    broken, beside = tuple(claims.split()), tuple(also.split())
    FAULTS[name] = Fault(name=name, says=says, kind=kind, breaks=broken, also=beside, **about, **{place: part})


def breaks(
    kind: Kind, *claims: str, also: str = "", over: Callable[..., Any] | None = None, **more: Any
) -> Callable[[Any], Any]:
    """Registers an engine, an application or a wrapper as a fault; its docstring becomes the description.

    The name of the fault is the name of the class or function, in lowercase words joined by hyphens.

    Args:
        over: The method of the twin that the function replaces.
    """

    def register(part: Any) -> Any:
        name = re.sub(r"(?<=.)(?=[A-Z])|(?<=[a-z])(?=[0-9])|_", "-", part.__name__).lower()
        fault(name, kind, " ".join(claims), says_of(part), with_method(part, over), also=also, **more)
        return part

    return register


def own(make: Callable[[], _T]) -> "cached_property[_T]":
    """An attribute whose value is created on first use, once for each engine or application."""
    return cached_property(lambda _: make())


def refusing(usual: Callable[..., Any] | None, when: Callable[..., Any], status: int, error: str) -> Callable[..., Any]:
    """Returns a method that refuses with *status* if *when* returns true, and otherwise calls *usual*."""

    def refuses(*given: Any, **more: Any) -> Any:
        if usual is None or when(*given, **more):
            raise Refusal(status, error)
        return usual(*given, **more)

    return refuses


def is_ready(app: App, version: Version) -> bool:
    """Whether the status of a version is ready."""
    return bool(app.engine.status_body(version)["status"] == "ready")
