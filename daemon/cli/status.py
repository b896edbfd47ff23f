"""`homing status`: what runs, what waits, what stops it, in one screen."""

from __future__ import annotations

from typing import Any

from daemon.cli import screen
from daemon.cli.client import Api, with_api
from daemon.cli.context import Cli, command
from daemon.model.delivery import REASONS, Reason


@command("status", short_help="What runs, what waits, what stops it.")
def status(cli: Cli) -> None:
    """The state of everything: sending or held, queues, providers, what waits for an operator."""

    async def work(api: Api) -> dict[str, Any]:
        return {**await api.call("GET", "/v1/status"), "daemon": not api.offline}

    found = with_api(cli, work, looks=True)
    cli.answer(found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    gate = found["gate"]
    if not found["daemon"]:
        screen.say("No daemon runs: nothing is sent. `homing run` starts one.")
    elif gate["open"]:
        screen.say("Sending." if found["ready"] else found.get("degraded") or "The daemon is not ready yet.")
    for reason, detail in gate["holds"].items():
        screen.say(f"HELD, {reason}: {detail}")
        screen.say(f"  to go on: {_go_on(reason, gate['backlog'])}")
    screen.say(f"Deliveries: {screen.counts(found['deliveries'])}")
    if found["in_flight"]:
        screen.say(f"In flight: {found['in_flight']}")
    screen.say(f"Oldest due: {found['oldest_due_seconds']} s ago" if found["oldest_due"] else "Nothing is due now.")
    if found["audit"]["audited_to"] and not found["audit"]["findings"]:
        screen.say(f"Audited up to {screen.moment(found['audit']['audited_to'])}: no findings.")
    if found["next_due"]:
        screen.say(f"Next due: {screen.moment(found['next_due'])}")
    _show_attention(found)
    screen.say()
    show_queues(found["queues"])
    if found["providers"]:
        screen.say()
        _show_providers(found["providers"])
    if found["notices"]:
        screen.say()
        _show_notices(found["notices"])


def _go_on(reason: str, backlog: int) -> str:
    if reason == Reason.STORE_DAMAGED.value:
        return REASONS[Reason.STORE_DAMAGED].remedy
    extra = {Reason.CLOCK_UNTRUSTED.value: " --accept-clock", Reason.RESTORED.value: " --accept-restore"}.get(reason, "")
    return f"homing start --all --expect {backlog}{extra}"


def _show_attention(found: dict[str, Any]) -> None:
    for reason, n in found["held"].items():
        screen.say(f"{n} held, {reason}: {REASONS[Reason(reason)].remedy}")
    if found["jobs"].get("held"):
        screen.say(f"Jobs held: {found['jobs']['held']}; `homing held list`")
    if found["doubts"]:
        screen.say(f"Sends in doubt: {found['doubts']}; `homing doubt list`")
    if found["audit"]["findings"]:
        screen.say(f"Findings of the audit: {found['audit']['findings']}; `homing check` names them")
    if found["paused_campaigns"]:
        screen.say(f"Paused campaigns: {', '.join(found['paused_campaigns'])}")


def show_queues(queues: list[dict[str, Any]]) -> None:
    rows = [
        (q["queue"], "paused" if q["paused"] else "open", q["jobs"], *_times(q), screen.counts(q["deliveries"])) for q in queues
    ]
    screen.table(("queue", "state", "open jobs", "oldest due", "next due", "deliveries"), rows, empty="no queue; [queues.NAME] makes one")


def _times(queue: dict[str, Any]) -> tuple[str, str]:
    return screen.moment(queue["oldest_due"]), screen.moment(queue["next_due"])


def _show_providers(providers: list[dict[str, Any]]) -> None:
    keys = ("provider", "channel", "breaker", "in_hand", "rate")
    rows = [["(built in)" if ":" in p["provider"] else p["provider"], *(p.get(key) for key in keys[1:])] for p in providers]
    screen.table([key.replace("_", " ") for key in keys], rows)
    for provider in providers:
        if (spend := provider.get("spend")) and (spend["amount"] or spend["limit"] is not None):  # else nobody gave a price
            limit = "no limit" if spend["limit"] is None else f"at most {spend['limit']:g}"
            screen.say(f"{provider['provider']}: {spend['amount']:g} {spend['currency']} spent on {spend['day']} ({limit} a day)")
        if provider["detail"]:
            screen.say(screen.clean(f"{provider['provider']}: {provider['detail']}"))
            screen.say(f"  {_what_then(provider)}")


def _show_notices(targets: list[dict[str, Any]]) -> None:
    """Who is told of what happens, and how far."""
    keys = ("target", "told", "waiting", "lag_seconds", "lost")
    screen.table([key.replace("_", " ") for key in keys], [[each[key] for key in keys] for each in targets])
    for each in targets:
        if each["error"]:
            since = screen.moment(each["failing_since"])
            screen.say(screen.clean(f"{each['target']}: {each['error']}, since {since}; tried again at {screen.moment(each['again_at'])}"))


def _what_then(provider: dict[str, Any]) -> str:
    """What becomes of its messages, and what there is to do."""
    if provider["breaker"] == "stopped":
        return "Its messages wait. Mend its table in the config or the other end, then reload (SIGHUP); `homing check --probe` tests it."
    again = f"tried again at {screen.moment(provider['retry_at'])}" if provider["retry_at"] else "tried again as messages fall due"
    return f"Nothing is lost: it is {again}. `homing check --probe` tests the connection."
