"""
No encoding hides a secret: it is found in base64, in hexadecimal, behind escapes, and in one of these inside another.

What is left after redaction is read by an oracle with decoders of its own, which share no code with the product.
"""

import base64
import json
import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encodings import ENCODINGS, PART, left, word
from touchstone.redact import Secrets

KEY = "sk_live_0123456789abcdef"
MARK = "<key:primary>"

PUNCTUATION = "-_.~+/=:;,!?@#$^*()[]{}|'\"\\&<>% "
ALPHABETS = (
    string.ascii_letters + string.digits,
    string.hexdigits.lower(),
    string.ascii_letters + string.digits + "-_",
    string.ascii_letters + string.digits + "+/",
    string.ascii_letters + string.digits + PUNCTUATION,
)


# --- one encoding at a time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_oracle_reads_every_encoding(encoding: str) -> None:
    """
    The oracle is no blind judge: it finds the key that nobody has redacted, also in an encoding of an encoding.
    """
    chance = random.Random(1)
    for within in sorted(ENCODINGS.keys() - {"all at once"}):
        assert left(ENCODINGS[within](ENCODINGS[encoding](KEY, chance), chance), [KEY]) >= {KEY[:PART], KEY[-PART:]}


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("behind", ["", "!", "}}"])
@pytest.mark.parametrize("coded", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_a_longer_text_is_replaced_whole(shift: int, behind: str, coded: Callable[[bytes], bytes]) -> None:
    """
    The run of base64 around a key goes as a whole, padding included, since its edges show parts of the key.
    """
    run = coded(f"{'?>u'[:shift]}{KEY}{behind}".encode()).decode()
    secrets = Secrets({"primary": KEY})
    assert secrets.text(f"Basic {run}, more") == f"Basic {MARK}, more"
    assert secrets.text(f'{{"a": "{run.rstrip("=")}"}}') == f'{{"a": "{MARK}"}}'


def test_credentials_of_basic_authentication_are_replaced() -> None:
    """
    A key that is sent as a password leaves the scheme, and a header of which nothing else is to be hidden.
    """
    value = "Basic " + base64.b64encode(f"user:{KEY}".encode()).decode()
    assert Secrets({"primary": KEY}).headers([("Authorization", value)]) == (("Authorization", f"Basic {MARK}"),)


def test_word_that_base64_follows_without_a_gap_goes_with_it() -> None:
    """
    A path is made of letters of base64; where it ends nobody can tell.
    """
    run = base64.b64encode(f"a user:{KEY}".encode()).decode()
    assert Secrets({"primary": KEY}).text(f"https://x.test/v1/{run}") == f"https://x.{MARK}"


@pytest.mark.parametrize("escape", ["\\n", "\\u00e9", "\\xe9", "%0a"])
def test_escape_before_base64_stays_whole(escape: str) -> None:
    """
    The letters of an escape look like base64 and are none: half an escape would spoil the text around it.
    """
    run = base64.b64encode(f"user:{KEY}".encode()).decode()
    assert Secrets({"primary": KEY}).text(f"a{escape}{run} b") == f"a{escape}{MARK} b"


def test_base64_that_begins_like_the_rest_of_an_escape_is_replaced() -> None:
    """
    Where the first letters of the base64 spell the key, they are no escape, whatever stands before them.
    """
    run = base64.b64encode(KEY.encode()).decode()
    assert run.startswith("c2")
    assert Secrets({"primary": KEY}).text(f"100%{run}") == f"100%{MARK}"


@pytest.mark.parametrize("digits", [KEY.encode().hex(), KEY.encode().hex().upper()])
def test_hexadecimal_is_replaced_to_the_digit(digits: str) -> None:
    """
    Of hexadecimal only the digits of the key go: those around it show nothing of it, at an even place or an odd one.
    """
    secrets = Secrets({"primary": KEY})
    assert secrets.text(f"x-{digits}-x") == f"x-{MARK}-x"
    assert secrets.text(f"00{digits}ff {digits} 0{digits}") == f"00{MARK}ff {MARK} 0{MARK}"


@pytest.mark.parametrize(
    "spelling",
    [
        KEY.replace("_", "%5F"),
        KEY.replace("_", "%5f"),
        KEY.replace("_", "%255F"),
        KEY.replace("s", "%73").replace("f", "%66"),
        KEY.replace("_", "\\u005f"),
        KEY.replace("_", "\\u005F"),
        KEY.replace("_", "\\u{5f}"),
        KEY.replace("_", "\\\\u005f"),
        KEY.replace("_", "\\_"),
        KEY.replace("s", "\\x73").replace("f", "\\x66"),
        KEY.replace("_", "&#95;"),
        KEY.replace("_", "&#095;"),
        KEY.replace("_", "&#x5f;"),
        KEY.replace("_", "&#X5F;"),
        KEY.replace("_", "&#95", 1),
        KEY.replace("_", "&lowbar;"),
        KEY.replace("_", "&amp;#95;"),
        KEY.replace("s", "%73").replace("k", "\\u006b").replace("l", "&#108;").replace("f", "&#x66;"),
        "".join(f"%{ord(char):02x}" for char in KEY),
        "".join(f"\\u{ord(char):04x}" for char in KEY),
        "".join(f"&#x{ord(char):x};" for char in KEY),
    ],
)
def test_key_with_escaped_characters_is_replaced_to_the_character(spelling: str) -> None:
    """
    Whichever characters of a key are escaped, and however, its escapes go and what stands beside them stays.
    """
    secrets = Secrets({"primary": KEY})
    assert secrets.text(f"a%20b {spelling}%20c") == f"a%20b {MARK}%20c"
    assert secrets.text(f"&lt;\\n{spelling}&gt;") == f"&lt;\\n{MARK}&gt;"


def test_plus_is_a_space_where_a_key_has_one() -> None:
    """
    A form writes a space as a plus; a plus of the key itself is escaped there.
    """
    assert Secrets({"primary": "a b+c d e f"}).text("k=a+b%2Bc+d+e+f&x=1+2") == f"k={MARK}&x=1+2"


def test_character_that_is_no_ascii_is_found_as_bytes_and_as_number() -> None:
    r"""
    Of ``\xfc`` and ``\xc3\xbc`` each is an ü in some language; beyond 16 bits, JSON writes two halves.
    """
    secrets = Secrets({"primary": "Schlüssel-😀!"})
    spellings = ("Schl\\xfcssel-😀!", "Schl\\xc3\\xbcssel-😀!", "Schlüssel-\\ud83d\\ude00!", "Schlüssel-%F0%9F%98%80!")
    assert [secrets.text(spelling) for spelling in spellings] == [MARK] * 4


@pytest.mark.parametrize("key", ['abc"defghijk', "abc\tdefghijk", "abc\\\\defghijk", "abc/defghijk"])
def test_key_that_json_escapes_is_replaced(key: str) -> None:
    """
    What JSON escapes of a key is part of it, also where it is the only escape and one that most bodies have.
    """
    body = json.dumps({"a": f"x {key}\n"}).replace("/", "\\/")
    assert Secrets({"primary": key}).text(body) == json.dumps({"a": f"x {MARK}\n"})


def test_escape_that_is_more_than_the_key_goes_whole() -> None:
    """
    Of an escape that stands for two characters no half can stay.
    """
    assert Secrets({"primary": "jklm-0123"}).text("x&fjlig;klm-0123 y") == f"x{MARK} y"


def test_shortest_spelling_of_the_shortest_secret_is_found() -> None:
    """
    A key cut short is found in base64 and in hexadecimal of nothing but itself.
    """
    secrets = Secrets({"primary": KEY})
    short = KEY[:-1].encode()
    text = f"{base64.b64encode(short).decode().rstrip('=')} {short.hex()}"
    assert secrets.text(text) == "<key:primary-shorter> <key:primary-shorter>"


def test_same_run_is_replaced_each_time() -> None:
    """
    What has been read once is read again elsewhere.
    """
    run = base64.b64encode(KEY.replace("_", "%5F").encode()).decode()
    assert Secrets({"primary": KEY}).text(f"{run} {run}%20{run}") == f"{MARK} {MARK}%20{MARK}"


def test_what_touches_a_run_is_another_secret() -> None:
    """
    A key that follows the padding of a run gets a marker of its own.
    """
    run = base64.b64encode(f"{KEY}!".encode()).decode()
    assert run.endswith("=")
    assert Secrets({"primary": KEY}).text(f"{run}{KEY}") == f"{MARK}{MARK}"


def test_longest_key_wins_over_all_that_it_overlaps() -> None:
    """
    Keys within the longest one, and one that begins at its end, leave it in one piece.
    """
    secrets = Secrets({"long": "abcdefghij0123456789", "within": "bcdefghi", "behind": "6789-rest"})
    assert secrets.text("abcdefghij0123456789-rest, 6789-rest") == "<key:long>-rest, <key:behind>"


def test_longest_key_wins_where_an_escape_hides_how_long_it_is() -> None:
    """
    A key that begins with another one is the longer one, also where only an escape makes it so.
    """
    secrets = Secrets({"primary": KEY, "longer": f"{KEY}x", "headless": KEY[1:]})
    assert secrets.text(f"{KEY}%78 %73{KEY[1:]} {KEY[1:]}") == f"<key:longer> {MARK} <key:headless>"


def test_keys_in_one_run_of_base64_leave_one_marker() -> None:
    """
    A run that holds two keys, or runs into a key, becomes one marker, and no part of a key stays beside it.
    """
    secrets = Secrets({"primary": KEY, "second": "another.key-of-1234567890"})
    both = base64.b64encode(f"{KEY} another.key-of-1234567890".encode()).decode()
    assert secrets.text(f"[{both}]") == "[<key:second>]"
    assert secrets.text(f"[another.key-of-1234567890{both}]") == "[<key:second>]"


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "3f2b8c1e-9d4a-4f6b-8e2a-1c5d7e9f0a2b",
        base64.b64encode(b"user:another_key_that_is_not_ours").decode(),
        base64.b64encode(KEY[:-2].encode() + b"zz").decode(),
        KEY[:-2].encode().hex(),
        KEY.replace("_", "%5E"),
        "100% of %zz &unknown; &#; \\q \\u00zz \\",
        "c2tfbGl2ZV8wMTIzNDU2Nzg5YWJjZGU=",  # all but the last two characters, and an edge that fits
    ],
)
def test_text_that_only_resembles_a_secret_stays(text: str) -> None:
    """
    Digests, identifiers, other credentials and broken escapes stay, and so does what agrees with a key but for its end.
    """
    secrets = Secrets({"primary": f"{KEY}0123"})
    assert secrets.text(text) == text


