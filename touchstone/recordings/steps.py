"""What an exchange means in the life of a version, in two or three words: what a recording tells step by step."""

from collections.abc import Iterable, Mapping

from touchstone.contract.event_stream import parse
from touchstone.contract.parsing import read_json
from touchstone.facts.exchange import Exchange

_PUBLISHED = {200: "published", 201: "published", 409: "publish conflicts"}
_REFUSED = {401: "key refused", 403: "not allowed", 404: "not found", 405: "no such method", 429: "limited"}


def steps(exchanges: Iterable[Exchange]) -> dict[int, str]:
    """By *seq*, the step that each exchange shows."""
    return {exchange.seq: step(exchange) for exchange in exchanges}


def told_once(steps: Mapping[int, str]) -> list[str]:
    """The steps in order; one that is told again and again stands once."""
    told: list[str] = []
    for step in (steps[seq] for seq in sorted(steps)):
        if step and told[-1:] != [step]:
            told.append(step)
    return told


def step(exchange: Exchange) -> str:
    """The step that one exchange shows, such as ``building`` or ``nothing to cancel``."""
    status, told = exchange.status, str(exchange.body.get("status", ""))
    if exchange.response is None:
        return "no answer"
    if exchange.operation == "cancelBuild" and status in (202, 404) and told:
        return told.replace("idle", "nothing to cancel")
    if status in _REFUSED:
        return _REFUSED[status]
    match exchange.operation:
        case "publishTemplate":
            auto = exchange.body.get("auto_build")
            return _PUBLISHED.get(status, f"publish refused: {status}") + (f", {auto}" if auto else "")
        case "startBuild" if told == "ready":
            return "reused"
        case "startBuild" | "getBuild" if told:
            return told.replace("_", " ")
        case "deleteTemplate" if 200 <= status < 300:
            return "deleted"
        case "streamBuildEvents" if 200 <= status < 300:
            return f"log ends on {_last_phase(exchange)}"
    return f"{exchange.operation or exchange.request.method}: {status}"


def _last_phase(exchange: Exchange) -> str:
    events = parse(exchange.response.body).events if exchange.response else ()
    if not events:
        return "nothing"
    try:
        value = read_json(events[-1].data.encode())
    except ValueError:
        return "what is no JSON"
    if not isinstance(value, dict):
        return "what is no object"
    return str(value.get("phase")) + (", an error" if value.get("level") == "error" else "")
