"""What a build does, read from its document: lines to print, seconds to wait, a status to end with."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

SLEEP = re.compile(r"sleep\s+(\d+(?:\.\d*)?|\.\d+)s?\s*")
EXIT = re.compile(r"exit\s+(\d+)\s*")
ECHO = re.compile(r"echo(?:\s+(.*))?", re.DOTALL)
VARIABLE = re.compile(r"\$?\$\{var\.([^{}]*)\}")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Step:
    """One command of ``build.run``.

    Attributes:
        line: What it prints; empty for nothing.
        pause_s: How long it takes.
        exit_status: What it ends with; anything but 0 fails the build.
    """

    line: str = ""
    pause_s: float = 0.0
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a build does in its install phase.

    Attributes:
        installs: Source and line of each package, in order.
        steps: The commands, in order.
        apps: A line for each app, in order.
    """

    installs: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    apps: tuple[str, ...] = ()

    @property
    def pause_s(self) -> float:
        """Seconds that the steps take together, up to the first that fails."""
        total_s = 0.0
        for step in self.steps:
            if step.exit_status:
                break
            total_s += step.pause_s
        return total_s


def read_step(command: str) -> Step:
    """What one command does. The twin runs no shell: it knows ``echo``, ``sleep`` and ``exit``, and names the rest."""
    text = command.strip()
    if found := SLEEP.fullmatch(text):
        return Step(pause_s=min(float(found[1]), DAY_S))
    if found := EXIT.fullmatch(text):
        return Step(exit_status=int(found[1][-18:]) % 256)
    if found := ECHO.fullmatch(text):
        return Step(line=_words(found[1] or ""))
    return Step(line=f"+ {text}")


def _words(text: str) -> str:
    try:
        return " ".join(shlex.split(text))
    except ValueError:  # an open quote: show what is there
        return text


def read_plan(document: dict[str, Any]) -> Plan:
    """What the build of a valid canonical document does."""
    build = document.get("build") or {}
    names = {str(name): str(value) for name, value in (document.get("vars") or {}).items()}
    installs = tuple(
        (source, f"installed {item}") for source in ("apt", "pip", "npm") for item in build.get(source) or ()
    )
    steps = tuple(read_step(_filled(command, names)) for command in build.get("run") or ())
    apps = tuple(f"installed app {app['name']}" for app in document.get("apps") or () if isinstance(app, dict))
    return Plan(installs, steps, apps)


def _filled(command: str, names: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        # Two dollar signs are the escape: one of them goes, the rest stays as it is.
        return found[0][1:] if found[0].startswith("$$") else names.get(found[1], found[0])

    return VARIABLE.sub(value, command)
