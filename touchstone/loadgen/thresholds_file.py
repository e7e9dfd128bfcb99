"""Reads load/thresholds.toml: for each scenario a table for each operation, and in it a limit for each statistic.

[steady."*"]              # all operations together
error_share = 0.001       # at most
[steady.getBuild]
p99_s = 0.5               # at most
throughput_per_s = 10     # at least
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from touchstone.config import fits, kind
from touchstone.contract.bundle import load_dir
from touchstone.contract.document import Contract
from touchstone.contract.files import read_toml
from touchstone.contract.quoting import Kind, checked, quoted
from touchstone.errors import UsageError, nearest, one_line
from touchstone.facts.load_events import Limit
from touchstone.loadgen.statistic import STATISTICS, Statistic
from touchstone.loadgen.totals import ALL
from touchstone.loadgen.workloads import SCENARIOS

Thresholds = dict[str, tuple[Limit, ...]]


def bundled() -> Path:
    """The thresholds that travel with the package.

    Raises:
        ContractError: they are not there.
    """
    return load_dir() / "thresholds.toml"


def read(path: Path) -> Thresholds:
    """The limits of each scenario, in the order of the file; none for a scenario that it does not name.

    Raises:
        UsageError: the file cannot be read or is not TOML, or it names a scenario, operation or statistic that there
            is not, or a limit that cannot be meant; the message names the place and the nearest known name.
    """
    document = _toml(path)
    operations = (ALL, *Contract.load().operations)
    found: Thresholds = dict.fromkeys(SCENARIOS, ())
    for scenario, tables in document.items():
        place = f"{path}: [{one_line(scenario)}]"
        _known(place, "scenario", scenario, SCENARIOS)
        for operation, limits in _table(place, tables).items():
            inner = f"{path}: [{scenario}.{_key(operation)}]"
            _known(inner, "operation", operation, operations)
            found[scenario] = (*found[scenario], *_limits(inner, operation, _table(inner, limits)))
    return found


def of_scenario(path: Path, scenario: str) -> tuple[Limit, ...]:
    """The limits of one scenario, at least one, from a file that was given for it.

    Raises:
        UsageError: as of `read`, or the file has no limit for the scenario: a run would be judged by none.
    """
    found = read(path)
    if not found[scenario]:
        others = ", ".join(name for name, limits in found.items() if limits)
        held = f"limits only for {others}" if others else "no limit at all"
        raise UsageError(
            f"{path}: no limit for {scenario}; found {held}; expected a table such as [{scenario}.{_key(ALL)}] with a "
            "limit in it; add one, or leave --thresholds out for those of load/thresholds.toml"
        )
    return found[scenario]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path, str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a file like load/thresholds.toml") from None


def _limits(place: str, operation: str, table: dict[str, Any]) -> Iterator[Limit]:
    for name, value in table.items():
        _known(place, "statistic", name, STATISTICS)
        statistic = STATISTICS[name]
        if statistic.name == "memory_drift_share" and operation != ALL:
            raise UsageError(
                f'{place} {name}: a server has one memory; put it into the table of all operations, "{ALL}"'
            )
        yield Limit(operation, name, checked(f"{place} {name}", value, _kind(statistic)))


def _kind(statistic: Statistic) -> Kind[float]:
    is_share = statistic.sort in ("share", "drift")
    like = {"time": "seconds above 0", "rate": "requests a second above 0"}.get(statistic.sort, "a share from 0 to 1")
    bounds = Field(strict=True, ge=0, le=1) if is_share else Field(strict=True, gt=0, allow_inf_nan=False)
    return kind(Annotated[float, bounds, fits(like)])


def _known(place: str, what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UsageError(
            f"{place}{f' {one_line(name)}' if what == 'statistic' else ''}: unknown {what}; {nearest(name, known)}"
        )


def _table(place: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{place}: found {quoted(value)}; expected a table of operations, and in each a table of limits"
        )
    return value


def _key(operation: str) -> str:
    return operation if operation.isidentifier() else f'"{one_line(operation)}"'
