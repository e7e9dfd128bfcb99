"""
No encoding hides a secret: it is found in base64, in hexadecimal, in upper and lower case, behind escapes, and in part.

What is left after redaction is read by an oracle with decoders of its own, which share no code with the product.
"""

import base64
import json
import random
import string
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encodings import ENCODINGS, PART, left, word
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.target.redact import PART_CHARS as PART_LENGTH
from touchstone.target.redact import Secrets

KEY = "sk_live_0123456789abcdef"
MARK = "<key:primary>"

PUNCTUATION = "-_.~+/=:;,!?@#$^*()[]{}|'\"<>"
ALPHABETS = (
    string.ascii_letters + string.digits,
    string.hexdigits.lower(),
    string.ascii_letters + string.digits + "-_",
    string.ascii_letters + string.digits + "+/",
    string.ascii_letters + string.digits + PUNCTUATION,
)


MOST_CALLS_PER_BYTE = 8


# --- one encoding at a time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_oracle_reads_every_encoding(encoding: str) -> None:
    """The oracle is no blind judge: it finds the key that nobody has redacted, also in an encoding of an encoding."""
    chance = random.Random(1)
    for within in sorted(ENCODINGS.keys() - {"all at once"}):
        assert left(ENCODINGS[within](ENCODINGS[encoding](KEY, chance), chance), [KEY]) >= {KEY[:PART], KEY[-PART:]}


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("behind", ["", "!", "}}"])
@pytest.mark.parametrize("coded", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_a_longer_text_is_replaced(shift: int, behind: str, coded: Callable[[bytes], bytes]) -> None:
    """Of a run of base64 no character that tells of the key is left, and what stands beside the run is."""
    run = coded(f"{'?>u'[:shift]}{KEY}{behind}".encode()).decode()
    for text in (f"Basic {run}, more", f'{{"a": "{run.rstrip("=")}", "b": 1}}'):
        start, end = text.split(run.rstrip("="))
        marked = Secrets({"primary": KEY}).text(text)
        assert (marked.startswith(start), marked.endswith(end.lstrip("=")), MARK in marked) == (True, True, True)
        assert left(marked, [KEY]) == set()


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\\r\\n", "\n  ", "\\\\n", "%0D%0A"])
@pytest.mark.parametrize("before", range(40, 77, 6))
def test_base64_in_lines_is_replaced(line_break: str, before: int) -> None:
    """Base64 that breaks off after 76 characters and goes on below holds no key, wherever the line ends."""
    run = base64.b64encode(b"x" * before + KEY.encode() + b"y" * 60).decode()
    text = line_break.join(run[at : at + 76] for at in range(0, len(run), 76))
    marked = Secrets({"primary": KEY}).text(text)
    assert MARK in marked
    assert left(marked.replace(MARK, "!").replace(line_break, ""), [KEY]) == set()


def test_credentials_of_basic_authentication_are_replaced() -> None:
    """A key that is sent as a password is not kept."""
    value = "Basic " + base64.b64encode(f"user:{KEY}".encode()).decode()
    ((_, kept),) = Secrets({"primary": KEY}).headers([("Authorization", value)])
    assert left(kept, [KEY]) == set()


@pytest.mark.parametrize("escape", ["\\n", "\\u00e9", "\\xe9", "%0a"])
@pytest.mark.parametrize("user", ["", "u", "us"])
def test_escape_before_base64_stays_whole(escape: str, user: str) -> None:
    """The letters of an escape look like base64 and are none: half an escape would spoil the text around it."""
    run = base64.b64encode(f"{user}{KEY}".encode()).decode()
    marked = Secrets({"primary": KEY}).text(f"a{escape}{run} b")
    assert marked.startswith(f"a{escape}")
    assert marked.endswith(f"{MARK} b")


def test_base64_that_begins_like_the_rest_of_an_escape_is_replaced() -> None:
    """Where the first letters of the base64 spell the key, they are no escape, whatever stands before them."""
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
    """Whichever characters of a key are escaped, and however, its escapes go and what stands beside them stays."""
    secrets = Secrets({"primary": KEY})
    assert secrets.text(f"a%20b {spelling}%20c") == f"a%20b {MARK}%20c"
    assert secrets.text(f"&lt;\\n{spelling}&gt;") == f"&lt;\\n{MARK}&gt;"


@pytest.mark.parametrize("key", ['abc"defghijk', "abc\\\\defghijk", "abc/defghijk"])
def test_key_that_json_escapes_is_replaced(key: str) -> None:
    """What JSON escapes of a key is part of it, also where it is the only escape and one that most bodies have."""
    body = json.dumps({"a": f"x {key}\n"}).replace("/", "\\/")
    assert Secrets({"primary": key}).text(body) == json.dumps({"a": f"x {MARK}\n"})


def test_key_cut_short_is_found_in_base64_and_in_hexadecimal() -> None:
    """A key without its last character is found in base64 and in hexadecimal of nothing but itself."""
    short = KEY[:-1].encode()
    text = f"{base64.b64encode(short).decode().rstrip('=')} {short.hex()}"
    assert Secrets({"primary": KEY}).text(text) == "<key:primary-shorter> <key:primary-shorter>"


@pytest.mark.parametrize("cased", [str.upper, str.lower, str.swapcase, str.title])
@pytest.mark.parametrize("encoding", ["plain", "percent", "unicode escapes", "decimal references", "all at once"])
def test_key_in_another_case_is_replaced(cased: Callable[[str], str], encoding: str) -> None:
    """
    A server may write a key in upper or lower case; a key that differs from another by its case keeps its own name.
    """
    key = "sk_live_AbCdEfGhIj0123456789"
    written = ENCODINGS[encoding](cased(key), random.Random(1))
    assert Secrets({"primary": key}).text(f"a {written} b") == f"a {MARK} b"
    assert Secrets({"primary": key, "recased": key.swapcase()}).text(key.swapcase()) == "<key:recased>"


# --- parts -----------------------------------------------------------------------------------------------------------

LONG = "sk_live_" + "q7Rw2Tz9Xb4Nc6Vd8Kf1Hg"
OTHER = "sk_live_" + "Mm3Pp5Ss7Uu9Ww1Yy2Aa4C"


@pytest.mark.parametrize("start", range(len(LONG) - PART_LENGTH + 1))
@pytest.mark.parametrize("around", ["{}", "key={}, more", "x{}x", "{}…"])
def test_part_of_a_key_is_replaced(start: int, around: str) -> None:
    """Eighteen characters of a key are no coincidence, at its start, in its middle and at its end."""
    secrets = Secrets({"primary": LONG, "second": OTHER})
    for end in range(start + PART_LENGTH, len(LONG)):
        for part in (LONG[start:end], LONG[start:end].upper()):
            assert left(secrets.text(around.format(part)), [LONG]) == set()
    part = LONG[start : start + PART_LENGTH - 1]
    assert secrets.text(around.format(part)) == around.format(part)


def test_part_that_tells_of_no_key_stays() -> None:
    """What several keys begin with, and what a key has in common with the documented example, gives none away."""
    start = "sk_live_staging_of_the_team_"
    secrets = Secrets({"primary": f"{start}q7Rw2Tz9Xb4N", "second": f"{start}c6Vd8Kf1HgJj", "unknown": UNKNOWN_KEY})
    text = f"keys begin with {start}; an example is {UNKNOWN_KEY[:-3]}1"
    assert secrets.text(text) == text
    assert secrets.text(UNKNOWN_KEY) == "<key:unknown>"


def test_key_that_is_a_part_of_another_one_keeps_its_name() -> None:
    """Of two accounts, one of whose keys holds the other, each is named."""
    secrets = Secrets({"primary": LONG, "second": f"{LONG}-of-a-second-account"})
    assert secrets.text(f"{LONG} {LONG}-of-a-second-account") == "<key:primary> <key:second>"


@pytest.mark.parametrize("length", [10, 12, 20, len(LONG) - 1])
def test_key_that_is_cut_at_the_end_is_replaced(length: int) -> None:
    """Where more followed, what a key may begin with is marked, plain and in base64; elsewhere it is a word."""
    secrets = Secrets({"primary": LONG, "second": OTHER})
    coded = base64.b64encode(LONG.encode()).decode()[: length * 4 // 3]
    for part in (LONG[:length], LONG[:length].upper(), LONG.encode().hex()[: 2 * length], coded):
        assert secrets.data(f"body {part}".encode(), is_cut=True) == b"body <key:primary>"
    for whole in (b"body that just ends", b"keys begin with sk_live_"):
        assert secrets.data(whole, is_cut=True) == whole
    assert secrets.data(f"body {LONG[:8]}".encode()) == f"body {LONG[:8]}".encode()


def test_same_run_is_replaced_each_time() -> None:
    """A key is marked as often as it is there."""
    run = base64.b64encode(KEY.encode()).decode()
    assert Secrets({"primary": KEY}).text(f"{run} {run}%20{run}") == f"{MARK} {MARK}%20{MARK}"


def test_longest_key_wins_over_all_that_it_overlaps() -> None:
    """Keys within the longest one, and one that begins at its end, become one marker with it."""
    secrets = Secrets({"long": "abcdefghij0123456789", "within": "bcdefghi", "behind": "6789-rest"})
    assert secrets.text("abcdefghij0123456789-rest, 6789-rest") == "<key:long>, <key:behind>"


def test_longest_key_wins_where_an_escape_hides_how_long_it_is() -> None:
    """A key that begins with another one is the longer one, also where only an escape makes it so."""
    secrets = Secrets({"primary": KEY, "longer": f"{KEY}x", "headless": KEY[1:]})
    assert secrets.text(f"{KEY}%78 %73{KEY[1:]} {KEY[1:]}") == f"<key:longer> {MARK} <key:headless>"


def test_keys_in_one_run_of_base64_are_both_replaced() -> None:
    """A run that holds two keys, or runs into a key, keeps no part of either."""
    keys = [KEY, "another.key-of-1234567890"]
    secrets = Secrets(dict(zip(("primary", "second"), keys, strict=True)))
    both = base64.b64encode(" ".join(keys).encode()).decode()
    assert left(secrets.text(f"[{both}] [{keys[1]}{both}]"), keys) == set()


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "3f2b8c1e-9d4a-4f6b-8e2a-1c5d7e9f0a2b",
        base64.b64encode(b"user:another_key_that_is_not_ours").decode(),
        base64.b64encode(KEY[:16].encode() + b"zz").decode(),
        KEY[:16].encode().hex(),
        KEY.replace("_", "%5E"),
        "100% of %zz &unknown; &#; \\q \\u00zz \\",
    ],
)
def test_text_that_only_resembles_a_secret_stays(text: str) -> None:
    """
    Digests, identifiers, other credentials and broken escapes stay, and so does what agrees with a key but for its end.
    """
    secrets = Secrets({"primary": f"{KEY}0123"})
    assert secrets.text(text) == text


