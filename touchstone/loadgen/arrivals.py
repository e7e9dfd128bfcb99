"""How arrivals are written down: the text of ``--arrivals``."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from touchstone.contract.quoting import checked
from touchstone.errors import Unfit, nearest
from touchstone.loadgen import curves, trace
from touchstone.loadgen.curves import Curve, Poisson
from touchstone.loadgen.trace import Trace

Arrivals = Curve | Poisson | Trace

HELP = (
    "Arrivals a second: 20, ramp:5..50 or ramp:5..50/10s, staircase:10..50/5, spike:10..100@8s+2s, poisson: before any "
    "of these, or trace:FILE."
)

_Groups = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of curve: the form of what follows its name, how that is described, and what it means."""

    form: str
    like: str
    build: Callable[[_Groups, float], Curve]


def parse(text: str, duration_s: float, place: str = "--arrivals", folder: Path | None = None) -> Arrivals:
    """The arrivals that a text describes.

    Args:
        duration_s: How long the run takes; a ramp and a staircase take as long, unless the text says otherwise.
        place: Where the text stands, for the message of an error.
        folder: Where the path of a trace starts from; the working directory where None is given.

    Raises:
        UsageError: the text describes nothing, or a trace cannot be read.
    """
    kind, _, rest = text.partition(":")
    if kind == "trace":
        path = checked(place, rest, _path)
        return trace.read(path if folder is None else folder / path, place)
    if kind == "poisson":
        return Poisson(checked(place, text, lambda _: _curve(rest, duration_s, "poisson:")))
    return checked(place, text, lambda _: _curve(text, duration_s))


def _path(value: object) -> Path:
    if not value:
        raise Unfit("trace:FILE, a file of arrival times", found="a trace without a file")
    return Path(str(value))


def _curve(text: str, duration_s: float, before: str = "") -> Curve:
    name, colon, rest = text.partition(":")
    if not colon and re.match(r"[-+.\d]", text):
        name, rest = "constant", text
    if name not in _KINDS:
        likes = [f"{before}{kind.like}" for kind in _KINDS.values()]
        others = [] if before else ["poisson: and one of these", "trace:FILE"]
        raise Unfit(f"{', '.join(likes + others)}; {nearest(name, _KINDS if before else _NAMES)}")
    kind = _KINDS[name]
    match = re.fullmatch(kind.form.replace("NUMBER", r"(\d{1,9}(?:\.\d{1,9})?)"), rest)
    if match is None:
        raise Unfit(f"{before}{kind.like}")
    found = kind.build(match.groups(), duration_s)
    if not any(piece.rate_per_s for piece in found.pieces):
        raise Unfit(f"{before}{kind.like} with a rate above 0")
    return found


def _constant(groups: _Groups, _duration_s: float) -> Curve:
    return curves.constant(_number(groups[0]))


def _ramp(groups: _Groups, duration_s: float) -> Curve:
    first, last, over = groups
    over_s = duration_s if over is None else _above_zero(over, "a ramp over more than 0 seconds")
    return curves.ramp(_number(first), _number(last), over_s, is_whole_run=over is None)


def _staircase(groups: _Groups, duration_s: float) -> Curve:
    first, last, levels = map(_number, groups)
    if levels < 2:
        raise Unfit("a staircase of 2 levels or more")
    return curves.staircase(first, last, int(levels), duration_s)


def _spike(groups: _Groups, duration_s: float) -> Curve:
    rate, peak, from_s = map(_number, groups[:3])
    length_s = _above_zero(groups[3], "a spike that lasts more than 0 seconds")
    if from_s >= duration_s:
        raise Unfit(f"a spike that begins before the run ends, after {duration_s:g} s")
    return curves.spike(rate, peak, from_s, length_s)


def _number(text: str | None) -> float:
    return float(text or 0)


def _above_zero(text: str | None, expected: str) -> float:
    if not _number(text):
        raise Unfit(expected)
    return _number(text)


_KINDS = {
    "constant": _Kind(r"NUMBER", "constant:20", _constant),
    "ramp": _Kind(r"NUMBER\.\.NUMBER(?:/NUMBERs)?", "ramp:5..50 or ramp:5..50/10s", _ramp),
    "staircase": _Kind(r"NUMBER\.\.NUMBER/(\d{1,4})", "staircase:10..50/5", _staircase),
    "spike": _Kind(r"NUMBER\.\.NUMBER@NUMBERs\+NUMBERs", "spike:10..100@8s+2s", _spike),
}
_NAMES = (*_KINDS, "poisson", "trace")
