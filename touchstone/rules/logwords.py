"""Tells frames and lines of build logs to a person who reads a finding."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

from touchstone.rules.rule import shown

_FIRST = ("phase", "level", "source")
_MAX_CHARS = 80
_MAX_SPANS = 8


def frame_told(frame: dict[str, Any]) -> str:
    """A frame without its time, such as ``'took a snapshot' (phase snapshot, level info)``."""
    names = [*(name for name in _FIRST if name in frame), *sorted(frame.keys() - {*_FIRST, "line", "ts"})]
    fields = ", ".join(f"{_plain(name)} {_plain(frame[name])}" for name in names)
    if "line" not in frame:
        return fields or "a frame that tells nothing"
    line = shown(frame["line"], _MAX_CHARS)
    return f"{line} ({fields})" if fields else line


def lines_astray(came: Sequence[str], lines: Sequence[str]) -> str:
    """What is wrong with the lines that came, such as ``line 12 of 40 missing: 'abc'``; empty where nothing is.

    Args:
        came: Those of *lines* that came, in the order in which they came.
        lines: All that were printed, each of them once.
    """
    number_of = {line: number for number, line in enumerate(lines, 1)}
    numbers = [number_of[line] for line in came]
    missing = [number for number in number_of.values() if number not in set(numbers)]
    if missing:
        first = _first("line", missing, shown(lines[missing[0] - 1], _MAX_CHARS))
        return f"{_numbers('line', missing)} of {len(lines)} missing{first}"
    for number, times in Counter(numbers).items():
        if times > 1:
            return f"line {number} of {len(lines)} {times} times: {shown(lines[number - 1], _MAX_CHARS)}"
    for before, after in pairwise(numbers):
        if before > after:
            return f"line {after} of {len(lines)} after line {before}: {shown(lines[after - 1], _MAX_CHARS)}"
    return ""


def frames_apart(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> str:
    """Where the frames of two watchers who saw the same end differ; empty where only times or the first frames do."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    apart = next(((a, b) for a, b in pairs if {**a, "ts": None} != {**b, "ts": None}), None)
    if apart is None:
        return ""
    missed, missed_too = _missed(other, one), _missed(one, other)
    if bool(missed) == bool(missed_too):
        return f"{frame_told(apart[0])} for one watcher, {frame_told(apart[1])} for another at the same place"
    whole, missing = (one, missed) if missed else (other, missed_too)
    first = _first("frame", missing, frame_told(whole[missing[0] - 1]))
    return f"of {len(whole)} frames that one watcher was sent, another missed {_numbers('frame', missing)}{first}"


def _missed(frames: Sequence[dict[str, Any]], whole: Sequence[dict[str, Any]]) -> list[int]:
    """The numbers of the frames of *whole* that are not among *frames*, but for those before the first that is."""
    left = Counter(map(_key, frames))
    numbers, begun = [], False
    for number, frame in enumerate(whole, 1):
        key = _key(frame)
        if left[key]:
            left[key] -= 1
            begun = True
        elif begun:
            numbers.append(number)
    return numbers


def _key(frame: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in frame.items() if name != "ts"))


def _numbers(what: str, numbers: Sequence[int]) -> str:
    """Such as ``line 3`` or ``lines 3, 5 to 9 and 12``."""
    spans = list(_spans(numbers))
    told = [f"{first} to {last}" if last > first else str(first) for first, last in spans[:_MAX_SPANS]]
    rest = sum(last - first + 1 for first, last in spans[_MAX_SPANS:])
    told += [f"{rest} more"] if rest else []
    joined = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else told[0]
    return f"{what}{'s' if len(numbers) > 1 else ''} {joined}"


def _first(what: str, numbers: Sequence[int], told: str) -> str:
    return f": {told}" if len(numbers) == 1 else f"; {what} {numbers[0]} is {told}"


def _spans(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each row of numbers without a gap; two neighbours are told one by one."""
    for _, places in groupby(enumerate(numbers), lambda at: at[1] - at[0]):
        row = [number for _, number in places]
        yield from [(row[0], row[-1])] if len(row) > 2 else [(number, number) for number in row]


def _plain(value: object) -> str:
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != "" and len(value) < _MAX_CHARS
    return str(value) if plain else shown(value, _MAX_CHARS)
