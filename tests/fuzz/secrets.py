"""Redaction: what is written down of a text that holds keys, in whatever spelling, tells none of them."""

import base64
import json
import random
import string
from collections.abc import Sequence
from itertools import product

from tests.encodings import ENCODINGS, left, word
from tests.fuzz.target import Target
from touchstone.facts.leaks import leaks
from touchstone.target.redact import Secrets

# What is said of a leak shows ten characters at most.
LONGEST = 80
# As an API gives them out, and with what needs escaping in one encoding or another.
KEYS = ("sk_live_PlAnTeD0123456789abcdef", 'kW/+9~"q.$!-Zt4=', "zweiter/Schluessel:42")


def check(data: bytes) -> None:
    """Marks the keys in a text, and checks it with two readers that share no code with the marking.

    The first four bytes of *data* say which key stands where and how it is written; the rest is the text around.
    """
    plan, around = data[:4].ljust(4, b"\0"), data[4:].decode("utf-8", "replace")
    chance = random.Random(plan)
    key = KEYS[plan[0] % len(KEYS)]
    if left(around, [key]):
        return  # a key that another one splits in two is none, and its halves are not looked for
    written = ENCODINGS[sorted(ENCODINGS)[plan[1] % len(ENCODINGS)]](word(chance) + key, chance)
    at = plan[3] % (len(around) + 1)
    text = around[:at] + written + around[at:]
    secrets = Secrets({"primary": key, "second": KEYS[0][::-1]})
    redacted = secrets.text(text)
    assert secrets.text(redacted) == redacted, "marking twice is not marking once"
    assert not left(redacted, [key]), "twelve characters of a key are left"
    found = leaks(redacted, {"primary": key})
    assert not [leak for leak in found if "primary" in leak.what or key[:12] in leak.what], found
    raw = text.encode("utf-8", "surrogatepass")
    assert secrets.data(raw) == redacted.encode("utf-8", "surrogatepass")
    assert b"<key:" in secrets.data(b"\xff\xfe" + key.encode() + b"\x80")
    pairs = (("Authorization", around[:at] + key), ("X-Else", key + around[at:]), ("Set-Cookie", f"a={key}; {around}"))
    marked = secrets.headers((*pairs, ("X-Api-Key", around + "0123456789ab")))
    assert [name for name, _ in marked] == ["Authorization", "X-Else", "Set-Cookie", "X-Api-Key"]
    assert all(key not in value for _, value in marked)
    assert "0123456789ab" not in marked[-1][1]


def check_leaks(data: bytes) -> None:
    """The second look takes any text, finds a key that stands in it as it is, and repeats none."""
    text = data.decode("utf-8", "replace")
    known = {"primary": KEYS[0], "odd": KEYS[1]}
    at = len(data) % (len(text) + 1)
    # A letter beside a key is a longer word, which is none.
    for leak in (*leaks(text, known), *(found := leaks(text[:at] + KEYS[0] + text[at:], known))):
        assert 1 <= leak.line <= text.count("\n") + 1
        assert leak.what.isprintable()
        assert not left(leak.what, list(known.values()))
        assert len(leak.what) <= LONGEST
    coded = base64.b64encode(b"ab" + KEYS[0].encode()).decode()
    assert [leak for leak in leaks(f"{text}\n {coded}", known) if leak.what == "the primary key"]
    line = text[:at].count("\n") + 1
    assert (line, "the primary key") in [(leak.line, leak.what) for leak in found]


def texts() -> Sequence[bytes]:
    chance = random.Random(7)
    around = (
        json.dumps({"error": "no such key", "at": "https://h/x?a=%20b&c=d", "log": ["a\nb", "<i>&amp;</i>"]}),
        "data: aGVsbG8gd29ybGQsIGhlbGxv\n\nid: 68656c6c6f20776f726c6468656c6c6f\n\n",
        "".join(chance.choices(string.printable, k=60)),
    )
    pairs = product(range(len(KEYS)), range(len(ENCODINGS)))
    plans = [bytes([*pair, chance.randrange(256), chance.randrange(60)]) for pair in pairs]
    return [plan + chance.choice(around).encode() for plan in plans]


TARGETS = (Target("redaction", check, texts, most_bytes=512), Target("leaks", check_leaks, texts, most_bytes=2048))
