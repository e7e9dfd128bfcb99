"""
Makes the characters of a text visible that could hide, reorder or command: what a target sends is shown, never obeyed.
"""

import re

# C0 but tab and line feed, DEL and C1 (terminal commands), soft hyphen and zero-width characters (hide), bidirectional
# controls (reorder), line and paragraph separators, interlinear marks, lone surrogates (no UTF-8), tags (invisible).
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""The text with hidden characters spelt out, such as ``\x1b``; line feeds and tabs stay."""
    return _HIDDEN.sub(_spelt, text)


def one_line(text: str) -> str:
    """The text as `visible` gives it, on one line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def clipped(text: str, most: int) -> str:
    """The text, cut to *most* characters with an ellipsis as the last one."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _spelt(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
