"""A build of the twin: its steps, its phases, its event stream and its end."""

import asyncio
import itertools
import json
import re
import shlex
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from touchstone.twin.catalog import Version
from touchstone.twin.settings import TwinSettings

EventLevel = Literal["info", "success", "warn", "error"]
Phase = Literal["publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout"]


def timestamp(epoch_s: float) -> str:
    """Formats a time as ISO 8601 in UTC, with milliseconds and a final Z."""
    whole = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return whole.replace("+00:00", "Z")


def frame(ts: str, level: EventLevel, phase: Phase, line: str, source: str = "") -> bytes:
    """Renders one build event as a server-sent event. JSON escapes line ends, so one ``data`` line suffices."""
    event = {"ts": ts, "level": level, "phase": phase}
    if source:
        event["source"] = source
    event["line"] = line
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Stream:
    """The event stream of a build; it keeps every frame for late subscribers."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False
        self._changed = asyncio.Event()

    def emit(self, frame_bytes: bytes) -> None:
        """Adds a frame and wakes the subscribers."""
        self.frames.append(frame_bytes)
        self._wake()

    def close(self) -> None:
        """Ends the stream; each subscriber still reads the remaining frames."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        # Each wake-up uses a new asyncio event. If all shared one, clearing it could hide it from a slow subscriber.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yields all frames, first the earlier ones, then each new one until the stream is closed."""
        sent = 0
        while True:
            while sent < len(self.frames):
                sent += 1
                yield self.frames[sent - 1]
            if self.closed:
                return
            await self._changed.wait()


Outcome = Literal["", "ready", "failed", "cancelled"]
PHASES: tuple[tuple[Phase, str], ...] = (
    ("compile", "compiled the template"),
    ("boot", "booted a machine"),
    ("install", "running the build steps"),
    ("snapshot", "took a snapshot"),
    ("record", "recorded the result"),
    ("archive", "archived the snapshot"),
)
# Added to each wait: timers may fire up to a millisecond early, and a build must not be shorter than its steps.
TIMER_GRAIN_S = 0.001

SLEEP = re.compile(r"sleep\s+(\d+(?:\.\d*)?|\.\d+)s?\s*")
EXIT = re.compile(r"exit\s+(\d+)\s*")
ECHO = re.compile(r"echo(?:\s+(.*))?", re.DOTALL)
VARIABLE = re.compile(r"\$?\$\{var\.([^{}]*)\}")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Step:
    """One command of ``build.run``."""

    line: str = ""  # what the step prints
    pause_s: float = 0.0
    exit_status: int = 0  # anything but 0 fails the build


@dataclass(frozen=True, slots=True)
class Plan:
    """What the install phase of a build does: packages, steps and apps, in this order."""

    installs: tuple[tuple[str, str], ...] = ()  # source (apt, pip or npm) and log line of each package
    steps: tuple[Step, ...] = ()
    apps: tuple[str, ...] = ()  # log line of each app

    @property
    def pause_s(self) -> float:
        """Total duration, in seconds, of the steps before the first failing step."""
        return sum(step.pause_s for step in itertools.takewhile(lambda step: not step.exit_status, self.steps))


def read_step(command: str) -> Step:
    """Parses a command. The twin has no shell: it imitates ``echo``, ``sleep``, ``exit``, and prints other commands."""
    text = command.strip()
    if found := SLEEP.fullmatch(text):
        return Step(pause_s=min(float(found[1]), DAY_S))
    if found := EXIT.fullmatch(text):
        return Step(exit_status=int(found[1][-18:]) % 256)
    if found := ECHO.fullmatch(text):
        with suppress(ValueError):  # a quote is not closed
            return Step(line=" ".join(shlex.split(found[1] or "")))
        return Step(line=found[1])
    return Step(line=f"+ {text}")


def read_plan(document: dict[str, Any]) -> Plan:
    """Reads the plan of the install phase from a valid document in canonical form."""
    build = document.get("build") or {}
    names = {str(name): str(value) for name, value in (document.get("vars") or {}).items()}
    packages = ((source, item) for source in ("apt", "pip", "npm") for item in build.get(source) or ())
    installs = tuple((source, f"installed {item}") for source, item in packages)
    steps = tuple(read_step(_filled(command, names)) for command in build.get("run") or ())
    apps = tuple(f"installed app {app['name']}" for app in document.get("apps") or () if isinstance(app, dict))
    return Plan(installs, steps, apps)


