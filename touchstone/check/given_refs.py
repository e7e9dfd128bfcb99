"""Makes sure that the versions that the user named are there: what is missing is no fault of the server."""

from collections.abc import Iterator

from touchstone.config import TargetSettings
from touchstone.errors import TargetError
from touchstone.facts.exchange import Credential
from touchstone.target.transport import Call, Transport

PAGES = ("getBuild", "getTemplate")


def check_given(transport: Transport, target: TargetSettings) -> None:
    """Reads each version that the run is to use and does not publish, with the key that it is to be used with.

    Raises:
        TargetError: there is none; a server that denies one of its two pages only is to be judged.
    """
    for name, ref, credential in _used(target):
        if all(transport.send(Call(page, ref, credential), "smoke").status == 404 for page in PAGES):
            whose = "this key" if credential == "primary" else f"the {credential} key"
            raise TargetError(f"{name}: {ref} answers 404 with {whose}; publish it or correct the ref")


def _used(target: TargetSettings) -> Iterator[tuple[str, str, Credential]]:
    named = target.templates
    if target.publish == "never":
        yield from (("buildable", ref, "primary") for ref in named.buildable)
        yield from (("failing", ref, "primary") for ref in named.failing)
    if target.restricted_api_key:
        yield from (("restricted", ref, "restricted") for ref in named.restricted)