def test_bytes_that_are_no_text_stay_around_an_encoded_key() -> None:
    """Only the key changes in a body that is not UTF-8, also where it is in base64."""
    run = base64.b64encode(KEY.encode())
    secrets = Secrets({"primary": KEY})
    assert secrets.data(b"\xff\\\xfe " + run + b" \x80%5f") == b"\xff\\\xfe " + MARK.encode() + b" \x80%5f"


def test_no_secrets_are_nowhere() -> None:
    """Without a secret nothing is looked for."""
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
AROUND = st.text(st.sampled_from(string.printable + "äß€😀"), max_size=30)
# What stands right before a key: also what may be taken for a part of its base64 or hexadecimal.
GAPS = st.sampled_from([" ", '"', "=", ":", "/", "\n", "x", "7", "Q", "\\n", "%20"])


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_no_key_survives_in_an_encoding(encoding: str) -> None:
    """Every encoding is tried with keys of every kind, and with whatever may stand before one."""
    chance = random.Random(encoding)
    for gap in (" ", '"', "/", "x", "Q7", "\\n", "%20", "%"):
        for _ in range(10):
            key, other = key_of(chance.randrange(2**32)), key_of(chance.randrange(2**32))
            text = gap + ENCODINGS[encoding](word(chance) + key, chance)
            assert left(Secrets({"primary": key, "second": other}).text(text), [key]) == set(), text


