"""Reads openapi/answers.yaml: what the API may answer, by operation, state of the version and caller."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, with_config

from touchstone.contract.files import openapi_dir
from touchstone.contract.parsing import read_as

# The callers in *refusals*, by the key that they send (`facts.exchange.Credential`).
CALLERS = {
    "none": "no key",
    "unknown": "wrong key",
    "recased": "wrong key",
    "longer": "nearly the key",
    "shorter": "nearly the key",
    "malformed": "no bearer key",
    "query": "key in the query",
    "restricted": "plan too small",
}

_Words = Annotated[tuple[str, ...], BeforeValidator(lambda v: () if v is None else (v,) if isinstance(v, str) else v)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Answer:
    """A row: the allowed answers in one situation."""

    # for each allowed status code, the documented one first, the allowed values of ``status`` in the body
    may: Mapping[int, _Words]
    claim: str  # the claim about the status code
    body: str = ""  # the claim about ``status`` in the body; empty if another row or rule judges it
    open: int = 0  # number of the ambiguity that lets the API choose; 0 if there is none
    error: str = ""  # how the error text begins; empty if that is not documented
    as_owner: bool = False  # whether the caller may also get what the owner of the version gets

    @property
    def codes(self) -> str:
        """The allowed status codes, as in ``202 or 200``."""
        return either(self.may)

    @property
    def bodies(self) -> tuple[str, ...]:
        """The allowed values of ``status`` in the body, whatever the status code."""
        return tuple(dict.fromkeys(status for allowed in self.may.values() for status in allowed))

    def fits(self, code: int, status: object) -> bool:
        """Whether the row allows the status code *code* with *status* in the body."""
        return code in self.may and (not self.may[code] or status in self.may[code])

    def __str__(self) -> str:
        texts = ["as for the owner"] if self.as_owner else []
        for statuses, codes in groupby(self.may, key=self.may.__getitem__):
            texts.append(either(codes) + (f" with status {either(statuses)}" if statuses else ""))
        return ", or ".join(texts)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Answers:
    """The file."""

    states: Mapping[str, str]  # the states of a version or of a document, each with its meaning
    answers: Mapping[str, Mapping[str, Answer]]  # rows for the owner of the version, by operation and state
    # rows for other callers, by caller and operation; ``any`` is for all other operations
    refusals: Mapping[str, Mapping[str, Answer]]


def answer(operation: str, state: str) -> Answer:
    """Returns what the owner of a version in *state* may get for *operation*."""
    return load().answers[operation][state]


def refusal(caller: str, operation: str = "any") -> Answer:
    """Returns what *caller*, such as ``no key``, may get for *operation*."""
    rows = load().refusals[caller]
    return rows.get(operation, rows["any"])


@cache
def load() -> Answers:
    """Reads the file; raises ContractError if it is missing or malformed."""
    answers: Answers = read_as(Answers, openapi_dir() / "answers.yaml")
    return answers


def either(values: Iterable[object]) -> str:
    """Joins values by or, as in ``202 or 200``."""
    return " or ".join(map(str, values))
