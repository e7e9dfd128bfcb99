"""Documents that template reads show: however they were written down, and with nothing of another one."""

import json
from typing import Any

import pytest
import yaml

from tests.rules.exchanges import OTHER_REF, REF, exchange, history, publish
from touchstone.facts.exchange import Exchange
from touchstone.rules.ownership import document_problem

THIRD_REF = REF.replace("hello", "third")


def document(ref: str = REF, **more: Any) -> dict[str, Any]:
    name, _, version = ref.partition("/")[2].partition("@")
    head = {"api_version": "orgo.ai/v1", "template": {"name": name, "version": version}}
    return head | {"build": {"run": ["echo marker-hello"]}} | more


def sugar(**more: Any) -> dict[str, Any]:
    name = REF.partition("/")[2]
    return {"api_version": "orgo.ai/v1", "name": name, "build": {"run": ["echo marker-hello"]}} | more


def sent(seq: int, body: Any, ref: str = REF, **more: Any) -> Exchange:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return publish(seq, ref, request_body=written, **more)


def read(seq: int, shown: Any, ref: str = REF) -> Exchange:
    answer = {"ref": ref, "digest": "ab" * 32, "published": "2026-03-14T09:26:53Z", "template": shown}
    return exchange("getTemplate", json=answer, ref=ref, seq=seq)


def problem(*exchanges: Exchange) -> str:
    """What is wrong with the last of *exchanges*, a read of the first ref."""
    return document_problem(exchanges[-1], REF, history(*exchanges))


@pytest.mark.parametrize("again", [b"\x00", sugar(cpu=2)], ids=["unknown", "short"])
def test_document_is_compared_however_it_was_written_again(again: Any) -> None:
    """Once it was published in canonical form it is known, whatever form the same content comes in later."""
    written = document(env={"MODE": "test"})
    assert problem(sent(1, written), sent(2, again), read(3, written)) == ""
    assert "env" in problem(sent(1, written), sent(2, again), read(3, document()))


def test_short_form_may_be_shown_as_it_was_written() -> None:
    """Which form a read shows is nobody's promise."""
    assert problem(sent(1, document()), sent(2, sugar()), read(3, sugar())) == ""


@pytest.mark.parametrize("shown", [2, "2", None])
def test_document_in_yaml_is_compared_like_one_in_json(shown: int | str | None) -> None:
    """Its values have the types that YAML gives them."""
    written = yaml.safe_dump(document(hardware={"cpu": 2})).encode()
    found = problem(sent(1, written), read(2, document(hardware={"cpu": shown})))
    assert found == ("" if shown == 2 else f"hardware.cpu {shown!r}, published as 2")


@pytest.mark.parametrize("written", [b"\x00", b"a: *nowhere", b"\xff: 1", b"text", b"a: 2026-13-45", sugar(cpu=2)])
def test_document_without_a_canonical_form_is_not_compared(written: Any) -> None:
    """What a short form expands to is the server's knowledge."""
    assert problem(sent(1, written), read(2, document(hardware={"cpu": 4}))) == ""


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ([{"name": "web", "run": "serve", "restart": "no"}], ""),
        ([{"name": "web", "run": "wait"}], "apps[0].run"),
        ([], "apps"),
        ([{"name": "web", "run": "serve"}] * 2, "apps"),
    ],
)
def test_lists_are_compared_item_by_item(shown: Any, told: str) -> None:
    """A server may add to an item of a list; it may not change one, nor their number."""
    written = document(apps=[{"name": "web", "run": "serve"}])
    assert told in problem(sent(1, written), read(2, document(apps=shown)))
    assert bool(told) == bool(problem(sent(1, written), read(2, document(apps=shown))))


def test_wrapped_document_is_compared_without_its_envelope() -> None:
    """An envelope is not part of the document."""
    envelope = {"namespace": "default", "name": "x", "version": "1.0.0", "template": document(env={"MODE": "a"})}
    assert problem(sent(1, envelope), read(2, document(env={"MODE": "a"}))) == ""
    assert "env" in problem(sent(1, envelope), read(2, document()))


def others(third: dict[str, Any]) -> list[Exchange]:
    """A document with hardware, and a third one without, which is shown as *third*."""
    return [
        sent(1, document(OTHER_REF, hardware={"cpu": 16}), OTHER_REF),
        sent(2, document(THIRD_REF), THIRD_REF),
        read(3, third, THIRD_REF),
        sent(4, document()),
    ]


def test_value_of_another_document_is_found() -> None:
    """A value that only another document was published with is no default, since a third one is shown without it."""
    found = problem(*others(document(THIRD_REF)), read(5, document(hardware={"cpu": 16})))
    assert "hardware.cpu 16" in found


