"""Search for credentials in a finished text, in any encoding; a leak does not contain the credential."""

import base64
import json
import random
from urllib.parse import quote

import pytest

from tests.encodings import ENCODINGS
from touchstone.facts.leaks import Leak, leaks
from touchstone.facts.redaction_guard import PART_CHARS

KEYS = {
    "primary": "sk_live_test_0a1B2c3D4e5F6g7H",
    "second": "sk_live_test_9z8Y7x6W5v4U3t2S",
    "restricted": "sk_live_test_QqWwEeRrTtYyUuIi",
}
KEY = KEYS["primary"]
UNKNOWN_KEY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
EXAMPLE_KEY = "sk_live_000000000000000000000000"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def found(text: str) -> list[str]:
    """Descriptions of the leaks in a text, without their lines."""
    return [leak.what for leak in leaks(text, KEYS)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_key_is_found_in_every_encoding_of_an_encoding(encoding: str) -> None:
    chance, part = random.Random(1), KEYS["second"][-PART_CHARS:]
    several_rounds = {"percent twice", "all at once"}
    for name in ENCODINGS if encoding not in several_rounds else ["plain"]:
        if name in several_rounds and encoding != "plain":
            continue  # a text is decoded twice
        key, cut = (ENCODINGS[encoding]("x " + ENCODINGS[name](text, chance), chance) for text in (KEY, part))
        assert Leak(2, "the primary key") in leaks(f'first\n{{"a": "<key:primary>", "b": "{key}"}}\nlast', KEYS), name
        assert Leak(3, "a part of the second key") in leaks(f"first\n\n{cut} <key:second>", KEYS), name


def test_each_key_is_reported_once_on_each_line() -> None:
    text = f"{KEYS['second']} {KEY}\nnothing\n{KEY} {quote(KEY)} {b64(KEY)}\n"
    assert leaks(text, KEYS) == (Leak(1, "the primary key"), Leak(1, "the second key"), Leak(3, "the primary key"))
    assert found(f"%73{KEY[1:]}") == ["the primary key"]  # without its parts


def test_escaped_line_break_does_not_count_as_a_line() -> None:
    text = f'"a\\nb\\u000ac%0Ad&#10;e"\n{b64("x y z" + chr(10) * 9 + KEY)}\n"%41\\n\\n"\n\\u0073{KEY[1:]}'
    assert [leak.line for leak in leaks(text, KEYS) if leak.what == "the primary key"] == [2, 4]


@pytest.mark.parametrize("start", [0, 3, len(KEY) - PART_CHARS])
def test_part_of_a_key_counts_from_a_minimum_length(start: int) -> None:
    part = KEY[start : start + PART_CHARS]
    assert found(part) == found(f"x{part.upper()}x") == ["a part of the primary key"]
    assert found(part[1:]) == []


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        ("sk_live_of_one_team_", {"a": f"sk_live_of_one_team_{KEY}", "b": f"sk_live_of_one_team_{UNKNOWN_KEY}"}, ()),
        (KEY[:-2], {"primary": KEY, "cut": KEY[:-1]}, (Leak(1, "a part of the primary key"),)),
        (EXAMPLE_KEY, {"primary": "sk_live_0000000000000000000000ab"}, ()),
        ("sk_live_0000000000000000000000ab", {"a": "sk_live_0000000000000000000000ab"}, (Leak(1, "the a key"),)),
        (f"abcde {EXAMPLE_KEY} 0000000000000000", {"tiny": "abcde", "unknown": EXAMPLE_KEY}, ()),
        ("abcdef", {"small": "abcdef"}, (Leak(1, "the small key"),)),
    ],
    ids=["shared-prefix", "key-within-a-key", "documented-key", "zeros", "too-short", "just-long-enough"],
)
def test_part_that_identifies_no_key_is_ignored(text: str, keys: dict[str, str], expected: tuple[Leak, ...]) -> None:
    assert leaks(text, keys) == expected


