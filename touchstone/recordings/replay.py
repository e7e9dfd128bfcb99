"""Recordings in the place of a target: which are played, one after the other, and what each needs to be judged.

Each is judged by itself, since two may have been made of different targets and at different times. So that a run log of
several can be read, each takes place after the one before it and its exchanges are numbered on.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from touchstone.check.templates import Template
from touchstone.config import TargetSettings, Templates
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.recordings import reader
from touchstone.recordings.partial import doubted
from touchstone.recordings.recording import BASE_URL, Recording
from touchstone.recordings.routing import Playback, ReplayTransport
from touchstone.rules.history import Bounds, Content
from touchstone.rules.judge import Judge, by_all_rules
from touchstone.target.call import Call
from touchstone.target.clock import RecordedClock

# What stands for keys in a replay: the recording has only markers of them.
KEYS = {role: f"sk_live_test_replayed_{role}" for role in ("primary", "second", "restricted")}
# Between two recordings, in seconds of the run log.
PAUSE_S = 1.0


class Unwritten:
    """Tells nobody what happens to templates: nothing happens to any."""

    def intend(self, template: Template) -> None:
        """Nothing is published."""

    def published(self, template: Template, digest: str) -> None:
        """Nothing was published."""

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        """Nothing was removed."""


@dataclass(frozen=True, slots=True)
class Play:
    """One recording to be played.

    Attributes:
        id: What tells it from the others: its name, with a number where another one has that, too.
    """

    id: str
    recording: Recording


@functools.lru_cache(maxsize=1)
def plays(paths: tuple[str, ...]) -> tuple[Play, ...]:
    """The recordings in files, in their order.

    Raises:
        RecordingError: a file holds none.
    """
    found: list[Play] = []
    names: dict[str, int] = {}
    for path in paths:
        recording = reader.read(Path(path))
        number = names[recording.name] = names.get(recording.name, 0) + 1
        found.append(Play(recording.name + (f"-{number}" if number > 1 else ""), recording))
    return tuple(found)


class Replay:
    """The recordings of a run, and the one that is on.

    Args:
        speed: How many times as fast streams and waits are as they were; 0 for at once.
    """

    def __init__(self, paths: tuple[str, ...], speed: float) -> None:
        self.plays = {play.id: play for play in plays(paths)}
        self.speed = speed or math.inf
        self.clock = RecordedClock(self.speed)
        self.wire = ReplayTransport()
        self._seq = 0

    def put_on(self, play_id: str) -> Playback:
        """Puts one recording on, where the one before it ended."""
        began_at = self.clock.now() + PAUSE_S if self._seq else 0.0
        recording = _moved(self.plays[play_id].recording, self._seq, began_at)
        self._seq = max((exchange.seq for exchange in recording.exchanges), default=self._seq)
        self.clock.come_to(began_at)
        self.wire.playback = Playback(recording, self.speed, self.clock)
        return self.wire.playback


def _moved(recording: Recording, seq: int, at: float) -> Recording:
    exchanges = tuple(
        replace(
            each,
            seq=each.seq + seq,
            sent_at=each.sent_at + at,
            head_at=each.head_at + at,
            done_at=each.done_at + at,
        )
        for each in recording.exchanges
    )
    return replace(recording, exchanges=exchanges)


def target_of(recording: Recording, like: TargetSettings) -> TargetSettings:
    """The settings that a recording was made with."""
    terms = recording.terms
    named: dict[str, tuple[str, ...]] = {
        "buildable": tuple(one.ref for one in terms.given if one.outcome == "ready"),
        "failing": tuple(one.ref for one in terms.given if one.outcome == "failed"),
        "restricted": tuple(one.ref for one in terms.given if one.owner == "restricted"),
    }
    return replace(
        like,
        api_key=KEYS["primary"],
        second_api_key=KEYS["second"] if "second" in terms.keys else None,
        restricted_api_key=KEYS["restricted"] if "restricted" in terms.keys else None,
        build_timeout_s=terms.build_timeout_s,
        cancel_timeout_s=terms.cancel_timeout_s,
        patience_s=terms.patience_s,
        publish=terms.publish,
        templates=Templates(**named),
    )


def given_of(recording: Recording) -> dict[str, Content]:
    """The versions that were there before, as the rules know them."""
    before = float("-inf")
    return {
        one.ref: Content(one.ref, one.owner, f"given:{one.ref}", one.outcome, 0.0, "", 0, before, before)
        for one in recording.terms.given
    }


def bounds_of(recording: Recording) -> Bounds:
    """How long builds and cancels might take."""
    return Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)


def unused_words(unused: Sequence[Exchange], most: int = 3) -> str:
    """What is said of exchanges that a scenario did not ask for."""
    shown = list(map(in_short, unused[:most]))
    more = f" and {len(unused) - most} more" if len(unused) > most else ""
    return f"{len(unused)} recorded, but not asked for by the scenario: {', '.join(shown)}{more}"


def in_short(exchange: Exchange) -> str:
    """A recorded exchange in a few words."""
    return f"{exchange.request.method} {exchange.request.url.removeprefix(BASE_URL)} → {exchange.status}"


def call_of(exchange: Exchange) -> Call:
    """The call that sends the request of a recorded exchange again."""
    base = urlsplit(BASE_URL)
    target = exchange.request.url.removeprefix(f"{base.scheme}://{base.netloc}{base.path}")
    if exchange.credential == "query":
        # The transport adds the key itself.
        target = target.replace("?api_key=<key:primary>", "").replace("&api_key=<key:primary>", "")
    streamed = exchange.response is not None and bool(exchange.response.chunks)
    publishes = exchange.operation == "publishTemplate"
    return Call(
        # What a request is about follows from its path; only of a publish the path does not tell it.
        operation=exchange.operation if publishes else "",
        ref=exchange.ref if publishes else None,
        credential=exchange.credential,
        method=exchange.request.method,
        path=target,
        # Names as we write them: one that is written otherwise would stand beside our own.
        headers={name.title(): value for name, value in exchange.request.headers},
        body=exchange.request.body,
        note=exchange.note,
        stream_s=max(1.0, exchange.elapsed_s) if streamed else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Alone:
    """A recording judged by itself, without being played."""

    judge: Judge
    judgements: tuple[Judgement, ...]

    def findings(self) -> tuple[Finding, ...]:
        """The disagreements that it shows."""
        return tuple(self.judge.finding(j) for j in self.judgements if j.outcome == "broken")


def alone(recording: Recording) -> Alone:
    """What the rules say of a recording, exchanges seen in the order in which they were over."""
    judge = by_all_rules(bounds_of(recording), given_of(recording))
    by_end = sorted(recording.exchanges, key=lambda exchange: exchange.done_at)
    seen = [judgement for exchange in by_end for judgement in judge.see(exchange)]
    refs = dict.fromkeys(exchange.ref for exchange in recording.exchanges if exchange.ref)
    return Alone(judge, tuple(map(conclusion_of(recording), (*seen, *judge.tell(refs)))))


def conclusion_of(recording: Recording) -> Callable[[Judgement], Judgement]:
    """What becomes of a judgement: a file of others shows a part of what happened, one of ours all of it."""
    return (lambda judgement: judgement) if recording.origin == "touchstone" else doubted


def shown(judged: Alone, recording: Recording) -> dict[int, tuple[str, ...]]:
    """By *seq*, the claims that an exchange was the last evidence for.

    Of requests that were sent at the same moment each counts for all: which of them was the last one is chance.
    """
    found: dict[int, set[str]] = defaultdict(set)
    for judgement in judged.judgements:
        if judgement.outcome == "held":
            found[judgement.evidence[-1]].add(judgement.claim)
    together = {each.seq: _together(each, recording) for each in recording.exchanges}
    return {seq: tuple(sorted(set().union(*(found[other] for other in group)))) for seq, group in together.items()}


def _together(exchange: Exchange, recording: Recording) -> list[int]:
    return [
        other.seq
        for other in recording.exchanges
        if (other.request == exchange.request and other.sent_at < exchange.done_at and exchange.sent_at < other.done_at)
        or other is exchange
    ]
