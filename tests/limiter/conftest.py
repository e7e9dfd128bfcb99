"""Which kinds of limiter a probe knows: one of each family, and all where a test takes long or asks for that."""

import pytest

from tests.limiter.answers import KINDS

PLAIN = tuple(kind for kind in KINDS.values() if not kind.options)


@pytest.fixture
def all_kinds() -> None:
    """Asks for all kinds."""


@pytest.fixture(autouse=True)
def one_kind_a_family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares four fifths of the time: most of it goes into variants of families."""
    if "all_kinds" not in request.fixturenames and not request.node.get_closest_marker("alone"):
        monkeypatch.setattr("touchstone.limiter.belief.KINDS", PLAIN)
