"""The search for garbage, while pytest imports plugins and collects the contract tests."""

import gc
from collections.abc import Iterator

import pytest

from touchstone.check.quiet import Pause
from touchstone.check.runner import pytest_arguments


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Searches as before, whatever a test leaves."""
    before = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if before else gc.disable)()


def test_pause_ends_with_the_search_of_what_comes_later() -> None:
    """Nothing is searched during a pause; afterwards what is there by then is left out."""
    gc.enable()
    pause = Pause()
    pause.begin()
    pause.begin()
    assert not gc.isenabled()
    frozen = gc.get_freeze_count()
    pause.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen


def test_who_searches_nothing_still_does_not() -> None:
    """A trial switches the search off for good: a pause in it ends without switching it on."""
    gc.disable()
    pause = Pause()
    pause.begin()
    pause.end()
    assert not gc.isenabled()


def test_search_goes_on_where_there_was_no_pause() -> None:
    """The end of a pause that never began changes nothing."""
    gc.enable()
    frozen = gc.get_freeze_count()
    Pause().end()
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)


@pytest.mark.parametrize("mode", ["run", "plan", "record", "replay"])
def test_pause_comes_before_all_other_plugins(mode: str) -> None:
    """
    Whatever the contract tests are run for, the first plugin that pytest is told of is the one that begins the pause.
    """
    words = pytest_arguments(mode)  # type: ignore[arg-type]  # one of the four modes
    assert words[words.index("-p") + 1] == "touchstone.check.quiet"
