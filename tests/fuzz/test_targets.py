"""What the fuzzer asks of each reader holds for small changes of sound documents, and what is written is read back."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import loadlogs
from tests.fuzz.registry import TARGETS
from tests.fuzz.steps import Step, mutated
from tests.fuzz.target import folder
from tests.rules.exchanges import exchange as any_exchange
from touchstone.check.journal import JournalState, header
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
    """
    Of each reader all that its target asks for holds: documented errors only, no secret told, cuts change nothing.
    """
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
    """The same holds for what is no document at all."""
    target = TARGETS[name]
    sizes = (0, 1, 2, 3, 7, 20, 60, 200)
    for number in range(40):
        chance = random.Random(number)
        target.check(chance.randbytes(chance.choice(sizes)))
        target.check(bytes(chance.choices(b'{}[]":,0aA=\r\n -&*#%\\', k=chance.choice(sizes))))


# --- what is written is read back ------------------------------------------------------------------------------------

TEXTS = st.text(max_size=12)
MOMENTS = st.integers(0, 10**6).map(lambda ms: ms / 1000)
HEADERS = st.lists(st.tuples(st.sampled_from(["a", "B", "Content-Type", "x-y"]), TEXTS), max_size=4).map(tuple)
BODIES = st.one_of(st.binary(max_size=40), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
PIECES = st.lists(st.tuples(MOMENTS, st.binary(max_size=9)), max_size=3)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """An exchange with anything in it that may cross the wire."""
    pieces = tuple(Chunk(at_s, data) for at_s, data in draw(PIECES))
    body = b"".join(piece.data for piece in pieces) if pieces else draw(BODIES)
    response = Response(draw(st.integers(100, 999)), draw(HEADERS), body, pieces)
    sent_at, wait_s = draw(MOMENTS), draw(MOMENTS)
    return replace(
        any_exchange(),
        operation=draw(TEXTS),
        ref=draw(st.none() | TEXTS),
        case=draw(TEXTS),
        sent_at=sent_at,
        head_at=round(sent_at + wait_s, 6),
        done_at=round(sent_at + wait_s, 6),
        request=Request(draw(TEXTS), draw(TEXTS), draw(HEADERS), draw(BODIES)),
        response=draw(st.just(response) | st.none()),
        error=draw(TEXTS),
        note={"n": draw(st.integers() | TEXTS)},
    )


@settings(any_cases, max_examples=50)
@given(st.lists(exchanges(), min_size=1, max_size=2))
def test_run_log_is_read_as_it_was_written(written: list[Exchange]) -> None:
    """Whatever crossed the wire, the log tells it byte for byte."""
    path = folder() / "written.jsonl"
    path.unlink(missing_ok=True)
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header())
        for exchange in written:
            writer.write(exchange)
    assert read(path).exchanges == tuple(written)


@settings(any_cases, max_examples=80)
@given(exchanges())
def test_recording_is_read_as_it_was_written(written: Exchange) -> None:
    """
    Whatever crossed the wire, the HAR file tells it; headers come in the order of their names, angle brackets escaped.
    """
    recording = Recording("x", (written,), recorded_at="2026-03-14T09:00:00.000000Z", tool_version="1")
    text = har.render(recording).encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    found = har.decode(json.loads(text))
    assert not found.is_changed
    assert found.exchanges == (_as_recorded(written),)


def _as_recorded(exchange: Exchange) -> Exchange:
    request, response = exchange.request, exchange.response
    url = request.url.replace("<", "%3C").replace(">", "%3E")
    request = replace(request, url=url, headers=_sorted(request.headers))
    return replace(
        exchange, request=request, response=response and replace(response, headers=_sorted(response.headers))
    )


def _sorted(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(headers, key=lambda pair: pair[0].lower()))


@settings(any_cases, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["intend", "created", "started", "settled", "removed", "later"]), TEXTS)))
def test_journal_is_read_as_it_was_written(steps: list[tuple[str, str]]) -> None:
    """Whatever the refs, the lines of a journal add up to what its run held."""
    held, lines = JournalState(), [header("r", "u"), *({"step": step, "ref": ref} for step, ref in steps)]
    for step, ref in steps:
        held.take(step, ref)
    read_back = JournalState.after(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    assert (list(read_back.refs), list(read_back.builds)) == (list(held.refs), list(held.builds))
