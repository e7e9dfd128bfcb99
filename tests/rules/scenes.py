"""Exchanges of a build and its log."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.rules.exchanges import build, exchange, frame, publish
from touchstone.facts.exchange import Exchange

MARKER = "marker-hello"
SLEEP_S = 2.0
START_AT, OPEN_AT, END_AT = 10.0, 11.0, 14.0
# Date header of the log: the run begins at 09:00:00 on the server's clock.
DATE = "Sat, 14 Mar 2026 09:00:11 GMT"


def line(
    at_s: float, phase: str = "install", text: str = "working", level: str = "info", **more: Any
) -> dict[str, Any]:
    """A frame with a timestamp *at_s* seconds after the start of the run."""
    return {"ts": f"2026-03-14T09:00:{at_s:06.3f}Z", "level": level, "phase": phase, "line": text}


def ready_log(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """Frames of a successful build, with *more* before the last one."""
    last = line(13.95, "ready", "golden snapshot ready in 4.0 s", "success")
    return [line(10.1, "boot", "booted"), line(12.1, text=MARKER), *more, last]


def stream(
    frames: Sequence[object], seq: int = 5, opened_at: float = OPEN_AT, closed_at: float = END_AT - 0.02, **more: Any
) -> Exchange:
    """An open log from *opened_at* to *closed_at*."""
    chunks = [(0.1, frame(value)) for value in frames]
    facts: dict[str, Any] = {"headers": {"date": DATE}, "chunks": chunks, "sent_at": opened_at, "done_at": closed_at}
    return exchange("streamBuildEvents", 200, seq=seq, **(facts | more))


def published(**note: Any) -> Exchange:
    """The publish of a version whose build prints its marker after two seconds."""
    meaning = {"sleep_s": SLEEP_S, "marker": MARKER, "marker_after_s": SLEEP_S, "force": False, "auto_build": False}
    return publish(1, note=meaning | note, sent_at=1.0)


def started(seq: int = 3, at: float = START_AT, **more: Any) -> Exchange:
    """An accepted start that begins or joins a build."""
    return exchange("startBuild", 202, seq=seq, json=build(), sent_at=at, **more)


def read(status: str, at: float, seq: int = 6, **more: Any) -> Exchange:
    """A status read by the owner."""
    facts = {key: more.pop(key) for key in ("credential", "done_at") if key in more}
    times = {"build_time_ms": 3990} if status == "ready" else {}
    return exchange("getBuild", 200, seq=seq, json=build(status, **(times | more)), sent_at=at, **facts)


def followed(
    frames: Sequence[object] | None = None,
    end: str = "ready",
    *between: Exchange,
    streams: Iterable[Exchange] | None = None,
    note: dict[str, Any] | None = None,
    **more: Any,
) -> list[Exchange]:
    """A story: publish, start, an open log, a read of the running build, *between*, and a read of its end."""
    opened = [stream(ready_log() if frames is None else frames, **more)] if streams is None else list(streams)
    return [
        published(**(note or {})),
        read("not_built", 5.0, 2),
        started(),
        *opened,
        read("building", 11.5, 6),
        *between,
        read(end, END_AT, 9),
    ]


def again(*frames: object, status: str = "ready", **more: Any) -> list[Exchange]:
    """A finished build and a later request for its log."""
    facts: dict[str, Any] = {"seq": 11, "opened_at": 20.0, "closed_at": 21.0} | more
    return [published(), started(), read(status, END_AT, 9), stream(frames, **facts)]
