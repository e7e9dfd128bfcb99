"""The ledger of claims: reads openapi/claims.yaml and answers for each id what is promised and where."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from touchstone.contract import parsing
from touchstone.contract.files import openapi_dir, read_regular
from touchstone.contract.quoting import quoted
from touchstone.errors import ContractError, UsageError, one_line

NEEDS = frozenset({"publish", "second", "restricted"})
_KEYS = frozenset({"id", "level", "says", "source", "needs", "by", "excluded"})

Level = Literal["must", "should"]
By = Literal["check", "load"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One testable sentence of the documentation.

    Attributes:
        id: ``subject.name``.
        level: ``must`` or ``should``; an excluded row counts as ``should`` and is never judged.
        says: The promise in our own words.
        source: Page and section of the documentation, or a standard.
        needs: What a target must offer before the claim can be judged, a subset of NEEDS.
        excluded: Why the row is not judged; empty for a claim that is.
        by: The command that judges it; what a load run alone can tell is no claim of a check.
    """

    id: str
    level: Level
    says: str
    source: str
    needs: frozenset[str] = frozenset()
    excluded: str = ""
    by: By = "check"

    @property
    def subject(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


class Ledger(Mapping[str, Claim]):
    """All rows of the ledger by id, in the order of the file."""

    def __init__(self, rows: Iterable[Claim]) -> None:
        self._rows = {row.id: row for row in rows}

    def __getitem__(self, claim_id: str) -> Claim:
        return self._rows[claim_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def judged(self) -> tuple[Claim, ...]:
        """The claims that a check gives verdicts on, in the order of the file."""
        return self._judged_by("check")

    def of_load(self) -> tuple[Claim, ...]:
        """The claims that nothing but a load run gives verdicts on, in the order of the file."""
        return self._judged_by("load")

    def _judged_by(self, by: By) -> tuple[Claim, ...]:
        return tuple(row for row in self._rows.values() if not row.excluded and row.by == by)

    def excluded(self) -> tuple[Claim, ...]:
        """The rows that are deliberately not judged."""
        return tuple(row for row in self._rows.values() if row.excluded)

    def select(self, glob: str, by: By | None = "check") -> tuple[Claim, ...]:
        """The judged claims whose id matches *glob*; several globs are separated by commas.

        Args:
            by: Who judges them; None for all of them.

        Raises:
            UsageError: one of the globs matches no claim.
        """
        globs = [part.strip() for part in glob.split(",") if part.strip()]
        judged = tuple(row for row in self._rows.values() if not row.excluded and by in (None, row.by))
        for part in globs or [glob]:
            if not any(fnmatchcase(claim.id, part) for claim in judged):
                raise UsageError(f"--claims {quoted(part)}: {self._unmatched(part, judged)}")
        return tuple(claim for claim in judged if any(fnmatchcase(claim.id, part) for part in globs))

    def _unmatched(self, glob: str, judged: Iterable[Claim]) -> str:
        other = next((row for row in self._rows.values() if not row.excluded and fnmatchcase(row.id, glob)), None)
        if other is not None:
            return f"`touchstone {other.by}` judges {other.id}; run that instead"
        return f"no claim matches{_nearest(glob, [claim.id for claim in judged])}; `touchstone claims` lists them"

    def raised(self, ids: Iterable[str]) -> "Ledger":
        """The same ledger, in which the claims called *ids* are a must: what a run sets out to show it insists on."""
        wanted = frozenset(ids)
        return Ledger(replace(row, level="must") if row.id in wanted else row for row in self._rows.values())

    def explain(self, claim_id: str) -> Claim:
        """The row with this id.

        Raises:
            UsageError: there is none.
        """
        if claim_id not in self._rows:
            near = _nearest(claim_id, self._rows)
            raise UsageError(f"{claim_id!r}: no such claim{near}; `touchstone claims` lists them")
        return self._rows[claim_id]


def load(path: Path | None = None) -> Ledger:
    """The ledger from *path*, or the bundled one.

    Raises:
        ContractError: the file is missing, is not YAML, or a row is malformed; the message names the row.
    """
    return _bundled() if path is None else _read(path)


@cache
def _bundled() -> Ledger:
    return _read(openapi_dir() / "claims.yaml")


def _read(path: Path) -> Ledger:
    try:
        document = parsing.read_yaml(read_regular(path).decode("utf-8"))
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"{path}: not YAML: byte {error.start} is no UTF-8") from error
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not YAML: {parsing.fault(error)}") from error
    if not isinstance(document, dict) or not isinstance(document.get("claims"), list):
        raise ContractError(f"{path}: expected a mapping with a list under 'claims'")
    rows = [_row(raw, f"{path}: claims[{number}]") for number, raw in enumerate(document["claims"])]
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise ContractError(f"{path}: {row.id}: the id occurs twice; give each claim its own")
        seen.add(row.id)
    return Ledger(rows)


def _row(raw: Any, place: str) -> Claim:
    if not isinstance(raw, dict):
        raise ContractError(f"{place}: expected a mapping, got {quoted(raw)}")
    place = f"{place} ({one_line(raw.get('id', 'no id'))})"
    for key in raw:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise ContractError(f"{place}: unknown key {key!r}" + (f"; did you mean {near[0]}?" if near else ""))
    for key in ("id", "says", "source", *({"excluded"} & raw.keys())):
        if not isinstance(raw.get(key), str) or not raw[key].strip():
            raise ContractError(f"{place}: {key} is {quoted(raw.get(key))}; expected a text")
    if not all(raw["id"].partition(".")):
        raise ContractError(f"{place}: expected an id of the form subject.name")
    level, by, excluded = _judgement(raw, place)
    needs = raw.get("needs", [])
    if not isinstance(needs, list) or not all(need in sorted(NEEDS) for need in needs):
        raise ContractError(f"{place}: needs is {quoted(needs)}; expected a list of any of {sorted(NEEDS)}")
    return Claim(raw["id"], level, raw["says"], raw["source"], frozenset(needs), excluded, by)


def _judgement(raw: dict[str, Any], place: str) -> tuple[Level, By, str]:
    """Whether and by whom a row is judged."""
    excluded, level, by = raw.get("excluded", ""), raw.get("level"), raw.get("by", "check")
    if bool(excluded) == (level is not None):
        raise ContractError(f"{place}: expected either a level or the reason why it is excluded")
    if level is not None and level not in get_args(Level):
        raise ContractError(f"{place}: level is {quoted(level)}; expected must or should")
    if by not in get_args(By) or (excluded and "by" in raw):
        raise ContractError(f"{place}: by is {quoted(by)}; expected check or load, and none in an excluded row")
    return cast(Level, level or "should"), by, excluded


def _nearest(wanted: str, ids: Iterable[str]) -> str:
    near = difflib.get_close_matches(wanted, list(ids), n=1)
    return f"; did you mean {near[0]}?" if near else ""
