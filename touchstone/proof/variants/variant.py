"""Variant, and two registries: freedoms, which are single permitted differences, and variants that combine them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Behaviour, combined, says_of, with_method


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Behaviour):
    """A correct twin that differs from the usual one where the documentation leaves a choice.

    Attributes:
        answers: Numbers of the documented ambiguities that permit the behaviour.
        source: The sentence or the ambiguity that permits the behaviour.
        takes: Names of the freedoms that the variant combines; empty for a single freedom.
    """

    answers: tuple[int, ...] = ()
    source: str = ""
    takes: tuple[str, ...] = ()


FREEDOMS: dict[str, Variant] = {}
COMBINED: dict[str, Variant] = {}
_WORD_STARTS = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])|_")


def freedom(
    name: str,
    says: str,
    part: Any,
    *answers: int,
    source: str = "",
    pace: Mapping[str, Any] | None = None,
    target: Mapping[str, Any] | None = None,
) -> None:
    """Registers an engine, an application or a wrapper as a freedom that the ambiguities *answers* permit.

    Args:
        source: The sentence that permits the behaviour, if no ambiguity does.
    """
    place = "wrap"
    if isinstance(part, type):
        place = "engine" if issubclass(part, Engine) else "app"
        assert issubclass(part, Engine | App), f"{name}: neither an engine nor an application"
    assert name not in FREEDOMS, f"{name}: registered twice"
    FREEDOMS[name] = Variant(
        name=name,
        says=says,
        answers=answers,
        source=source or "ambiguity " + ", ".join(f"7.{number}" for number in answers),
        pace=pace or {},
        target=target or {},
        **{place: part},
    )


def permitted(*answers: int, over: Callable[..., Any] | None = None, **more: Any) -> Callable[[Any], Any]:
    """Registers a class or function as a freedom: its name in hyphenated lowercase, its docstring as description.

    Args:
        over: The method of the twin that the function replaces.
    """

    def register(part: Any) -> Any:
        freedom(_WORD_STARTS.sub("-", part.__name__).lower(), says_of(part), with_method(part, over), *answers, **more)
        return part

    return register


def together(name: str, says: str, taken: Sequence[Variant], pace: Mapping[str, Any] | None = None) -> Variant:
    """Returns a variant that combines freedoms; *pace*: settings of the twin that override those of the freedoms."""
    answers = sorted({number for one in taken for number in one.answers})
    sources = [f"ambiguity {', '.join(f'7.{number}' for number in answers)}"] if answers else []
    all_of = combined(taken)
    return Variant(
        name=name,
        says=says,
        engine=all_of.engine,
        app=all_of.app,
        wrap=all_of.wrap,
        pace={**all_of.pace, **(pace or {})},
        target=all_of.target,
        answers=tuple(answers),
        source="; ".join([*sources, *dict.fromkeys(one.source for one in taken if not one.answers)]),
        takes=tuple(one.name for one in taken),
    )


def recast(build: Build, kind: type[Build]) -> Build:
    """Makes a build behave like *kind*, in addition to its own class; returns the build."""
    own = type(build)
    build.__class__ = kind if own is Build else type(kind.__name__, (kind, own), {})
    return build


def build_freedom(
    name: str, kind: type[Build], says: str, *answers: int, source: str = "", pace: Mapping[str, Any] | None = None
) -> None:
    """Registers a variant of the twin whose builds have the class *kind*: the documentation leaves this freedom."""

    class Recasting(Engine):
        def make_build(self, version: Any) -> Build:
            return recast(super().make_build(version), kind)

    freedom(name, says, Recasting, *answers, source=source, pace=pace)
