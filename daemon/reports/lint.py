"""REPORTS, lint: mistakes of win-back campaigns that a file may make and still be good (win-back: mistakes).

Each rule is a pure function from a `Look` to findings: what is wrong, where, and what to do. Those of the sequence are in
`lint_sequence`, of the words in `lint_words`, of what also hangs on the shop (people, caps, rates, consent) in `lint_reach`.
What is not known is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon.config.locate import Path as KeyPath
from daemon.config.locate import find_line, locate_keys
from daemon.content.campaign_file import NAME
from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, Step
from daemon.model.delivery import DAY
from daemon.policy.caps import Cap

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFacts:
    """What of a segment's definition matters here. `people`: its members, None = not counted."""

    excludes: bool = False
    by_tier: bool = False
    people: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFacts:
    """What is known beside the folder; None = not known. `rates`: messages a second by channel. `traits`: names that some recipient has.
    `audience`: people whom one start of the campaign concerns, if the segment's own count is not known. `holdout`: share of all people that
    the config holds out of every campaign."""

    caps: tuple[Cap, ...] = ()
    consent: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    segments: Mapping[str, SegmentFacts] | None = None
    traits: Collection[str] | None = None
    audience: int | None = None
    holdout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`level`: error | warning. `rule`: its name, as in docs/campaigns.md. `what` says what is wrong and what to do."""

    level: str
    rule: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.rule}: {self.what}"


@dataclass(slots=True)
class Look:
    """One campaign under review."""

    version: CampaignVersion
    facts: LintFacts
    others: Mapping[str, Campaign]
    lines: Mapping[KeyPath, int]

    @property
    def campaign(self) -> Campaign:
        return self.version.campaign

    @property
    def messages(self) -> list[tuple[int, Step]]:
        """(place in the file, step) of the steps that are messages."""
        return [(index, step) for index, step in enumerate(self.campaign.steps) if step.act is None]

    @property
    def away(self) -> bool:
        """Is it for people who have stayed away: are its days counted from when they were last seen?"""
        enrol = self.campaign.enrol
        by_day = any(step.day is not None for step in self.campaign.steps)
        return enrol.trigger is None and enrol.anchor not in ("entered", "event") and by_day

    @property
    def people(self) -> int | None:
        """How many it concerns."""
        segment = (self.facts.segments or {}).get(self.campaign.enrol.segment or "")
        return segment.people if segment is not None and segment.people is not None else self.facts.audience

    def at(self, path: KeyPath, rule: str, what: str, level: str = WARNING) -> Finding:
        """A finding at a key of campaign.toml."""
        return Finding(level=level, rule=rule, file=NAME, line=find_line(self.lines, path), what=what)

    def offsets(self) -> list[int]:
        """For each step the soonest it falls due after the enrolment, in microseconds."""
        first = next((step.day for step in self.campaign.steps if step.day is not None), None)
        found: list[int] = []
        for index, step in enumerate(self.campaign.steps):
            former = found[-1] if found else 0
            due = (step.day - first) * DAY if step.day is not None and first is not None else former + (step.delay or 0)
            found.append(max(due, former + (self.campaign.enrol.min_gap if index else 0)))
        return found


Rule = Callable[[Look], Iterator[Finding]]


def lint(version: CampaignVersion, facts: LintFacts, others: Mapping[str, Campaign] | None = None) -> list[Finding]:
    """All findings about one campaign, those of campaign.toml by line first. `others`: all campaigns of the folder, by name."""
    from daemon.reports import lint_reach, lint_sequence, lint_words

    look = Look(version, facts, others or {}, locate_keys(version.files.get(NAME, "")))
    rules: tuple[Rule, ...] = (*lint_sequence.RULES, *lint_words.RULES, *lint_reach.RULES)
    found = [finding for rule in rules for finding in rule(look)]
    return sorted(found, key=lambda each: (each.file != NAME, each.file, each.line, each.level, each.rule))


def placed(findings: Iterable[Finding], folder: Path) -> list[Finding]:
    """With the path of the campaign's folder."""
    return [
        Finding(level=each.level, rule=each.rule, file=str(folder / each.file), line=each.line, what=each.what) for each in findings
    ]  # fmt: skip
