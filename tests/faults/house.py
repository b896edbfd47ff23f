"""An installation whose daemon runs under conditions: another standard error, few descriptors, strace, or a clock that jumps."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.system.daemon_world import House, wait_for

STRACE = shutil.which("strace")


class Troubled(House):
    """A House that can be started in other ways, and looked at without its own help."""

    def words(self) -> list[str]:
        return self._homing("run")

    def go(self, *, words: list[str] | None = None, stderr: Any = None, descriptors: int | None = None) -> None:
        """Start it, and do not wait. `words`: the command, if it is not `homing run`."""
        limits = None if descriptors is None else lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        error = self.log if stderr is None else stderr
        self._daemon = subprocess.Popen(words or self.words(), stdout=self.log, stderr=error, preexec_fn=limits)

    def ready(self) -> None:
        """Wait until it sends."""
        wait_for(self._answers, "the daemon answers")
        wait_for(lambda: self.api("GET", "/readyz")[0] == 200, "the daemon is ready")

    def straced(self, *inject: str, log: Path | None = None, paths: list[Path] | None = None) -> list[str]:
        """The daemon under strace with these faults. Needs strace; see `needs_strace`."""
        traced = sorted({one.partition(":")[0] for one in inject} | {"fdatasync", "fsync"})
        only = [word for path in paths or [] for word in ("-P", str(path))]
        faults = [word for one in inject for word in ("-e", f"inject={one}")]
        return [str(STRACE), "-f", "-qq", "-y", "-o", str(log or "/dev/null"), *only, "-e", f"trace={','.join(traced)}", *faults, *self.words()]

    def jumping(self) -> list[str]:
        """The daemon with a clock that is set on SIGUSR1 (+3 h) and SIGUSR2 (-3 h)."""
        return [sys.executable, "-m", "tests.faults.jumping", str(self.config)]

    @staticmethod
    def free(count: int) -> list[int]:
        """So many free ports."""
        return [free_port() for _ in range(count)]

    def answers(self) -> bool:
        return self._answers()

    def signal(self, number: signal.Signals) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def code(self, seconds: float = 30.0) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._daemon is not None
        return self._daemon.wait(seconds)

    def resumed(self, queue: str) -> bool:
        """The queue is asked to go on, as soon as somebody answers."""
        try:
            return self.api("POST", f"/v1/queues/{queue}/resume")[0] == 200
        except OSError:
            return False

    def end_daemon(self) -> None:
        """The daemon under strace is killed, if it still runs (killed itself, strace would let it go on)."""
        if self.running():
            os.kill(int((self.state / "lock").read_text()), signal.SIGKILL)
            self.code()

    def running(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is None

    def holds(self) -> dict[str, str]:
        """What holds all sending."""
        return dict(self.status()["gate"]["holds"])

    def health(self) -> dict[str, Any]:
        return dict(self.api("GET", "/healthz")[1])

    def post_job(self, text: str) -> tuple[int, dict[str, str]]:
        """A job over HTTP: status and headers of the answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/v1/jobs", data=text.encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {self.bearer}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers)

    bearer = ""

    def once_each(self, people: int) -> None:
        """By the server's log: each of so many people got one message or is in doubt, nobody two."""
        counts, states = self.relay.counts(), self.states()
        assert max(counts.values(), default=0) <= 1, counts.most_common(3)
        assert len(states) == people
        assert set(states.values()) <= {"accepted", "in_doubt"}, set(states.values())
        assert {address for address, state in states.items() if state == "accepted"} <= set(counts)
        assert {address for address in counts if states[address] not in ("accepted", "in_doubt")} == set()

    def doubted(self) -> set[str]:
        return {address for address, state in self.states().items() if state == "in_doubt"}

    def still(self, seconds: float) -> None:
        """No message is taken for so long. Nothing but time can show this."""
        before, until = len(self.relay.taken()), time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until, "the time is over", seconds + 10)
        assert len(self.relay.taken()) == before

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        assert self._daemon is not None
        fields = Path(f"/proc/{self._daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
