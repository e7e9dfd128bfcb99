"""A second look finds what redaction left, says where and what it is, and gives none of it away."""

import base64
import html
import json
import random
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.facts.leaks import Leak, leaks
from touchstone.facts.redaction_guard import PART_CHARS

KEYS = {
    "primary": "sk_live_test_0a1B2c3D4e5F6g7H",
    "second": "sk_live_test_9z8Y7x6W5v4U3t2S",
    "restricted": "sk_live_test_QqWwEeRrTtYyUuIi",
}
KEY = KEYS["primary"]
STRANGER = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
NOBODY = "sk_live_000000000000000000000000"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def said(text: str) -> list[str]:
    """What is found in a text, without the number of the line."""
    return [leak.what for leak in leaks(text, KEYS)]


# Each takes a text and writes it otherwise; the ones with a number leave every so many characters as they are.
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent 2": lambda text: "".join(
        char if n % 2 and char != "%" else f"%{ord(char):02X}" for n, char in enumerate(text)
    ),
    "percent twice": lambda text: "".join(f"%25{byte:02X}" for byte in text.encode()),
    "JSON": lambda text: json.dumps({"said": text}),
    "unicode escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "hex escapes 3": lambda text: "".join(f"\\x{ord(c):02x}" if n % 3 or c == "\\" else c for n, c in enumerate(text)),
    "HTML": html.escape,
    "decimal references": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "hex references 2": lambda text: "".join(f"&#x{ord(c):X};" if n % 2 or c == "&" else c for n, c in enumerate(text)),
    "base64": b64,
    "base64, shifted by one": lambda text: b64("?" + text + "?"),
    "base64, shifted by two": lambda text: b64("?>" + text).rstrip("="),
    "urlsafe base64": lambda text: base64.urlsafe_b64encode(f"{text}?>?>".encode()).decode(),
    "base64 behind a path": lambda text: f"/v1/x/{b64(text)}",
    "hex": lambda text: text.encode().hex(),
    "HEX behind a digit": lambda text: "0" + text.encode().hex().upper(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_key_is_found_in_every_encoding_of_an_encoding(encoding: str) -> None:
    """A key is named on its line, whichever way it is written; so is the part of it that is left of a cut."""
    outer = ENCODINGS[encoding]
    for name, inner in ENCODINGS.items():
        if "percent twice" in (name, encoding) and "plain" not in (name, encoding):
            continue  # decoded three times
        text = f'first\n{{"a": "<key:primary>", "b": "{outer("x" + inner(KEY) + " z")}"}}\nlast'
        assert Leak(2, "the primary key") in leaks(text, KEYS), name
        text = f"first\n\n{outer('x ' + inner(KEYS['second'][-PART_CHARS:]))} <key:second>"
        assert Leak(3, "a part of the second key") in leaks(text, KEYS), name


@settings(max_examples=100)
@given(
    st.integers(0, 2**32),
    st.sampled_from([string.ascii_letters + string.digits, string.hexdigits, string.printable[:95].replace("\\", "")]),
    st.lists(st.sampled_from(sorted(ENCODINGS.keys() - {"percent twice"})), min_size=1, max_size=2),
    st.text(st.sampled_from(string.printable + "äß€😀"), max_size=40),
)
def test_key_of_any_alphabet_is_found(seed: int, alphabet: str, encodings: list[str], around: str) -> None:
    """A key is found whatever it consists of and whatever stands around it, on the line where it stands."""
    key = "".join(random.Random(seed).choices(alphabet, k=24))
    written = key
    for encoding in encodings:
        written = ENCODINGS[encoding](written)
    text = f"{around}\n{written}\n{around}"
    assert Leak(2 + around.count("\n"), "the odd key") in leaks(text, {"odd": key})
    assert leaks(f"{around}\n<key:odd>\n{around}", {"odd": key}) == ()


def test_every_line_with_a_key_is_named() -> None:
    """Each line and each key is reported once, in the order of the lines."""
    text = f"{KEYS['second']} {KEY}\nnothing\n{KEY} {quote(KEY)} {b64(KEY)}\n"
    assert leaks(text, KEYS) == (Leak(1, "the primary key"), Leak(1, "the second key"), Leak(3, "the primary key"))


def test_line_break_that_is_escaped_counts_no_line() -> None:
    """Lines are those of the text, however many more it has once it is decoded."""
    text = f'"a\\nb\\u000ac%0Ad&#10;e"\n{b64("x y z" + chr(10) * 9 + KEY)}\n"%41\\n\\n"\n\\u0073{KEY[1:]}'
    assert [leak.line for leak in leaks(text, KEYS) if leak.what == "the primary key"] == [2, 4]


def test_part_of_a_key_counts_from_a_length_on() -> None:
    """A short piece of a key may be chance; a longer one is a leak, at its start, in its middle and at its end."""
    for start in (0, 3, len(KEY) - PART_CHARS):
        part = KEY[start : start + PART_CHARS]
        assert said(part) == said(f"x{part.upper()}x") == ["a part of the primary key"]
        assert said(part[1:]) == []


def test_what_two_keys_begin_with_is_no_part_of_one() -> None:
    """A prefix that two keys share gives none away; a key that is another one cut short shares all of it and does."""
    keys = {"primary": f"sk_live_staging_team_{KEY}", "second": f"sk_live_staging_team_{STRANGER}"}
    assert leaks("keys begin with sk_live_staging_team_", keys) == ()
    assert leaks(KEY[:-2], {"primary": KEY, "cut": KEY[:-1]}) == (Leak(1, "a part of the primary key"),)


def test_key_that_is_whole_on_a_line_is_not_in_parts_as_well() -> None:
    """A spelling of a key shows parts of it before it is decoded, which is no second leak."""
    assert said(f"%73{KEY[1:]}") == ["the primary key"]


def test_part_that_the_documented_key_has_as_well_is_harmless() -> None:
    """A key that begins with zeros shares them with the one that nobody has."""
    key = "sk_live_0000000000000000000000ab"
    assert leaks(NOBODY, {"primary": key}) == ()
    assert leaks(key, {"primary": key}) == (Leak(1, "the primary key"),)


def test_known_key_too_short_or_nobody_s_is_not_looked_for() -> None:
    """A few letters occur by chance, and the documented example is everybody's."""
    assert leaks(f"abcde {NOBODY} 0000000000000000", {"tiny": "abcde", "unknown": NOBODY}) == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (STRANGER, "something like an API key"),
        (f"key={STRANGER}!", "something like an API key"),
        ("sk_test_" + "a1" * 8, "something like an API key"),
        (f"{NOBODY}0", "something like an API key"),
        (JWT, "something like a JSON web token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII", "a private key"),
        ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ("id AKIAIOSFODNN7EXAMPLE.", "something like an AWS access key id"),
        ("Authorization: Bearer abc123def456", "what follows Bearer"),
        ("it sent bearer abcDEFghi", "what follows Bearer"),
        ("Bearer abcdefghijklmnopqrstuvwxyz", "what follows Bearer"),
        ("Basic dXNlcjpwYXNz", "what follows Basic"),
        ("Basic abcdefghijklmnopqrstuv", "what follows Basic"),
        ('{"token": "abcdef"}', "a value called token"),
        ('{"Password":"x"}', "a value called password"),
        ("{'db_password': 'hunter22'}", "a value called password"),
        ("login password='hunter22'", "a value called password"),
        ('{"clientSecret": "it\'s odd"}', "a value called secret"),
        ('{"access_token" : "abcdef', "a value called token"),
        ('{"aws_secret_access_key": "abcdef"}', "a value called secret"),
        ("/path?x=1&api_key=abcdef&y=2", "a value called api_key"),
        ("GET /?apikey=abcdef HTTP/1.1", "a value called apikey"),
        ("user=me&password=abcdef", "a value called password"),
        ("authorization: abcdef", "a value called authorization"),
        ("X-Api-Key: abcdef", "a value called api-key"),
        ("Set-Cookie: session=abcdef; Path=/", "a value called cookie"),
        ("cookie:\n  - abcdef", "a value called cookie"),
        ('"Cookie": ["abcdef"]', "a value called cookie"),
        ('["authorization", "abcdef"]', "a value called authorization"),
        ('{\n "name": "X-API-Key",\n "value": "abcdef"\n}', "a value called api-key"),
        ('{"name": "api_key", "value": "abcdef"}', "a value called api_key"),
    ],
)
def test_credential_that_nobody_told_of_is_found(text: str, what: str) -> None:
    """What has the form of a credential, or the name of one, is reported, and told once; its start is shown."""
    assert said(text) == [what]
    assert what in said(json.dumps({"body": json.dumps(text)})) or "\n" in text


