"""Plain ``pytest contract_tests``: what `touchstone check` does around the contract tests, without its report."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from touchstone.check.examination import transport_to
from touchstone.check.handover import CheckHandover
from touchstone.check.job import EMBEDDED_TWIN, at_target, new_run_id, write_header
from touchstone.check.preflight import check_given, smoke
from touchstone.check.sweep import sweep_run
from touchstone.config import Flags, load
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract


@contextmanager
def prepared(flags: Flags, cwd: Path) -> Iterator[CheckHandover]:
    """Starts the embedded twin unless *flags* name a target, and checks the target; yields the data of the run.

    Raises:
        UsageError: a flag, a variable or the settings file is invalid.
        TargetError: the target cannot be judged.
    """
    run_id, contract = new_run_id(), Contract.load()
    with (
        TemporaryDirectory(prefix="touchstone-") as folder,
        at_target(load(flags, os.environ, cwd), EMBEDDED_TWIN) as s,
    ):
        run_log = Path(folder) / "runlog.jsonl"
        write_header(run_log, run_id, s, ("pytest", "contract_tests"), ledger_of_claims.load(), contract)
        with closing(transport_to(s.target, contract)) as transport:
            latency_s = smoke(transport, s.target.key_sources.primary)
            check_given(transport, s.target)
        try:
            yield CheckHandover(s, str(run_log), run_id, latency_s)
        finally:
            for ref in sweep_run(s, (s.state_dir, Path(folder)), run_id):
                sys.stderr.write(f"left on the target: {ref}; `touchstone sweep` tries again\n")
