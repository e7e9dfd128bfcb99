"""Where the keys of a run come from, in the words of messages and reports: never a key."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from touchstone.errors import Unfit

# A key of the documented form that no account can have: it is not random, so two runs send the same bytes.
UNKNOWN_KEY = "sk_live_" + "0" * 24
# Of a shorter key, and of one with fewer different characters, too much else would be taken for it.
_MIN_CHARS, _MIN_DIFFERENT = 8, 4
# Words of the contract, of HTTP and of documents, and what stands where no key is yet: other texts hold them.
# fmt: off
_WORDS = frozenset({
    "api-version", "api_version", "application", "authorization", "auto_build", "build_time_ms", "building",
    "cancelling", "changeme", "completed", "connection", "content-length", "content-type", "database",
    "database_url", "description", "event-stream", "forbidden", "golden_dir", "hardware", "hostname", "localhost",
    "my_api_key", "myapikey", "namespace", "no-cache", "not_built", "not-found", "password", "passw0rd",
    "placeholder", "production", "published", "request_id", "resolution", "restricted", "retry-after", "secondary",
    "sequence", "sk_live_", "sk_test_", "snapshot", "standard", "template", "templates", "test-key",
    "thorough", "timestamp", "touchstone", "transfer-encoding", "unauthorized", "undefined", "upstream_status",
    "user-agent", "validation", "www-authenticate", "your_api_key", "your-api-key", "yourapikey",
})
# fmt: on
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class KeySources:
    """For each account the variable that holds its key, or the place in the settings file that does."""

    primary: str = "ORGO_API_KEY"
    second: str = "ORGO_SECOND_API_KEY"
    restricted: str = "ORGO_RESTRICTED_API_KEY"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Those of a run, from the settings in the header of its log; the usual ones where they are not told."""
        target = settings.get("target")
        given = target.get("key_sources") if isinstance(target, dict) else None
        texts = {name: text for name, text in given.items() if isinstance(text, str)} if isinstance(given, dict) else {}
        return cls(**{name: texts.get(name, usual) for name, usual in asdict(USUAL).items()})

    def advice(self, role: str, whose: str) -> str:
        """What lets a claim be judged that lacks the key called *role*; *whose* says what key that is."""
        source, usual = getattr(self, role), getattr(USUAL, role)
        if source == usual:
            return f"set {role}_api_key_env, or {usual}, to {whose}"
        if is_variable(source):
            return f"{role}_api_key_env names {source}, which is not set"
        return f"set {source} to {whose}"


USUAL = KeySources()


def is_variable(source: str) -> bool:
    """Whether a key comes from the environment."""
    return _VARIABLE.fullmatch(source) is not None


def read_variable(value: object) -> str:
    """The name of an environment variable; Unfit where it is none."""
    if isinstance(value, str) and is_variable(value) and not value.lower().startswith("sk_"):
        return value
    like = "the name of a variable such as ORGO_API_KEY"
    raise Unfit(like, found="what looks like a key (not shown)" if isinstance(value, str) and value else None)


def read_key(value: object) -> str:
    """An API key: printable ASCII without blanks. Unfit where it is none; the message does not show it."""
    if not isinstance(value, str):
        raise Unfit("a key as a text", found=f"a value of type {type(value).__name__}")
    for position, char in enumerate(value, start=1):
        if not "!" <= char <= "~":
            like = "a key without blanks, line breaks or other than ASCII characters"
            raise Unfit(like, found=f"U+{ord(char):04X} at position {position}")
    if len(value) < _MIN_CHARS:
        raise Unfit(f"a key of {_MIN_CHARS} characters or more", found=f"one of {len(value)} characters (not shown)")
    if value.lower() in _WORDS or len(set(value)) < _MIN_DIFFERENT:
        raise Unfit("a key that is no common word and no placeholder", found="one of these (not shown)")
    return value
