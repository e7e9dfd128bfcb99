"""What answers look like, and how what they look like has changed: status, media type, header names, fields, words.

Values that differ from run to run have no shape: only their types count, and of texts that are single words, as states
and phases are, which of them were seen.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange
from touchstone.recordings import steps
from touchstone.recordings.recording import Recording

# What an answer is about: its operation, and the step in the life of a version that it shows.
Occasion = tuple[str, str]

_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_LONGEST_WORD = 24
# An answer carries it or not as the network likes.
_HEADERS_OF_CHANCE = frozenset({"date", "age"})
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "null"}


@dataclass(slots=True)
class Shape:
    """What all answers on one occasion looked like.

    Attributes:
        fields: By place in the body, such as ``errors[].code``, the types that were seen there.
        words: By place, the words that were seen there; a place where anything else was seen has none.
    """

    statuses: set[int] = field(default_factory=set)
    media_types: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    fields: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    words: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def shapes(exchanges: Iterable[Exchange]) -> dict[Occasion, Shape]:
    """The shape of the answers on each occasion."""
    found: dict[Occasion, Shape] = defaultdict(Shape)
    for exchange in exchanges:
        if exchange.response is not None:
            operation = exchange.operation or exchange.request.method
            _add(found[operation, steps.step(exchange)], exchange)
    return dict(found)


def drift(before: Mapping[str, Recording], now: Mapping[str, Recording]) -> tuple[str, ...]:
    """What has changed from some recordings to others of the same scenarios, in words.

    A change that is the same on several occasions is told once, with the occasions.
    """
    same = sorted(before.keys() & now.keys())
    changes: dict[str, list[str]] = defaultdict(list)
    for name in same:
        for change in _steps(before[name], now[name]):
            changes[change].append(name)
    old = shapes(exchange for name in same for exchange in before[name].exchanges)
    new = shapes(exchange for name in same for exchange in now[name].exchanges)
    for operation, step in (occasion for occasion in old if occasion in new):
        for change in _differences(old[operation, step], new[operation, step]):
            changes[change].append(f"{operation} ({step})")
    return tuple(f"{_some(places)}: {change}" for change, places in changes.items())


def _some(places: list[str], most: int = 3) -> str:
    places = list(dict.fromkeys(places))
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(places[:most]) + more


def _steps(before: Recording, now: Recording) -> Iterator[str]:
    """Where the steps of a life were others, each with the step before it."""
    old, new = (steps.told_once(steps.steps(recording.exchanges)) for recording in (before, now))
    for kind, i, till, k, until in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            after = f"after {old[i - 1]!r}" if i else "at the beginning"
            was, is_now = (" → ".join(steps) or "nothing" for steps in (old[i:till], new[k:until]))
            yield f"steps {after}: {was} in the recording, {is_now} now"


def _differences(old: Shape, new: Shape) -> Iterator[str]:
    yield from _changed("status", old.statuses, new.statuses)
    yield from _changed("media type", old.media_types, new.media_types)
    yield from (f"header {name} is new" for name in sorted(new.headers - old.headers))
    yield from (f"header {name} is gone" for name in sorted(old.headers - new.headers))
    for place in dict.fromkeys((*old.fields, *new.fields)):
        if place not in old.fields:
            yield f"field {place} is new: {_joined(new.fields[place])}"
        elif place not in new.fields:
            yield f"field {place} is gone; it was {_joined(old.fields[place])}"
        else:
            yield from _changed(f"field {place}", old.fields[place], new.fields[place])
            if old.words.get(place) and new.words.get(place):
                yield from _changed(f"field {place}", old.words[place], new.words[place])


def _changed(what: str, old: set[Any], new: set[Any]) -> Iterator[str]:
    if old != new:
        yield f"{what}: {_joined(old)} in the recording, {_joined(new)} now"


def _joined(values: set[Any]) -> str:
    return " or ".join(map(str, sorted(values))) or "none"


def _add(shape: Shape, exchange: Exchange) -> None:
    response = exchange.response
    assert response is not None
    shape.statuses.add(response.status)
    media_type = (response.header("content-type") or "").partition(";")[0].strip().lower()
    shape.media_types.add(media_type)
    shape.headers |= {name.lower() for name, _ in response.headers} - _HEADERS_OF_CHANCE
    for value in _values(media_type, response.body):
        _look("", value, shape)


def _values(media_type: str, body: bytes) -> Iterator[Any]:
    if media_type == "text/event-stream":
        texts = [event.data.encode() for event in parse(body).events]
    else:
        texts = [body] if body else []
    for text in texts:
        try:
            yield read_json(text)
        except ValueError:
            yield _NotJson()


class _NotJson:
    """A body that is no JSON."""


def _look(place: str, value: Any, shape: Shape) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _look(f"{place}.{name}" if place else str(name), inner, shape)
    elif isinstance(value, list):
        for inner in value:
            _look(f"{place}[]", inner, shape)
    else:
        place = place or "the body"
        _note(place, value, shape)


def _note(place: str, value: Any, shape: Shape) -> None:
    first = place not in shape.fields
    shape.fields[place].add(_TYPES.get(type(value), "no JSON"))
    is_word = isinstance(value, str) and len(value) <= _LONGEST_WORD and _WORD.fullmatch(value)
    if not is_word:
        shape.words[place].clear()
    elif first or shape.words[place]:
        shape.words[place].add(value)
