"""A segment as its file defines it (contract: segments)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
    _, left = _floors(refers_to)
    path: list[str] = []
    name = next(iter(left), None)
    while name is not None:  # each of them refers to another one of them
        if name in path:
            return [*path[path.index(name) :], name]
        path.append(name)
        name = next(each for each in refers_to[name] if each in left)
    return None


def height_of(refers_to: Mapping[str, Sequence[str]]) -> int:
    """How many segments the longest chain of references has; of those that are in no circle."""
    return _floors(refers_to)[0]


def _floors(refers_to: Mapping[str, Sequence[str]]) -> tuple[int, list[str]]:
    """Names are taken away as long as some refer to none that is left: (how many times, who is left then)."""
    left, floors = dict.fromkeys(refers_to), 0
    while ready := [name for name in left if not any(each in left for each in refers_to[name])]:
        floors += 1
        for name in ready:
            del left[name]
    return floors, list(left)
