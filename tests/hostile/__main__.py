"""Prints what the commands say to each hostile server: ``python -m tests.hostile [--brief] [--jobs N] [NAME…]``.

The exit code is 1 where a cell is not as expected, took more than its seconds or more than its memory.
"""

import argparse
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.hostile.cells import MOST_BYTES, MOST_S, Seen, run
from tests.hostile.table import Row, cells
from touchstone.check.job import EMBEDDED_TWIN
from touchstone.twin import Twin

_MIB = 1 << 20
_WIDTH = 62


def main() -> int:
    """Runs the table, or the rows whose names hold one of the words on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("names", nargs="*", help="parts of names of misbehaviours; all where none is given")
    parser.add_argument("--jobs", type=int, default=3, help="how many cells at a time")
    parser.add_argument("--commands", default="", help="commands, separated by commas; all where none is given")
    parser.add_argument("--brief", action="store_true", help="leave out record and load in turn")
    asked = parser.parse_args()
    chosen = [
        (row, command)
        for row, command in cells(brief=asked.brief)
        if (not asked.names or any(word in row.name for word in asked.names))
        and (not asked.commands or command in asked.commands.split(","))
    ]
    began_at = time.monotonic()
    with ThreadPoolExecutor(asked.jobs) as pool:
        _say(f"{'misbehaviour':28}{'command':8}{'verdict':{_WIDTH + 2}}{'seconds':>8}{'MB':>6}")
        seen = list(pool.map(lambda cell: _cell(*cell), chosen))
    late = [number for number, (_, one) in enumerate(seen) if "the generator was" in one.last_line]
    if late:
        _say("repeated one at a time, since the machine was too busy to judge these loads:")
    for number in late:
        seen[number] = _cell(*chosen[number])
    bad = sum(not good for good, _ in seen)
    worst = [one for _, one in seen]
    if worst:
        slowest, largest = max(one.seconds for one in worst), max(one.peak_bytes for one in worst)
        _say(
            f"{len(seen)} cells in {time.monotonic() - began_at:.0f} s ({_processor_s():.0f} s of processors), "
            f"{bad} not as expected; "
            f"at most {slowest:.1f} of {MOST_S:g} s and {largest / _MIB:.0f} of {MOST_BYTES / _MIB:.0f} MB"
        )
    return 1 if bad or not seen else 0


def _cell(row: Row, command: str) -> tuple[bool, Seen]:
    with Twin(EMBEDDED_TWIN) as twin:  # of its own: what others have in flight would be in its way
        seen = run(row.name, command, row.arguments(command), twin.url)
    expected = row.cells[command]
    different = expected.differs(seen.code, seen.last_line, seen.broken)
    problems = [*([different] if different else []), *seen.wrong]
    verdict = _told(seen)
    _say(f"{row.name:28}{command:8}{verdict:{_WIDTH + 2}}{seen.seconds:8.1f}{seen.peak_bytes / _MIB:6.0f}")
    for problem in problems:
        _say(f"    NOT AS EXPECTED: {problem}")
    if different:
        _say(f"    its last line: {seen.last_line}")
    return not problems, seen


def _told(seen: Seen) -> str:
    """The exit code, and of the rest as much as a column holds."""
    named = (
        f"{seen.broken[0]}" + (f" and {len(seen.broken) - 1} more" if len(seen.broken) > 1 else "")
        if seen.broken
        else ""
    )
    words = seen.last_line.partition(": ")[2]
    words = words.partition("/api: ")[2] or words
    text = f"{seen.code} {named or words}"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _processor_s() -> float:
    """What this process and all that it started have taken of processors."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