@settings(max_examples=100)
@given(KEYS, st.tuples(NAMES, NAMES, NAMES), st.tuples(AROUND, AROUND), GAPS, SEEDS)
def test_no_key_survives_in_any_encoding(
    keys: list[str], names: tuple[str, ...], around: tuple[str, str], gap: str, seed: int
) -> None:
    """Of three keys, each in an encoding, no twelve characters are left for whoever decodes the text."""
    chance = random.Random(seed)
    written = [ENCODINGS[name](word(chance) + key, chance) for key, name in zip(keys, names, strict=True)]
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
    """Escapes, base64 and hexadecimal of other texts are evidence, and not a byte of them changes."""
    chance = random.Random(seed)
    text = around.join(
        ENCODINGS[out](ENCODINGS[within](said, chance), chance) for within, out, said in written if said.isascii()
    )
    secrets = Secrets(dict(zip(("primary", "second", "restricted"), keys, strict=True)))
    assert secrets.text(text) == text
    assert secrets.data(random.Random(seed).randbytes(2000)) == random.Random(seed).randbytes(2000)


@settings(max_examples=100)
@given(SEEDS.map(key_of), NAMES, AROUND, GAPS, SEEDS)
def test_json_stays_json(key: str, name: str, around: str, gap: str, seed: int) -> None:
    """A body that is JSON is JSON with a marker in it: what is taken out is no half of an escape."""
    chance = random.Random(seed)
    said = around + gap + ENCODINGS[name](key, chance) + around
    body = json.dumps({"log": [around, said]}, ensure_ascii=chance.random() < 0.5)
    redacted = json.loads(Secrets({"primary": key}).text(body))
    assert redacted["log"][0] == around
    assert MARK in redacted["log"][1] or "<key:primary-shorter>" in redacted["log"][1]


