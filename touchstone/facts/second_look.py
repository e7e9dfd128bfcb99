"""The second look at what a run writes and prints: a known key that is still there is cut out, and that is reported.

It decodes the words of a text, where redact.py encodes the keys and marks them in what crossed the wire. The two share
no search, so that an encoding which one of them misreads is not missed by both.
"""

import functools
import re
import sys
from collections.abc import Iterator, Mapping

from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.facts.leaks import decoded

# The shortest part of a key that counts, and the shortest key.
_PART_CHARS, _KEY_CHARS = 18, 8
# Longer words come once, and many of them would fill the memory.
_REMEMBERED_CHARS = 200
# A word in any encoding; a quote, and a backslash before one, end a string of JSON and are none of it.
_PLAIN_WORD = r"[A-Za-z0-9+/_=%%&#;.~-]{%d,}"
_ESCAPED_WORD = r"(?:[A-Za-z0-9+/_=%%&#;.~-]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\/){%d,}"
_ESCAPE = re.compile(r"\\[ux/]")

_names: dict[str, str] = {}
_parts: dict[str, str] = {}


def know(keys: Mapping[str, str]) -> None:
    """Has keys looked for from now on, in all that this process writes.

    Args:
        keys: By the name that a report of one calls it.
    """
    fresh = {value: name for name, value in keys.items() if len(value) >= _KEY_CHARS and value != UNKNOWN_KEY}
    if fresh.keys() <= _names.keys():
        return
    _names.update(fresh)
    _parts.clear()
    _held_in.cache_clear()
    counts: dict[str, set[str]] = {}
    for value in _names:
        folded = value.lower()
        for start in range(max(1, len(folded) - _PART_CHARS + 1)):
            counts.setdefault(folded[start : start + _PART_CHARS], set()).add(value)
    # What several keys have in common gives none of them away, nor does what the documented example has.
    _parts.update(
        {part: _names[min(of)] for part, of in counts.items() if len(of) == 1 and part not in UNKNOWN_KEY}
        | {value.lower(): name for value, name in _names.items() if len(value) < _PART_CHARS}
    )


def forget() -> None:
    """Looks for no key any more."""
    _names.clear()
    _parts.clear()
    _held_in.cache_clear()


def cut(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without known keys, and the names of those that were in it."""
    if not _parts:
        return text, ()
    found: dict[str, None] = {}

    def without(word: re.Match[str]) -> str:
        look = _held_in if len(word[0]) <= _REMEMBERED_CHARS else _held_in.__wrapped__
        name, is_plain = look(word[0])
        if not name:
            return word[0]
        found[name] = None
        # Base64 stays base64, or what reads the text later would stumble.
        return f"[cut out: {name} key]" if is_plain else re.sub("[^=]", "A", word[0])

    # No shorter word holds a part. The module re keeps what it has compiled.
    form = (_ESCAPED_WORD if _ESCAPE.search(text) else _PLAIN_WORD) % min(map(len, _parts))
    return re.sub(form, without, text), tuple(found)


def looked_over(text: str, place: object) -> str:
    """The text without known keys; standard error tells which were in it."""
    text, names = cut(text)
    for name in names:
        sys.stderr.write(f"warning: {place}: {held(name)}\n")
    return text


def held(name: str) -> str:
    """What is told of a key that was found."""
    return f"held the {name} key, or a part of it, which was cut out; tell the authors of touchstone what repeated it"


@functools.lru_cache(maxsize=65536)
def _held_in(word: str) -> tuple[str, bool]:
    """The name of the key that a word holds, empty for none, and whether the word holds it as it is."""
    for number, reading in enumerate(_readings(word)):
        for part, name in _parts.items():
            if part in reading:
                return name, number == 0
    return "", False


def _readings(word: str) -> Iterator[str]:
    yield word.lower()
    for data in decoded(word.encode()):
        yield data.decode("latin-1").lower()
