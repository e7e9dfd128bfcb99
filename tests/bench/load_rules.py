"""
What it costs to judge an exchange: one whose like was judged before, one that is new, and whole stories after a run.
"""

import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.load_target import BODY, REF
from touchstone.contract import claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.runlog import read
from touchstone.facts.sample import Sample
from touchstone.loadgen.collector import Collector
from touchstone.loadgen.heads import HeadReader
from touchstone.loadgen.inline_judge import INLINE_RULES, STORY_TIME_RULES, Appraiser
from touchstone.loadgen.prepared_request import Shots
from touchstone.loadgen.rules import judge_load
from touchstone.loadgen.thresholds import judge_thresholds, measured
from touchstone.loadgen.workloads import INVARIANTS
from touchstone.rules import catalogue
from touchstone.rules.history import History
from touchstone.rules.judge import Judge, said
from touchstone.rules.rule import Rule
from touchstone.target.answer import Answer
from touchstone.target.call import Call, Keys

# As nginx sends it, with a request id as many servers add one.
_HEAD = (
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\nConnection: keep-alive\r\nX-Request-Id: {number}\r\n\r\n"
)
_ROUNDS = 5
_SAMPLES = 20_000
_MISSES = 1_000

Row = tuple[str, float]


def in_passing() -> Iterator[Row]:
    """What is done with each answer of a run while it lasts, in microseconds."""
    heads = HeadReader()
    texts = [_head(number) for number in range(_ROUNDS * _MISSES + 1)]
    heads.read(texts[0], "GET")
    yield "a head that came before", _each_us(lambda _: heads.read(texts[0], "GET"), _SAMPLES)
    new = iter(texts[1:])
    yield "a head that is new", _each_us(lambda _: heads.read(next(new), "GET"), _MISSES)
    collector = Collector(0)
    sample = Sample("getBuild", "200", 1.0, 1.0001, 1.0005, len(BODY))
    yield "a sample into the statistics", _each_us(lambda _: collector.sample(sample, paced=True), _SAMPLES)
    yield from _appraised()


def _head(number: int) -> bytes:
    return _HEAD.format(length=len(BODY), number=hashlib.md5(b"%d" % number).hexdigest()).encode()


def _appraised() -> Iterator[Row]:
    contract = Contract.load()
    shots = Shots("http://127.0.0.1:1", Keys("sk_live_test_bench", None, None), contract)
    history, ledger = History.knowing(contract, ()), claims.load().raised(INVARIANTS)
    appraiser = Appraiser(history, ledger, INLINE_RULES, shots, max_misses_per_s=float("inf"))
    shot = shots.shot(Call("getBuild", REF))
    heads = HeadReader()
    head = heads.read(_head(0), "GET")
    alike = Answer(head, BODY.encode())
    yield "the rules, an answer like one before", _each_us(lambda n: appraiser.see(shot, alike, n), _SAMPLES)
    news = iter([Answer(heads.read(_head(number), "GET"), BODY.encode()) for number in range(1, _ROUNDS * _MISSES + 1)])
    yield "the rules, the same but for its head", _each_us(lambda n: appraiser.see(shot, next(news), n), _MISSES)
    bodies = [BODY.replace("104730", str(200_000 + number)).encode() for number in range(_ROUNDS * _MISSES)]
    answers = iter([Answer(head, body) for body in bodies])
    yield "the rules, an answer like none before", _each_us(lambda n: appraiser.see(shot, next(answers), n), _MISSES)


def afterwards(folder: Path) -> Iterator[Row]:
    """What is done with an exchange of a run when that is over, in microseconds; the run is made for it."""
    log = _steady(folder)
    ledger = claims.load().raised(INVARIANTS)
    number = len(log.exchanges)
    yield f"whole stories ({number} exchanges kept)", _each_us(lambda _: _judge(log, ledger), 1) / number
    inline = _each_us(lambda _: _judge(log, ledger, INLINE_RULES), 1) / number
    yield "the same with every rule of a check", inline
    yield "rules and thresholds of the whole run", _each_us(lambda _: _judge_whole(log, ledger), 1) / number


def _judge(log: RunLog, ledger: Ledger, more: tuple[Rule[Exchange], ...] = ()) -> None:
    """What touchstone/loadgen/judge.py does with exchanges."""
    history = History(Contract.load())
    judge = Judge(history, ledger, STORY_TIME_RULES, catalogue.STORY_RULES)
    for exchange in sorted(log.exchanges, key=lambda each: each.done_at):
        judge.see(exchange)
        for rule in more:
            said(rule, exchange, history, judge.failed)
    judge.tell(dict.fromkeys(exchange.ref for exchange in log.exchanges if exchange.ref))


def _judge_whole(log: RunLog, ledger: Ledger) -> None:
    judge_load(log, ledger)
    judge_thresholds(measured(log), log, ledger)


def _steady(folder: Path) -> RunLog:
    """The log of a real `touchstone load steady` against the twin."""
    results = folder / "steady"
    command = [sys.executable, "-m", "touchstone", "load", "steady", "--duration", "6", "--report-dir", str(results)]
    environment = os.environ | {"XDG_STATE_HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if not (results / "runlog.jsonl").exists():
        raise SystemExit(f"touchstone load steady ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return read(results / "runlog.jsonl")


def _each_us(work: Callable[[int], object], times: int) -> float:
    """CPU time of *work*, the median of a few rounds."""
    found = []
    for _ in range(_ROUNDS):
        began_s = time.process_time()
        for number in range(times):
            work(number)
        found.append(1e6 * (time.process_time() - began_s) / times)
    return statistics.median(found)
