"""Fuzzes one target in this process until its time is up: python -m tests.fuzz.child NAME FOLDER SECONDS.

What breaks an oracle is kept once for each place that it comes from, and the fuzzer goes on; what takes the process
with it, as a hang does, is kept by libFuzzer itself.
"""

import hashlib
import importlib
import json
import random
import sys
import time
import traceback
from pathlib import Path

import atheris

from tests.fuzz.steps import drawn, mutated

with atheris.instrument_imports(include=["touchstone"]):
    TARGETS = importlib.import_module("tests.fuzz.registry").TARGETS

# An input that takes longer counts as one that hangs, also where all processors are busy.
HANG_S = 60
MEMORY_MB = 1500


class Run:
    def __init__(self, name: str, folder: Path) -> None:
        self.target = TARGETS[name]
        self.folder = folder
        self.inputs = 0
        self._reported_at = 0.0
        self._known = {path.stem for path in folder.glob("*.txt")}

    def one(self, data: bytes) -> None:
        self.inputs += 1
        now = time.monotonic()
        if now >= self._reported_at + 0.5:
            self._reported_at = now
            (self.folder / "inputs.json").write_text(json.dumps(self.inputs))
        try:
            self.target.check(bytes(data))
        except Exception as error:  # noqa: BLE001 - any is a finding
            self._keep(bytes(data), error)

    def changed(self, data: bytes, most: int, seed: int) -> bytes:
        """Another input made of *data*: by its form, or as libFuzzer does it."""
        chance = random.Random(seed)
        if chance.random() < 0.5:
            after = mutated(bytes(data), drawn(chance), self.target.form, most)
            if after != data:
                return after
        return bytes(atheris.Mutate(data, most))

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        place = "-".join(f"{Path(frame.filename).stem}.{frame.name}" for frame in frames[-2:])
        known = f"{type(error).__name__}-{place}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"
        if known not in self._known:
            self._known.add(known)
            (self.folder / f"{known}.bin").write_bytes(data)
            (self.folder / f"{known}.txt").write_text("".join(traceback.format_exception(error)), errors="replace")


def main(name: str, folder: Path, seconds: int) -> None:
    """Does not return: libFuzzer ends the process."""
    run = Run(name, folder)
    seeds = folder / "seeds"
    for path in (seeds, folder / "corpus"):
        path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(run.target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    flags = [f"-max_total_time={seconds}", f"-max_len={run.target.most_bytes}", f"-timeout={HANG_S}"]
    flags += [f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *flags, str(folder / "corpus"), str(seeds)], run.one, custom_mutator=run.changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
