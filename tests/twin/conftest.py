"""Twins in virtual time."""

from collections.abc import Callable, Iterator

import pytest

from tests.twin.virtual import Api, Clock, patch, served

Serve = Callable[..., Api]


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)


@pytest.fixture
def clock(virtual_time: None) -> Iterator[Clock]:
    loop = Clock()
    yield loop
    loop.end()


@pytest.fixture
def serve(clock: Clock) -> Serve:
    """Serves a twin with these settings; `behaviour` is a fault or a variant."""
    return lambda behaviour=None, **settings: served(clock, behaviour, **settings)


@pytest.fixture
def api(serve: Serve) -> Api:
    """The primary account of a twin: builds take 0.6 s, cancelled builds settle in 0.1 s."""
    return serve()
