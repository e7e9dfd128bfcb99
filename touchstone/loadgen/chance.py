"""Random numbers that are the same for the same seed on every machine, so that workers of different kinds agree.

The bits come from PCG64, whose stream NumPy keeps. What is made of them here takes additions, multiplications and
divisions only, which IEEE 754 rounds in one way; a logarithm from a machine's own library may differ in its last bit.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_BLOCK = 1 << 16  # drawn at once: fits into a cache, and sums start anew in each
_LN_2 = 0.6931471805599453
# atanh(z)/z is the sum of z**2n / (2n + 1). For the z that occur, the term after these is below a bit of the result.
_ATANH = tuple(1 / (2 * n + 1) for n in range(12))


def uniforms(seed: int, stream: int, count: int) -> Numbers:
    """*count* numbers above 0 and below 1.

    Args:
        stream: Numbers of the same seed are independent of those of another stream.
    """
    return _uniform(np.random.PCG64((seed, stream)).random_raw(count))


def exponentials(seed: int, total: float) -> Numbers:
    """The sums of random gaps with a mean of 1 that are below *total*: a Poisson process of rate 1, in order."""
    return np.concatenate([*_sums(seed, total), np.empty(0)])


def _sums(seed: int, total: float) -> Iterator[Numbers]:
    source = np.random.PCG64((seed, 0))
    reached = 0.0
    while reached < total:
        sums = reached + np.cumsum(_minus_log(_uniform(source.random_raw(_BLOCK))))
        yield sums[: np.searchsorted(sums, total, side="left")]
        reached = float(sums[-1])


def _uniform(bits: NDArray[np.uint64]) -> Numbers:
    # The middle of each of 2**52 cells: neither 0, whose logarithm is none, nor 1.
    found: Numbers = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return found


def _minus_log(values: Numbers) -> Numbers:
    """Minus the natural logarithm, within a few units of the last place."""
    fraction, exponent = np.frexp(values)
    is_low = fraction < math.sqrt(0.5)
    fraction = np.where(is_low, 2 * fraction, fraction)  # from 0.707 to 1.414
    z = (fraction - 1) / (fraction + 1)
    square = z * z
    series = np.zeros_like(z)
    for coefficient in reversed(_ATANH):
        series = series * square + coefficient
    found: Numbers = (is_low - exponent) * _LN_2 - 2 * z * series
    return found
