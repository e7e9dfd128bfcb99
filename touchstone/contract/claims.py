"""Reads openapi/claims.yaml, the ledger of claims."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, with_config

from touchstone.contract.files import openapi_dir
from touchstone.contract.parsing import read_as
from touchstone.errors import ContractError, UsageError, quoted, similar

Level = Literal["must", "should"]
By = Literal["check", "load"]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Id = Annotated[str, StringConstraints(pattern=r"^[^.]+\..+$")]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Claim:
    """One testable sentence of the documentation."""

    id: _Id  # ``subject.name``
    says: _Text  # the claim, in one sentence
    source: _Text  # page and section of the documentation, or a standard such as an RFC
    level: Level = "should"  # an excluded row counts as ``should`` and is never judged
    needs: frozenset[Literal["publish", "second", "restricted"]] = frozenset()  # what the target must offer
    excluded: str = ""  # why the row is not judged; empty for a judged claim
    by: By = "check"  # ``load`` for a claim that only a load run can judge
    since: Annotated[int, Field(strict=True, ge=1)] = 1  # first version of the contract with this claim

    @property
    def subject(self) -> str:
        """Part of the id before the dot."""
        return self.id.partition(".")[0]


def _with_level(row: Any) -> Any:
    if isinstance(row, dict) and ("excluded" in row) == ("level" in row):
        raise ValueError("expected either a level or the reason why it is excluded")
    return row


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class _File:
    claims: tuple[Annotated[Claim, BeforeValidator(_with_level)], ...]
    version: Annotated[int, Field(strict=True)] = 1


class Ledger(dict[str, Claim]):
    """The ledger: all rows of claims.yaml by id, in the order of the file."""

    version = 1  # version of the contract; no claim is newer

    def judged(self, by: By | None = "check") -> tuple[Claim, ...]:
        """Returns the claims that *by* judges, in the order of the file. *by*: a check or a load run; None for both."""
        return tuple(row for row in self.values() if not row.excluded and by in (None, row.by))

    def excluded(self) -> tuple[Claim, ...]:
        """Returns the rows that no run judges."""
        return tuple(row for row in self.values() if row.excluded)

    def select(self, glob: str, by: By | None = "check") -> tuple[Claim, ...]:
        """Returns the claims that *by* judges, by globs joined by commas; raises UsageError if one matches none."""
        globs = [part.strip() for part in glob.split(",") if part.strip()]
        judged = self.judged(by)
        for part in globs or [glob]:
            if not any(fnmatchcase(claim.id, part) for claim in judged):
                why = f"no claim matches{similar(part, [claim.id for claim in judged])}; `touchstone claims` lists them"
                if other := next((row for row in self.judged(None) if fnmatchcase(row.id, part)), None):
                    why = f"`touchstone {other.by}` judges {other.id}; run that instead"
                raise UsageError(f"--claims {quoted(part)}: {why}")
        return tuple(claim for claim in judged if any(fnmatchcase(claim.id, part) for part in globs))

    def raised(self, ids: Iterable[str]) -> "Ledger":
        """Returns a copy of the ledger in which the claims *ids* have the level must."""
        wanted = frozenset(ids)
        return Ledger((row.id, replace(row, level="must") if row.id in wanted else row) for row in self.values())

    def explain(self, claim_id: str) -> Claim:
        """Returns the row with this id; raises UsageError for an unknown id."""
        if claim_id not in self:
            raise UsageError(f"{claim_id!r}: no such claim{similar(claim_id, self)}; `touchstone claims` lists them")
        return self[claim_id]


@cache
def load(path: Path | None = None) -> Ledger:
    """Reads the ledger from *path*, by default the bundled file, once a process; raises ContractError if malformed."""
    path = path or openapi_dir() / "claims.yaml"
    file: _File = read_as(_File, path)
    rows = Ledger((row.id, row) for row in file.claims)
    rows.version = file.version
    if len(rows) < len(file.claims):
        raise ContractError(f"{path}: an id occurs twice; give each claim its own")
    if newer := [row.id for row in file.claims if row.since > file.version]:
        raise ContractError(f"{path}: {newer[0]}: expected to be since the version {file.version} at most")
    return rows