def test_bytes_that_are_no_text_stay_around_an_encoded_key() -> None:
    """
    Only the key changes in a body that is not UTF-8, also where it is read from base64.
    """
    run = base64.b64encode(b"\xff\x00" + KEY.encode())
    secrets = Secrets({"primary": KEY})
    assert secrets.data(b"\xff\\\xfe " + run + b" \x80%5f") == b"\xff\\\xfe " + MARK.encode() + b" \x80%5f"


def test_no_secrets_are_nowhere() -> None:
    """
    Without a secret nothing is looked for.
    """
    text = f"%41 {base64.b64encode(b'some text or other').decode()} &amp;"
    assert Secrets({"none": None}).text(text) == text


# --- properties ------------------------------------------------------------------------------------------------------


def key_of(seed: int) -> str:
    """A key of a kind that is in use, or an odd one."""
    chance = random.Random(seed)
    start = chance.choice(["sk_live_", "sk_live_test_", "orgo-", ""])
    return start + "".join(chance.choices(chance.choice(ALPHABETS), k=chance.randrange(20, 40)))


SEEDS = st.integers(0, 2**32)
KEYS = st.lists(SEEDS.map(key_of), min_size=3, max_size=3, unique=True)
NAMES = st.sampled_from(sorted(ENCODINGS))
# Three kinds at once within three kinds at once can be read in one order only.
OUTER = st.sampled_from(sorted(ENCODINGS.keys() - {"all at once"}))
AROUND = st.text(st.sampled_from(string.printable + "äß€😀"), max_size=30)
# What stands right before a key: also what may be taken for a part of its base64 or hexadecimal.
GAPS = st.sampled_from([" ", '"', "=", ":", "/", "\n", "x", "7", "Q", "\\n", "%20"])


