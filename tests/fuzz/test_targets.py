"""What the fuzzer asks of each reader holds for small changes of sound documents, and what is written is read back."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import loadlogs
from tests.fuzz.files import with_sorted_headers
from tests.fuzz.registry import TARGETS
from tests.fuzz.steps import Step, mutated
from tests.fuzz.target import folder
from tests.rules.exchanges import exchange as any_exchange
from touchstone.facts.exchange import Chunk, Exchange, Request, Response
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.recordings import har
from touchstone.recordings.recording import Recording

# They are few, since `make thorough ARGS=fuzz` tries millions.
EXAMPLES = {"contract": 25, "redaction": 60, "runlog": 60}
any_cases = settings(suppress_health_check=list(HealthCheck))

NUMBERS = st.integers(0, 1 << 16)
STEPS = st.lists(st.builds(Step, NUMBERS, NUMBERS, NUMBERS), max_size=4)


@pytest.mark.parametrize("name", TARGETS)
def test_documents_that_are_nearly_sound_are_read_or_refused(name: str) -> None:
    target, seeds = TARGETS[name], TARGETS[name].seeds()

    @settings(any_cases, max_examples=EXAMPLES.get(name, 100))
    @given(st.sampled_from(seeds), STEPS)
    def holds(seed: bytes, steps: list[Step]) -> None:
        target.check(mutated(seed, steps, target.form))

    for seed in seeds:
        target.check(seed)
    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    sizes = (0, 1, 2, 3, 7, 20, 60, 200)
    for number in range(40):
        chance = random.Random(number)
        target.check(chance.randbytes(chance.choice(sizes)))
        target.check(bytes(chance.choices(b'{}[]":,0aA=\r\n -&*#%\\', k=chance.choice(sizes))))


TEXTS = st.text(max_size=12)
MOMENTS = st.integers(0, 10**6).map(lambda ms: ms / 1000)
HEADERS = st.lists(st.tuples(st.sampled_from(["a", "B", "Content-Type", "x-y"]), TEXTS), max_size=4).map(tuple)
BODIES = st.one_of(st.binary(max_size=40), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
PIECES = st.lists(st.tuples(MOMENTS, st.binary(max_size=9)), max_size=3)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    pieces = tuple(Chunk(at_s, data) for at_s, data in draw(PIECES))
    body = b"".join(piece.data for piece in pieces) if pieces else draw(BODIES)
    response = Response(draw(st.integers(100, 999)), draw(HEADERS), body, pieces)
    sent_at = draw(MOMENTS)
    done_at = round(sent_at + draw(MOMENTS), 6)
    return replace(
        any_exchange(),
        sent_at=sent_at,
        head_at=done_at,
        done_at=done_at,
        operation=draw(TEXTS),
        ref=draw(st.none() | TEXTS),
        case=draw(TEXTS),
        request=Request(draw(TEXTS), draw(TEXTS), draw(HEADERS), draw(BODIES)),
        response=draw(st.just(response) | st.none()),
        error=draw(TEXTS),
        note={"n": draw(st.integers() | TEXTS)},
    )


@settings(any_cases, max_examples=50)
@given(st.lists(exchanges(), min_size=1, max_size=2))
def test_run_log_is_read_as_it_was_written(written: list[Exchange]) -> None:
    path = folder() / "written.jsonl"
    path.unlink(missing_ok=True)
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header(), *written)
    assert read(path).exchanges == tuple(written)


@settings(any_cases, max_examples=80)
@given(exchanges())
def test_recording_is_read_as_it_was_written(written: Exchange) -> None:
    recording = Recording("x", (written,), recorded_at="2026-03-14T09:00:00.000000Z", tool_version="1")
    text = har.render(recording).encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    found = har.decode(json.loads(text))
    assert not found.is_changed
    url = written.request.url.replace("<", "%3C").replace(">", "%3E")
    expected = with_sorted_headers(replace(written, request=replace(written.request, url=url)))
    assert found.exchanges == (expected,)
