"""Preflight checks: the target is the API, has the configured templates, and lets the main key build."""

import contextlib
import threading
from urllib.parse import urlsplit

from touchstone.check.examination import Examination, Unsuited
from touchstone.config import TargetSettings
from touchstone.contract.answers import STATUSES
from touchstone.errors import TargetError
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.key_sources import USUAL
from touchstone.target.call import Call
from touchstone.target.transport import Transport

# No target has this version: the prefix belongs to Touchstone, and ``smoke-test`` is no run id.
REF = "default/touchstone-smoke-test@1.0.0"
CURATED = "system/claude-code@1.0.0"  # The example in the documentation of curated versions
# No API has this path.
NOWHERE = "/touchstone-smoke-test/nowhere"
TRIES = 2


def smoke(transport: Transport, source: str = USUAL.primary) -> float:
    """Checks that the target is reachable, accepts the key and is a template build API; returns the latency in seconds.

    It sends one request with a key and one without. A faulty target may answer one of the two wrongly. If both answers
    look wrong, a documented response to the read of a curated version still identifies the API. *source*: where the key
    comes from, for messages. Raises TargetError if the target is unreachable, refuses the key, or is another API.
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
            return f"no response: {exchange.error}; check the URL and that the server runs"
        if exchange.error:
            return f"incomplete response: {exchange.error}; check the URL and the server behind it"
    if with_key.status == 401 and without_key.status == 401:
        refusal = str(with_key.body.get("error", ""))[:120]
        return f"the key was refused with 401 {refusal!r}; set {source} to a valid key"
    if without_key.status == 401 or (_is_from_api(with_key) and _knows_the_path(transport, with_key)):
        return ""
    kind = with_key.response.header("Content-Type") if with_key.response else None
    return (
        f"not a template build API: {with_key.request.method} {with_key.request.url} returned {with_key.status} "
        f"{kind or ''!r}, and a request without a key {without_key.status}; expected an error object and 401; check "
        "the URL and its base path"
    )


def _answered(transport: Transport, call: Call, tries: int = TRIES) -> Exchange:
    exchange = transport.send(call, "smoke")
    return _answered(transport, call, tries - 1) if exchange.response is None and tries > 1 else exchange


def _serves(transport: Transport) -> bool:
    """Whether the key can read a curated version, as every valid key can, while an unknown key gets a 401."""
    exchange = _answered(transport, Call("getBuild", CURATED))
    if exchange.error or exchange.status != 200 or not _is_from_api(exchange):
        return False
    return _answered(transport, Call("getBuild", CURATED, "unknown")).status == 401


def _is_from_api(exchange: Exchange) -> bool:
    if exchange.status == 200:
        return str(exchange.body.get("status")) in STATUSES
    return isinstance(exchange.body.get("error"), str)


def _knows_the_path(transport: Transport, exchange: Exchange) -> bool:
    """Whether *exchange* has another error than a path that no API has; any server may respond with an error object."""

    def error_of(one: Exchange) -> tuple[int, str]:
        # Some servers repeat the path in the error; that difference does not count.
        return one.status, str(one.body.get("error")).replace(urlsplit(one.request.url).path, "")

    return error_of(_answered(transport, Call(method="GET", path=NOWHERE))) != error_of(exchange)


def check_given(transport: Transport, target: TargetSettings) -> None:
    """Reads build and template of each configured version that the run uses; raises TargetError if both get a 404."""
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
            raise TargetError(f"{name}: {ref} returns 404 with {whose}; publish it or correct the ref")


UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
MORE_TRIES = 2  # A server may refuse a valid key by mistake, so this many more attempts have to fail


class PlanWatch:
    """Detects that the main key is below the Scale plan: the target refuses every publish and start with this key."""

    def __init__(self) -> None:
        self.is_barred = False
        self._accepted = False
        self._refusals = 0
        self._lock = threading.Lock()

    def record(self, exchange: Exchange) -> None:
        """Counts *exchange* if it is a publish or a start with the main key."""
        if exchange.credential == "primary" and exchange.operation in ("publishTemplate", "startBuild"):
            # Only accounts that may publish get a 409.
            self._accepted |= 200 <= exchange.status < 300 or exchange.status == 409
            self._refusals += exchange.status == 403 and exchange.body.get("code") == UPGRADE_REQUIRED

    def settle(self, exam: Examination) -> bool:
        """Returns whether the main key is below the Scale plan. Tries again if every publish and start was refused."""
        with self._lock:
            if self._in_doubt() and not self.is_barred:
                before, refs = self._refusals, exam.target.templates.buildable
                with contextlib.suppress(Unsuited):
                    for number in range(MORE_TRIES):
                        if exam.target.publish != "never":
                            exam.publish(exam.template("plan"))
                        elif refs:
                            exam.start(refs[number % len(refs)])
                self.is_barred = self._in_doubt() and self._refusals >= before + MORE_TRIES
            return self.is_barred

    def _in_doubt(self) -> bool:
        return self._refusals > 0 and not self._accepted


def barred(target: TargetSettings) -> str:
    """Returns why a run stops if its main key is below the Scale plan, and what to do."""
    key = target.key_sources.primary
    found = f"the account of {key} is below the Scale plan, or the server treats it so by mistake"
    advice = "use a key of a Scale account; a key below it belongs in restricted_api_key_env"
    return f"{found} (each publish or start is answered with 403 {UPGRADE_REQUIRED}); {advice}"
