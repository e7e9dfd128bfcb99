"""The command `recordings lint`: finds problems in recordings, offline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, zip_longest
from pathlib import Path

from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.errors import RecordingError
from touchstone.facts.leaks import leaks
from touchstone.recordings import har, reader
from touchstone.recordings.recording import Accounts, Recording
from touchstone.recordings.replay import alone

# A recording older than this gets a warning. If --max-age is given, a recording older than that is a fault.
OLD_DAYS = 90
_MAX_REMARKS = 10


@dataclass(frozen=True, slots=True)
class Remark:
    """A fault in a file, or a warning about a file. Only faults make the command fail."""

    path: Path
    text: str
    is_fault: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {'' if self.is_fault else 'warning: '}{self.text}"


def lint(
    paths: Sequence[Path],
    keys: Mapping[str, str],
    now: datetime,
    max_age_days: float | None = None,
    accounts: Accounts | None = None,
) -> tuple[Remark, ...]:
    """Problems of the recordings in *paths*, file by file; *accounts* as in `reader.read`.

    *keys*: secrets by name; no file may contain one, nor any text that looks like a key. A recording older than
    *max_age_days* is a problem; if that is None, a recording older than OLD_DAYS gets a warning.
    """
    remarks: list[Remark] = []
    for path in reader.found(paths):
        try:
            text = reader.text_of(path)
            remarks += (Remark(path, f"line {one.line}: holds {one.what}") for one in leaks(text, keys)[:_MAX_REMARKS])
            if problems := har.problems(reader.document_of(path, text)):
                remarks += (Remark(path, f"HAR: {problem}") for problem in problems[:_MAX_REMARKS])
                continue
            recording = reader.read(path, accounts)
        except RecordingError as error:
            remarks.append(Remark(path, str(error).removeprefix(f"{path}: ")))
            continue
        if recording.origin == "touchstone":
            remarks += (Remark(path, fault) for fault in _own(recording, text))
        place = {exchange.seq: number for number, exchange in enumerate(recording.exchanges)}
        findings = ((place[finding.evidence[-1]], finding.sentence()) for finding in alone(recording)[1])
        remarks += (Remark(path, f"entry {number}: {sentence}") for number, sentence in findings)
        age_days = (now - har.moment(recording.recorded_at or har.utc(now))).total_seconds() / 86400
        limit_days = OLD_DAYS if max_age_days is None else max_age_days
        if age_days > limit_days:
            old = f"recorded {age_days:.0f} days ago, more than {limit_days:g}; record it again"
            remarks.append(Remark(path, old, is_fault=max_age_days is not None))
    return tuple(remarks)


def _own(recording: Recording, text: str) -> Iterator[str]:
    contract, ledger = Contract.load(), ledger_of_claims.load()
    if recording.contract_sha256 != contract.sha256:
        found, wanted = recording.contract_sha256[:12], contract.sha256[:12]
        yield f"recorded under contract {found}…, expected {wanted}…; record it again"
    if recording.is_changed:
        yield "was changed since it was recorded; record it again"
    if Path(recording.path).stem != recording.name:
        yield f"holds the scenario {recording.name!r}; expected it in {recording.name}.har"
    known = {claim.id for claim in ledger.judged()}
    written_claims = {claim for claims in recording.evidence.values() for claim in claims} | set(recording.claims)
    for claim in sorted(written_claims - known):
        yield f"names the claim {claim!r}, which does not exist; record it again"
    written = har.render(recording)
    lines = enumerate(zip_longest(text.splitlines(), written.splitlines(), fillvalue=""), start=1)
    # A wrong entries_sha256 is already reported above.
    others = (one for one in lines if one[1][0] != one[1][1] and "entries_sha256" not in one[1][0])
    for line, (found, wanted) in islice(others, 1):
        yield f"line {line}: {found.strip()!r:.80}, `touchstone record` writes {wanted.strip()!r:.80}; do not edit it"
