"""What a target sends is shown, never obeyed."""

import unicodedata

import pytest

from touchstone.facts.wording import clipped, one_line, visible


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
def test_hidden_characters_are_spelt_out(text: str, expected: str) -> None:
    """Characters that command, reorder or hide are spelt out; line feeds, tabs and letters of any script stay."""
    assert visible(text) == expected


def test_no_control_or_format_character_is_left() -> None:
    """Of all of Unicode, no control, format, surrogate or separator character passes but line feed and tab."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    hidden = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in kinds]

    # Arabic and other marks of category Cf that are drawn and hide nothing.
    drawn = {c for c in hidden if "NUMBER SIGN" in unicodedata.name(c, "") or "ABOVE" in unicodedata.name(c, "")}
    left = {c for c in hidden if visible(c) == c} - drawn - {"\n", "\t"}
    assert {unicodedata.name(c, hex(ord(c))).split()[0] for c in left} <= {
        "ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND", "MUSICAL",
    }  # fmt: skip


def test_one_line_has_no_line_feed() -> None:
    """On one line, line feeds and tabs are spelt out too."""
    assert one_line("a\nb\tc") == "a\\nb\\tc"


def test_clipped_text_ends_in_an_ellipsis() -> None:
    """A text that fits is left alone, another one is cut to the length asked for."""
    assert (clipped("abcd", 4), clipped("abcde", 4)) == ("abcd", "abc…")