def _filled(command: str, names: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        # Two dollar signs escape a reference: one of them is removed.
        return found[0][1:] if found[0].startswith("$$") else names.get(found[1], found[0])

    return VARIABLE.sub(value, command)


class Build:
    """A build, running or ended."""

    def __init__(self, version: Version, settings: TwinSettings, on_end: Callable[["Build"], None]) -> None:
        self.version = version
        self.plan: Plan = read_plan(version.template)
        self.settings = settings
        self.stream = Stream()
        self.outcome: Outcome = ""  # empty while the build runs or is being cancelled
        self.cancelling = False
        self.error = ""
        self.build_time_ms = 0
        self._on_end = on_end
        self._task: asyncio.Task[None] | None = None
        self._epoch_s = time.time()
        self._started_at = time.monotonic()
        self._due_at = self._started_at

    @property
    def in_flight(self) -> bool:
        """Whether the build runs and was not cancelled."""
        return not self.outcome and not self.cancelling

    @property
    def left_s(self) -> float:
        """Expected seconds until the end of the build."""
        whole_s = self.settings.build_s + self.plan.pause_s
        return max(0.0, self._started_at + min(whole_s, self.settings.build_timeout_s or whole_s) - time.monotonic())

    def launch(self) -> None:
        """Starts the build; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Stops the work at once. The build gets the outcome ``cancelled`` after the setting *settle_s*."""
        if self.outcome or self.cancelling:
            return
        self.cancelling = True
        self._stop_working()
        asyncio.get_running_loop().call_later(self.settings.settle_s, self.end_cancelled, "build cancelled")

    def end_cancelled(self, line: str) -> None:
        """Ends the build at once with the outcome ``cancelled``, unless it has already ended."""
        self._stop_working()
        self.finish("cancelled", "warn", "cancel", line)

    def _stop_working(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self.settings.build_timeout_s):
                self.error = await self.work()
        except TimeoutError:
            self.error = f"build timed out after {self.settings.build_timeout_s} s"
            self.finish("failed", "error", "timeout", self.error)
            return
        if self.error:
            self.finish("failed", "error", "install", f"build failed: {self.error}")
        else:
            self.build_time_ms = max(1, round((time.monotonic() - self._started_at) * 1000))
            self.finish("ready", "success", "ready", self.ready_line())

    async def work(self) -> str:
        """Runs all phases; returns the error if the build fails, or an empty text."""
        share_s = self.settings.build_s / len(PHASES)
        for phase, line in PHASES:
            self.say("info", phase, line, "builder")
            if phase == "install" and (error := await self.install()):
                return error
            await self.spend(share_s)
        return ""

    async def install(self) -> str:
        """Logs the packages, runs the steps, logs the apps; returns the error of a failed step, or an empty text."""
        for source, line in self.plan.installs:
            self.say("info", "install", line, source)
        for number, step in enumerate(self.plan.steps, 1):
            if step.exit_status:
                return f"build.run step {number} ended with exit status {step.exit_status}"
            if step.line:
                self.say("info", "install", step.line)
            await self.spend(step.pause_s)
        for line in self.plan.apps:
            self.say("info", "install", line, "builder")
        return ""

    async def spend(self, seconds: float) -> None:
        """Waits. After a wait that ended late, the next one is shorter, so that delays do not add up."""
        self._due_at += seconds
        if seconds:
            await asyncio.sleep(max(0.0, self._due_at + TIMER_GRAIN_S - time.monotonic()))

    def ready_line(self) -> str:
        """Returns the last log line of a successful build, which states *build_time_ms* in seconds."""
        return f"golden snapshot ready in {self.build_time_ms / 1000:.1f} s"

    def say(self, level: EventLevel, phase: Phase, line: str, source: str = "") -> None:
        """Adds an event to the stream. The timestamps of a stream never decrease."""
        now_s = self._epoch_s + time.monotonic() - self._started_at
        self.stream.emit(frame(timestamp(now_s), level, phase, line, source))

    def finish(self, outcome: Outcome, level: EventLevel, phase: Phase, line: str) -> None:
        """Ends a build that has not ended: sets the outcome, then sends the last event, then closes the stream."""
        if self.outcome:
            return
        self.outcome = outcome
        self._on_end(self)
        self.say(level, phase, line)
        self.stream.close()


def finished_build(version: Version, build_time_ms: int) -> Build:
    """Returns a successful build of *version* that counts as finished before the twin started."""
    build = Build(version, TwinSettings(), lambda _: None)
    build.build_time_ms = build_time_ms
    for phase, line in PHASES:
        build.say("info", phase, line, "builder")
    build.finish("ready", "success", "ready", build.ready_line())
    return build
