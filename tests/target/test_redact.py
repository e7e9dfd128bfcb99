"""Redaction removes all secrets: plain, in another encoding or case, escaped, in part, or cut off.

An oracle reads the redacted text with decoders of its own, which share no code with the product.
"""

import base64
import json
import random
import string
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encodings import ENCODINGS, left, word
from touchstone.contract.document import Contract
from touchstone.errors import MIN_SECRET_LENGTH
from touchstone.facts.exchange import Response
from touchstone.facts.key_sources import UNKNOWN_KEY
from touchstone.target.bounds import KEPT_BYTES, Bounds
from touchstone.target.call import Call
from touchstone.target.keys import Keys
from touchstone.target.redact import PART_CHARS, Secrets, marker
from touchstone.target.transport import Transport

KEY = "sk_live_0123456789abcdef"
MIXED = "sk_live_AbCdEf0123456789"
LONG, OTHER = "sk_live_q7Rw2Tz9Xb4Nc6Vd8Kf1Hg", "sk_live_Mm3Pp5Ss7Uu9Ww1Yy2Aa4C"
MARK = "<key:primary>"
ONE = Secrets({"primary": KEY})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        ({"short": "abcdefgh", "long": "abcdefgh-and-more"}, "abcdefgh-and-more abcdefgh", "<key:long> <key:short>"),
        ({"short": "token-123456", "long": "123456-the-secret"}, "a token-123456-the-secret", "a <key:long>"),
        ({"shorter": KEY[:-1], "primary": KEY}, f"{KEY[:-1]} {KEY}", f"<key:shorter> {MARK}"),
        ({"primary": KEY, "second": "primary"}, f"{KEY} primary", f"{MARK} <key:second>"),
        ({"tiny": "a" * (MIN_SECRET_LENGTH - 1), "empty": "", "none": None}, "aaaaaa none", "aaaaaa none"),
        ({"primary": KEY}, f"{b64(KEY[:-1]).rstrip('=')} {KEY[:-1].encode().hex()}", "<key:primary-shorter> " * 2),
        ({"primary": KEY}, f"100%{b64(KEY)}", f"100%{MARK}"),
        ({"primary": LONG, "second": f"{LONG}-of-another"}, f"{LONG} {LONG}-of-another", f"{MARK} <key:second>"),
        ({"long": "abcdefghij0123456789", "within": "bcdefghi", "behind": "6789-rest"},
         "abcdefghij0123456789-rest, 6789-rest", "<key:long>, <key:behind>"),
        ({"primary": KEY, "longer": f"{KEY}x", "headless": KEY[1:]},
         f"{KEY}%78 %73{KEY[1:]} {KEY[1:]}", f"<key:longer> {MARK} <key:headless>"),
        ({"primary": MIXED}, f"a {MIXED.upper()} b", f"a {MARK} b"),
        ({"primary": KEY}, f"a\\n{b64('?>' + KEY + '!')} b%0a{b64(KEY)}", f"a\\nPz5{MARK}h b%0a{MARK}"),
        ({"primary": MIXED, "recased": MIXED.swapcase()}, MIXED.swapcase(), "<key:recased>"),
    ],
)  # fmt: skip
def test_marker_names_the_longest_secret(values: dict[str, str | None], text: str, expected: str) -> None:
    secrets = Secrets(values)
    redacted = secrets.text(text)
    assert redacted == expected.strip()
    assert secrets.text(redacted) == redacted


@pytest.mark.parametrize(
    "spelling",
    [
        *(KEY.replace("_", to) for to in ("%5F", "%5f", "%255F", "\\u005f", "\\u{5f}", "\\\\u005f", "\\_", "&#95;")),
        *(KEY.replace("_", to) for to in ("&#095;", "&#x5f;", "&#X5F;", "&lowbar;", "&amp;#95;")),
        KEY.replace("s", "\\x73").replace("f", "\\x66"),
        KEY.replace("s", "%73").replace("k", "\\u006b").replace("l", "&#108;").replace("f", "&#x66;"),
        "".join(f"&#x{ord(char):x};" for char in KEY),
    ],
)
def test_key_with_escaped_characters_is_replaced_exactly(spelling: str) -> None:
    assert ONE.text(f"a%20b {spelling}%20c") == f"a%20b {MARK}%20c"
    assert ONE.text(f"&lt;\\n{spelling}&gt;") == f"&lt;\\n{MARK}&gt;"


@pytest.mark.parametrize("key", ['abc"defghijk', "abc\\\\defghijk", "abc/defghijk"])
def test_key_that_json_escapes_is_replaced(key: str) -> None:
    body = json.dumps({"a": f"x {key}\n"}).replace("/", "\\/")
    assert Secrets({"primary": key}).text(body) == json.dumps({"a": f"x {MARK}\n"})


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\\r\\n", "\n  ", "\\\\n", "%0D%0A"])
def test_base64_in_lines_is_replaced(line_break: str) -> None:
    for before in (40, 52, 64, 76):
        run = b64("x" * before + KEY + "y" * 60)
        text = line_break.join(run[at : at + 76] for at in range(0, len(run), 76))
        redacted = ONE.text(text)
        assert MARK in redacted
        assert left(redacted.replace(MARK, "!").replace(line_break, ""), [KEY]) == set()


