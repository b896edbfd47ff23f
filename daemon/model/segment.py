"""A segment as its file defines it (contract: segments)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.model.expression import All, Condition, Expression, InSegment, Opposite

ENTERED, LEFT = "Segment Entered", "Segment Left"
"""Events of the person; their property `segment` is the name."""
DEMAND = "demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`expression` None: an imported list. `every`: "HH:MM" in the default zone, a cron line, or DEMAND."""

    name: str
    expression: Expression | None
    exclude: tuple[str, ...] = ()
    every: str = DEMAND
    title: str = ""

    @property
    def tree(self) -> Condition:
        """The whole condition: of the expression, and in none of `exclude`."""
        if self.expression is None:
            return InSegment(self.name)
        if not self.exclude:
            return self.expression.tree
        return All((self.expression.tree, *(Opposite(InSegment(name)) for name in self.exclude)))

    @property
    def refers_to(self) -> frozenset[str]:
        return frozenset(self.exclude) | (self.expression.segments if self.expression else frozenset())

    @property
    def digest(self) -> str:
        """Of what says who is in it."""
        said = json.dumps([self.expression.text if self.expression else None, sorted(self.exclude)])
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """All of a file, by name; without circles."""

    by_name: Mapping[str, Segment] = field(default_factory=dict)

    def levels(self, names: Sequence[str]) -> list[list[str]]:
        """These names so that each comes after those of them that it refers to: side by side what can be looked at together."""
        wanted = [name for name in dict.fromkeys(names) if name in self.by_name]
        level: dict[str, int] = {}

        def height(name: str) -> int:
            if name not in level:
                below = [height(each) for each in sorted(self.by_name[name].refers_to) if each in wanted and each != name]
                level[name] = 1 + max(below, default=-1)
            return level[name]

        found: list[list[str]] = [[] for _ in range(1 + max(map(height, wanted), default=-1))]
        for name in wanted:
            found[level[name]].append(name)
        return found

    def with_references(self, names: Sequence[str]) -> list[str]:
        """These names and all that they refer to, directly or through others; what is referred to comes first."""
        found: dict[str, None] = {}

        def add(name: str) -> None:
            if name in self.by_name and name not in found:
                for each in sorted(self.by_name[name].refers_to):
                    add(each)
                found[name] = None

        for name in names:
            add(name)
        return list(found)


def circle_of(refers_to: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The names of a circle of references, the first one again at its end; None: there is none."""
    state: dict[str, int] = {}
    path: list[str] = []

    def walk(name: str) -> Iterator[list[str]]:
        state[name] = 1
        path.append(name)
        for each in refers_to.get(name, ()):
            if state.get(each) == 1:
                yield [*path[path.index(each) :], each]
            elif each not in state:
                yield from walk(each)
        path.pop()
        state[name] = 2

    return next((found for name in refers_to if name not in state for found in walk(name)), None)
