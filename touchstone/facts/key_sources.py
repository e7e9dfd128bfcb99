"""Where the keys of a run come from, for messages and reports. No message contains a key."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from touchstone.errors import Unfit

UNKNOWN_KEY = "sk_live_" + "0" * 24  # has the documented form and belongs to no account
_MIN_CHARS, _MIN_DIFFERENT = 8, 4  # ordinary text would contain a shorter or simpler key
# Common words and placeholders. They are rejected as keys, because redaction would remove them from ordinary text.
_COMMON = frozenset(Path(__file__).with_name("common_words.txt").read_text("utf-8").split())
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class KeySources:
    """Source of the key of each account: an environment variable, or a place in the settings file."""

    primary: str = "ORGO_API_KEY"
    second: str = "ORGO_SECOND_API_KEY"
    restricted: str = "ORGO_RESTRICTED_API_KEY"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Reads the sources from *settings*, as in the header of a run log. A missing source gets its default."""
        target = settings.get("target")
        given = target.get("key_sources") if isinstance(target, dict) else None
        texts = {name: text for name, text in given.items() if isinstance(text, str)} if isinstance(given, dict) else {}
        return cls(**{name: texts.get(name, usual) for name, usual in asdict(USUAL).items()})

    def advice(self, role: str, whose: str) -> str:
        """Returns advice on where to put the key of account *role*. *whose*: description of that key."""
        source, usual = getattr(self, role), getattr(USUAL, role)
        if source == usual:
            return f"set {role}_api_key_env, or {usual}, to {whose}"
        if is_variable(source):
            return f"{role}_api_key_env names {source}, which is not set"
        return f"set {source} to {whose}"


USUAL = KeySources()


def is_variable(source: str) -> bool:
    """Whether a source is an environment variable."""
    return _VARIABLE.fullmatch(source) is not None


def read_variable(value: object) -> str:
    """Validates the name of an environment variable; raises Unfit for an invalid name."""
    if isinstance(value, str) and is_variable(value) and not value.lower().startswith("sk_"):
        return value
    like = "the name of a variable such as ORGO_API_KEY"
    raise Unfit(like, found="a possible key (not shown)" if isinstance(value, str) and value else None)


def read_key(value: object) -> str:
    """Validates an API key (printable ASCII, no blanks); raises Unfit, with a message that does not contain the key."""
    if not isinstance(value, str):
        raise Unfit("a key as a string", found=f"a value of type {type(value).__name__}")
    for position, char in enumerate(value, start=1):
        if not "!" <= char <= "~":
            like = "a key of printable ASCII characters without blanks"
            raise Unfit(like, found=f"U+{ord(char):04X} at position {position}")
    if len(value) < _MIN_CHARS:
        raise Unfit(f"a key of {_MIN_CHARS} characters or more", found=f"one of {len(value)} characters (not shown)")
    if value.lower() in _COMMON or len(set(value)) < _MIN_DIFFERENT:
        raise Unfit("a key that is neither a common word nor a placeholder", found="one of these (not shown)")
    return value
