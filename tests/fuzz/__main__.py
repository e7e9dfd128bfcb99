"""Fuzzes our readers, one after the other: python -m tests.fuzz [--seconds 600] [TARGET ...].

What is found is kept in reports/fuzz/TARGET/: the input as .bin beside its traceback as .txt, or, where an input took
the process with it, as timeout-…, oom-… or crash-…. Exits with 1 where there is any, and with 130 after Ctrl-C.
"""

import argparse
import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.registry import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FINDINGS = ("*.bin", "timeout-*", "oom-*", "crash-*", "leak-*")


def fuzz(name: str, folder: Path, seconds: int) -> bool:
    """Fuzzes one target for so long, after a killed process in another one; whether anything was found."""
    folder.mkdir(parents=True, exist_ok=True)
    log, counter = folder / "log.txt", folder / "inputs.json"
    began_at, inputs, problem = time.time(), 0, ""
    while (left_s := round(began_at + seconds - time.time())) >= 1 and not problem:
        counter.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.fuzz.child", name, str(folder), str(left_s)]
        with log.open("ab") as output:
            # A session of its own: Ctrl-C is for this process, which ends the other.
            child = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True)
        try:
            code = child.wait()
        finally:
            child.kill()
            child.wait()
        with contextlib.suppress(OSError, ValueError):
            inputs += json.loads(counter.read_text())
        if code and not counter.exists():
            problem = f"ended with {code} before the first input; see {log}"
    paths = sorted({path for form in FINDINGS for path in folder.glob(form) if path.stat().st_mtime >= began_at - 1})
    covered = int((re.findall(rb"cov: (\d+)", log.read_bytes()) or [0])[-1])
    counts = f"{inputs:>11,} inputs {time.time() - began_at:>6.0f} s {covered:>6,} branches"
    print(f"{name:12} {counts}  {problem or f'{len(paths)} findings'}", flush=True)
    print("".join(f"  {path.relative_to(ROOT)}\n" for path in paths), end="")
    return bool(paths or problem)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    flags = parser.parse_args(arguments)
    for name in flags.targets:
        if name not in TARGETS:
            parser.error(f"{name!r}: no such target; expected some of {', '.join(TARGETS)}")
    # Whoever is started in the background gets no Ctrl-C, and should end its child as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        found = [fuzz(name, ROOT / "reports" / "fuzz" / name, flags.seconds) for name in flags.targets or TARGETS]
    except KeyboardInterrupt:
        return 130
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
