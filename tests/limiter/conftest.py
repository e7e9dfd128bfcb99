"""What tests of the limiter have in common: whole probes that are played once for all of them."""

import pytest

from tests.limiter.played import NO_CAPS, played


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest) -> None:
    """
    Plays the probe of a test that patches anything before it does: others get the same one, in whatever order they run.
    """
    if "monkeypatch" in request.fixturenames and hasattr(request.module, "rates_of"):
        params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
        played(params.get("text", "fixed-window:3/1"), NO_CAPS)