@pytest.mark.parametrize("out", sorted(ENCODINGS.keys() - {"all at once"}))
def test_no_key_survives_in_an_encoding_of_an_encoding(out: str) -> None:
    """
    Every pair of encodings is tried, with keys of every kind, and with whatever may stand before one.
    """
    chance = random.Random(out)
    for within in sorted(ENCODINGS):
        for gap in (" ", '"', "/", "x", "Q7", "\\n", "%20", "%"):
            key, other = key_of(chance.randrange(2**32)), key_of(chance.randrange(2**32))
            text = gap + ENCODINGS[out](word(chance) + ENCODINGS[within](key, chance), chance)
            assert left(Secrets({"primary": key, "second": other}).text(text), [key]) == set(), text


@settings(max_examples=100)
@given(KEYS, st.tuples(NAMES, NAMES, NAMES), st.tuples(OUTER, OUTER, OUTER), st.tuples(AROUND, AROUND), GAPS, SEEDS)
def test_no_key_survives_in_any_encoding(
    keys: list[str],
    inner: tuple[str, ...],
    outer: tuple[str, ...],
    around: tuple[str, str],
    gap: str,
    seed: int,
) -> None:
    """
    Of three keys, each in an encoding of an encoding, no twelve characters are left for whoever decodes the text.
    """
    chance = random.Random(seed)
    written = [
        ENCODINGS[out](word(chance) + ENCODINGS[within](key, chance), chance)
        for key, within, out in zip(keys, inner, outer, strict=True)
    ]
    text = around[0] + gap + f"{around[1]} {gap}".join(written) + around[1]
    secrets = Secrets(dict(zip(("primary", "second", "restricted"), keys, strict=True)))
    redacted = secrets.text(text)
    assert left(redacted, keys) == set()
    assert secrets.text(redacted) == redacted


