"""The shipped scripts in a real browser: the worker shows a push that our channel made and a push service decrypted, a click comes back.

Chromium would register with Google's servers, so what a push service pushes is handed to the worker over DevTools (`deliverPushMessage`);
everything before (compose, encrypt, prove, decrypt by another hand) and after it (worker, notification, click, door, store) is real.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.feedback.push import Taker
from daemon.links import PUSH_CLICK
from daemon.store.recipients import person_id
from tests.channels.webpush.browser import Tab, find_browser, open_tab
from tests.channels.webpush.line import channel, message, send, service
from tests.stages.intake_world import job, people
from tests.stages.web_world import ROOMY, WebWorld

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_browser() is None, reason="no Chromium here (apt-get install chromium)")]
SHOWN_SECONDS = 2.0
"""To ask for notifications earlier than about 1.5 s after the push takes away the one that is not shown yet (Chromium)."""
FAKE = """
let found = null;
PushManager.prototype.getSubscription = async () => found;
PushManager.prototype.subscribe = async function (options) {
  const fake = %s;
  found = { endpoint: fake.endpoint, options, toJSON: () => fake, unsubscribe: async () => { found = null; return true; } };
  return found;
};
"""


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[WebWorld]:
    world = await WebWorld.open(tmp_path / "home", limits=ROOMY)
    await world.inner.drop(job(1, recipients=people(1)))
    await world.inner.settle()
    yield world
    await world.close()


async def shop(tab: Tab, web: WebWorld) -> str:
    """The browser is on a page of the site that serves the worker, and may show notifications."""
    origin = f"http://{web.public}"
    await tab.call("Page.enable")
    await tab.call("Browser.grantPermissions", origin=origin, permissions=["notifications"])
    await tab.call("ServiceWorker.enable")
    await tab.call("Page.navigate", url=f"{origin}/robots.txt")
    await tab.wait(lambda method, params: method == "Page.loadEventFired", "the page is loaded")
    return origin


async def active(tab: Tab) -> str:
    """The registration whose worker is activated."""
    await tab.run("navigator.serviceWorker.register('/push/worker.js', {scope: '/'}).then(() => navigator.serviceWorker.ready).then(() => 1)")

    def found(method: str, params: Any) -> str | None:
        versions = params.get("versions", ()) if method == "ServiceWorker.workerVersionUpdated" else ()
        return next((str(each["registrationId"]) for each in versions if each["status"] == "activated"), None)

    return str(await tab.wait(found, "the worker is activated"))


NOTES = """navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => all.map((n) => (
  { title: n.title, body: n.body, tag: n.tag, lang: n.lang, icon: n.icon, data: n.data, actions: n.actions })))"""
CLICK = """(async () => {
  const [note] = await self.registration.getNotifications();
  const waits = [];
  const event = new NotificationEvent('notificationclick', { notification: note, action: '%s' });
  self.dispatchEvent(event);
  return 1;
})()"""


async def test_a_push_of_our_channel_is_shown_and_its_click_comes_back(web: WebWorld, tmp_path: Path) -> None:
    """Title, body, icon, tag and buttons as the template had them; the click is counted for its delivery."""
    program = find_browser()
    assert program is not None
    [(delivery,)] = await web.inner.sql("SELECT id FROM delivery")
    async with service() as push, channel(push) as sender, open_tab(program, tmp_path) as tab:
        head = {"title": "Kami rindu", "icon": "/icon.png", "url": "/sale", "actions": "[Shop now](/sale?b=1) [Later]"}
        token = web.links.mint(PUSH_CLICK, delivery)
        await send(sender, message("m1", push.new_subscription(), head=head, token=token, locale="id"))
        [pushed] = push.pushes
        origin = await shop(tab, web)
        registration = await active(tab)
        await tab.call("ServiceWorker.deliverPushMessage", origin=origin, registrationId=registration, data=json.dumps(pushed.payload))
        await asyncio.sleep(SHOWN_SECONDS)
        [note] = await tab.run(NOTES)
        assert (note["title"], note["body"], note["tag"], note["lang"]) == ("Kami rindu", "Hello m1, come back.", pushed.topic, "id")
        assert note["icon"] == f"{origin}/icon.png"
        assert note["data"] == {"url": "/sale", "token": token, "links": {"0": "/sale?b=1"}}
        assert [(each["action"], each["title"]) for each in note["actions"]] == [("0", "Shop now"), ("1", "Later")]
        await _click(tab, "1")
        while b'homing_push_events_total{what="clicked"} 1.0' not in web.metrics.text():
            await asyncio.sleep(0.05)
        assert await tab.run(NOTES) == []


async def _click(tab: Tab, action: str) -> None:
    """In the worker's own world: DevTools cannot press a button of a notification."""
    targets = await tab.call("Target.getTargets")
    worker = next(each["targetId"] for each in targets["targetInfos"] if each["type"] == "service_worker")
    await tab.call("Target.attachToTarget", targetId=worker, flatten=False)
    session = await tab.wait(lambda method, params: method == "Target.attachedToTarget" and params["sessionId"], "the worker is attached")
    said = json.dumps({"id": 1, "method": "Runtime.evaluate", "params": {"expression": CLICK % action, "awaitPromise": True}})
    await tab.call("Target.sendMessageToTarget", message=said, sessionId=session)


