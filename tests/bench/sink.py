"""A pipelining SMTP sink as a process of its own: `python -m tests.bench.sink PORT [RTT_MS] [MODE..]`. Counts; keeps nothing.

`XSTAT` answers `250 COUNT FIRST LAST` (wall seconds of the first and last message taken since the last XSTAT) and resets;
`XPEAK` answers `250 PEAK MADE`: the most connections that had taken a message at the same time, and how many were made, and resets.
RTT_MS holds each answer back for so long, each by itself: answers are late, never one after the other.

MODE makes a tarpit of it: `rcpt=60` answers RCPT for `@slow.example` after 60 s, `dot=60` the final dot of a mail to there; `trickle` says
one byte a second after EHLO; `silent` never says a word. Others are answered as ever. Mails to `@slow.example` are not counted.

It is a bare epoll loop and forgets a body as it comes: the sink must cost no more than the leanest client
(Postfix's `smtp-source`: 30 µs a message; this sink 25-30, Postfix's own `smtp-sink` 55-60).
"""

from __future__ import annotations

import heapq
import select
import socket
import sys
import time

READ_BYTES = 262_144
END_OF_DATA = b"\r\n.\r\n"
HELLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n"
OK = b"250 2.1.0 ok\r\n"


class Peer:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.rest, self.in_data, self.used = sock, b"", False, False
        self.slow = self.trickles = False
        self.clear = 0.0
        """Monotonic: no answer before this, so that answers stay in their order."""


class Sink:
    def __init__(self, port: int, delay: float, modes: dict[str, float]) -> None:
        self.delay, self.modes = delay, modes
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.late: list[tuple[float, int, Peer, bytes]] = []
        self.turn = self.count = self.made = self.peak = 0
        self.first = self.last = 0.0

    def run(self) -> None:
        listening = self.listener.fileno()
        while True:
            wait = max(0.0, self.late[0][0] - time.monotonic()) if self.late else -1
            for number, _ in self.epoll.poll(wait):
                if number == listening:
                    self._accept()
                else:
                    self._read(self.peers[number])
            while self.late and self.late[0][0] <= time.monotonic():
                due, _, peer, answer = heapq.heappop(self.late)
                if peer.clear <= due:
                    peer.clear = 0.0  # nothing else waits to be said
                self._write(peer, answer)

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self.peers[sock.fileno()] = Peer(sock)
        self.epoll.register(sock, select.EPOLLIN)
        self._say(peer, b"220 sink ESMTP\r\n")

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        rest, start, answers = peer.rest + data, 0, []
        while True:
            if peer.in_data:
                end = rest.find(END_OF_DATA, start)
                if end < 0:
                    start = max(start, len(rest) - len(END_OF_DATA) + 1)  # the body is of no interest, its end may be cut in two
                    break
                start, peer.in_data = end + len(END_OF_DATA), False
                if peer.slow and "dot" in self.modes:
                    self._say(peer, b"".join(answers))
                    answers.clear()
                    self._say(peer, OK, self.modes["dot"])
                else:
                    answers.append(self._took(peer))
            else:
                end = rest.find(b"\r\n", start)
                if end < 0:
                    break
                verb, line = rest[start : start + 4].upper(), rest[start:end]
                start = end + 2
                if verb == b"RCPT":
                    peer.slow = line.rstrip(b">").lower().endswith(b"@slow.example")
                if peer.slow and verb == b"RCPT" and "rcpt" in self.modes:
                    self._say(peer, b"".join(answers))
                    answers.clear()
                    self._say(peer, OK, self.modes["rcpt"])
                else:
                    answers.append(self._answer(peer, verb, line))
        peer.rest = rest[start:]
        if answers:
            self._say(peer, b"".join(answers))

    def _took(self, peer: Peer) -> bytes:
        if peer.slow:
            return OK
        self.last = time.time()
        self.first = self.first or self.last
        self.count += 1
        if not peer.used:
            peer.used = True
            self.made += 1
            self.peak = max(self.peak, sum(other.used for other in self.peers.values()))
        return b"250 2.0.0 ok\r\n"

    def _answer(self, peer: Peer, verb: bytes, line: bytes) -> bytes:
        if verb == b"DATA":
            peer.in_data = True
            return b"354 go\r\n"
        if verb == b"EHLO":
            self._say(peer, HELLO)
            peer.trickles = "trickle" in self.modes
            return b""
        if verb == b"QUIT":
            return b"221 bye\r\n"
        if line == b"XSTAT":
            answer = f"250 {self.count} {self.first:.6f} {self.last:.6f}\r\n".encode()
            self.count, self.first, self.last = 0, 0.0, 0.0
            return answer
        if line == b"XPEAK":
            answer = f"250 {self.peak} {self.made}\r\n".encode()
            self.peak = self.made = 0
            for other in self.peers.values():
                other.used = False
            return answer
        return OK

    def _say(self, peer: Peer, answer: bytes, extra: float = 0.0) -> None:
        """After the round trip and `extra` seconds, and after what was to be said before it."""
        if not answer or "silent" in self.modes:
            return
        if not self.delay and not extra and not peer.clear and not peer.trickles:
            self._write(peer, answer)
            return
        due = max(time.monotonic() + self.delay + extra, peer.clear)
        pieces = [answer[at : at + 1] for at in range(len(answer))] if peer.trickles else [answer]
        for number, piece in enumerate(pieces):
            self.turn += 1
            heapq.heappush(self.late, (due + number, self.turn, peer, piece))
        peer.clear = due + len(pieces) - 1

    def _write(self, peer: Peer, answer: bytes) -> None:
        try:
            peer.sock.sendall(answer)
        except OSError:
            self._close(peer)

    def _close(self, peer: Peer) -> None:
        if peer.sock.fileno() >= 0:
            self.epoll.unregister(peer.sock)
            self.peers.pop(peer.sock.fileno(), None)
            peer.sock.close()


def _mode(word: str) -> tuple[str, float]:
    name, _, seconds = word.partition("=")
    return name, float(seconds or 0)


if __name__ == "__main__":
    Sink(int(sys.argv[1]), float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0, dict(map(_mode, sys.argv[3:]))).run()
