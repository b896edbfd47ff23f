"""The whole way in one browser: Firefox subscribes by our script, our channel pushes, Firefox decrypts (NSS) and our worker shows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from daemon.feedback.push import Taker
from daemon.store.recipients import person_id
from tests.channels.webpush.firefox import AutoPush, find_firefox, open_page
from tests.channels.webpush.line import channel, message, send
from tests.stages.intake_world import job, people
from tests.stages.web_world import ROOMY, WebWorld

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_firefox() is None, reason="no Firefox here (apt-get install firefox-esr)")]
DELIVERED = 100
"""What Firefox acknowledges a push with that it could decrypt and give to the worker."""
SHOWN_SECONDS = 2.0
"""To ask for notifications too early takes away the one that is not shown yet."""
NOTES = """navigator.serviceWorker.getRegistration("/").then((r) => r.getNotifications()).then((all) => all.map((n) => (
  { title: n.title, body: n.body, tag: n.tag })))"""


async def test_firefox_subscribes_decrypts_and_shows(tmp_path: Path) -> None:
    """Nothing is played but the push service in the middle, which reads none of it."""
    program = find_firefox()
    assert program is not None
    push = AutoPush()
    await push.start()
    web = await WebWorld.open(tmp_path / "home", limits=ROOMY)
    try:
        await web.inner.drop(job(1, recipients=people(1)))
        await web.inner.settle()
        [(key,)] = await web.inner.sql("SELECT key FROM recipient")
        token = web.links.join_token(person_id(key), web.inner.clock.wall / 1_000_000)
        async with channel(allow_hosts=(push.origin,)) as sender, open_page(program, tmp_path, push) as page:
            web.takers.append(Taker("push", sender))
            await page.call("browsingContext.navigate", context=page.context, url=f"http://{web.public}/robots.txt", wait="complete")
            await page.run(f"""new Promise((done, failed) => {{
              const script = Object.assign(document.createElement("script"), {{ src: "/push/subscribe.js", onload: () => done(1), onerror: failed }});
              Object.assign(script.dataset, {{ token: {json.dumps(token)}, worker: "/push/worker.js" }});
              document.body.append(script);
            }})""")
            assert await page.run("homingPush.subscribe()") == "on"
            [(address, family)] = await web.inner.sql("SELECT address, family FROM push_subscription")
            assert family == "Firefox" and json.loads(address)["endpoint"].startswith(push.origin)
            line = await send(sender, message("m1", json.loads(address), head={"title": "Kami rindu", "url": "/sale"}))
            assert type(line.outcomes["m1"]).__name__ == "Accepted"
            async with asyncio.timeout(30):
                await push.acked.wait()
            assert [update["code"] for update in push.acks[0]["updates"]] == [DELIVERED]
            await asyncio.sleep(SHOWN_SECONDS)
            notes = await page.run(NOTES)
            assert [(note["title"], note["body"]) for note in notes] == [("Kami rindu", "Hello m1, come back.")]
            assert push.pushed[0]["Topic"] == notes[0]["tag"]
            assert await page.run("homingPush.unsubscribe()") == "off"
            assert await web.inner.sql("SELECT 1 FROM push_subscription") == []
    finally:
        await web.close()
        await push.stop()
