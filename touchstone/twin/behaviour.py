"""A twin that behaves otherwise than usual: what is put in the place of its parts."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Asgi, Twin
from touchstone.twin.settings import TwinSettings


def unwrapped(asgi_app: Asgi) -> Asgi:
    """The application as it is."""
    return asgi_app


def says_of(part: Any) -> str:
    """The docstring of a part of the twin on one line, for people: code in it between single backticks."""
    return " ".join((part.__doc__ or "").split()).replace("``", "`")


def with_method(part: Any, over: Callable[..., Any] | None) -> Any:
    """The class of a method of the twin with a function in the place of that method; without one, the part itself."""
    if over is None:
        return part
    base = getattr(sys.modules[over.__module__], over.__qualname__.partition(".")[0])
    return type(part.__name__, (base,), {over.__name__: part})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A named way for the twin to behave.

    Attributes:
        name: Lowercase words joined by hyphens; generated names also hold dots.
        says: What it does otherwise, one sentence for people.
        engine: What decides.
        app: What speaks HTTP.
        wrap: Puts another application around the finished one.
        pace: Fields of TwinSettings that it needs otherwise.
        target: Settings of the target, by their names in touchstone.toml, that an examination of it needs.
    """

    name: str
    says: str
    engine: type[Engine] = Engine
    app: type[App] = App
    wrap: Callable[[Asgi], Asgi] = unwrapped
    pace: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)

    def twin(self, settings: TwinSettings) -> Twin:
        """A twin that behaves so; what *settings* say holds where the behaviour needs nothing else."""
        return Twin(replace(settings, **self.pace), engine=self.engine, app=self.app, wrap=self.wrap)