def test_unknown_credential_is_found_in_what_a_text_decodes_to() -> None:
    """Forms and names count at every depth, and the line is that of the encoded text."""
    text = "\n".join([b64(f'{{"api_key": "{STRANGER}"}}'), quote("?token=abcdef"), "%3Ftoken%3D%3Ckey:primary%3E"])
    assert leaks(text, KEYS) == (
        Leak(1, "something like an API key"),
        Leak(2, "a value called token"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        '{"request_id": "req_5f0c7f6e0c1b4b6f9a3f", "build": "3f2b8c1e-9d4a-4f6b-8e2a-1c5d7e9f0a2b"}',
        '{"etag": "W/\\"33a64df551425fcc55e4d42a148795d9f25f89d4\\"", "image": "x@sha256:' + "0a" * 32 + '"}',
        '{"namespace": "default", "name": "touchstone-ab12-a-template-with-a-long-name", "version": "1.0.0"}',
        '{"credential": "primary", "operation": "getBuild", "case": "lifecycle.start_of_a_running_build"}',
        "AKIAIOSFODNN7EXAMPLEANDMORE xAKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9 eyJ.a.b",
        "-----BEGIN PUBLIC KEY-----",
        "sk_live_short sk_live_ sk_live_…",
        f"Authorization: Bearer {NOBODY}",
        "Authorization: Bearer <key:primary>",
        "Authorization: Basic <key:primary>",
        "Authorization: Bearer <key:primary>x",
        "it sent Bearer abc123def456<key:primary>",
        "Authorization: Bearer ",
        "Authorization: Bearer\nAccept: */*",
        "authorization: <redacted>",
        "curl -H \"Authorization: Bearer $ORGO_API_KEY\" -H 'Accept: */*'",
        json.dumps('curl -H "Authorization: Bearer ${ORGO_API_KEY}x"'),
        "Authorization: Bearer $(printf %s \"$ORGO_API_KEY\" | tr 'a-zA-Z' 'A-Za-z')",
        "Authorization: Bearer &lt;key:primary&gt;",
        "https://x.test/?api_key=%3Ckey:primary%3E",
        "https://x.test/?api_key=<key:primary>&token=",
        '{"api_key": "\\u003ckey:primary\\u003e"}',
        '["authorization","Bearer <key:second>"]',
        '["Set-Cookie", "<redacted>"]',
        '{"name": "Authorization", "value": "Bearer <key:primary>"}',
        '{"token": "", "password": null, "secret": false, "api_key": 5, "apikey": {"in": "header"}}',
        '{"api_key": "set", "password": "********"}',
        '{"secrets": [{"name": "UPPER"}], "tokens": "many", "next_page_token": "abc", "secret_name": "x"}',
        '{"required": ["token", "password", "secret"], "type": "password", "name": "token"}',
        'WWW-Authenticate: Bearer realm="builds", error="invalid_token", error_description="none"',
        'WWW-Authenticate: Bearer resource_metadata="https://x.test"',
        "The key is sent as a Bearer token. Basic authentication is refused, bearer-authorization too.",
        "Basic building-2 blocks. Bearer YOUR_API_KEY goes here.",
        "components:\n  securitySchemes:\n    apiKey:\n      type: http\nsecurity:\n  - apiKey: []\n",
        "if token == other: password: what follows is prose",
        b64("nothing but a long text, with words: and numbers like 12345"),
        "sk_live_test_",
    ],
)
def test_text_without_a_credential_is_let_pass(text: str) -> None:
    """Digests, identifiers, names, markers in any spelling, places to fill in, and prose are no credentials."""
    assert said(text) == []
    assert said(json.dumps({"body": text})) == []


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {KEY}",
        f"Bearer {KEY}x",
        f"Bearer x{KEY[5:]}",
        f"Basic {b64('user:' + KEY)}",
        f"Basic {b64(KEY + ':')}",
        f"?api_key={quote(KEY)}&x=%41",
        f"?api_key={''.join(f'%{ord(char):x}' for char in KEY)}",
        f'{{"token": "{KEY[13:22]}"}}',
        f'{{"token": "-{KEY[13:24]}"}}',
        f"cookie: a={KEY[:-3]}; b={KEY}",
        f"{KEY[:19]}_and_something_of_its_own",
    ],
)
def test_report_says_nothing_of_a_known_key_but_its_name(text: str) -> None:
    """No four characters of a key are in what is said of it, whole or in part, plain or encoded."""
    found = said(text)
    secret = KEY.removeprefix("sk_live_test_")
    assert found
    for what in found:
        assert not [at for at in range(len(secret) - 3) if secret[at : at + 4] in what]
        assert b64(KEY)[:6] not in what
        assert "%73" not in what


@pytest.mark.parametrize("kind", ["lines", "one line", "digests", "base64", "escapes"])
def test_megabyte_without_a_secret_is_clean(kind: str) -> None:
    """
    A long recording is read to its end, whatever it is full of; what grew with the square of it would not come back.
    """
    chance = random.Random(1)
    entry = {
        "name": "Authorization",
        "value": "Bearer <key:primary>",
        "url": "https://x.test/a%2Fb?x=1&y=2",
        "n": '"a"\n',
    }
    texts = {
        "lines": (json.dumps(entry, indent=1) + "\n") * 7000,
        "one line": json.dumps([entry] * 8000),
        "digests": "".join(f"sha256:{chance.randbytes(32).hex()}\n" for _ in range(14000)),
        "base64": base64.b64encode(chance.randbytes(750_000)).decode(),
        "escapes": json.dumps(json.dumps(['a "word"\n'] * 40_000)),
    }
    assert len(texts[kind]) > 700_000
    assert leaks(texts[kind], KEYS) == ()
