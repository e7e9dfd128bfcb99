"""Small changes of a document, as data: Hypothesis draws them and can shrink them, the fuzzer draws them by chance.

A change is made to the tree that a document spells, where it spells one, or to its bytes. Three numbers say which; any
numbers do, so that no draw is in vain.
"""

import copy
import json
import random
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from touchstone.contract.parsing import read_yaml

SECRET = "sk_live_PlAnTeD0123456789abcdef"

# What stands where something else was expected.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 1.5, -0.0, 1e308, 10**19, 10**30, 10**400, float("nan"), float("inf")),
    *("", "a", " ", "0", "200", "true", "null", "ready", "GET", "base64", "x" * 300, "9" * 5000, "1e999"),
    *("\ud800", "\0", "\x1b]0;x\x07\x1b[31m", "a\r\nb", "\u202e\u2066", "\ufeff", "é€😀", "<b>&amp;</b>", "%", "%ff"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-03-14", "Sat, 14 Mar 2026 09:00:00 -0000"),
    *(f"https://u:{SECRET}@h/", f"https://u:{SECRET}@h /", SECRET, f"Bearer {SECRET}", "../../x", "a/b@1.0.0"),
    *([], {}, [[]], [None], {"": None}, ["a", "b"], {"a": {"b": []}}, [1, 2], [[1, 2]], {"type": []}),
)
DEPTHS = (50, 400, 3000)

# What stands among the bytes.
PIECES: tuple[bytes, ...] = (
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x82", b"\xed\xa0\x80", b"\x1b[2J", b" "),
    *(b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b":", b",", b";", b"=", b"&", b"*", b"#", b"%", b"- ", b"? ", b"<<: "),
    *(b"NaN", b"Infinity", b"-1", b"1e999", b"0x" + b"f" * 4400, b"9" * 4500),
    *(b"[" * 3000, b"{" * 3000, b'{"a":' * 3000),
    *(b"&a [*a]", b"&a ", b"*a", b"!!set {a}", b"!!binary x", b"!!python/object:os.system x", b"2026-99-99", b"1:2:3"),
    *(b"\\ud800", b"\\u0000", b"data: ", b"id: ", b"event: ", b"retry: ", b": ", b"0\r\n\r\n", b"5\r\nabcde\r\n"),
    *(SECRET.encode(), b"https://u:" + SECRET.encode() + b"@h/ ", b"Bearer " + SECRET.encode()),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change: what is done, where, and with what; each counts modulo what there is to choose from."""

    kind: int
    place: int
    value: int


@dataclass(frozen=True, slots=True)
class Form:
    """How a tree is read from bytes and written again; *read* may raise whatever it likes."""

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def drawn(chance: random.Random) -> list[Step]:
    return [Step(*(chance.randrange(1 << 16) for _ in range(3))) for _ in range(chance.choice((1, 1, 2, 4)))]


def mutated(data: bytes, steps: Iterable[Step], form: Form | None, most_bytes: int = 1 << 17) -> bytes:
    for step in steps:
        after = _one(data, step, form)
        if len(after) <= most_bytes:
            data = after
    return data


def _one(data: bytes, step: Step, form: Form | None) -> bytes:
    if form is None or step.kind % 3 == 0:
        return _in_bytes(data, step)
    try:
        return form.write(_in_tree(form.read(data), step))
    except Exception:  # noqa: BLE001 - whatever is no tree is bytes
        return _in_bytes(data, step)


def _in_bytes(data: bytes, step: Step) -> bytes:
    at = step.place % (len(data) + 1)
    lines = data.splitlines(keepends=True) or [b""]
    row, piece = step.place % len(lines), PIECES[step.value % len(PIECES)]
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: data[:at] + piece + data[at:],
        lambda: data[:at],
        lambda: data[:at] + data[at + 1 + step.value % 9 :],
        lambda: b"".join([*lines[: row + 1], *lines[row:]]),
        lambda: b"".join([*lines[:row], *lines[row + 1 :]]),
        lambda: data[:at] + bytes([step.value % 256]) + data[at + 1 :],
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data[:at] + data[:at][-(1 + step.value % 60) :] * (1 + step.value % 40) + data[at:],
    )
    return changes[step.kind // 3 % len(changes)]()


def _in_tree(tree: Any, step: Step) -> Any:
    root = [copy.deepcopy(tree)]
    places = list(_places(root))
    holder, key = places[step.place % len(places)]
    value = copy.deepcopy(VALUES[step.value % len(VALUES)])
    kind = step.kind // 3 % 8
    if kind <= 2:
        holder[key] = value
    elif kind == 3 and len(places) > 1:
        del holder[key]
    elif kind == 4:
        other, name = places[step.value % len(places)]
        holder[key] = copy.deepcopy(other[name])
    elif kind == 5:
        for _ in range(DEPTHS[step.value % len(DEPTHS)]):
            holder[key] = {"a": holder[key]} if step.value % 2 else [holder[key]]
    elif kind == 6 and isinstance(holder, dict):
        holder[value if isinstance(value, str) else f"{key}x"] = holder.pop(key)
    elif isinstance(holder[key], dict):
        holder[key][value if isinstance(value, str) else "x"] = value
    elif isinstance(holder[key], list):
        holder[key] += [*copy.deepcopy(holder[key][-1:]), value]
    return root[0] if root else None


def _places(root: list[Any]) -> Iterable[tuple[Any, Any]]:
    waiting: list[Any] = [root]
    for holder in waiting:
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])


def _json(tree: Any) -> bytes:
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


def _toml(tree: Any) -> bytes:
    lines = (f"{json.dumps(name)} = {_toml_value(value)}\n" for name, value in tree.items())
    return "".join(lines).encode("utf-8", "replace")


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if value is None:
        return "nan"
    return hex(value) if isinstance(value, int) and value > 10**300 else json.dumps(value, default=str)


JSON = Form(json.loads, _json)
JSON_LINES = Form(
    lambda data: [json.loads(line) for line in data.splitlines()],
    lambda tree: b"".join(_json(each) + b"\n" for each in tree),
)
YAML = Form(read_yaml, _json)  # which refuses a tree that has no end
TOML = Form(lambda data: tomllib.loads(data.decode()), _toml)


def cuts(data: bytes, most: int = 6) -> Sequence[bytes]:
    """The bytes in pieces, cut at places that follow from them; some pieces are empty."""
    chance = random.Random(data)
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(most + 1)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