@pytest.mark.parametrize("added", [{"hardware": {"cpu": 4}}, {"hardware": {"ram_gb": 16}}, {"region": "iad"}])
def test_value_that_no_document_was_published_with_is_the_servers(added: dict[str, Any]) -> None:
    """What nobody wrote anywhere was made by the server."""
    assert problem(*others(document(THIRD_REF)), read(5, document(**added))) == ""


def test_value_that_every_document_is_given_is_a_default() -> None:
    """A server may add what another document happens to say as well."""
    third = document(THIRD_REF, hardware={"cpu": 16})
    assert problem(*others(third), read(5, document(hardware={"cpu": 16}))) == ""


@pytest.mark.parametrize("sent_at", [5.01, 9.0])
def test_value_published_later_cannot_have_come_from_there(sent_at: float) -> None:
    """Only what was there before can have leaked."""
    early = [sent(2, document(THIRD_REF), THIRD_REF), read(3, document(THIRD_REF), THIRD_REF), sent(4, document())]
    later = sent(9, document(OTHER_REF, hardware={"cpu": 16}), OTHER_REF, sent_at=sent_at)
    shown = read(5, document(hardware={"cpu": 16}))
    assert document_problem(shown, REF, history(*early, shown, later)) == ""


def test_value_of_its_own_is_not_foreign() -> None:
    """What the document itself was published with is right, whoever else has it or has it not."""
    own = document(hardware={"cpu": 16})
    assert problem(*others(document(THIRD_REF))[:3], sent(4, own), read(5, own)) == ""


def test_document_that_lost_a_value_is_no_sign_that_it_is_no_default() -> None:
    """Only one that was published without the value shows what a server adds."""
    hardware = {"hardware": {"cpu": 16}}
    two = [sent(1, document(OTHER_REF, **hardware), OTHER_REF), sent(2, document(THIRD_REF, **hardware), THIRD_REF)]
    assert (
        problem(*two, read(3, document(THIRD_REF), THIRD_REF), sent(4, document()), read(5, document(**hardware))) == ""
    )


A, B = document(env={"MODE": "a"}), document(env={"MODE": "b"})


@pytest.mark.parametrize(
    ("written", "shown", "told"),
    [
        (A, B, "env.MODE 'b', published as 'a'"),
        (document(Xtra="a"), document(Xtra="b"), "Xtra 'b', published as 'a'"),
        (document(apps=["web"]), document(apps=["api"]), "apps[0] 'api', published as 'web'"),
        (A, document(), 'env None, published as {"MODE": "a"}'),
        (
            A,
            A | {"template": {"name": "touchstone-t1-hello", "version": "2.0.0"}},
            f"a document with version '2.0.0' for {REF!r}",
        ),
    ],
)
def test_difference_is_told_with_its_place(written: Any, shown: Any, told: str) -> None:
    """The first value that differs, what it is and what it was published as."""
    assert problem(sent(1, written), read(2, shown)) == told


def test_document_of_a_refused_publish_is_told_elsewhere() -> None:
    """Whether a conflict may change the document is no question of how it is shown."""
    assert problem(sent(1, A), sent(2, B, content="new", status=409), read(3, B)) == ""


def test_document_before_a_delete_is_not_the_one_after_it() -> None:
    """What was published where nothing was is shown, and nothing that was there before."""
    deleted = exchange("deleteTemplate", json={"deleted": True}, seq=2)
    assert problem(sent(1, A), deleted, sent(3, B), read(4, A)) == "env.MODE 'a', published as 'b'"


def test_marker_may_be_of_any_letters() -> None:
    """However JSON would write them."""
    written = document(build={"run": ["echo märker"]})
    assert problem(sent(1, written, note={"marker": "märker"}), read(2, written)) == ""


def test_document_of_a_version_that_prints_nothing_is_not_compared() -> None:
    """Without a marker nobody knows which content a document is of."""
    assert problem(sent(1, A, note={"marker": ""}), read(2, B)) == ""


def test_document_is_not_compared_where_one_of_two_contents_has_no_canonical_form() -> None:
    """It may be that one."""
    forced = sent(2, A, content="new", note={"force": True, "marker": "marker-hello"})
    assert problem(sent(1, b"api_version: orgo.ai/v1\n"), forced, read(3, document())) == ""


def test_publish_that_is_wrong_on_purpose_has_no_document() -> None:
    """Nothing of it is to be shown."""
    wrong = exchange("publishTemplate", 422, seq=2, request_body=json.dumps(document(cpu=-1)).encode())
    assert problem(sent(1, A), wrong, read(3, A)) == ""
