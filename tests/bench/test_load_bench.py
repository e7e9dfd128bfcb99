"""The comparison of load generators: what other programs say is read rightly, and the tables add it up."""

import itertools
import os
import time

import pytest

from tests.bench.load_generators import GENERATORS, Generator
from tests.bench.load_said import Said, of_hey, of_wrk, served
from tests.bench.load_spent import can_measure, cpu_s, spent_within, tree
from tests.bench.load_tables import Measured, compared, taken_apart

STUB = "Active connections: 3 \nserver accepts handled requests\n 11 12 4711 \nReading: 0 Writing: 1 Waiting: 2 \n"
WRK = """Running 2s test @ http://127.0.0.1:8123/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    55.12us   97.25us   2.85ms   97.51%
    Req/Sec    65.17k     4.31k   69.96k    81.82%
  71171 requests in 1.10s, 10.32MB read
"""
HEY = """
Summary:
  Total:	1.0009 secs
  Requests/sec:	37892.3137

Response time histogram:
  0.000 [1]	|
  0.001 [37801]	|■■■■■■

Details (average, fastest, slowest):
  DNS-lookup:	0.0000 secs, 0.0000 secs, 0.0000 secs

Status code distribution:
  [200]	37925 responses
"""


def test_served_requests_are_the_third_number_of_nginx() -> None:
    """The page of nginx counts connections before requests."""
    assert served(STUB) == 4711
    with pytest.raises(ValueError, match="stub_status"):
        served("<html>404 Not Found</html>")


def test_wrk_tells_failures_of_two_kinds() -> None:
    """Statuses that are no success and broken connections are both failures; where wrk says nothing, there is none."""
    assert of_wrk(WRK) == Said(71171, 0)
    more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 50\n"
    assert of_wrk(f"{WRK}{more}") == Said(71171, 60)
    with pytest.raises(ValueError, match="wrk"):
        of_wrk("unable to connect to 127.0.0.1:8123 Connection refused\n")


def test_hey_tells_failures_of_two_kinds() -> None:
    """The counts of its histogram are no errors; those of statuses from 400 on and of its list of errors are."""
    assert of_hey(HEY) == Said(37925, 0)
    more = '  [503]\t7 responses\n\nError distribution:\n  [3]\tGet "http://127.0.0.1:8123/": EOF\n  [2]\ttimed out\n'
    assert of_hey(f"{HEY.rstrip()}\n{more}") == Said(37932, 12)
    refused = 'Status code distribution:\n\nError distribution:\n  [31]\tGet "http://127.0.0.1:8123/": refused\n'
    assert of_hey(refused) == Said(0, 31)
    with pytest.raises(ValueError, match="hey"):
        of_hey("unexpected flag\n")


def run(cpu_us: float, **more: float | str) -> Measured:
    """One run of some generator."""
    return Measured(1000.0, cpu_us, 0.5, 0.25, **more)  # type: ignore[arg-type]  # times or words, by their names


def test_median_stands_for_the_rounds_and_the_yardstick_for_all() -> None:
    """One slow round moves the range and no median; ratios are to wrk."""
    head, wrk, flows = compared({"wrk": [run(10.0), run(8.0), run(90.0)], "flows": [run(25.0), run(20.0), run(30.0)]})
    assert "x wrk" in head
    assert wrk.split() == ["wrk", "1,000", "50%", "25%", "10.0", "us", "8.0", "to", "90.0", "1.00"]
    assert flows.split()[-6:] == ["25.0", "us", "20.0", "to", "30.0", "2.50"]


def test_without_wrk_the_fast_user_of_locust_is_the_yardstick() -> None:
    """Ratios are to what is there."""
    head, *_, flows = compared({"Locust FastHttpUser": [run(80.0)], "flows": [run(20.0)]})
    assert "x Locust FastHttpUser" in head
    assert flows.endswith("0.25")


def test_lateness_and_trouble_are_told() -> None:
    """A paced generator shows how late it was, and what was wrong with any round stands below the table, once."""
    runs = [run(20.0, late_p50_ms=0.5, late_p99_ms=1.25, says="3 requests failed")] * 2
    _, row, trouble = compared({"flows": runs})
    assert row.endswith("   0.50 / 1.25 ms")
    assert trouble == "flows: 3 requests failed"


def test_each_part_adds_to_the_one_before() -> None:
    """Parts that stand beside the others are all compared with the last one of those."""
    costs = {"client": [9.0, 10.0, 11.0], "all in": [14.0, 15.0, 16.0], "with TLS": [18.0] * 3, "new heads": [40.0] * 3}
    _, *rows = taken_apart(costs, ("with TLS", "new heads"))
    assert [row.split()[-2] if row.endswith("us") and "+" in row else "" for row in rows] == [
        "",
        "+5.0",
        "+3.0",
        "+25.0",
    ]


def test_generators_have_names_of_their_own() -> None:
    """The table has a row for each."""
    names = [generator.name for generator in GENERATORS]
    assert len(set(names)) == len(names)


def test_missing_program_is_named() -> None:
    """What is not installed is skipped with a word."""
    lacking = Generator("x", "wrk", program="no-such-program")
    assert lacking.lacks(None).startswith("no-such-program is not installed")  # type: ignore[arg-type]  # not asked


@pytest.mark.skipif(not can_measure(), reason="only Linux tells what other processes spend")
def test_cpu_time_is_that_of_the_tree_within_the_time() -> None:
    """
    The clock of a process goes on with its work, one that is gone has none, and the question itself is not counted.
    """
    before, until = cpu_s(os.getpid()), time.process_time() + 0.02
    while time.process_time() < until:
        pass
    assert cpu_s(os.getpid()) - before >= 0.02
    assert os.getpid() in tree(os.getpid())
    assert cpu_s(2**22 + 1) == 0.0
    asked = itertools.count(100, 11)
    spent = spent_within(0.0, os.getpid(), lambda: next(asked), lambda: 1.0)
    assert (spent.requests, spent.server_s, spent.whole) == (10, 0.0, True)