@pytest.mark.parametrize("around", ["{}", "key={}, more", "x{}x", "{}…"])
def test_long_part_of_a_key_is_replaced(around: str) -> None:
    secrets = Secrets({"primary": LONG, "second": OTHER})
    for start in range(len(LONG) - PART_CHARS + 1):
        for end in range(start + PART_CHARS, len(LONG)):
            for part in (LONG[start:end], LONG[start:end].upper()):
                assert left(secrets.text(around.format(part)), [LONG]) == set()
        part = LONG[start : start + PART_CHARS - 1]
        assert secrets.text(around.format(part)) == around.format(part)


def test_part_that_several_keys_share_stays() -> None:
    start = "sk_live_staging_of_the_team_"
    secrets = Secrets({"primary": f"{start}q7Rw2Tz9Xb4N", "second": f"{start}c6Vd8Kf1HgJj", "unknown": UNKNOWN_KEY})
    text = f"keys begin with {start}; an example is {UNKNOWN_KEY[:-3]}1"
    assert secrets.text(text) == text
    assert secrets.text(UNKNOWN_KEY) == "<key:unknown>"


@pytest.mark.parametrize("length", [10, 12, 20, len(LONG) - 1])
def test_key_that_is_cut_off_is_replaced(length: int) -> None:
    secrets = Secrets({"primary": LONG, "second": OTHER})
    coded = b64(LONG)[: length * 4 // 3]
    for part in (LONG[:length], LONG[:length].upper(), LONG.encode().hex()[: 2 * length], coded):
        assert secrets.data(f"body {part}".encode(), is_cut=True) == b"body <key:primary>"
    for whole in (b"body that just ends", b"keys begin with sk_live_"):
        assert secrets.data(whole, is_cut=True) == whole
    assert secrets.data(f"body \xff{LONG}{LONG[:8]}".encode("latin-1")) == b"body \xff<key:primary>" + LONG[:8].encode()


@pytest.mark.parametrize(
    "text",
    [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        b64("user:another_key_that_is_not_ours"),
        b64(KEY[:16] + "zz"),
        KEY.replace("_", "%5E"),
        "100% of %zz &unknown; &#; \\q \\u00zz \\",
    ],
)
def test_text_that_only_resembles_a_secret_stays(text: str) -> None:
    assert Secrets({"primary": f"{KEY}0123"}).text(text) == text
    assert Secrets({"none": None}).text(f"{text} {b64(KEY)}") == f"{text} {b64(KEY)}"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", f"Bearer {KEY}", f"Bearer {MARK}"),
        ("Authorization", f"Bearer {KEY}x", f"Bearer {MARK}x"),
        ("Authorization", "Bearer sk_live_of_somebody_else", "<redacted>"),
        ("Authorization", f"Bearer {KEY} sk_live_of_somebody_else", "<redacted>"),
        ("Authorization", f"Basic {b64('user:' + KEY)}", "<redacted>"),
        ("Authorization", "Bearer ", "Bearer "),
        ("X-Api-Key", "something", "<redacted>"),
        ("Cookie", f"session=abc; key={KEY}", "<redacted>"),
        ("Location", f"/?key={KEY}", f"/?key={MARK}"),
        (KEY, "a", "a"),
        (f"x-{KEY.upper()}-left", "7", "7"),
    ],
)
def test_header_keeps_no_credential(name: str, value: str, expected: str) -> None:
    ((kept_name, kept),) = ONE.headers([(name, value)])
    assert kept_name == name.replace(KEY, MARK).replace(KEY.upper(), MARK)
    assert kept == expected or ("Basic" in value and left(kept, [KEY]) == set())


def test_headers_keep_their_order_and_no_repr_has_a_value() -> None:
    pairs = (("B", "1"), ("A", "2"), ("B", "3"))
    assert ONE.headers(pairs) == pairs
    assert repr(ONE) == "Secrets(primary)"
    assert ONE.text(KEY) == marker("primary")


KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")


def kept(pieces: Iterator[bytes], bounds: Bounds) -> Response:
    """Response that a transport keeps of a body in pieces."""
    transport = Transport("http://127.0.0.1:8123/api", KEYS, Contract.load(), lambda _: None, bounds=bounds)
    with respx.mock() as router:
        router.get().mock(return_value=httpx.Response(200, content=pieces))
        response = transport.send(Call("getBuild", "default/demo@1.0.0")).response
    transport.close()
    assert response
    return response


@pytest.mark.parametrize("left_bytes", [1, 9, 17, len(KEYS.primary) - 1])
@pytest.mark.parametrize("bound", ["max_body_bytes", "max_total_bytes", "max_json_depth"])
def test_key_across_the_end_of_the_kept_body_is_replaced(left_bytes: int, bound: str) -> None:
    bounds = Bounds(**{bound: 40 if bound == "max_json_depth" else KEPT_BYTES + 20_000})
    opening = b"[" * 9 + b'"'
    body = opening + b"x" * (KEPT_BYTES - len(opening) - left_bytes) + KEYS.primary.encode() + b'"' + b"[" * 300_000
    response = kept((body[at : at + 10_000] for at in range(0, len(body), 10_000)), bounds)
    assert len(response.body) == KEPT_BYTES
    assert KEYS.primary[: min(left_bytes, 4)].encode() not in response.body[10:]


