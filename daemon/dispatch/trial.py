"""Test sends: a campaign's steps to an operator's own addresses (`homing campaigns test`). No delivery, no touch, no cap.

The message is the real one, rendered for a known recipient or for the address alone, marked `test`, and goes through the same
channel. The gate holds for it too. What is sent is logged; nothing is written to the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.clock import Clock, to_datetime
from daemon.content.render import Renderer, RenderError
from daemon.content.variables import build_variables
from daemon.content.version import CampaignVersion
from daemon.dispatch.gate import Gate
from daemon.dispatch.words import made_up, product_words
from daemon.errors import GuardRefusedError
from daemon.ids import Ids, encode_id
from daemon.model.delivery import HOUR, SECOND
from daemon.model.journey import DEFAULT_TIER
from daemon.model.product import Product
from daemon.model.recipient import Recipient
from plugins.contract import Channel, Message, Outcome


class TrialSession:
    """A session that grants whatever it is asked while the gate is open, and keeps the outcomes."""

    closing = False

    def __init__(self, gate: Gate, now: int) -> None:
        self._gate, self._now = gate, now
        self.outcomes: dict[str, Outcome] = {}

    async def handover(self, ids: Sequence[str]) -> frozenset[str]:
        return frozenset() if self._gate.shut(self._now, 0) else frozenset(ids)

    def report(self, id: str, outcome: Outcome) -> None:
        self.outcomes[id] = outcome


def _suiting(to: Sequence[str], channel: Channel | None) -> list[str]:
    """The addresses that are of the channel's kind; all of them where that cannot be told."""
    kind = channel.address if channel is not None else ""
    if kind == "push":
        return [address for address in to if address.startswith("{")]
    return [address for address in to if (kind != "email" or "@" in address) and (kind != "phone" or address.startswith("+"))]


async def send_test(
    version: CampaignVersion,
    recipient: Recipient,
    to: Sequence[str],
    *,
    channels: Mapping[str, Channel],
    gate: Gate,
    clock: Clock,
    ids: Ids,
    shop: Mapping[str, object],
    locale: str | None,
    vars: Mapping[str, object],
    profile: Mapping[str, object] | None = None,
    products: Sequence[Product] = (),
    unsubscribe_url: str,
    preferences_url: str,
    countdown_url: str,
    push_join_token: str,
) -> list[dict[str, object]]:
    """Send each step once over each of its channels to each address that suits; one object a message: its outcome, or what is missing."""
    if reasons := gate.reasons():
        raise GuardRefusedError(f"all sending is held: {'; '.join(reasons.values())}")
    renderer, now = Renderer(version, shop=shop), clock.instant()
    sent: list[dict[str, object]] = []
    for step in version.campaign.steps:
        for kind in step.every_channel:
            for address in _suiting(to, channels.get(kind)):
                answer: dict[str, object] = {"step": step.name, "channel": kind, "to": address}
                sent.append(answer)
                channel = channels.get(kind)
                if channel is None:
                    answer["outcome"] = f'no provider serves the channel "{kind}"'
                    continue
                tier = str((profile or {}).get("tier") or recipient.traits.get("tier") or DEFAULT_TIER)
                more = made_up(version.campaign, step, None, tier, locale or recipient.locale, str(shop.get("currency", "USD")), now, vars)
                more |= {"push_join_token": push_join_token, "preferences_url": preferences_url, "countdown_url": countdown_url}
                more |= product_words(products, locale or recipient.locale, renderer.currency)
                variables = build_variables(recipient, vars, unsubscribe_url=unsubscribe_url, now=now, profile=profile, more=more)
                try:
                    rendered = renderer.render(step.name, kind, locale or recipient.locale, variables, zone=recipient.zone, now=now)
                except RenderError as error:
                    answer["outcome"] = str(error)
                    continue
                message = Message(
                    id=encode_id(int.from_bytes(ids.token_bytes(8), "big") >> 1), address=address, addresses=(address,), channel=kind,
                    recipient=recipient.key, locale=rendered.locale, campaign=version.campaign.name, step=step.name,
                    subject=f"[TEST] {rendered.subject}", text_pieces=rendered.text_pieces, html_pieces=rendered.html_pieces,
                    head=rendered.head, unsubscribe_url=None, created_at=to_datetime(now), expires_at=to_datetime(now + HOUR),
                    ttl=HOUR / SECOND, test=True,
                )  # fmt: skip
                session = TrialSession(gate, now)
                await channel.send([message], session)
                outcome = session.outcomes.get(message.id)
                answer["delivery"] = message.id
                answer["outcome"] = type(outcome).__name__.lower() if outcome is not None else "not sent"
                answer["detail"] = getattr(outcome, "detail", None)
    return sent
