"""Events of a probe as they stand in a run log, made facts again."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter

from touchstone.facts.identity import Identity, Step
from touchstone.facts.knee_trials import Knee, Trial, Tried
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import Answered, Heard, Identified, Probing, Sending
from touchstone.facts.stimulus import Stimulus

_ANSWER, _STIMULUS, _IDENTITY = TypeAdapter(Answer), TypeAdapter(Stimulus), TypeAdapter(Identity)
_STEPS = TypeAdapter(tuple[Step, ...])
_NUMBERED: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])
_ANSWERED = TypeAdapter(Answered)


def _sending(event: dict[str, Any]) -> Sending:
    number = _NUMBERED.validate_python({"number": event.get("number")})["number"]
    return Sending(number, _STIMULUS.validate_python(event))


def _answered(event: dict[str, Any]) -> Answered:
    return _ANSWERED.validate_python(event | {"answer": _ANSWER.validate_python(event)})


def _identified(event: dict[str, Any]) -> Identified:
    return Identified(_IDENTITY.validate_python(event), _STEPS.validate_python(event.get("steps", ())))


# By the type of the event, what makes a fact of it.
READERS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "probe": TypeAdapter(Probing).validate_python,
    "stimulus": _sending,
    "answer": _answered,
    "heard": TypeAdapter(Heard).validate_python,
    "identity": _identified,
    "trial": TypeAdapter(Trial).validate_python,
    "tried": TypeAdapter(Tried).validate_python,
    "knee": TypeAdapter(Knee).validate_python,
}
