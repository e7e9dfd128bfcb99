"""Each freedom can be seen from the other end of the wire, taken alone and taken together with others."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.twin import observations
from tests.twin.conftest import Api
from touchstone.proof.variants import COMBINED, FREEDOMS, VARIANTS, Variant, accounts, builds
from touchstone.proof.variants.variant import together
from touchstone.twin import RateLimit, Twin, TwinSettings
from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.serve import unwrapped

Look = Callable[[Api], Any]

PACE: dict[str, Any] = {"build_s": 0.01, "settle_s": 0.0, "digest_scope": "content"}
SLOW: dict[str, Any] = {"build_s": 600.0, "settle_s": 600.0}
ONE_START: dict[str, Any] = {"rate": RateLimit.parse("1/600")}
ONE_BUILD: dict[str, Any] = {"capacity": 1, "build_s": 600.0}

# Where to look for what a variant does, and what the twin needs besides so that it can be seen there.
SEEN: dict[Look, dict[str, dict[str, Any]]] = {
    observations.life: {
        name: {}
        for name in (
            *("fresh-start-says-reused-false", "reads-leave-out-reused", "reads-remember-the-reuse"),
            *("golden-dir-is-shown", "reuse-answers-200", "more-fields-than-documented", "digest-has-a-prefix"),
            *("digest-of-another-form", "republish-is-200", "publish-is-200", "published-in-another-form"),
            *("template-shows-defaults", "auto-build-says-reused"),
        )
    },
    observations.log: {
        name: {}
        for name in (
            *("log-is-gone-after-the-build", "log-is-empty-at-rest", "late-follower-hears-what-comes"),
            *("phases-are-skipped", "steps-are-announced", "lines-have-prefixes", "last-line-tells-no-time"),
            *("frames-have-no-level", "frames-have-no-phase", "frames-hold-the-line-alone", "frames-hold-more"),
            *("times-in-whole-seconds", "times-with-zero-offset", "times-in-another-zone", "frames-spelled-otherwise"),
            *("frames-with-keep-alives", "frames-with-ids", "frames-end-in-crlf", "frames-in-several-lines"),
            "frames-have-no-line",
        )
    },
    observations.failure: {
        name: {} for name in ("failure-looks-like-an-error", "failure-has-another-phase", "failure-has-no-phase")
    },
    observations.refusals: {
        name: {}
        for name in (
            *("errors-hold-error-alone", "every-error-has-a-code", "request-id-in-a-header-only"),
            "request-ids-of-any-length",
            *("invalid-document-lists-errors-only", "refusals-of-keys-are-short", "malformed-header-is-no-key"),
            *("refusals-tell-where-keys-come-from", "plan-refusal-has-no-code", "version-is-looked-for-first"),
            *("plan-gates-every-operation", "curated-is-hidden", "curated-is-not-allowed", "curated-needs-a-plan"),
            *("unknown-method-is-not-found", "odd-spelling-is-400", "log-of-unknown-version-is-empty"),
            *("unknown-version-is-idle", "idle-has-an-error", "head-is-405", "publishing-is-left-alone"),
            "curated-is-in-conflict",
        )
    },
    observations.wire: {
        name: {}
        for name in (
            *("media-types-with-charset", "header-names-in-capitals", "more-headers", "json-in-chunks"),
            *("json-spelled-otherwise", "connections-are-closed", "answers-are-compressed"),
            "answers-are-packed-anew",
        )
    },
    observations.chunks: {"log-comes-in-lumps": {"build_s": 0.3}, "log-in-small-pieces": {"build_s": 0.3}},
    observations.busy: {
        "start-while-building-is-409": SLOW,
        "start-while-building-is-200": SLOW,
        "start-while-settling-is-409": SLOW,
        "second-cancel-finds-nothing": SLOW,
    },
    observations.replaced: {"build-outlives-its-version": SLOW, "force-while-building-is-409": SLOW},
    observations.afterlife: {"golden-goes-with-its-version": {}},
    observations.cancelled: {"cancelled-reads-failed": {}, "cancel-leaves-the-earlier-failure": {}},
    observations.cancelled_log: {"cancelled-log-ends-at-once": SLOW},
    observations.lingering_log: {"log-closes-later": {}},
    observations.end: {"status-follows-the-log": {}},
    observations.too_slow: {"timed-out-reads-not-built": {"build_timeout_s": 0.05}},
    observations.secret: {"secrets-crash-the-build": {}},
    observations.times: {"build-time-is-rounded": {}},
    observations.neighbours: {"builds-queue-up": {}},
    observations.shared: {"goldens-are-shared-by-accounts": {}},
    observations.namespaces: {"everything-is-in-default": {}},
    observations.envelopes: {"publish-takes-an-envelope": {}, "documents-are-raw": {}},
    observations.reads: {"every-request-counts": {}},
    observations.limited: {"limits-sound-alike": ONE_START},
    observations.full: {"auto-build-refused-is-429": ONE_BUILD, "auto-build-refused-says-so": ONE_BUILD},
}
CASES = {name: (look, more) for look, names in SEEN.items() for name, more in names.items()}

# Seen in a test of its own, since it needs two servers side by side.
BY_ITSELF = frozenset({"refused-starts-count"})


def is_only_set_up_otherwise(variant: Variant) -> bool:
    """Whether a variant is the plain twin with other settings, which have tests of their own."""
    return (variant.engine, variant.app, variant.wrap) == (Engine, App, unwrapped)


@functools.cache
def shown(taken: tuple[str, ...], look: Look, more: tuple[tuple[str, Any], ...]) -> Any:
    """What a server that takes some freedoms shows, at the pace of the plain twin but for *more*."""
    variant = together("some", "", [FREEDOMS[name] for name in taken])
    variant = dataclasses.replace(variant, pace={**variant.pace, **PACE, **dict(more)})
    with variant.twin(TwinSettings()) as twin:
        api = Api(twin.url)
        try:
            return look(api)
        finally:
            api.http.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens a moment later does not happen while somebody looks."""
    for place, number in ((builds, "LEARNS_LATE_S"), (builds, "LINGERS_S"), (accounts, "WINDOW_S")):
        monkeypatch.setattr(place, number, 600.0)
    monkeypatch.setattr(accounts, "REQUESTS", 5)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", CASES)
