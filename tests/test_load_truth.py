"""The open model measures a server that stalls as it is, however many processes share the work."""

import asyncio
import time
from typing import Any

import pytest

from tests.command import KEYS, Ended, Shell
from tests.stages import Asgi
from touchstone.twin import Twin

# The server stalls for one second in every five.
STALL_S, PERIOD_S, SERVICE_S = 1.0, 5.0, 0.1
# A hundred a second, and an eighth of an arrival more in each period of the stalls: they fall into eight places between
# two arrivals, and not always into the same one, which would be another one in each run.
PER_S, DURATION_S, ARRIVALS = 100.025, 40, 4001
SHARES = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "p999_s": 0.999}
# What disturbs the machine for a moment falls on one of the two; what is wrong with one of them is so each time.
TRIES, ALIKE = 3, 0.01
READS = ("--rate", str(PER_S), "--duration", str(DURATION_S), "--mix", "read=1", "--max-builds", "4")

# What it compares are times: other tests beside it would be in them.
pytestmark = pytest.mark.alone


def stalling(app: Asgi) -> Asgi:
    """The same application, whose answers take SERVICE_S, and in a stall as long as until its end besides."""

    async def stalled(scope: Any, receive: Any, send: Any) -> None:
        # The stall is the time that a run is to measure.
        await asyncio.sleep(SERVICE_S + max(0.0, STALL_S - time.monotonic() % PERIOD_S))
        await app(scope, receive, send)

    return stalled


def quantile_s(share: float) -> float:
    """What *share* of the answers to evenly spaced arrivals take at most.

    An arrival meets a stall with the probability STALL_S / PERIOD_S, and is then equally likely to be anywhere in it.
    """
    beyond = (1.0 - share) * PERIOD_S / STALL_S
    return SERVICE_S + max(0.0, STALL_S * (1.0 - beyond))


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
    flags = {"one": (), "four": ("--processes", "4")}
    with Twin(wrap=stalling) as twin:
        running = {
            name: shell.start("load", "steady", "--url", twin.url, *READS, *flags[name])
            for name, shell in shells.items()
        }
        return {name: shells[name].ended(command) for name, command in running.items()}


def reads(ended: Ended) -> dict[str, Any]:
    """Response times of scheduled reads."""
    return dict(ended.report()["load"]["operations"]["getBuild"]["response"])


@pytest.mark.parametrize("statistic", SHARES)
def test_percentiles_are_those_of_the_stalls(ended: dict[str, Ended], statistic: str) -> None:
    assert reads(ended["one"])[statistic] == pytest.approx(quantile_s(SHARES[statistic]), rel=0.05)


def test_four_workers_send_what_one_sends(ended: dict[str, Ended]) -> None:
    sent = {name: run.report()["load"]["generator"]["sent"] for name, run in ended.items()}
    assert sent == {"one": ARRIVALS, "four": ARRIVALS}


@pytest.mark.parametrize("statistic", SHARES)
def test_four_workers_measure_what_one_measures(ended: dict[str, Ended], statistic: str) -> None:
    assert reads(ended["four"])[statistic] == pytest.approx(reads(ended["one"])[statistic], rel=ALIKE)
