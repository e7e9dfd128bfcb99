"""JSON is parsed by RFC 8259 and I-JSON, YAML as plain values of limited size; answers.yaml is complete."""

import json

import pytest
import yaml

from touchstone.contract.parsing import MAX_VALUES, fault, json_line, read_json, read_yaml


def test_valid_json_is_parsed() -> None:
    assert read_json(b' {"a": [1, 2.5, true, null, "\\u00e4"]}\n') == {"a": [1, 2.5, True, None, "ä"]}
    assert read_json(b"9" * 4000) == 10**4000 - 1
    assert read_json(b"9" * 4001) == float("inf")


def test_line_of_json_is_ascii_and_has_only_finite_numbers() -> None:
    line = json_line({"text": "ä\ud800", "deep": [{"n": float("nan")}, (float("-inf"), 1.5)]})
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {"text": "ä\ud800", "deep": [{"n": "nan"}, ["-inf", 1.5]]}


BOMB = "a: &a [" + "1, " * 99 + "1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 99)}]\n" for a, b in ("ab", "bc"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, ""),
        ("a: 1\nb: &b [*b]", "line 2"),
        ("[" * 20_000, ""),
        ("a: 1\nb: " + "9" * 3501, "line 2"),
        ("a: 1\nb: [", "line 3"),
        ("a: 'secret'\nb: *secret", "line 2"),
    ],
    ids=["bomb", "circle", "deep", "long-number", "open", "no-anchor"],
)
def test_yaml_without_a_plain_value_is_rejected(text: str, line: str) -> None:
    with pytest.raises(yaml.YAMLError) as raised:
        read_yaml(text)
    assert "secret" not in fault(raised.value)
    assert fault(raised.value).startswith(line)
    assert "\n" not in fault(raised.value)


def test_yaml_within_its_limits_is_parsed() -> None:
    assert read_yaml("") is None
    assert read_yaml("a: &a {b: 1}\nc: *a") == {"a": {"b": 1}, "c": {"b": 1}}
    assert read_yaml("9" * 3500) == 10**3500 - 1
    half = f"a: &a [{'1,' * 999}1]\nb: ["
    assert len(read_yaml(half + "*a, " * (MAX_VALUES // 1001 - 2) + "]")["b"]) == MAX_VALUES // 1001 - 2