def test_freedom_is_seen(name: str) -> None:
    """Who takes a freedom shows something else than the plain twin."""
    look, more = CASES[name]
    assert shown((name,), look, tuple(more.items())) != shown((), look, tuple(more.items()))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", COMBINED)
def test_freedoms_do_not_hide_each_other(name: str) -> None:
    """What takes several freedoms shows something else than it would without any one of them."""
    takes = COMBINED[name].takes
    hidden = []
    for one in takes:
        if one in CASES:
            look, more = CASES[one][0], tuple(CASES[one][1].items())
            rest = tuple(other for other in takes if other != one)
            hidden += [one] if shown(takes, look, more) == shown(rest, look, more) else []
    assert hidden == []


def test_every_freedom_is_looked_at() -> None:
    """Each freedom is in one list: seen over HTTP, or nothing but settings, some of which differ."""
    settings = {name: one for name, one in FREEDOMS.items() if is_only_set_up_otherwise(one)}
    assert sorted([*CASES, *BY_ITSELF, *settings]) == sorted(FREEDOMS)
    usual = TwinSettings(build_s=0.05, settle_s=0.04, rate=RateLimit.parse("60/1"), capacity=4, digest_scope="content")
    same = [n for n, v in settings.items() if dataclasses.replace(usual, **v.pace) == usual]
    assert same == []


def test_refused_starts_count() -> None:
    """Where a refused start counts, who keeps on starting is never served again, and elsewhere is."""
    pace = {"rate": RateLimit.parse("sliding-log:1/1")}
    variant = dataclasses.replace(FREEDOMS["refused-starts-count"], pace=pace)
    settings = TwinSettings(**PACE, **pace)
    with Twin(settings) as usual, variant.twin(settings) as counting:
        apis = [Api(usual.url), Api(counting.url)]
        for api in apis:
            api.publish()
            assert api.start().status_code == 202
        answers = [(409, 409)]
        while answers[-1][0] != 202:
            answers.append(tuple(api.start().status_code for api in apis))
        for api in apis:
            api.http.close()
    assert set(answers[1:]) == {(429, 429), (202, 429)}


def test_list_of_variants_is_in_order() -> None:
    """Each variant says in a sentence what it does, and which ambiguity or sentence permits it."""
    known = FREEDOMS | COMBINED
    assert [n for n, v in known.items() if n != v.name or not v.says.endswith(".") or not v.source] == []
    assert len({variant.says for variant in known.values()}) == len(known)
    assert len(VARIANTS) >= 20


def test_every_freedom_is_taken_once() -> None:
    """A freedom is a variant of its own, or one variant takes it among others."""
    taken = [name for variant in VARIANTS.values() for name in variant.takes or (variant.name,)]
    assert sorted(taken) == sorted(FREEDOMS)
