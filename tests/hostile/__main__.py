"""Runs the commands against each hostile server: ``python -m tests.hostile [--jobs N] [NAME…]``.

The exit code is 1 if a result is unexpected, or if a run took too much time or memory.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.hostile.catalogue import FLAWS
from tests.hostile.cells import MOST_BYTES, MOST_S, Outcome, run
from tests.hostile.table import ROWS, Row, cells

_MIB = 1 << 20
_WIDTH = 62
_print = partial(print, flush=True)


def main() -> int:
    """Runs all rows, or those whose names contain an argument."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("names", nargs="*", help="parts of names of flaws; default: all")
    parser.add_argument("--jobs", type=int, default=3, help="number of parallel cells")
    parser.add_argument("--commands", default="", help="commands, separated by commas; default: all")
    options = parser.parse_args()
    assert sorted(row.name for row in ROWS) == sorted(FLAWS)
    chosen = [
        (row, command)
        for row, command in cells()
        if (not options.names or any(word in row.name for word in options.names))
        and (not options.commands or command in options.commands.split(","))
    ]
    began_at = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        _print(f"{'flaw':28}{'command':8}{'verdict':{_WIDTH + 2}}{'seconds':>8}{'MB':>6}")
        results = list(pool.map(lambda cell: _cell(*cell), chosen))
    if late := [number for number, (_, one) in enumerate(results) if "the generator was" in one.last_line]:
        _print("repeated one at a time, because the machine was too busy for these loads:")
    for number in late:
        results[number] = _cell(*chosen[number])
    bad = sum(not good for good, _ in results)
    if results:
        slowest, largest = max(one.seconds for _, one in results), max(one.peak_bytes for _, one in results)
        _print(
            f"{len(results)} cells in {time.monotonic() - began_at:.0f} s, {bad} not as expected; "
            f"at most {slowest:.1f} of {MOST_S:g} s and {largest / _MIB:.0f} of {MOST_BYTES / _MIB:.0f} MB"
        )
    return 1 if bad or not results else 0


def _cell(row: Row, command: str) -> tuple[bool, Outcome]:
    outcome = run(row.name, command, row.arguments(command))
    expected = row.cells[command]
    different = expected.differs(outcome.code, outcome.last_line, outcome.broken)
    problems = [*([different] if different else []), *outcome.wrong]
    verdict = _summary(outcome)
    _print(f"{row.name:28}{command:8}{verdict:{_WIDTH + 2}}{outcome.seconds:8.1f}{outcome.peak_bytes / _MIB:6.0f}")
    for problem in problems:
        _print(f"    NOT AS EXPECTED: {problem}")
    if different:
        _print(f"    its last line: {outcome.last_line}")
    return not problems, outcome


def _summary(outcome: Outcome) -> str:
    """Exit code and reason, cut to the width of a column."""
    more = f" and {len(outcome.broken) - 1} more" if len(outcome.broken) > 1 else ""
    line = outcome.last_line.partition(": ")[2]
    reason = line.partition("/api: ")[2] or line
    text = f"{outcome.code} {outcome.broken[0] + more if outcome.broken else reason}"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
