"""Invalid arguments and settings: exit code, no traceback, and the messages of tests/golden/refusals.txt."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command import KEYS, Command, Ended, Shell
from tests.report.checklogs import write_failing
from tests.report.golden import agrees

STAGING = '[targets.staging]\nurl = "http://127.0.0.1:9/api"\n'
# Invalid settings of touchstone.toml.
SETTINGS = {
    "unknown key": f"{STAGING}build_timout_s = 3\n",
    "number": f"{STAGING}build_timeout_s = 0\n",
    "choice": f'{STAGING}publish = "maybe"\n',
    "table": "targets = 3\n",
    "no TOML": "[targets",
    "no key": STAGING,
}
# Invalid arguments; each line begins with its exit code.
ARGUMENTS = """
    2 check --profile fast | check --claims cancle.* | check --config nowhere.toml | check --target stagging
    2 check --url 127.0.0.1:8123 | check --url http://127.0.0.1:9/api | check --url http://127.0.0.1:9 --target x
    2 check --max-builds 0 | check --max-seconds -1 | check --seed x | check --max-builds ten | check --clams x
    2 report nowhere.jsonl | report . | explain cancel.in-flight-is-203 | claims nothing.* | prove --fault nothing-*
    3 report other.jsonl
    2 compare log.jsonl nowhere.jsonl | compare log.jsonl other.jsonl | compare log.jsonl empty.jsonl
    2 serve --rate 8 | serve --retry-after never | serve --base-path api | serve --fault x --variant y | unknown
    2 serve --account :scale | serve --account :sk_live_mine | serve --account scale:sk_live_mine
    2 serve --account k:gold
"""


def refused(ended: Ended, code: int = 2) -> str:
    """Output of a command that failed with *code* and wrote no report."""
    text = ended.out + ended.err
    assert (ended.code, "Traceback" in text, (ended.folder / "reports").exists()) == (code, False, False), text
    assert "sk_live_mine" not in text
    return text.replace(str(ended.folder), "FOLDER")


def test_refusals_equal_their_golden_file(tmp_path: Path, call: Command) -> None:
    write_failing(tmp_path / "log.jsonl")
    (tmp_path / "other.jsonl").write_text('{"type": "other"}\n')
    (tmp_path / "empty.jsonl").touch()
    shell, texts = Shell(tmp_path, keys={}), list[str]()
    for row in ARGUMENTS.strip().splitlines():
        code, _, lines = row.strip().partition(" ")
        for line in lines.split(" | "):
            texts.append(f"$ touchstone {line}\n{refused(call(shell, *line.split()), int(code))}")
    for name, text in SETTINGS.items():
        (tmp_path / "touchstone.toml").write_text(text, "utf-8")
        printed = refused(call(shell, "check", "--target", "staging"))
        texts.append(f"# {name}\n$ touchstone check --target staging\n{printed}")
    agrees("refusals.txt", "\n".join(texts))


@pytest.mark.parametrize(
    ("arguments", "keys", "place"),
    [
        (("check", "--url", "http://127.0.0.1:9"), {"ORGO_API_KEY": "sk_live_ä_secret"}, "ORGO_API_KEY"),
        (("check", "--url", "http://127.0.0.1:9/api", "--report-dir", "taken"), KEYS, "--report-dir"),
    ],
    ids=["key that cannot be sent", "folder that is a file"],
)
def test_refusal_names_the_place_of_the_value(
    tmp_path: Path, call: Command, arguments: tuple[str, ...], keys: Mapping[str, str], place: str
) -> None:
    (tmp_path / "taken").touch()
    text = refused(call(Shell(tmp_path, keys=keys), *arguments))
    assert place in text
    assert "secret" not in text


def test_port_in_use_is_refused(tmp_path: Path, call: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert port in refused(call(Shell(tmp_path), "serve", "--port", port))
