"""Load runs for tests: the command against a twin in this process, with limits that a busy machine keeps."""

from dataclasses import dataclass
from pathlib import Path

from tests.command import Ended, Shell
from touchstone.facts.runlog import read
from touchstone.loadgen.plan import SCENARIOS
from touchstone.proof import catalogue
from touchstone.rules.verdict import judge
from touchstone.twin import RateLimit, Twin, TwinSettings

# Nothing about times: what is tested is what the target does, on a machine that does much else besides.
THRESHOLDS = "".join(f'[{name}."*"]\nerror_share = 0.0\n' for name in SCENARIOS)


@dataclass(frozen=True, slots=True)
class Load:
    scenario: str
    fault: str = ""  # of the twin; empty for none
    rate: str = "6/1"
    capacity: int = 2
    flags: tuple[str, ...] = ()
    patience_s: float = 20.0
    build_timeout_s: float = 8.0

    @property
    def name(self) -> str:
        return f"{self.scenario}-{self.fault or 'correct'}"


def run_load(load: Load, folder: Path) -> Ended:
    settings = TwinSettings(rate=RateLimit.parse(load.rate) if load.rate else None, capacity=load.capacity or None)
    twin = catalogue.fault(load.fault).twin(settings) if load.fault else Twin(settings)
    with twin:
        (folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        (folder / "touchstone.toml").write_text(
            f"""
[targets.served]
url = "{twin.url}"
build_timeout_s = {load.build_timeout_s}
cancel_timeout_s = 3
patience_s = {load.patience_s}
max_builds = 500
""",
            encoding="utf-8",
        )
        flags = ("--target", "served", "--thresholds", "thresholds.toml", *load.flags)
        return Shell(folder).run("load", load.scenario, *flags)


def broken(ended: Ended) -> set[str]:
    verdict = judge(read(ended.results / "runlog.jsonl"))
    return {claim.claim.id for claim in verdict.claims if claim.verdict == "broken"}
