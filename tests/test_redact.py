"""No secret of a run survives in what is kept of its exchanges."""

import base64
import json
from urllib.parse import quote

import pytest

from touchstone.contract.quoting import MIN_SECRET_LENGTH
from touchstone.target.redact import Secrets, marker

KEY = "sk_live_0123456789abcdef"
MIXED = "sk_live_AbCdEf0123456789"
ODD = "p+w/\"&'=~12ab"


def test_value_is_replaced_by_marker_wherever_it_stands() -> None:
    """A secret becomes its marker at the start, in the middle and at the end of a text, each time."""
    actual = Secrets({"primary": KEY}).text(f"{KEY}, {KEY}!{KEY}")
    assert actual == "<key:primary>, <key:primary>!<key:primary>"


@pytest.mark.parametrize(
    "spelling",
    [
        ODD,
        json.dumps(ODD),
        json.dumps(ODD, ensure_ascii=False),
        json.dumps(ODD).replace("/", r"\/"),
        quote(ODD),
        quote(ODD, safe=""),
        quote(ODD, safe="").lower(),
        base64.b64encode(ODD.encode()).decode(),
        base64.urlsafe_b64encode(ODD.encode()).decode().rstrip("="),
    ],
)
def test_value_in_another_spelling_is_replaced(spelling: str) -> None:
    """A secret is found in JSON, in URLs in either case, and in base64 with either alphabet."""
    actual = Secrets({"odd": ODD}).text(f"before {spelling} after")
    expected = ("before <key:odd> after", 'before "<key:odd>" after')
    assert actual.replace('\\"', '"') in expected


def test_secret_that_begins_with_another_is_replaced_whole() -> None:
    """The longest secret that fits wins, so no tail of it stays readable."""
    secrets = Secrets({"short": "abcdefgh", "long": "abcdefgh-and-more"})
    assert secrets.text("abcdefgh-and-more abcdefgh") == "<key:long> <key:short>"


def test_secret_that_overlaps_an_earlier_one_is_replaced_whole() -> None:
    """Two secrets that share characters become one marker, the one of the longer."""
    secrets = Secrets({"short": "token-123456", "long": "123456-the-secret-part"})
    assert secrets.text("a token-123456-the-secret-part") == "a <key:long>"


def test_key_cut_short_by_one_is_replaced() -> None:
    """A key without its last character gives as much away as the key, and is marked as what it is."""
    assert Secrets({"primary": KEY}).text(f"bad key {KEY[:-1]}.") == "bad key <key:primary-shorter>."


def test_marker_names_the_caller_s_own_shorter_key() -> None:
    """A shorter key that the caller registers under a name of its own keeps that name."""
    secrets = Secrets({"shorter": KEY[:-1], "primary": KEY})
    assert secrets.text(f"{KEY[:-1]} {KEY}") == "<key:shorter> <key:primary>"


def test_redacting_twice_changes_nothing() -> None:
    """A marker is never marked again, even where a secret is part of it."""
    secrets = Secrets({"primary": KEY, "second": "primary"})
    once = secrets.text(f"{KEY} primary")
    assert (once, secrets.text(once)) == ("<key:primary> <key:second>", once)


def test_short_and_missing_values_are_not_registered() -> None:
    """A value below the least length would spoil ordinary words, and None is no value."""
    secrets = Secrets({"tiny": "a" * (MIN_SECRET_LENGTH - 1), "empty": "", "none": None})
    assert secrets.text("aaaaaa none") == "aaaaaa none"


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    """Only the secret changes in a body that is not UTF-8."""
    actual = Secrets({"primary": KEY}).data(b"\xff\xfe" + KEY.encode() + b"\x00\x80")
    assert actual == b"\xff\xfe<key:primary>\x00\x80"


def test_lone_surrogate_survives() -> None:
    """A text that cannot be UTF-8 is redacted without an error."""
    assert Secrets({"primary": KEY}).text(f"\ud800{KEY}") == "\ud800<key:primary>"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", f"Bearer {KEY}", "Bearer <key:primary>"),
        ("authorization", f"bearer {KEY}", "bearer <key:primary>"),
        ("Authorization", f"Bearer {KEY}x", "Bearer <key:primary>x"),
        ("Authorization", f"Bearer {KEY[:-1]}", "Bearer <key:primary-shorter>"),
        ("Authorization", "Bearer sk_live_of_somebody_else", "<redacted>"),
        ("Authorization", "sk_live_of_somebody_else", "<redacted>"),
        ("Authorization", f"Bearer {KEY} sk_live_of_somebody_else", "<redacted>"),
        ("Authorization", "Bearer ", "Bearer "),
        ("Authorization", "", ""),
        ("X-Api-Key", "something", "<redacted>"),
        ("X-API-KEY", KEY, "<key:primary>"),
        ("Cookie", f"session=abc; key={KEY}", "<redacted>"),
        ("Set-Cookie", "session=abc; Path=/", "<redacted>"),
        ("Location", f"/?key={KEY}", "/?key=<key:primary>"),
        ("Content-Type", "application/json", "application/json"),
    ],
)
def test_header_keeps_no_credential(name: str, value: str, expected: str) -> None:
    """The run's own keys become markers; any other credential in a header known for them is gone."""
    assert Secrets({"primary": KEY}).headers([(name, value)]) == ((name, expected),)


def test_name_of_a_header_keeps_no_secret() -> None:
    """A server may call a header after a key; names come in small letters then."""
    secrets = Secrets({"primary": MIXED, "second": f"{MIXED}zz"})
    named = secrets.headers([(MIXED, "a"), (f"x-{MIXED.lower()}-left", "7"), (f"{MIXED}zz".upper(), "b"), ("Date", "")])
    assert named == (("<key:primary>", "a"), ("x-<key:primary>-left", "7"), ("<key:second>", "b"), ("Date", ""))


def test_headers_keep_their_order_and_repetitions() -> None:
    """Redaction neither sorts nor merges headers."""
    pairs = (("B", "1"), ("A", "2"), ("B", "3"))
    assert Secrets({}).headers(pairs) == pairs


def test_repr_names_secrets_and_shows_no_value() -> None:
    """A log line with the object in it gives nothing away."""
    actual = repr(Secrets({"primary": KEY}))
    assert actual == "Secrets(primary)"


def test_marker_is_what_text_puts_in() -> None:
    """Whoever looks for a repeated key can build the marker to look for."""
    assert Secrets({"second": KEY}).text(KEY) == marker("second")
