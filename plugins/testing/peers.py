"""What stands at the other end of the wire: recorders on loopback that note each irreversible act of a channel.

An act is what a provider may act upon by itself: an HTTP request that is not safe (RFC 9110 §9.2.1), the content of an SMTP
transaction after 354, a file put into a folder. For a channel that speaks otherwise its author gives the kit a `Peer` of
their own: four methods. `http_peer` and `smtp_peer` are the two that speak over the network.
"""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from plugins.testing.listening import Listener


class Behaviour(StrEnum):
    """How a peer treats what it gets."""

    TAKES = "takes"
    """Answers as a provider that takes the message."""
    DROPS = "drops"
    """Takes the whole act, then closes the connection without an answer."""
    SILENT = "silent"
    """Takes the whole act and never answers."""
    THROTTLES = "throttles"
    """Refuses for now: too many (HTTP 429, SMTP 451)."""
    REFUSES = "refuses"
    """Refuses the message (HTTP 400, SMTP 550)."""
    FAILS = "fails"
    """Fails (HTTP 500, SMTP 451)."""
    AWAY = "away"
    """Nobody listens."""


@dataclass(slots=True)
class Act:
    """One irreversible act as the peer saw it; `complete` once its end has come."""

    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


class Peer(Protocol):
    """The other end of a channel. Started and stopped anew for every scene of the kit.

    A built-in peer has, besides, `behaviours` (what it can do beyond `TAKES`) and `behave(behaviour)`, and `connections()`
    (how many are open). Without them the rules that need them are not checked.
    """

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def settings(self) -> Mapping[str, Any]:
        """The settings that lead a channel here, e.g. `{"host": "127.0.0.1", "port": 4025}`. Called after `start`."""
        ...

    def seen(self) -> Sequence[bytes | str | Act]:
        """All irreversible acts since `start`, oldest first; the list only grows."""
        ...


class NoPeer:
    """For a channel whose other end the kit cannot see: only what it asks and reports is judged."""

    behaviours: frozenset[Behaviour] = frozenset()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def settings(self) -> Mapping[str, Any]:
        return {}

    def seen(self) -> Sequence[Act]:
        return ()


class FolderPeer:
    """For a channel that puts files into a folder: each file is an act, and so is what is added to one. `key` is the setting that takes the
    folder."""

    behaviours: frozenset[Behaviour] = frozenset()

    def __init__(self, key: str = "folder") -> None:
        self._key = key
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._seen: list[Act] = []
        self._read: dict[Path, int] = {}

    async def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="homing-kit-")
        self._seen, self._read = [], {}

    async def stop(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def settings(self) -> Mapping[str, Any]:
        return {} if self._folder is None else {self._key: self._folder.name}

    def seen(self) -> Sequence[Act]:
        if self._folder is not None:
            for path in sorted(path for path in Path(self._folder.name).rglob("*") if path.is_file()):
                content, before = path.read_bytes(), self._read.get(path, -1)
                if len(content) > before:
                    self._seen.append(Act(bytearray(content[max(0, before) :]), complete=True))
                    self._read[path] = len(content)
        return self._seen


class ServerPeer(ABC):
    """A TCP server on loopback that notes acts; what it speaks is `converse`. Bad input ends the connection, not the peer."""

    behaviours = frozenset(Behaviour)

    def __init__(self) -> None:
        self.behaviour = Behaviour.TAKES
        self.port = 0
        self._acts: list[Act] = []
        self._listener = Listener(self.converse)

    @abstractmethod
    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client until it leaves."""

    def settings(self) -> Mapping[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    def behave(self, behaviour: Behaviour) -> None:
        """From the next act on. `AWAY` is set before `start`."""
        self.behaviour = behaviour

    async def start(self) -> None:
        self._acts = []
        self.port = await self._listener.start(limit=1 << 24)
        if self.behaviour is Behaviour.AWAY:  # the port was free a moment ago and nobody listens there now
            await self._listener.stop()

    async def stop(self) -> None:
        await self._listener.stop()

    def seen(self) -> Sequence[Act]:
        return self._acts

    def connections(self) -> int:
        """How many conversations are open."""
        return self._listener.conversations

    def new_act(self, data: bytes = b"") -> Act:
        """Note that an act begins."""
        act = Act(bytearray(data))
        self._acts.append(act)
        return act
