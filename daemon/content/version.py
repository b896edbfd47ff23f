"""CONTENT: a campaign version: what `campaign.toml` says and the words of its templates, frozen, with a digest.

Immutable, and JSON both ways: the store keeps the text and gives the number. Structure (steps, window, life) binds the version
that a delivery was planned with; words are rendered from the newest. An inline message of a job is a version too, named
`job:ID`, with one step `message`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from daemon.content.plain import from_plain, to_plain
from daemon.model.audience import AUDIENCE, STAY, AudienceRule
from daemon.model.campaign import Campaign, CampaignStatus, Purpose, Step
from daemon.model.job import InlineMessage

INLINE_STEP = "message"
INLINE_PREFIX = "job:"

_FORM = 1
_NEWER = ("enrol", "goal", "exit", "prefer", "holdout", "offers", "after", "survey", "value")
_NEWER_OF_STEP = ("day", "delay", "offer", "experiment", "act", "where", "subject", "hours", "season")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignVersion:
    """`files`: the text of each file of the folder that counts, by name; of an inline message `subject`, `text`, `html`.

    `digest` (`sha256:..`) is over all of it, the file's own status too.
    """

    campaign: Campaign
    digest: str
    files: Mapping[str, str]

    @staticmethod
    def of(campaign: Campaign, files: Mapping[str, str]) -> CampaignVersion:
        """The version of a campaign with these files."""
        frozen = MappingProxyType(dict(sorted(files.items())))
        content = _spell({"campaign": _campaign_to_plain(campaign), "files": dict(frozen)})
        return CampaignVersion(campaign=campaign, digest=f"sha256:{hashlib.sha256(content.encode()).hexdigest()}", files=frozen)

    @property
    def is_inline(self) -> bool:
        return self.campaign.name.startswith(INLINE_PREFIX)

    def to_json(self) -> str:
        return _spell({"form": _FORM, "campaign": _campaign_to_plain(self.campaign), "digest": self.digest, "files": dict(self.files)})

    @staticmethod
    @lru_cache(maxsize=16)
    def from_json(text: str) -> CampaignVersion:
        """What `to_json` gave, equal to the original. ValueError for a form that this release does not know. Several rooms read the same
        one after the other: dispatch, walks, expansion."""
        plain = json.loads(text)
        if plain.get("form") != _FORM:
            raise ValueError(f"a campaign version of form {plain.get('form')!r} is unknown to this release")
        campaign = _campaign_from_plain(plain["campaign"])
        return CampaignVersion(campaign=campaign, digest=plain["digest"], files=MappingProxyType(plain["files"]))


def inline_campaign(job: str, message: InlineMessage) -> Campaign:
    """The campaign of a job's own message: active, one step, the channel of the message. Of an audience the subject is its name."""
    step = Step(name=INLINE_STEP, channels=(message.channel,))
    audiences: tuple[AudienceRule, ...] = ()
    if message.channel == AUDIENCE:
        step, audiences = replace(step, valid=STAY), (AudienceRule(providers=(), name=message.subject, description=message.text[:200]),)
    return Campaign(
        name=INLINE_PREFIX + job,
        status=CampaignStatus.ACTIVE,
        purpose=Purpose(message.purpose),
        topic=message.topic,
        steps=(step,),
        audiences=audiences,
    )


def _spell(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _campaign_to_plain(campaign: Campaign) -> dict[str, Any]:
    """What is newer than the form is there only where it is used: the digests of all others stay."""
    audiences = [
        {"providers": list(rule.providers), "name": rule.name, "from_step": rule.from_step, "stay": rule.stay,
         "description": rule.description}
        for rule in campaign.audiences
    ]  # fmt: skip
    newer = to_plain(campaign)
    return {
        **({"audiences": audiences} if audiences else {}),
        **{key: newer[key] for key in _NEWER if key in newer},
        "name": campaign.name,
        "status": campaign.status,
        "purpose": campaign.purpose,
        "topic": campaign.topic,
        "starts": campaign.starts.isoformat() if campaign.starts else None,
        "ends": campaign.ends.isoformat() if campaign.ends else None,
        "priority": campaign.priority,
        "sender": campaign.sender,
        "reply_to": campaign.reply_to,
        "utm": dict(campaign.utm),
        "window": dict(campaign.window) if campaign.window is not None else None,
        "ignore_window": campaign.ignore_window,
        "on_doubt": campaign.on_doubt,
        "again": campaign.again,
        "steps": [_step_to_plain(step) for step in campaign.steps],
    }


def _step_to_plain(step: Step) -> dict[str, Any]:
    """What says nothing new is left out: the digest of a campaign of one channel is what it was before there were more."""
    plain: dict[str, Any] = {"name": step.name, "channels": list(step.channels), "valid": step.valid}
    if len(step.channels) > 1:
        plain["mode"] = step.mode
    if step.escalate is not None:
        more = {"to": list(step.escalate.to), "after": step.escalate.after, "unless": list(step.escalate.unless)}
        plain["escalate"] = {**more, **({"where": step.escalate.where} if step.escalate.where is not None else {})}
    newer = to_plain(step)
    return {**plain, **{key: newer[key] for key in _NEWER_OF_STEP if key in newer}}


def step_from_plain(plain: Mapping[str, Any]) -> Step:
    """One of `$.campaign.steps` of a version's JSON text."""
    return from_plain(Step, plain)


def _campaign_from_plain(plain: Mapping[str, Any]) -> Campaign:
    campaign = from_plain(Campaign, plain)
    ladder = sorted(campaign.offers.values(), key=lambda offer: offer.rank)  # the text is sorted by name
    return replace(campaign, offers={offer.name: offer for offer in ladder})
