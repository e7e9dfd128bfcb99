"""Every variant of the twin changes its responses, alone and combined with others."""

import dataclasses
from typing import Any

import pytest

from tests.twin.life import same, statuses
from touchstone.proof.variants import COMBINED, FREEDOMS, VARIANTS, Variant, accounts
from touchstone.proof.variants.variant import together
from touchstone.twin import RateLimit
from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.serve import Behaviour, unwrapped

# Settings with which a variant changes responses.
PACES: dict[str, dict[str, Any]] = {"refused-starts-count": {"rate": RateLimit.parse("sliding-log:2/1")}}


def has_only_other_settings(variant: Variant) -> bool:
    """Whether a variant is the plain twin with other settings, which are tested elsewhere."""
    return (variant.engine, variant.app, variant.wrap) == (Engine, App, unwrapped)


def responds_alike(one: Variant, other: Behaviour) -> bool:
    """Whether two servers respond in the same way with the settings of the first."""
    pace = dict(one.pace)
    for name in one.takes or (one.name,):
        pace |= PACES.get(name, {})
    return same(dataclasses.replace(one, pace=pace), dataclasses.replace(other, pace=pace))


@pytest.fixture(autouse=True)
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "REQUESTS", 5)


CHANGED = [name for name, one in FREEDOMS.items() if not has_only_other_settings(one)]


@pytest.mark.parametrize("name", CHANGED)
def test_variant_changes_responses(name: str, virtual_time: None) -> None:
    assert not responds_alike(FREEDOMS[name], Behaviour("faithful", ""))


@pytest.mark.parametrize("name", COMBINED)
def test_combined_variants_answer_every_request(name: str, virtual_time: None) -> None:
    assert statuses(COMBINED[name]) & {0, 500} == set()


@pytest.mark.whole
@pytest.mark.parametrize("name", COMBINED)
def test_combined_variants_do_not_hide_each_other(name: str, virtual_time: None) -> None:
    taken = [one for one in COMBINED[name].takes if one in CHANGED]
    whole = together(name, "", [FREEDOMS[one] for one in COMBINED[name].takes])
    hidden = []
    for one in taken:
        rest = together(name, "", [FREEDOMS[other] for other in COMBINED[name].takes if other != one])
        if responds_alike(whole, rest):
            hidden.append(one)
    assert hidden == []


def test_every_freedom_is_taken_by_one_variant() -> None:
    taken = [name for variant in VARIANTS.values() for name in variant.takes or (variant.name,)]
    assert sorted(taken) == sorted(FREEDOMS)
    assert all(variant.source for variant in (*FREEDOMS.values(), *COMBINED.values()))
