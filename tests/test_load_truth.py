"""The open model tells the truth about a server that stalls, whoever shares the work; see tests/stalling.py."""

from typing import Any

import pytest

from tests.command import KEYS, Ended, Shell
from tests.stalling import quantile_s, stalling
from touchstone.twin import Twin

# A hundred a second, and an eighth of an arrival more in each period of the stalls: they fall into eight places between
# two arrivals, and not always into the same one, which would be another one in each run.
PER_S, DURATION_S = 100.025, 40
ARRIVALS = 4001
SHARES = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "p999_s": 0.999}
# What disturbs the machine for a moment falls on one of the two; what is wrong with one of them is so each time.
TRIES, ALIKE = 3, 0.01
READS = ("--rate", str(PER_S), "--duration", str(DURATION_S), "--mix", "read=1")

# What it compares are times: other tests beside it would be in them.
pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """The same schedule at the same time against one stalling server: from one process, and from four.

    Where their percentiles differ, both are measured again, a few times.
    """
    for _ in range(TRIES):
        measured = side_by_side({name: Shell(tmp_path_factory.mktemp(name), KEYS) for name in ("one", "four")})
        one, four = reads(measured["one"]), reads(measured["four"])
        if all(four[statistic] == pytest.approx(one[statistic], rel=ALIKE) for statistic in SHARES):
            break
    return measured


def side_by_side(shells: dict[str, Shell]) -> dict[str, Ended]:
    """Both loads, over."""
    flags = {"one": (), "four": ("--processes", "4")}
    with Twin(wrap=stalling) as twin:
        running = {
            name: shell.start("load", "steady", "--url", twin.url, "--max-builds", "4", *READS, *flags[name])
            for name, shell in shells.items()
        }
        return {name: shells[name].ended(command) for name, command in running.items()}


def reads(ended: Ended) -> dict[str, Any]:
    """What the report says of the answers to scheduled reads."""
    return dict(ended.report()["load"]["operations"]["getBuild"]["response"])


@pytest.mark.parametrize("statistic", SHARES)
def test_percentiles_are_those_of_the_stalls(ended: dict[str, Ended], statistic: str) -> None:
    """Each percentile of the open model is within 5 % of what the schedule of the stalls comes to."""
    assert reads(ended["one"])[statistic] == pytest.approx(quantile_s(SHARES[statistic]), rel=0.05)


def test_four_workers_send_what_one_sends(ended: dict[str, Ended]) -> None:
    """Four workers share the schedule of one, and no arrival is sent twice or left out."""
    sent = {name: run.report()["load"]["generator"]["sent"] for name, run in ended.items()}
    assert sent == {"one": ARRIVALS, "four": ARRIVALS}


@pytest.mark.parametrize("statistic", SHARES)
def test_four_workers_measure_what_one_measures(ended: dict[str, Ended], statistic: str) -> None:
    """The percentiles of four workers together are within 1 % of those of one process."""
    assert reads(ended["four"])[statistic] == pytest.approx(reads(ended["one"])[statistic], rel=ALIKE)