API_KEY = "something like an API key"
UNKNOWN = {
    UNKNOWN_KEY: API_KEY,
    f"{EXAMPLE_KEY}0": API_KEY,
    JWT: "something like a JSON web token",
    "-----BEGIN RSA PRIVATE KEY-----\nMII": "a private key",
    "id AKIAIOSFODNN7EXAMPLE.": "something like an AWS access key id",
    "Authorization: Bearer abc123def456": "a value after Bearer",
    "Basic dXNlcjpwYXNz": "a value after Basic",
    '{"token": "abcdef"}': "a value called token",
    "login password='hunter22'": "a value called password",
    '{"aws_secret_access_key": "abcdef"}': "a value called secret",
    "/path?x=1&api_key=abcdef&y=2": "a value called api_key",
    "X-Api-Key: abcdef": "a value called api-key",
    "Set-Cookie: session=abcdef; Path=/": "a value called cookie",
    "cookie:\n  - abcdef": "a value called cookie",
    '["authorization", "abcdef"]': "a value called authorization",
    '{\n "name": "X-API-Key",\n "value": "abcdef"\n}': "a value called api-key",
    '{"name": "api_key", "value": "abcdef"}': "a value called api_key",
}


@pytest.mark.parametrize(("text", "what"), UNKNOWN.items())
def test_unknown_credential_is_found_by_its_form_or_name(text: str, what: str) -> None:
    assert found(text) == [what]
    assert what in found(json.dumps({"body": json.dumps(text)})) or "\n" in text


HARMLESS = (
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    '{"request_id": "req_5f0c7f6e0c1b4b6f9a3f", "build": "3f2b8c1e-9d4a-4f6b-8e2a-1c5d7e9f0a2b"}',
    '{"etag": "W/\\"33a64df551425fcc55e4d42a148795d9f25f89d4\\"", "image": "x@sha256:' + "0a" * 32 + '"}',
    "AKIAIOSFODNN7EXAMPLEANDMORE xAKIAIOSFODNN7EXAMPLE",
    "sk_live_short sk_live_ sk_live_… sk_live_test_",
    f"Authorization: Bearer {EXAMPLE_KEY}",
    "Authorization: Bearer <key:primary>",
    "Authorization: Bearer <key:primary>x",
    "it sent Bearer abc123def456<key:primary>",
    "curl -H \"Authorization: Bearer $ORGO_API_KEY\" -H 'Accept: */*'",
    json.dumps('curl -H "Authorization: Bearer ${ORGO_API_KEY}x"'),
    "Authorization: Bearer &lt;key:primary&gt;",
    "https://x.test/?api_key=<key:primary>&token=",
    '{"api_key": "\\u003ckey:primary\\u003e"}',
    '["authorization","Bearer <key:second>"]',
    '{"token": "", "password": null, "secret": false, "api_key": 5, "apikey": {"in": "header"}}',
    '{"secrets": [{"name": "UPPER"}], "tokens": "many", "next_page_token": "abc", "secret_name": "x"}',
    '{"required": ["token", "password", "secret"], "type": "password", "name": "token"}',
    "The key is sent as a Bearer token. Basic authentication is refused, bearer-authorization too.",
    "Basic building-2 blocks. Bearer YOUR_API_KEY goes here.",
    "components:\n  securitySchemes:\n    apiKey:\n      type: http\nsecurity:\n  - apiKey: []\n",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_text_without_a_credential_has_no_leak(text: str) -> None:
    assert found(text) == []
    assert found(json.dumps({"body": text})) == []


@pytest.mark.parametrize(
    "text",
    [
        f"Basic {b64('user:' + KEY)}",
        f"?api_key={''.join(f'%{ord(char):x}' for char in KEY)}",
        f"{KEY[:19]}_and_something_of_its_own",
    ],
)
def test_leak_contains_only_the_name_of_a_known_key(text: str) -> None:
    secret = KEY.removeprefix("sk_live_test_")
    reported = " ".join(found(text))
    assert reported
    assert not [at for at in range(len(secret) - 3) if secret[at : at + 4] in reported]
    assert not [part for part in (b64(KEY)[:6], "%73") if part in reported]