@pytest.mark.parametrize("kind", ["escapes", "beginnings", "runs", "wrapped", "blocks"])
def test_work_grows_no_faster_than_the_text(kind: str) -> None:
    """The work for each byte has a bound, whatever a server fills a text with, and however long it is."""
    chance = random.Random(kind)
    texts: dict[str, Callable[[], str]] = {
        "escapes": lambda: (
            chance.choice(["%%%02X", "\\u%04x", "&#%d;", "\\x%02x", "%%25%02X"]) % ord(chance.choice(KEY))
        ),
        "beginnings": lambda: KEY[: chance.randrange(1, 20)],
        "runs": lambda: base64.b64encode(KEY[: chance.randrange(20)].encode()).decode(),
        "wrapped": lambda: base64.b64encode(KEY.encode()).decode()[: chance.randrange(30)] + "\n",
        "blocks": lambda: KEY[6 : 6 + chance.randrange(9, 17)] + "-",
    }
    text = "".join(texts[kind]() for _ in range(2000))
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    secrets = Secrets({"primary": KEY, "second": f"{KEY[:20]}0246"})
    secrets.text(text)  # what is made once for all is made
    for data in (text, text * 4):
        calls = 0
        sys.setprofile(count)
        try:
            secrets.text(data)
        finally:
            sys.setprofile(None)
        assert calls <= MOST_CALLS_PER_BYTE * len(data)
