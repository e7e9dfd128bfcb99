"""What `touchstone probe` tells the Locust process that it starts; through the environment, for it holds keys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from touchstone.check.handover import Carried
from touchstone.config import HANDOVER
from touchstone.errors import UsageError
from touchstone.facts.knee_trials import KneeTerms
from touchstone.limiter.terms import Terms

# Who decides what is asked, as module:name.
BRAIN = "touchstone.limiter.identify:Probe"


@dataclass(frozen=True, slots=True)
class ProbeHandover(Carried):
    """What the process is to do. What an interrupted probe has heard already stands in the run log.

    Attributes:
        run_log: Path of the run log, which says in its event ``probe`` what is asked for.
        refs: The versions that may be started, none of which is built; of another operation, the one that is read.
        origin: The machine's monotonic clock at run second 0.
        until_at: Run second at which nothing more is sent.
        first_seq: Exchanges are numbered from here.
        spent_builds: Builds that began before it, or may have.
    """

    url: str
    run_log: str
    refs: tuple[str, ...]
    origin: float
    until_at: float
    first_seq: int
    brain: str = BRAIN
    spent_builds: int = 0


def received_probe(environ: Mapping[str, str]) -> ProbeHandover:
    """The hand-over that this process was started with.

    Raises:
        UsageError: there is none, or that of something else: Locust was started by hand.
    """
    try:
        values = json.loads(environ.get(HANDOVER) or "")
        return ProbeHandover(**values | {"refs": tuple(values["refs"])})
    except (ValueError, TypeError, KeyError):
        # It may hold keys, and is not shown.
        advice = "run `touchstone probe` (`touchstone probe --help`)"
        raise UsageError(f"probe: not started by touchstone; {advice}") from None


def terms_of(values: Mapping[str, object]) -> Terms:
    """Terms as a run log holds them.

    Raises:
        UsageError: another version of touchstone wrote them.
    """
    _check_names("the probe", values, {field.name for field in fields(Terms)})
    return Terms(**values)  # type: ignore[arg-type]  # they were numbers when they were written


def knee_terms_of(values: Mapping[str, object] | None) -> KneeTerms | None:
    """What a run log says of the knee that was to be found; None where none was.

    Raises:
        UsageError: another version of touchstone wrote them.
    """
    if values is None:
        return None
    _check_names("the knee", values, {field.name for field in fields(KneeTerms)})
    return KneeTerms(**values)  # type: ignore[arg-type]  # they were numbers when they were written


def _check_names(whose: str, values: Mapping[str, object], names: set[str]) -> None:
    if set(values) != names:
        told = ", ".join(sorted(names ^ set(values)))
        raise UsageError(f"terms of {whose}: {told}: this version differs; go on with the version that wrote them")
