"""`homing explain`: why someone was, or was not, written to, by which rule, on which numbers, and when it is next possible."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli import screen
from daemon.cli.client import call, segment
from daemon.cli.context import Cli, command

MANY = 6
"""Longer lists (the zones of a country) are told by their ends; `--json` has them all."""


@command("explain", short_help="Why someone was, or was not, written to.")
@click.argument("recipient")
@click.argument("campaign", required=False)
def explain(cli: Cli, recipient: str, campaign: str | None) -> None:
    """Why each message to RECIPIENT (of CAMPAIGN) was or was not sent: the rule, its numbers, and when it is next possible."""
    found = call(cli, "GET", f"/v1/recipients/{segment(recipient)}/explain", query={"campaign": campaign})
    cli.answer(found, lambda: show(found))


def show(found: dict[str, Any]) -> None:
    """For eyes: one block a delivery."""
    zone = found["zone"]
    where = f"{_zone(zone['names'])} (by {zone['source']})" if zone["names"] else "zone unknown"
    screen.say(screen.clean(f"{found['recipient']}: {where}"))
    if not found["enrolments"] and not found["not_enrolled"]:
        screen.say("  in no campaign yet")
    for enrolment in found["enrolments"]:
        screen.say(screen.clean(f"  {enrolment['campaign']}, version {enrolment['version']}: {enrolment['state']}{_ending(enrolment)}"))
        for delivery in enrolment["deliveries"]:
            _show_delivery(delivery)
    shown = {enrolment["campaign"] for enrolment in found["enrolments"]}
    for other in (other for other in found["not_enrolled"] if other["campaign"] not in shown):
        screen.say(f"  {other['campaign']}: not enrolled, {other['reason']} at {screen.moment(other['at'])}")


def _ending(enrolment: dict[str, Any]) -> str:
    """When and why a walk ended; nothing for one that goes on."""
    if not enrolment.get("ended_at"):
        return ""
    why = f": {enrolment['reason']}" if enrolment.get("reason") and enrolment["reason"] != enrolment["state"] else ""
    return f" at {screen.moment(enrolment['ended_at'])}{why}"


def _show_delivery(delivery: dict[str, Any]) -> None:
    reason = f", {delivery['reason']}" if delivery.get("reason") else ""
    screen.say(screen.clean(f"    {delivery['step']} by {delivery['channel']} ({delivery['id']}): {delivery['state']}{reason}"))
    if delivery.get("text"):
        screen.say(screen.clean(f"      {delivery['text']}"))
    if delivery.get("next_possible_at"):
        screen.say(f"      next possible: {screen.moment(delivery['next_possible_at'])}")
    rule = delivery.get("rule")
    if rule:
        facts = ", ".join(f"{key} {_words(value)}" for key, value in (delivery.get("facts") or {}).items())
        screen.say(screen.clean(f"      rule {rule['name']} ({rule['version'][:19]}): {facts}"))
    if delivery.get("checks"):
        screen.say("      checks: " + ", ".join(f"{name} {verdict}" for name, verdict in delivery["checks"]))


def _zone(names: list[str]) -> str:
    return f"zone {names[0]}" if len(names) == 1 else f"zones {_words(names)}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {inner}" for key, inner in value.items()) or "none"
    if isinstance(value, list) and len(value) > MANY:
        return f"{value[0]} .. {value[-1]} ({len(value)})"
    return (" ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