async def test_pushes_that_are_not_ours_are_left_alone(web: WebWorld, tmp_path: Path) -> None:
    """A shop's own worker may bring in ours beside its own."""
    program = find_browser()
    assert program is not None
    async with open_tab(program, tmp_path) as tab:
        origin = await shop(tab, web)
        registration = await active(tab)
        for data in ("not json", "{}", '{"title": "of another"}'):
            await tab.call("ServiceWorker.deliverPushMessage", origin=origin, registrationId=registration, data=data)
        await asyncio.sleep(SHOWN_SECONDS)
        assert not [note for note in await tab.run(NOTES) if note["title"] == "of another"]


async def test_the_script_of_the_shops_page_registers_and_takes_off(web: WebWorld, tmp_path: Path) -> None:
    """All of it but the browser's own talk with its push service, which is played."""
    program = find_browser()
    assert program is not None
    [(key,)] = await web.inner.sql("SELECT key FROM recipient")
    async with service() as push, channel(push) as sender, open_tab(program, tmp_path) as tab:
        web.takers.append(Taker("push", sender))
        await shop(tab, web)
        token = web.links.join_token(person_id(key), web.inner.clock.wall / 1_000_000)
        await tab.run(FAKE % json.dumps(push.new_subscription()))
        await tab.run(f"""new Promise((done, failed) => {{
          const button = document.createElement("button");
          button.id = "push";
          const script = Object.assign(document.createElement("script"), {{ src: "/push/subscribe.js", onload: done, onerror: failed }});
          Object.assign(script.dataset, {{ token: {json.dumps(token)}, worker: "/push/worker.js", text: "Tell me", button: "#push" }});
          document.body.append(button, script);
        }}).then(() => 1)""")
        assert await tab.run("homingPush.state()") == "off"
        assert await tab.run("homingPush.subscribe()") == "on"
        [(person, family)] = await web.inner.sql("SELECT person, family FROM push_subscription")
        assert (person, family) == (person_id(key), "Chrome")
        [(state, source, text)] = await web.inner.sql("SELECT state, source, text FROM consent WHERE channel = 'push'")
        assert (state, text) == ("granted", "Tell me") and source.startswith("push:http://127.0.0.1")
        assert await tab.run("homingPush.state()") == "on"
        assert await tab.run("document.querySelector('#push').hidden") is False
        assert await tab.run("homingPush.unsubscribe()") == "off"
        assert await web.inner.sql("SELECT 1 FROM push_subscription") == []
        assert await tab.run("homingPush.state()") == "off"
