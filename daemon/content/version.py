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
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from daemon.model.audience import AUDIENCE, STAY, AudienceRule
from daemon.model.campaign import Campaign, CampaignStatus, Escalation, Mode, Purpose, Step
from daemon.model.job import InlineMessage

INLINE_STEP = "message"
INLINE_PREFIX = "job:"

_FORM = 1


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
    def from_json(text: str) -> CampaignVersion:
        """What `to_json` gave, equal to the original. ValueError for a form that this release does not know."""
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
    return {
        **({"audiences": audiences} if audiences else {}),
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
        plain["escalate"] = {"to": list(step.escalate.to), "after": step.escalate.after, "unless": list(step.escalate.unless)}
    return plain


def step_from_plain(plain: Mapping[str, Any]) -> Step:
    """One of `$.campaign.steps` of a version's JSON text."""
    more = plain.get("escalate")
    escalate = Escalation(to=tuple(more["to"]), after=more["after"], unless=tuple(more["unless"])) if more else None
    mode = Mode(plain.get("mode", Mode.FIRST))
    return Step(name=plain["name"], channels=tuple(plain["channels"]), valid=plain["valid"], mode=mode, escalate=escalate)


def _campaign_from_plain(plain: Mapping[str, Any]) -> Campaign:
    steps = map(step_from_plain, plain["steps"])
    return Campaign(
        **{
            **plain,
            "status": CampaignStatus(plain["status"]),
            "purpose": Purpose(plain["purpose"]),
            "starts": _moment(plain["starts"]),
            "ends": _moment(plain["ends"]),
            "steps": tuple(steps),
            "audiences": tuple(AudienceRule(**{**rule, "providers": tuple(rule["providers"])}) for rule in plain.get("audiences", ())),
        }
    )


def _moment(text: str | None) -> date | datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
