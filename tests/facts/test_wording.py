"""Formats of numbers, durations and foreign text."""

import unicodedata

import pytest

from touchstone.facts.wording import brief, figure, one_line, visible


@pytest.mark.parametrize(
    ("number", "digits", "text"),
    [
        *((28_181.3, 4, "28,181"), (1_000, 3, "1,000"), (1_234_567.8, 3, "1,234,568"), (999.6, 3, "1,000")),
        *((99.96, 3, "100"), (123.46, 4, "123.5"), (39.97, 3, "40"), (39.97, 4, "39.97"), (20.0, 3, "20")),
        *((0.00042, 3, "0.00042"), (0.0000123, 3, "0.000012"), (0.0, 3, "0"), (-0.0, 3, "0"), (1e-9, 3, "0")),
        *((-0.0000005, 3, "0"), (0.0000006, 3, "0.000001"), (-12.34, 3, "-12.3"), (-40_000.2, 3, "-40,000")),
        *((99.7, 2, "100"), (float("inf"), 3, "inf"), (float("nan"), 3, "nan")),
    ],
)
def test_number_has_its_digits_and_no_exponent(number: float, digits: int, text: str) -> None:
    assert figure(number, digits) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        *((0, "0 s"), (0.00002, "20 µs"), (0.000852, "852 µs"), (0.00434, "4.34 ms"), (0.09996, "100 ms")),
        *((0.9999, "1 s"), (1.012, "1.01 s"), (60, "60 s"), (99.94, "99.9 s"), (185, "3 min 05 s")),
        *((7199, "119 min 59 s"), (7200, "2 h 00 min"), (21252, "5 h 54 min"), (float("inf"), "never")),
    ],
)
def test_duration_has_three_digits_and_a_suitable_unit(duration_s: float, text: str) -> None:
    assert brief(duration_s) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("line\r\nnext\tcell", "line\\r\nnext\tcell"),
        ("größe 版本 ✓", "größe 版本 ✓"),
    ],
)
def test_hidden_characters_are_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert one_line(text) == expected.replace("\n", "\\n").replace("\t", "\\t")


def test_no_control_or_format_character_is_left() -> None:
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    hidden = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in kinds]
    left = {unicodedata.name(c, hex(ord(c))).split()[0] for c in hidden if visible(c) == c and c not in "\n\t"}
    # Visible marks of category Cf.
    assert left <= {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND", "MUSICAL"}
