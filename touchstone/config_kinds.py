"""What a single setting may hold: turns a raw value into a typed one, or says what was expected."""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard, TypeVar
from urllib.parse import SplitResult, urlsplit

from touchstone.contract.quoting import quoted
from touchstone.errors import UsageError, one_line
from touchstone.facts.key_sources import is_variable
from touchstone.target.redact import Secrets

_NAME_CHARS = 100
# Of a shorter key, and of one with fewer different characters, too much else would be taken for it.
MIN_KEY_CHARS, _MIN_DIFFERENT = 8, 4
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
_BITS = 64

T = TypeVar("T")
Kind = Callable[[Any], T]

# facts.md, 1.4: kebab-case name of 1 to 64 characters, semantic version; the namespace has no documented form.
_REF = re.compile(r"[^/@\s]+/(?=[^@]{1,64}@)[a-z0-9]+(-[a-z0-9]+)*@\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")


class Unfit(ValueError):
    """A value does not fit: *expected* says what would, *found* replaces the value where it must not be shown."""

    def __init__(self, expected: str, found: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found


def checked(place: str, value: object, kind: Kind[T]) -> T:
    """The value as *kind* reads it.

    Args:
        place: Where the value stands, for the message: a flag, a variable, or file, table and key.

    Raises:
        UsageError: the value does not fit.
    """
    try:
        return kind(value)
    except Unfit as error:
        raise UsageError(f"{place}: found {error.found or quoted(value)}; expected {error.expected}") from None


def read_toml(data: bytes, place: str) -> dict[str, Any]:
    """The document that the bytes of a file spell.

    Raises:
        UsageError: they spell none.
    """
    try:
        document = tomllib.loads(data.decode("utf-8"))
        _check_numbers(document)
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: byte {error.start}: not UTF-8; TOML files are UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{place}: not TOML: {error}") from None
    except ValueError:
        raise UsageError(f"{place}: not TOML: a number has too many digits, or a date is none; correct it") from None
    except RecursionError:
        raise UsageError(f"{place}: not TOML: is nested too deeply; expected tables as the documentation has") from None
    return document


def _check_numbers(document: dict[str, Any]) -> None:
    """Refuses a whole number that no 64 bits hold, as TOML has it: one in hexadecimal is read whatever its length."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and value.bit_length() > _BITS:
            raise ValueError


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them where none is near."""
    names = sorted(map(one_line, known))
    near = difflib.get_close_matches(word[:_NAME_CHARS], names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def text(value: object) -> str:
    """A text with something in it."""
    if isinstance(value, str) and value.strip():
        return value
    raise Unfit("a text")


def folder(value: object) -> str:
    """The path of a folder, as a text."""
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    raise Unfit("the path of a folder")


def flag(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise Unfit("true or false")


def seed(value: object) -> int:
    """A whole number from 0 up."""
    if _is_whole(value) and value >= 0:
        return value
    raise Unfit("a whole number of 0 or more")


def count(value: object) -> int:
    """A whole number from 1 up."""
    if _is_whole(value) and value >= 1:
        return value
    raise Unfit("a whole number of 1 or more")


def up_to(most: int) -> Kind[int]:
    """A whole number from 1 up to *most*."""

    def read(value: object) -> int:
        if _is_whole(value) and 1 <= value <= most:
            return value
        raise Unfit(f"a whole number from 1 to {most}")

    return read


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def seconds(value: object) -> float:
    """A positive, finite number of seconds."""
    if is_number(value) and value > 0:
        return float(value)
    raise Unfit("a number of seconds above 0")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number that a float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def one_of(*choices: str) -> Kind[str]:
    """The kind of a setting that is one of *choices*."""

    def choose(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        word = value[:_NAME_CHARS] if isinstance(value, str) else ""
        near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
        raise Unfit(", ".join(choices[:-1]) + f" or {choices[-1]}" + (f"; did you mean {near[0]}?" if near else ""))

    return choose


def refs(value: object) -> tuple[str, ...]:
    """A list of template refs, each once."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Unfit("a list of refs such as default/claude-code@1.0.0")
    for item in value:
        if not _REF.fullmatch(item):
            raise Unfit("refs of the form namespace/name@1.0.0, the name in kebab-case", found=quoted(item))
    return tuple(dict.fromkeys(value))


def variable(value: object) -> str:
    """The name of an environment variable."""
    if isinstance(value, str) and is_variable(value) and not value.lower().startswith("sk_"):
        return value
    like = "the name of a variable such as ORGO_API_KEY"
    raise Unfit(like, found="what looks like a key (not shown)" if isinstance(value, str) and value else None)


def key(value: object) -> str:
    """An API key: printable ASCII without blanks, as a header can carry it, and nothing that other texts hold.

    No message shows it.
    """
    if not isinstance(value, str):
        raise Unfit("a key as a text", found=f"a value of type {type(value).__name__}")
    for position, char in enumerate(value, start=1):
        if not "!" <= char <= "~":
            raise Unfit(
                "a key without blanks, line breaks or other than ASCII characters",
                found=f"U+{ord(char):04X} at position {position}",
            )
    if not value:
        raise Unfit("a key", found="an empty text")
    if len(value) < MIN_KEY_CHARS:
        raise Unfit(f"a key of {MIN_KEY_CHARS} characters or more", found=f"one of {len(value)} characters (not shown)")
    if value.lower() in _WORDS or len(set(value)) < _MIN_DIFFERENT:
        raise Unfit("a key that is no common word and no placeholder", found="one of these (not shown)")
    return value


def check_no_key_in(url: str, keys: Mapping[str, str | None], place: str) -> None:
    """Makes sure that no key is in a URL, in whatever encoding: each request line and each report would hold it.

    Raises:
        UsageError: one is; the message does not show it.
    """
    for name, value in keys.items():
        if Secrets({name: value}).text(url) != url:
            raise UsageError(f"{place}: found a URL with {name} in it (not shown); expected one without any key")


def url(value: object) -> str:
    """The base URL of a target, without a trailing slash. A base path is kept."""
    like = "a URL such as https://staging.example.test/api"
    if not isinstance(value, str):
        raise Unfit(like)
    parts = _split(value, like)
    if parts.username is not None or parts.password is not None:
        raise Unfit(
            "no user or password in it; keys come from the environment", found="a URL with a user in it (not shown)"
        )
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        before = value.split("?")[0].split("#")[0]
        raise Unfit("nothing after the path", found=f"{quoted(before)} and a query or fragment (not shown)")
    return value.rstrip("/")


def _split(value: str, like: str) -> SplitResult:
    has_blanks = any(char <= " " or char == "\x7f" for char in value)
    try:
        parts = urlsplit(value)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not has_blanks
    except ValueError:  # a port that is no number, or a broken IPv6 address
        fits = False
    if not fits:
        raise Unfit(like, found=quoted(_without_secrets(value)))
    return parts


def _without_secrets(value: str) -> str:
    """A broken URL without what may be a password or a key: what stands before its last @, and its query."""
    before, at, rest = value.rpartition("@")
    scheme = before.partition("//")[0] + "//" if "//" in before else ""
    told = f"{scheme}…@{rest}" if at else rest
    return re.split(r"[?#]", told)[0]
