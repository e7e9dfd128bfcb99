"""Formats numbers, counts, durations, and text from a target, for messages and reports."""

import math
import re
from collections.abc import Iterable

_MOST_DECIMALS = 6

# C0 except tab and line feed, DEL, C1 (terminal commands), soft hyphen and zero-width characters (hide), bidirectional
# controls (reorder), line and paragraph separators, interlinear marks, lone surrogates (no UTF-8), tags (invisible).
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def figure(number: float, digits: int = 3, *, sign: str = "") -> str:
    """Formats a number: ``28,181``, ``39.9``, ``0.71`` or ``0.00042``.

    *digits*: significant digits, besides which all before the point are kept; *sign*: ``+`` for a sign in any case.
    """
    if not math.isfinite(number):
        return f"{number:{sign}}"
    if abs(number) <= 0.5 * 10**-_MOST_DECIMALS:
        return f"{0:{sign}}"
    decimals = min(max(digits - 1 - math.floor(math.log10(abs(number))), 0), _MOST_DECIMALS)
    text = f"{number:{sign},.{decimals}f}"
    return text.rstrip("0").removesuffix(".") if "." in text else text


def percentage(share: float, digits: int = 3) -> str:
    """Formats a share in per cent, such as ``0.04 %``."""
    return f"{figure(100 * share, digits)} %"


def describe_chance(share: float) -> str:
    """Formats a probability, such as ``81 %``; only an exact 0 or 1 becomes 0 % or 100 %."""
    if 0 < share < 0.001:
        return "below 0.1 %"
    if 0.999 < share < 1:
        return "above 99.9 %"
    return percentage(share, 2 if share < 0.99 else 3)


def brief(duration_s: float, digits: int = 3) -> str:
    """Formats a duration: ``20 µs``, ``4.34 ms``, ``3 min 05 s``, ``5 h 54 min``; ``never`` if it is infinite."""
    if math.isinf(duration_s):
        return "never"
    if round(duration_s, 1) >= 100 and digits <= 3:
        minutes, seconds = divmod(round(duration_s), 60)
        return f"{minutes} min {seconds:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if duration_s >= factor * 0.9995:
            return f"{figure(duration_s / factor, digits)} {unit}"
    return f"{figure(duration_s * 1e6, digits)} µs" if duration_s > 0 else "0 s"


def plural(number: int, noun: str) -> str:
    """Formats a count with its noun, such as ``1 claim`` or ``2,000 claims``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def was(number: int) -> str:
    """Returns ``was`` for the number 1, otherwise ``were``."""
    return "was" if number == 1 else "were"


def visible(text: str) -> str:
    r"""Escapes hidden characters of a text, such as ``\x1b``, except line feeds and tabs."""
    return _HIDDEN.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """Escapes hidden characters, line feeds and tabs, so that the text is one line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def clipped(text: str, most: int) -> str:
    """Shortens a text to at most *most* characters. A shortened text ends with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def some(texts: Iterable[str], most: int = 3) -> str:
    """Lists the first *most* texts, and counts the others; equal texts count once."""
    first = list(dict.fromkeys(texts))
    return ", ".join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")
