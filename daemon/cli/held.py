"""`homing held` and `homing doubt`: what waits for an operator, and the operator's word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from daemon.cli import screen
from daemon.cli.client import call, every, segment
from daemon.cli.context import Cli, command, group

F = TypeVar("F", bound=Callable[..., Any])


def _selection(function: F) -> F:
    """Which held things are meant; none given = all."""
    for name, text in (
        ("--delivery", "Only this delivery."),
        ("--job", "Only of this job."),
        ("--queue", "Only of this queue."),
        ("--campaign", "Only of this campaign."),
        ("--reason", "Only those held for this reason."),
    ):
        function = click.option(name, metavar=name[2:].upper(), help=text)(function)
    return function


_EXPECT = click.option("--expect", type=click.IntRange(min=0), metavar="N", help="How many deliveries you mean; another number is refused.")


@command("list", short_help="What is held, by job and reason.")
@_selection
def list_held(cli: Cli, **selection: str | None) -> None:
    """What is held, by job and reason, with what would free it. A held job counts the deliveries that wait in it."""
    groups = every(cli, "/v1/held", selection)
    cli.answer(groups, lambda: _show(groups))


def _show(groups: list[dict[str, Any]]) -> None:
    rows = [(g["reason"], g["count"], g["kind"], g["job"], g["campaign"], screen.moment(g["since"]), example_of(g)) for g in groups]
    screen.table(("reason", "count", "what", "job", "campaign", "since", "for example"), rows, empty="nothing is held")
    for reason, remedy in sorted({(g["reason"], g["remedy"]) for g in groups}):
        screen.say(f"{reason}: {remedy}")


def example_of(group: dict[str, Any]) -> str:
    """Whom a group holds, for instance, and by what."""
    example = group["example"]
    if not example:
        return ""
    detail = example["detail"]
    if isinstance(detail, dict) and {"template", "line", "what"} <= detail.keys():
        text = f"{detail['template']}, line {detail['line']}: {detail['what']}"
    elif isinstance(detail, dict):
        text = ", ".join(f"{key} {_words(value)}" for key, value in detail.items())
    else:
        text = str(detail or "")
    return f"{example['recipient']}: {text}" if text else str(example["recipient"])


def _words(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


@command("release", short_help="Let held things be decided anew.")
@_selection
@_EXPECT
def release(cli: Cli, expect: int | None, **selection: str | None) -> None:
    """Let held jobs go on and held deliveries be decided anew, now. What still cannot be sent is held again."""
    answer = call(cli, "POST", "/v1/held/release", body=_body(selection, expect))
    cli.answer(answer, lambda: screen.say(f"{answer['released']} deliveries released"))


@command("cancel", short_help="End held things unsent.")
@_selection
@_EXPECT
def cancel(cli: Cli, expect: int | None, **selection: str | None) -> None:
    """End held jobs and held deliveries unsent, for good."""
    answer = call(cli, "POST", "/v1/held/cancel", body=_body(selection, expect))
    cli.answer(answer, lambda: screen.say(f"{answer['cancelled']} deliveries cancelled"))


def _body(selection: dict[str, str | None], expect: int | None) -> dict[str, Any]:
    return {key: value for key, value in {**selection, "expect": expect}.items() if value is not None}


held = group("held", "Deliveries and jobs that wait for an operator.", list_held, release, cancel)


@command("list", short_help="Sends whose fate is unknown, with their evidence.")
def list_doubts(cli: Cli) -> None:
    """Deliveries that a provider may have accepted, oldest first. They are never sent again by themselves, and caps count them."""
    doubts = every(cli, "/v1/doubts")
    rows = [
        (d["delivery"], d["recipient"], d["campaign"], d["provider"], screen.moment(d["handed_over_at"]), _evidence(d["attempts"]))
        for d in doubts
    ]
    headers = ("delivery", "recipient", "campaign", "provider", "handed over", "evidence")
    cli.answer(doubts, lambda: screen.table(headers, rows, empty="nothing is in doubt"))


def _evidence(attempts: list[dict[str, Any]]) -> str:
    last = attempts[-1] if attempts else {}
    return ": ".join(str(last[key]) for key in ("code", "detail") if last.get(key))


@command("resolve", short_help="Say what became of a doubtful send.")
@click.argument("delivery")
@click.argument("fate", type=click.Choice(["sent", "unsent"]))
def resolve(cli: Cli, delivery: str, fate: str) -> None:
    """Say what you found out at the provider about DELIVERY.

    sent: it is accepted, and caps go on counting it. unsent: it is due again, the rules decide it anew and may send it.
    """
    answer = call(cli, "POST", f"/v1/doubts/{segment(delivery)}/resolve", body={"as": fate})
    cli.answer(answer, lambda: screen.say(f"{answer['delivery']} is now {answer['state']}"))


doubt = group("doubt", "Sends whose fate is unknown.", list_doubts, resolve)
