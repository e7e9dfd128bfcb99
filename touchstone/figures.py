"""
Writes measured numbers for people: so many digits, thousands apart, never an exponent.
"""

import math

_MOST_DECIMALS = 6


def figure(number: float, digits: int = 3, *, sign: str = "") -> str:
    """
    A number such as ``28,181``, ``39.9``, ``0.71`` or ``0.00042``.

    Args:
        digits: How many tell something; of a larger number all before the point are shown all the same.
        sign: ``+`` to show the sign of what is not below zero, too.
    """
    if not math.isfinite(number):
        return f"{number:{sign}}"
    if abs(number) <= 0.5 * 10**-_MOST_DECIMALS:
        return f"{0:{sign}}"
    decimals = min(max(digits - 1 - math.floor(math.log10(abs(number))), 0), _MOST_DECIMALS)
    text = f"{number:{sign},.{decimals}f}"
    return text.rstrip("0").removesuffix(".") if "." in text else text


def percentage(share: float, digits: int = 3) -> str:
    """
    A share in per cent, such as ``0.04 %``.
    """
    return f"{figure(100 * share, digits)} %"
