"""Proofs without a server: proven, with problems, interrupted, partial, hostile, large."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from tests.report.checklogs import HOSTILE
from touchstone.contract.claims import Claim
from touchstone.proof.faults import KINDS
from touchstone.proof.result import Blame, Sort, Subject, Trial
from touchstone.report.proof_report import ProofRun, ProofView, proof_view

CLAIMS = (
    Claim("start.answers-202", "A start is answered with 202.", "build#intro", "must"),
    Claim("start.ref-is-the-path", "The ref names the version in the path.", "build#response.ref", "must"),
    Claim("cancel.settles", "A cancelled build no longer has the status building.", "ambiguity 7.12", "must"),
    Claim("cancel.says-idle", "A cancel without a running build is answered with idle.", "build#cancel", "must"),
    Claim("error.has-a-text", "An error has a text.", "build#errors", "should"),
)
RUN = ProofRun("260102-030405-a1b2c3", "2026-01-02T03:04:05Z", 61.5, 2, 7, asked=0, complete=True)


def fault(name: str, *breaks: str, also: tuple[str, ...] = (), kind: str = "schema", sort: Sort = "fault") -> Subject:
    return Subject(name, sort, f"The server has a bug: {name}.", kind, breaks, also)


def correct(name: str, permits: str, sort: Sort = "variant", breaks: tuple[str, ...] = ()) -> Subject:
    return Subject(
        name,
        sort,
        f"The server has a permitted deviation: {name}.",
        "schema" if sort == "permitted" else "",
        breaks,
        (),
        permits,
    )


def trial(subject: Subject, *broken: str, after: int = 40, **more: Any) -> Trial:
    """A trial that found these claims broken, each ten exchanges and half a second after the previous one."""
    blames = {}
    for number, claim in enumerate(broken):
        check, count = f"rules.{claim.partition('.')[0]}", after + 10 * number
        sides = (f"what {claim} promises", more.get("actual", "something else"))
        blames[claim] = Blame(check, *sides, "build.some_case", count, count / 20, (check, "schema"))
    exit_code = more.get("exit_code", 1 if broken else 0)
    return Trial(subject, blames, exit_code, 4, more.get("exchanges", 300), 12.5, more.get("trouble", ""))


def proven() -> list[Trial]:
    """Each claim is proven, and correct servers survive."""
    other = fault("other-ref", "start.ref-is-the-path", also=("error.*",), kind="semantic")
    odd = ("cancel.says-idle", "error.has-a-text")
    return [
        trial(fault("answers-200", "start.answers-202"), "start.answers-202", after=20),
        trial(other, "start.ref-is-the-path", "error.has-a-text"),
        trial(fault("never-settles", "cancel.settles", kind="timing"), "cancel.settles", after=60),
        trial(fault("cancel-is-odd", *odd), *odd, after=80),
        trial(correct("settles-slowly", "ambiguity 7.12")),
        trial(correct("settles-at-once", "ambiguity 7.12")),
        trial(correct("getBuild.reused.drop", "ambiguity 7.6: may be left out", "permitted", ("start.*",))),
    ]


def missed() -> Trial:
    return trial(fault("half-found", "cancel.settles", "cancel.says-idle", kind="stateful"), "cancel.settles")


def noisy() -> Trial:
    return trial(fault("poor-aim", "start.answers-202", kind="semantic"), "cancel.says-idle", "start.answers-202")


def accused() -> Trial:
    return trial(correct("odd-but-right", "ambiguity 7.30"), "error.has-a-text")


def failed() -> Trial:
    hangs = fault("hangs", "cancel.settles", kind="timing")
    return trial(hangs, exit_code=3, trouble="the process was killed by signal 9")


def generated(name: str, *breaks: str) -> Subject:
    return fault(name, *breaks, sort="generated")


def view_of(trials: Sequence[Trial], claims: Sequence[Claim] = CLAIMS, **run: Any) -> ProofView:
    return proof_view(replace(RUN, **{"asked": len(trials), **run}), trials, claims)


def all_proven() -> ProofView:
    return view_of(proven())


def flawed() -> ProofView:
    return view_of([*proven()[:2], missed(), noisy(), accused(), failed()])


def interrupted() -> ProofView:
    return view_of(proven()[:3], asked=9, interrupted=True)


def partial() -> ProofView:
    return view_of(proven()[:2], complete=False)


def nothing() -> ProofView:
    return view_of([], asked=5, interrupted=True)


def hostile() -> ProofView:
    trials = [
        trial(fault("evil", "cancel.settles"), "start.answers-202", actual=HOSTILE * 30),
        trial(correct("sly", HOSTILE), "error.has-a-text", actual=HOSTILE),
        trial(fault("dead", "cancel.says-idle"), exit_code=3, trouble=HOSTILE),
    ]
    return view_of(trials)


@cache
def large(faults: int = 700, wrong_every: int = 9) -> ProofView:
    """A proof with many faults, many claims, some problems and long evidence."""
    subjects = ("start", "status", "reuse", "cancel", "events", "auth", "lookup", "http", "publish", "limit")
    names = [f"{subject}.promise-number-{number:02}-is-kept" for subject in subjects for number in range(13)]
    claims = [Claim(name, "It is kept, come what may. " * 3, "build#x", "must") for name in names]
    trials = []
    for number in range(faults):
        due, other = claims[number % len(claims)].id, claims[(number * 7 + 1) % len(claims)].id
        subject = fault(f"getBuild.200.some-state.some-field-{number:03}.other-account", due, kind=KINDS[number % 8])
        found = () if number % wrong_every == 3 else (due, other) if number % wrong_every == 5 else (due,)
        trials.append(trial(subject, *found, after=number, actual="y" * 900))
    return view_of(trials, claims)
