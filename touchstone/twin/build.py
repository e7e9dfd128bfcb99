"""One run of a build: what it does by its document, its phases, its event stream, and how it ends."""

import asyncio
import itertools
import json
import re
import shlex
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from touchstone.twin.catalog import Version
from touchstone.twin.settings import TwinSettings

EventLevel = Literal["info", "success", "warn", "error"]
Phase = Literal["publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout"]


def timestamp(epoch_s: float) -> str:
    """ISO 8601 in UTC with milliseconds and a Z."""
    whole = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return whole.replace("+00:00", "Z")


def frame(ts: str, level: EventLevel, phase: Phase, line: str, source: str = "") -> bytes:
    """One event as the bytes of a server-sent event. JSON escapes line ends, so the data is always one line."""
    event = {"ts": ts, "level": level, "phase": phase}
    if source:
        event["source"] = source
    event["line"] = line
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Stream:
    """Keeps every frame of a build, so that a late subscriber misses none."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False
        self._news = asyncio.Event()

    def emit(self, frame_bytes: bytes) -> None:
        """Adds a frame and wakes the subscribers."""
        self.frames.append(frame_bytes)
        self._wake()

    def close(self) -> None:
        """Lets every subscriber finish once it has read what is there."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        # Each piece of news has its own event: a subscriber that is still sending cannot swallow another's.
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yields all frames from the beginning, then each new one, until the stream is closed."""
        sent = 0
        while True:
            while sent < len(self.frames):
                sent += 1
                yield self.frames[sent - 1]
            if self.closed:
                return
            await self._news.wait()


Outcome = Literal["", "ready", "failed", "cancelled"]
PHASES: tuple[tuple[Phase, str], ...] = (
    ("compile", "compiled the template"),
    ("boot", "booted a machine"),
    ("install", "running the build steps"),
    ("snapshot", "took a snapshot"),
    ("record", "recorded the result"),
    ("archive", "archived the snapshot"),
)
# Timers round to a millisecond and may fire early; a build must not take less than its parts.
TIMER_GRAIN_S = 0.001

SLEEP = re.compile(r"sleep\s+(\d+(?:\.\d*)?|\.\d+)s?\s*")
EXIT = re.compile(r"exit\s+(\d+)\s*")
ECHO = re.compile(r"echo(?:\s+(.*))?", re.DOTALL)
VARIABLE = re.compile(r"\$?\$\{var\.([^{}]*)\}")
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Step:
    """One command of ``build.run``."""

    line: str = ""  # what it prints
    pause_s: float = 0.0
    exit_status: int = 0  # anything but 0 fails the build


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a build does in its install phase, in order."""

    installs: tuple[tuple[str, str], ...] = ()  # source and line of each package
    steps: tuple[Step, ...] = ()
    apps: tuple[str, ...] = ()  # a line for each app

    @property
    def pause_s(self) -> float:
        """Seconds that the steps take together, up to the first that fails."""
        return sum(step.pause_s for step in itertools.takewhile(lambda step: not step.exit_status, self.steps))


def read_step(command: str) -> Step:
    """What one command does. The twin runs no shell: it knows ``echo``, ``sleep`` and ``exit``, and names the rest."""
    text = command.strip()
    if found := SLEEP.fullmatch(text):
        return Step(pause_s=min(float(found[1]), DAY_S))
    if found := EXIT.fullmatch(text):
        return Step(exit_status=int(found[1][-18:]) % 256)
    if found := ECHO.fullmatch(text):
        return Step(line=_printed(found[1] or ""))
    return Step(line=f"+ {text}")


def _printed(text: str) -> str:
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


class Build:
    """A build in flight or over."""

    def __init__(self, version: Version, settings: TwinSettings, on_end: Callable[["Build"], None]) -> None:
        self.version = version
        self.plan: Plan = read_plan(version.template)
        self.settings = settings
        self.stream = Stream()
        self.outcome: Outcome = ""  # empty while it runs, also while it is being cancelled
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
        """Whether it runs and nobody has asked it to stop."""
        return not self.outcome and not self.cancelling

    @property
    def left_s(self) -> float:
        """Seconds until it should be over."""
        whole_s = self.settings.build_s + self.plan.pause_s
        return max(0.0, self._started_at + min(whole_s, self.settings.build_timeout_s or whole_s) - time.monotonic())

    def launch(self) -> None:
        """Starts to run; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Stops working at once, and ends as cancelled when it has settled."""
        if self.outcome or self.cancelling:
            return
        self.cancelling = True
        self._stop_working()
        asyncio.get_running_loop().call_later(self.settings.settle_s, self.end_cancelled, "build cancelled")

    def end_cancelled(self, line: str) -> None:
        """Ends as cancelled now, unless it is over."""
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
        """Goes through the phases; returns why the build failed, empty where it did not."""
        share_s = self.settings.build_s / len(PHASES)
        for phase, line in PHASES:
            self.say("info", phase, line, "builder")
            if phase == "install" and (error := await self.install()):
                return error
            await self.spend(share_s)
        return ""

    async def install(self) -> str:
        """Runs the steps, then installs the apps; returns which step failed, empty where none did."""
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
        """Waits; lateness of one wait is taken off the next, so that a build takes what its parts take."""
        self._due_at += seconds
        if seconds:
            await asyncio.sleep(max(0.0, self._due_at + TIMER_GRAIN_S - time.monotonic()))

    def ready_line(self) -> str:
        """The last line of a build that succeeded; its seconds are those of *build_time_ms*."""
        return f"golden snapshot ready in {self.build_time_ms / 1000:.1f} s"

    def say(self, level: EventLevel, phase: Phase, line: str, source: str = "") -> None:
        """Adds an event. The clock that stamps it cannot go backwards."""
        now_s = self._epoch_s + time.monotonic() - self._started_at
        self.stream.emit(frame(timestamp(now_s), level, phase, line, source))

    def finish(self, outcome: Outcome, level: EventLevel, phase: Phase, line: str) -> None:
        """Ends, once. State first, last event next, end of the stream last: who saw the one can rely on the other."""
        if self.outcome:
            return
        self.outcome = outcome
        self._on_end(self)
        self.say(level, phase, line)
        self.stream.close()


def finished_build(version: Version, build_time_ms: int) -> Build:
    """A build that ended well before anybody looked."""
    build = Build(version, TwinSettings(), lambda _: None)
    build.build_time_ms = build_time_ms
    for phase, line in PHASES:
        build.say("info", phase, line, "builder")
    build.finish("ready", "success", "ready", build.ready_line())
    return build
