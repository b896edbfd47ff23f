"""A pipelining SMTP sink as a process of its own: `python -m tests.bench.sink PORT [RTT_MS]`. Counts; keeps nothing.

`XSTAT` answers `250 COUNT FIRST LAST` (wall seconds of the first and last message taken since the last XSTAT) and resets;
`XPEAK` answers `250 PEAK MADE`: the most connections that had taken a message at the same time, and how many were made, and resets.
RTT_MS holds each answer back for so long, each by itself: answers are late, never one after the other.

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


class Sink:
    def __init__(self, port: int, delay: float) -> None:
        self.delay = delay
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
                _, _, peer, answer = heapq.heappop(self.late)
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
                answers.append(self._took(peer))
            else:
                end = rest.find(b"\r\n", start)
                if end < 0:
                    break
                answers.append(self._answer(peer, rest[start : start + 4].upper(), rest[start:end]))
                start = end + 2
        peer.rest = rest[start:]
        if answers:
            self._say(peer, b"".join(answers))

    def _took(self, peer: Peer) -> bytes:
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
            return HELLO
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

    def _say(self, peer: Peer, answer: bytes) -> None:
        if not self.delay:
            self._write(peer, answer)
            return
        self.turn += 1  # answers of one instant stay in their order
        heapq.heappush(self.late, (time.monotonic() + self.delay, self.turn, peer, answer))

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


if __name__ == "__main__":
    Sink(int(sys.argv[1]), float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0).run()
