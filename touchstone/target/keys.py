"""Keys of a run, headers that every request has, and a command that prints a new key once the old one has expired."""

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from touchstone.errors import UsageError, checked
from touchstone.facts import redaction_guard
from touchstone.facts.exchange import Credential
from touchstone.facts.key_sources import UNKNOWN_KEY, read_key
from touchstone.target.redact import Secrets

LIMIT_S, MOST_BYTES = 30.0, 4096  # duration of a command that prints a key, and length of the key
LEAST_PAUSE_S, MOST_REPEATS = 60.0, 5  # how often a process runs the command again
_RENEWING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the accounts that a run may use; None for a missing key.

    *unused*: other keys that must be redacted. *always*: variable and value of each header that every request has.
    """

    primary: str = field(repr=False)
    second: str | None = field(default=None, repr=False)
    restricted: str | None = field(default=None, repr=False)
    unused: tuple[str, ...] = field(default=(), repr=False)
    always: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    def headers(self, credential: Credential) -> dict[str, str]:
        """Returns the headers of a request with *credential*; raises LookupError if the key is missing."""
        headers = {name: value for name, (_, value) in self.always.items()}
        if credential not in ("none", "query"):
            scheme = {"malformed": "Basic", "lowercase-scheme": "bearer"}.get(credential)
            key = self.primary if scheme else (self.hidden() | self._altered()).get(credential)
            if not key:
                raise LookupError(f"no key for {credential!r}")
            headers["Authorization"] = f"{scheme or 'Bearer'} {key}"
        return headers

    def hidden(self) -> dict[str, str]:
        """Returns the secrets by name: keys by account, other keys by number, and values of headers by variable."""
        found = [("primary", self.primary), ("second", self.second), ("restricted", self.restricted)]
        found += ((f"unused-{number}", value) for number, value in enumerate(self.unused, start=1))
        found += ((f"env:{variable}", value) for variable, value in self.always.values())
        return {name: value for name, value in found if value}

    def secrets(self) -> Secrets:
        """Returns all values that no exchange may contain."""
        return Secrets(self.hidden() | self._altered() | {"headless": self.primary[1:]})

    def _altered(self) -> dict[str, str]:
        key = self.primary
        return {"longer": f"{key}x", "shorter": key[:-1], "recased": key.swapcase(), "unknown": UNKNOWN_KEY}


@dataclass(slots=True)
class KeyCommand:
    """The setting ``api_key_command``, and the keys that it has printed; the last one is current."""

    place: str
    text: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)  # of the user, since a child process has few of these variables
    folder: str = field(default_factory=os.getcwd)
    keys: list[str] = field(default_factory=list, repr=False)
    worked: bool = False  # whether the target has accepted the current key
    repeated_at: list[float] = field(default_factory=list)  # on the monotonic clock

    def renews(self, used: str, status: int) -> bool:
        """Whether a key other than *used* is current, after a response to *used* with *status*.

        A 401 to a key that worked runs the command again, MOST_REPEATS times at most.
        """
        if status != 401:
            self.worked |= used == self.keys[-1] and 200 <= status < 429
            return False
        with _RENEWING:
            is_due = all(time.monotonic() - at >= LEAST_PAUSE_S for at in self.repeated_at)
            if used == self.keys[-1] and self.worked and is_due and len(self.repeated_at) < MOST_REPEATS:
                self.repeated_at.append(time.monotonic())
                with suppress(UsageError):  # then the 401 is judged
                    self.run()
            return used != self.keys[-1]

    def renewed(self, keys: Keys) -> Keys:
        """Returns *keys* with the current one as the primary one."""
        return replace(keys, primary=self.keys[-1], unused=(*keys.unused, *self.keys[:-1]))

    def run(self) -> str:
        """Runs the command and returns the key in the first line of its output; raises UsageError if there is none."""
        silent = subprocess.DEVNULL
        try:
            command = shlex.split(self.text), -1, None, silent, subprocess.PIPE, silent
            with subprocess.Popen(*command, cwd=self.folder, env=self.environ) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LIMIT_S)
                process.kill()
                assert process.stdout
                os.set_blocking(process.stdout.fileno(), False)  # a process that it started may hold the pipe
                line = process.stdout.readline(MOST_BYTES).strip().decode("latin-1")
            code = process.returncode
            why = code and f"ends with exit code {code}{f' after {LIMIT_S:g} s' if code < 0 else ''}"
        except (OSError, ValueError) as error:
            why = f"cannot be run: {getattr(error, 'strerror', error)}"
        if why:
            expected = "expected one that prints a key; run it to see why"
            raise UsageError(f"{self.place}: found a command that {why}; {expected}")
        key: str = checked(self.place, line, read_key)
        if key not in self.keys[-1:]:
            redaction_guard.register({"primary": key})
            self.keys.append(key)
            self.worked = False
        return key
