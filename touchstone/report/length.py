"""
Durations with three digits, whatever their size.
"""

import math

from touchstone.figures import figure


def brief(duration_s: float) -> str:
    """
    A duration in the unit that suits it: ``20 µs``, ``4.34 ms``, ``1.01 s``, ``3 min 05 s``; ``never`` without an end.
    """
    if math.isinf(duration_s):
        return "never"
    if round(duration_s, 1) >= 100:
        minutes, seconds = divmod(round(duration_s), 60)
        return f"{minutes} min {seconds:02d} s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if duration_s >= factor * 0.9995:
            return f"{figure(duration_s / factor)} {unit}"
    return f"{figure(duration_s * 1e6)} µs" if duration_s > 0 else "0 s"