@pytest.mark.parametrize("sent", [10, 17, 25])
def test_key_at_an_early_end_of_the_body_is_replaced(sent: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"key " + KEYS.primary[:sent].encode()
        raise httpx.ReadError("gone")

    assert kept(pieces(), Bounds()).body == b"key <key:primary>"


PUNCTUATION = "-_.~+/=:;,!?@#$^*()[]{}|'\"<>"
LETTERS = string.ascii_letters + string.digits
ALPHABETS = (LETTERS, string.hexdigits.lower(), LETTERS + "-_", LETTERS + "+/", LETTERS + PUNCTUATION)


def key_of(seed: int) -> str:
    """A key of a common form, or an odd one."""
    chance = random.Random(seed)
    start = chance.choice(["sk_live_", "sk_live_test_", "orgo-", ""])
    return start + "".join(chance.choices(chance.choice(ALPHABETS), k=chance.randrange(20, 40)))


SEEDS = st.integers(0, 2**32)
THREE_KEYS = st.lists(SEEDS.map(key_of), min_size=3, max_size=3, unique=True)
NAMES = st.sampled_from(sorted(ENCODINGS))
AROUND = st.text(st.sampled_from(string.printable + "äß€😀"), max_size=30)
# Text directly before a key, also such that could be part of its base64 or hexadecimal.
GAPS = st.sampled_from([" ", '"', "=", ":", "/", "\n", "x", "7", "Q", "\\n", "%20"])


@settings(max_examples=60)
@given(THREE_KEYS, st.tuples(NAMES, NAMES, NAMES), st.tuples(AROUND, AROUND), GAPS, SEEDS)
def test_no_key_survives_beside_others_in_any_encoding(
    keys: list[str], names: tuple[str, ...], around: tuple[str, str], gap: str, seed: int
) -> None:
    chance = random.Random(seed)
    encoded = [ENCODINGS[name](word(chance) + key, chance) for key, name in zip(keys, names, strict=True)]
    secrets = Secrets(dict(zip(("primary", "second", "restricted"), keys, strict=True)))
    redacted = secrets.text(around[0] + gap + f"{around[1]} {gap}".join(encoded) + around[1])
    assert left(redacted, keys) == set()
    assert secrets.text(redacted) == redacted


@settings(max_examples=20)
@given(THREE_KEYS, st.lists(st.tuples(NAMES, NAMES, AROUND), max_size=4), AROUND, SEEDS)
def test_text_without_a_secret_is_unchanged(
    keys: list[str], parts: list[tuple[str, str, str]], around: str, seed: int
) -> None:
    chance = random.Random(seed)
    pieces = (ENCODINGS[out](ENCODINGS[inner](text, chance), chance) for inner, out, text in parts if text.isascii())
    text, data = around.join(pieces), random.Random(seed).randbytes(2000)
    secrets = Secrets(dict(zip(("primary", "second", "restricted"), keys, strict=True)))
    assert (secrets.text(text), secrets.data(data)) == (text, data)


@settings(max_examples=25)
@given(SEEDS.map(key_of), NAMES, AROUND, GAPS, SEEDS)
def test_json_stays_json(key: str, name: str, around: str, gap: str, seed: int) -> None:
    chance = random.Random(seed)
    text = around + gap + ENCODINGS[name](key, chance) + around
    body = json.dumps({"log": [around, text]}, ensure_ascii=chance.random() < 0.5)
    redacted = json.loads(Secrets({"primary": key}).text(body))
    assert redacted["log"][0] == around
    assert MARK in redacted["log"][1] or "<key:primary-shorter>" in redacted["log"][1]


FORMS = ["%%%02X", "\\u%04x", "&#%d;", "\\x%02x", "%%25%02X"]
HARD: dict[str, Callable[[random.Random], str]] = {
    "escapes": lambda chance: chance.choice(FORMS) % ord(chance.choice(KEY)),
    "beginnings": lambda chance: KEY[: chance.randrange(1, 20)],
    "runs": lambda chance: b64(KEY[: chance.randrange(20)]),
    "wrapped": lambda chance: b64(KEY)[: chance.randrange(30)] + "\n",
    "blocks": lambda chance: KEY[6 : 6 + chance.randrange(9, 17)] + "-",
}


@pytest.mark.parametrize("kind", HARD)
def test_work_grows_no_faster_than_the_text(kind: str) -> None:
    chance, calls = random.Random(kind), 0
    text = "".join(HARD[kind](chance) for _ in range(500))

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    secrets = Secrets({"primary": KEY, "second": f"{KEY[:20]}0246"})
    secrets.text(text)  # fills the caches
    for data in (text, text * 4):
        calls = 0
        sys.setprofile(count)
        try:
            secrets.text(data)
        finally:
            sys.setprofile(None)
        assert calls <= 8 * len(data)