@settings(max_examples=100)
@given(KEYS, st.lists(st.tuples(NAMES, NAMES, AROUND), max_size=4), AROUND, SEEDS)
def test_text_without_a_secret_stays_as_it_is(
    keys: list[str], written: list[tuple[str, str, str]], around: str, seed: int
) -> None:
    """
    Escapes, base64 and hexadecimal of other texts are evidence, and not a byte of them changes.
    """
    chance = random.Random(seed)
    text = around.join(
        ENCODINGS[out](ENCODINGS[within](said, chance), chance) for within, out, said in written if said.isascii()
    )
    secrets = Secrets(dict(zip(("primary", "second", "restricted"), keys, strict=True)))
    assert secrets.text(text) == text
    assert secrets.data(random.Random(seed).randbytes(2000)) == random.Random(seed).randbytes(2000)


@settings(max_examples=100)
@given(SEEDS.map(key_of), NAMES, OUTER, AROUND, GAPS, SEEDS)
def test_json_stays_json(key: str, within: str, out: str, around: str, gap: str, seed: int) -> None:
    """
    A body that is JSON is JSON with a marker in it: what is taken out is no half of an escape.
    """
    chance = random.Random(seed)
    said = around + gap + ENCODINGS[out](ENCODINGS[within](key, chance), chance) + around
    body = json.dumps({"log": [around, said]}, ensure_ascii=chance.random() < 0.5)
    redacted = json.loads(Secrets({"primary": key}).text(body))
    assert redacted["log"][0] == around
    assert MARK in redacted["log"][1] or "<key:primary-shorter>" in redacted["log"][1]
