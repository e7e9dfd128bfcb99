"""HTML pages: well-formed, self-contained, small, and without markup of a target."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace

import pytest

from tests.loadlogs import Storm, steady
from tests.report import checklogs, proofs
from tests.report.examples import EXAMPLES, example, failing, page
from tests.report.markup import Markup
from touchstone.facts.events import Notice
from touchstone.report import html, proof_report
from touchstone.report.proof_report import ProofView
from touchstone.report.view import View, view

MAX_PAGE_BYTES, MAX_PROOF_BYTES = 300_000, 1_500_000
HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@pytest.mark.parametrize("name", EXAMPLES)
def test_page_is_well_formed_and_self_contained(name: str) -> None:
    source = page(example(name))
    parsed = Markup(source)
    ids, links = parsed.values("id"), parsed.values("href")

    assert parsed.open == []
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} | set(parsed.values("data-copies")) <= set(ids)
    assert [link for link in links if not link.startswith("#")] == []
    assert parsed.values("src") == []
    assert not re.search(r"@import|url\(|<(link|img|iframe|object|embed|base)\b", source)
    assert parsed.tags["h1"] == 1
    assert HIDDEN.findall(source) == []
    assert len(source.encode()) < MAX_PAGE_BYTES

    (policy,) = (value for value in parsed.values("content") if "default-src" in value)
    (script,) = re.findall(r"<script>(.*?)</script>", source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert parsed.tags["script"] == 1
    assert [name for _, name, _ in parsed.attributes if name.startswith("on")] == []


@pytest.mark.parametrize(
    ("name", "plain"),
    [("check-hostile", "check-failing"), ("load-hostile", "load-workers"), ("proof-hostile", "proof-flawed")],
)
def test_text_of_a_target_stays_text(name: str, plain: str) -> None:
    parsed = Markup(page(example(name)))

    assert parsed.tags.keys() <= Markup(page(example(plain))).tags.keys()
    for text in ("</script><b onclick=x><script>alert(1)</script>", "{{7*7}}", "\\u202egnp.exe", "[bold]x[/bold]"):
        assert text in parsed.text


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not name.startswith("compare")])
def test_page_is_complete_without_script(name: str) -> None:
    report = example(name)
    parsed = Markup(page(report))
    waiting = [tag for tag, attribute, _ in parsed.attributes if attribute == "hidden"]

    if isinstance(report, View):
        assert Counter(parsed.values("data-verdict")) == Counter(one.verdict for one in report.verdict.claims)
        assert waiting.count("form") == 1
    else:
        assert isinstance(report, ProofView)
        assert Counter(parsed.values("data-state")) == Counter(one.state for one in report.trials)
        assert waiting.count("form") == bool(report.trials)
    assert waiting.count("button") == len(parsed.values("data-copies"))


def test_text_in_backticks_is_code() -> None:
    notice = Notice("access.below-scale-is-403", "not-applicable", "left out; `touchstone check <all>` does")
    source = html.render(view(replace(failing(), notices=(notice,), warnings=("`touchstone sweep` tries again",))))

    assert source.count("<code>touchstone check &lt;all&gt;</code>") == 2  # the reason, and the claim
    assert "<code>touchstone sweep</code>" in source
    assert "`" not in Markup(source).text


@pytest.mark.parametrize(
    ("name", "exit_code", "tone"),
    [
        *(("check-passing", 0, "upheld"), ("check-passing", 1, "broken"), ("check-passing", 130, "could-not-run")),
        *(("probe-bucket", 0, "upheld"), ("probe-bucket", 1, "broken"), ("probe-bucket", 3, "could-not-run")),
        *(("probe-unsure", 3, "indeterminate"), ("probe-unsure", 1, "broken"), ("probe-none", 0, "upheld")),
        *(("probe-killed", 3, "could-not-run"), ("knee-found", 0, "upheld"), ("knee-found", 3, "could-not-run")),
        ("knee-killed", 3, "indeterminate"),
    ],
)
def test_tone_follows_exit_code_and_result(name: str, exit_code: int, tone: str) -> None:
    report = example(name)
    assert isinstance(report, View)
    assert html.headline_of(replace(report, verdict=replace(report.verdict, exit_code=exit_code)))[0] == tone


def test_pages_of_large_runs_stay_small() -> None:
    large = checklogs.log(checklogs.write_passing, builds=90, extra=140, reads=28)
    assert len(large.exchanges) > 2_900
    plain = html.render(view(large))
    assert len(plain.encode()) < MAX_PAGE_BYTES
    assert plain.count('class="row') <= 60

    body = b'{"x": "' + b"y" * 5_000 + b'"}'
    fat = [replace(one, response=replace(one.response, body=body)) for one in large.exchanges if one.response]
    first = failing().occurrences[0]
    found = tuple(
        replace(first, finding=replace(first.finding, id=f"{n:012}", claim=claim.id, evidence=tuple(range(n, n + 8))))
        for n, claim in enumerate(large.header.claims[:70], start=1)
    )
    source = html.render(view(replace(large, exchanges=tuple(fat), occurrences=found)))
    assert source.count('class="card finding"') == html.MAX_FINDINGS
    assert len(source.encode()) < MAX_PAGE_BYTES

    load = steady(per_s=200.0, duration_s=300.0)
    attempts = Storm().run().attempts
    busy = replace(large, workload=load.workload, windows=load.windows, workers=load.workers, attempts=attempts)
    assert len(html.render(view(busy)).encode()) < MAX_PAGE_BYTES


@pytest.mark.parametrize("wrong_every", [6, 1_000])
def test_page_of_a_large_proof_stays_small(wrong_every: int) -> None:
    proof = proofs.large(700, wrong_every)
    source = proof_report.render(proof)

    assert len(source.encode()) < MAX_PROOF_BYTES
    assert source.count("<article") == min(40, len(proof.wrong))
