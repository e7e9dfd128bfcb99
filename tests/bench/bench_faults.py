"""Compares a check with `schemathesis run` on the same faults: faults found, requests, false alarms.

Three examiners judge each server in turn: our check without an early stop, and schemathesis with its defaults, with
and without our hooks. A complaint of schemathesis counts unless it also has it about the correct twin.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.check.job import EMBEDDED_TWIN
from touchstone.contract.files import openapi_dir
from touchstone.proof import catalogue
from touchstone.proof.catalogue import Candidate
from touchstone.proof.prover import prove
from touchstone.proof.result import Subject
from touchstone.twin.serve import Asgi, Behaviour

EXAMINERS = ("touchstone", "with hooks", "plain")
CORRECT = Candidate(Subject("correct", "variant", "The correct twin."), Behaviour("correct", ""))
KEY = "sk_live_test_primary"
LIMIT_S = 180.0  # for one run of schemathesis: a hanging server costs a timeout for each request


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of one examiner on one server; *complaints* are broken claims, or kinds of failures of schemathesis."""

    subject: Subject
    complaints: frozenset[str]
    requests: int
    seconds: float
    found: bool = False


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(prog="bench_faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=8, help="size of the sample (default: %(default)s)")
    parser.add_argument("--variants", type=int, default=2, help="variants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    faults = sample(catalogue.listed_faults(), options.faults, options.seed)
    variants = sample(catalogue.variants(), options.variants, options.seed)
    servers = [CORRECT, *variants, *faults]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = {"touchstone": ours(servers[1:], Path(folder), options)}
        for examiner in EXAMINERS[1:]:
            results[examiner] = [schemathesis(one, Path(folder) / "plain", options.seed, examiner) for one in servers]
    print_table(results, faults, variants)


def sample(servers: Sequence[Candidate], size: int, seed: int) -> list[Candidate]:
    """Servers of each class in turn, drawn by seed."""
    chance = random.Random(seed)
    groups: dict[str, list[Candidate]] = {}
    for server in sorted(servers, key=lambda one: (one.subject.kind, one.subject.name)):
        groups.setdefault(server.subject.kind, []).append(server)
    for group in groups.values():
        chance.shuffle(group)
    longest = max(map(len, groups.values()))
    return [group[turn] for turn in range(longest) for group in groups.values() if turn < len(group)][:size]


def ours(servers: Sequence[Candidate], folder: Path, options: argparse.Namespace) -> list[Measured]:
    """Whole trials of `touchstone prove`."""
    shown, jobs, seed = progress("touchstone"), options.jobs, options.seed
    trials = prove(servers, folder / "ours", jobs=jobs, seed=seed, whole=True, on_outcome=shown)
    return [
        Measured(t.subject, frozenset(t.broken), t.exchanges, t.seconds, t.exit_code == 1 and not t.lacking)
        for t in trials
    ]


def progress(examiner: str) -> Callable[[Any], None]:
    """Prints one line for each result to stderr."""
    return lambda result: print(f"{examiner}, {result.subject.name}: {result.seconds:.1f} s", file=sys.stderr)


def schemathesis(server: Candidate, folder: Path, seed: int, examiner: str) -> Measured:
    """One run of `schemathesis run` in a folder with only a touchstone.toml, which our hooks read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    requests = 0

    def counted(app: Asgi) -> Asgi:
        behaving = server.behaviour.wrap(app)

        async def counting(scope: Any, receive: Any, send: Any) -> None:
            nonlocal requests
            requests += scope["type"] == "http"
            await behaving(scope, receive, send)

        return counting

    with replace(server.behaviour, wrap=counted).twin(EMBEDDED_TWIN) as twin:
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
        command += [str(openapi_dir() / "builds.yaml"), "--url", twin.url, "--no-color", "--seed", str(seed)]
        command += ["--report-ndjson-path", "events.ndjson"]
        command += ["--header", f"Authorization: Bearer {KEY}"]
        settings = {"url": twin.url, **server.behaviour.target}
        lines = ("[targets.bench]", *(f"{name} = {toml(value)}" for name, value in settings.items()))
        (folder / "touchstone.toml").write_text("\n".join(lines), "utf-8")
        requests, began = 0, time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            hooks = {"SCHEMATHESIS_HOOKS": "touchstone.schemathesis"} if examiner == "with hooks" else {}
            environ = dict(os.environ) | hooks
            subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False, timeout=LIMIT_S)
        found = frozenset(complaints(folder / "events.ndjson"))
        result = Measured(server.subject, found, requests, time.monotonic() - began)
    progress(examiner)(result)
    return result


def toml(value: Any) -> str:
    """Writes a value as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def complaints(events: Path) -> Iterator[str]:
    """Kinds of failures in the NDJSON report of schemathesis, which may end in the middle of a line."""
    with contextlib.suppress(FileNotFoundError), events.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                for kind, value in json.loads(line).items():
                    if kind == "ScenarioFinished":
                        yield from failures(value["recorder"])
                    elif kind == "EngineFinished":
                        yield from (failure["title"] for failure in value.get("failures", ()))
                    elif kind in ("NonFatalError", "FatalError"):
                        yield f"{kind} on {value.get('label') or 'the run'}"


def failures(recorder: dict[str, Any]) -> Iterator[str]:
    """Failed checks by check, operation and detail: without the detail, one false alarm would hide real findings."""
    for case_id, checks in recorder.get("checks", {}).items():
        case = recorder["cases"][case_id]["value"]
        for check in checks:
            if check["status"] == "failure":
                failure = check["failure_info"]["failure"]
                component = str(failure.get("message", "")).partition("Invalid component: ")[2].partition("\n")[0]
                detail = f"after {failure['operation']}" if failure.get("code") == "ST301" else component
                yield f"{check['name']} {failure.get('code') or ''} {case['method']} {case['path']} {detail}"


def print_table(results: dict[str, list[Measured]], faults: list[Candidate], variants: list[Candidate]) -> None:
    """Prints faults found by class, cost and false alarms, one column per examiner."""
    known = {
        name: frozenset().union(*(one.complaints for one in runs if one.subject is CORRECT.subject))
        for name, runs in results.items()
    }
    of = {name: {one.subject.name: one for one in runs} for name, runs in results.items()}

    def is_found(examiner: str, name: str) -> bool:
        one = of[examiner][name]
        return one.found if examiner == "touchstone" else bool(one.complaints - known[examiner])

    print(f"{'faults found, by class':<40}" + "".join(f"{name:>12}" for name in EXAMINERS))
    for kind in [*sorted({one.subject.kind for one in faults}), "all"]:
        names = [one.subject.name for one in faults if kind in (one.subject.kind, "all")]
        counts = (sum(is_found(examiner, name) for name in names) for examiner in EXAMINERS)
        print(f"{kind:<40}" + "".join(f"{f'{count} of {len(names)}':>12}" for count in counts))
    for title, value in (("median requests", "requests"), ("median seconds", "seconds")):
        medians = (statistics.median(getattr(of[e][one.subject.name], value) for one in faults) for e in EXAMINERS)
        print(f"{title:<40}" + "".join(f"{median:>12.1f}" for median in medians))
    print(f"{'kinds of complaints about the correct twin':<40}" + "".join(f"{len(known[e]):>12}" for e in EXAMINERS))
    accused = (sum(bool(of[e][one.subject.name].complaints) for one in variants) for e in EXAMINERS)
    print(f"{f'variants accused, of {len(variants)}':<40}" + "".join(f"{count:>12}" for count in accused))


if __name__ == "__main__":
    main()
