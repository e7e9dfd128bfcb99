"""Before and beside the cases: whether a target can be judged, has what the user named, and lets the main key build."""

import contextlib
from urllib.parse import urlsplit

from touchstone.check.examination import Examination, Unsuited
from touchstone.config import TargetSettings
from touchstone.contract.lifecycle import STATUSES
from touchstone.errors import TargetError
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.key_sources import USUAL
from touchstone.target.call import Call
from touchstone.target.transport import Transport

# Nobody publishes under this name: `touchstone-` is ours, and no run id looks like this.
REF = "default/touchstone-smoke-test@1.0.0"
CURATED = "system/claude-code@1.0.0"  # The page on curated versions shows this one
# No API has this path.
NOWHERE = "/touchstone-smoke-test/nowhere"
TRIES = 2


def smoke(transport: Transport, source: str = USUAL.primary) -> float:
    """Makes sure that the target is reachable, takes the key and is a template build API; seconds of a request.

    One request has the key and one has not; a target with a fault may answer one of the two wrongly. Where something is
    in the way, a documented success shows that it is this API all the same.

    Args:
        source: Where the key comes from, see `KeySources`.

    Raises:
        TargetError: unreachable, key refused, or another API.
    """
    with_key = _answered(transport, Call("getBuild", REF))
    without_key = _answered(transport, Call("getTemplate", REF, "none"), 1 if with_key.response is None else TRIES)
    problem = _problem(transport, with_key, without_key, source)
    if problem and ((with_key.error and without_key.error) or not _serves(transport)):
        raise TargetError(f"{transport.url}: {problem}")
    return min(with_key.elapsed_s, without_key.elapsed_s)


def _problem(transport: Transport, with_key: Exchange, without_key: Exchange, source: str) -> str:
    for exchange in (with_key, without_key):
        if exchange.response is None:
            return f"no answer: {exchange.error}; check the URL and that the server runs"
        if exchange.error:
            return f"no whole answer: {exchange.error}; check the URL and the server behind it"
    if with_key.status == 401 and without_key.status == 401:
        refusal = str(with_key.body.get("error", ""))[:120]
        return f"the key was refused with 401 {refusal!r}; set {source} to a valid key"
    if without_key.status == 401 or (_speaks_of_builds(with_key) and _knows_the_path(transport, with_key)):
        return ""
    kind = with_key.response.header("Content-Type") if with_key.response else None
    return (
        f"not a template build API: {with_key.request.method} {with_key.request.url} answered {with_key.status} "
        f"{kind or ''!r}, and a request without a key {without_key.status}; expected an error object and 401; check "
        "the URL and its base path"
    )


def _answered(transport: Transport, call: Call, tries: int = TRIES) -> Exchange:
    exchange = transport.send(call, "smoke")
    return _answered(transport, call, tries - 1) if exchange.response is None and tries > 1 else exchange


def _serves(transport: Transport) -> bool:
    """Whether the server takes the key and shows a curated version, which everybody sees."""
    exchange = _answered(transport, Call("getBuild", CURATED))
    if exchange.error or exchange.status != 200 or not _speaks_of_builds(exchange):
        return False
    return _answered(transport, Call("getBuild", CURATED, "unknown")).status == 401


def _speaks_of_builds(exchange: Exchange) -> bool:
    if exchange.status == 200:
        return str(exchange.body.get("status")) in STATUSES
    return isinstance(exchange.body.get("error"), str)


def _knows_the_path(transport: Transport, exchange: Exchange) -> bool:
    """Whether the server says something else of a path that no API has: an error object alone is no sign of it."""

    def error_of(one: Exchange) -> tuple[int, str]:
        # Some servers repeat the path in the error, which is no difference.
        return one.status, str(one.body.get("error")).replace(urlsplit(one.request.url).path, "")

    return error_of(_answered(transport, Call(method="GET", path=NOWHERE))) != error_of(exchange)


def check_given(transport: Transport, target: TargetSettings) -> None:
    """Reads each version that the run uses and does not publish; TargetError where both its pages answer 404."""
    templates = target.templates
    used: list[tuple[str, str, Credential]] = []
    if target.publish == "never":
        used += [("buildable", ref, "primary") for ref in templates.buildable]
        used += [("failing", ref, "primary") for ref in templates.failing]
    if target.restricted_api_key:
        used += [("restricted", ref, "restricted") for ref in templates.restricted]
    for name, ref, credential in used:
        pages = (Call("getBuild", ref, credential), Call("getTemplate", ref, credential))
        if all(transport.send(page, "smoke").status == 404 for page in pages):
            whose = "this key" if credential == "primary" else f"the {credential} key"
            raise TargetError(f"{name}: {ref} answers 404 with {whose}; publish it or correct the ref")


UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
MORE_TRIES = 2  # A server may refuse a right key now and then: so many more tries have to be refused as well


class PlanWatch:
    """Whether the main key is known to be refused for its plan, whatever it publishes or builds."""

    def __init__(self) -> None:
        self.is_barred = False
        self._accepted = False
        self._refusals = 0

    def hear(self, exchange: Exchange) -> None:
        """Takes note of one exchange."""
        if exchange.credential == "primary" and exchange.operation in ("publishTemplate", "startBuild"):
            # Only who may publish is answered with a conflict.
            self._accepted |= 200 <= exchange.status < 300 or exchange.status == 409
            self._refusals += exchange.status == 403 and exchange.body.get("code") == UPGRADE_REQUIRED

    def settle(self, exam: Examination) -> bool:
        """Where the key was refused for its plan and never accepted, tries other contents; whether it is barred."""
        if self._in_doubt() and not self.is_barred:
            before, refs = self._refusals, exam.target.templates.buildable
            with contextlib.suppress(Unsuited):
                for number in range(MORE_TRIES):
                    if exam.target.publish != "never":
                        exam.publish(exam.template("plan"))
                    elif refs:
                        exam.start(refs[number % len(refs)])
            self.is_barred = self._in_doubt() and self._refusals == before + MORE_TRIES
        return self.is_barred

    def _in_doubt(self) -> bool:
        return self._refusals > 0 and not self._accepted


def barred(target: TargetSettings) -> str:
    """Why a run with such a key was ended, and what to do."""
    return (
        f"the account of {target.key_sources.primary} is below the Scale plan, or the server wrongly takes it to be "
        f"(each publish or start is answered with 403 {UPGRADE_REQUIRED}); use a key of a Scale account; one below it "
        "belongs in restricted_api_key_env"
    )
