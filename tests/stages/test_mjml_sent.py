"""A campaign whose mail is written in MJML, on people: what each is sent."""

from __future__ import annotations

from pathlib import Path

from daemon.content.campaign_file import Surroundings
from daemon.content.campaigns import read_folder
from daemon.model.delivery import DAY
from tests.stages.playbook_world import PlaybookWorld, started
from tests.unit.content.test_mjml import WHOLE

CAMPAIGN = """
status = "draft"
purpose = "marketing"
topic = "winback"
[enrol]
segment = "lapsed_30_90"
anchor = "last_order_at"
[exit]
events = ["Order Completed"]
[[step]]
name = "reminder"
day = 45
channels = ["email"]
"""


async def test_people_get_the_mail_that_was_written_in_mjml(tmp_path: Path) -> None:
    """On day 45 and not before; each in its language, with its own words and its own link; who bought again gets none."""
    folder = tmp_path / "campaigns" / "winback"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    mail = WHOLE.replace("vars.last_product", "recipient.last_product.name").replace("vars.list", "recipient.tags")
    (folder / "reminder.email.mjml").write_text(mail)
    (folder / "reminder.email.fa.mjml").write_text(mail.replace("Hello", "سلام"), encoding="utf-8")
    version, problems = read_folder(folder, Surroundings())
    assert problems == []
    assert version is not None
    world = await PlaybookWorld.of(tmp_path, started(version))
    people = {"c-1": None, "c-2": "fa", "c-3": None}
    for who, locale in people.items():
        await world.know(who, locale=locale, first_name=f"Sari {who}", tags=["a"])
        await world.bought(43, who)
    await world.put_in("lapsed_30_90", *people)
    await world.go(DAY)
    assert world.letters == []
    await world.happen("Order Completed", "c-3", id="again", revenue=5)
    await world.go(4 * DAY)
    assert sorted(each.recipient for each in world.letters) == ["c-1", "c-2"]
    english, persian = (each.message for each in sorted(world.letters, key=lambda each: each.recipient))
    assert "Hello Sari c-1 &amp; co" in english.html
    assert "Your Aruna" in english.html
    assert "سلام Sari c-2 &amp; co" in persian.html
    assert 'lang="fa"' in persian.html
    assert "direction:rtl" in persian.html
    assert english.unsubscribe_url != persian.unsubscribe_url
    for message in (english, persian):
        assert f'href="{message.unsubscribe_url}"' in message.html
        assert str(message.unsubscribe_url) in message.text
    assert "<mj-" not in english.html + persian.html
    await world.close()
