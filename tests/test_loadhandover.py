"""
What a load run tells its processes: all of it arrives, keys go through the environment alone, and junk is refused.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.rules.exchanges import OTHER_REF, REF, contract, exchange
from touchstone.check.handover import HANDOVER
from touchstone.config import Settings, TargetSettings
from touchstone.errors import UsageError
from touchstone.facts.events import Limit
from touchstone.loadgen.handover import GO, PART, Go, LoadHandover, deal, share_of
from touchstone.loadgen.plan import Stage, plan
from touchstone.loadgen.workloads import SCENARIOS, Options
from touchstone.rules.history import Content, History

KEY = "sk_live_nobody_may_see_this"
CONTENT = Content(REF, "primary", "abc", "ready", 0.5, "mark-1", 3, 1.0, 1.5, "ab" * 32)
GIVEN = Content(OTHER_REF, "second", "given", "ready", 0.0, "", 0, 0.0, 0.0)
STAGE = Stage({"own": (REF,), "ready-second": (OTHER_REF,)}, {REF: CONTENT, OTHER_REF: GIVEN})
OPTIONS = Options(SCENARIOS["fairness"], "constant:1", 24.0, {"modest": 1.0, "greedy": 20.0}, 20)
ORDER = Go(OPTIONS, STAGE, 123.25, 4, 90, 1000)


def wired(value: Any) -> Any:
    """A value as it comes out of JSON."""
    return json.loads(json.dumps(value))


def test_order_to_a_worker_arrives_whole() -> None:
    """Options, stage, clock and share of a worker are the same after their way over the network."""
    assert GO.validate_python(wired(GO.dump_python(ORDER, mode="json"))) == ORDER


def test_parts_of_all_workers_are_the_run() -> None:
    """Each arrival and each build that may begin is dealt once, and a part arrives whole over the network."""
    options = Options(SCENARIOS["steady"], "constant:10", 9.0, {"read": 3, "start": 2}, 20, ready=1)
    go, whole = replace(ORDER, options=options, workers=3, builds=40), plan(options)
    parts = [deal(go, whole, number) for number in range(3)]
    numbers = sorted(number for part in parts for number in part.assigned["number"].tolist())
    assert numbers == list(range(90)) == list(range(parts[0].arrivals))
    assert sum(part.builds for part in parts) + parts[0].builds_after == 40
    for part in parts:
        sent = msgpack.dumps(PART.dump_python(part))
        assert PART.validate_python(msgpack.loads(sent)) == part


@pytest.mark.parametrize(("whole", "workers"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_shares_add_up_to_the_whole(whole: int, workers: int) -> None:
    """Nothing is lost and nothing is added where something is dealt, and no share is larger than another but by one."""
    shares = [share_of(whole, number, workers) for number in range(workers)]
    assert sum(shares) == whole
    assert max(shares) - min(shares) <= 1


def test_stage_arrives_whole() -> None:
    """Refs keep their order by role, and contents what the rules know of them; a role without refs is empty."""
    found = GO.validate_python(wired(GO.dump_python(ORDER, mode="json"))).stage

    assert found == STAGE
    assert (found.refs("ready-second"), found.refs("shared")) == ((OTHER_REF,), ())
    assert found.contents[REF].until_at == float("inf")


def test_hand_over_arrives_whole(tmp_path: Path) -> None:
    """What the parent puts into the environment is what the child takes out of it, settings with their keys included.

    What is to be done comes from a file, which holds no key.
    """
    path = tmp_path / "go.json"
    path.write_text(json.dumps(GO.dump_python(ORDER, mode="json")), encoding="utf-8")
    settings = Settings(target=TargetSettings("served", "http://127.0.0.1:1/api", KEY, patience_s=3.0))
    sent = LoadHandover(
        settings,
        "runlog.jsonl",
        str(path),
        (Limit("*", "p99_s", 1.0),),
        True,
        4,
    )
    found = LoadHandover.received(sent.environment())

    assert found == sent
    assert found.go() == ORDER
    assert (KEY in sent.environment()[HANDOVER], KEY in path.read_text(encoding="utf-8")) == (True, False)


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '"x"', "{}", '{"settings": "", "url": "", "unheard": 1}', "1e999"]
)
def test_locust_by_hand_is_told_what_to_run(text: str | None) -> None:
    """Without a hand-over of ours a locustfile says which command starts it, and shows nothing of what it found."""
    environ = {} if text is None else {HANDOVER: text}

    with pytest.raises(UsageError, match=r"^load: not started by touchstone; run `touchstone load SCENARIO`") as raised:
        LoadHandover.received(environ)
    assert text in (None, "", "{}") or str(text) not in str(raised.value)


def test_history_knows_what_was_published_before_it() -> None:
    """
    A worker that has seen no publish knows what stands published, whose it is and what it holds, and nothing else.
    """
    history = History.knowing(contract(), [CONTENT, GIVEN])
    read = exchange("getBuild", 200, ref=REF, seq=5, sent_at=9.0)
    history.add(read)

    assert history.contents(REF) == (CONTENT,)
    assert (history.owner(REF), history.owner(OTHER_REF), history.owner("default/x@1.0.0")) == (
        "primary",
        "second",
        None,
    )
    assert history.content(REF, 9.0) == CONTENT
    assert history.content(REF, 1.25) is None
    assert (history.exists(REF, read), history.exists("default/x@1.0.0", read)) == (True, False)
    assert list(history.all_contents()) == [CONTENT, GIVEN]
    assert history.views(REF) == (history,)
    assert History(contract()).contents(REF) == ()
