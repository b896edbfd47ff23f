"""A folder of campaigns as versions: what is loaded, what is refused, and that a version is the same after the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.content.campaigns import CampaignVersion, Wanted, inline_version, load_campaigns, read_campaigns
from daemon.content.render import Renderer
from daemon.errors import ConfigError
from daemon.model.job import InlineMessage

TOML = 'status = "active"\n[enrol]\njobs = true\n[[step]]\nname = "reminder"\nchannels = ["email"]\n'
MAIL = "---\nsubject: Hello\n---\n<p>Hello {{ recipient.first_name }}</p>\n"


def write(folder: Path, name: str, files: dict[str, str | bytes]) -> Path:
    """One campaign's folder."""
    home = folder / name
    home.mkdir(parents=True)
    for file, content in files.items():
        (home / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return home


def problems_of(folder: Path) -> list[str]:
    """What is wrong, with paths below the folder."""
    return [str(problem).replace(f"{folder}/", "") for problem in read_campaigns(folder)[1]]


def test_folder_is_loaded_as_a_version(tmp_path: Path) -> None:
    """The campaign, its files and a digest; other files, hidden and underscored folders do not count."""
    write(tmp_path, "winback", {"campaign.toml": TOML, "reminder.email.liquid": MAIL, "README.md": "x", "old.txt": "y"})
    write(tmp_path, "_drafts", {"campaign.toml": "nonsense"})
    write(tmp_path, ".git", {"campaign.toml": "nonsense"})
    version = load_campaigns(tmp_path).versions["winback"]
    assert set(version.files) == {"campaign.toml", "reminder.email.liquid"}
    assert version.campaign.name == "winback"
    assert version.digest.startswith("sha256:")


def test_version_is_the_same_after_the_store(tmp_path: Path) -> None:
    """JSON and back changes nothing, and the JSON is one text for one version."""
    write(tmp_path, "w", {"campaign.toml": "starts = 2026-11-22\nends = 2027-01-01T00:00:00+07:00\n" + TOML, "reminder.email.liquid": MAIL})
    version = load_campaigns(tmp_path).versions["w"]
    back = CampaignVersion.from_json(version.to_json())
    assert back == version
    assert back.to_json() == version.to_json()
    variables = {"recipient": {"first_name": "Sari"}, "vars": {}, "unsubscribe_url": "https://x.example/u/t"}
    assert Renderer(back).render("reminder", "email", None, variables) == Renderer(version).render("reminder", "email", None, variables)


def test_version_of_an_unknown_form_is_refused() -> None:
    """A store written by a later release is not guessed at."""
    with pytest.raises(ValueError, match="unknown to this release"):
        CampaignVersion.from_json(json.dumps({"form": 99}))


def test_digest_follows_what_counts(tmp_path: Path) -> None:
    """Words and status make a new version; line ends and the folder's place do not."""
    digests = []
    changed = TOML.replace("active", "paused")
    for number, (toml, mail) in enumerate([(TOML, MAIL), (TOML, MAIL.replace("\n", "\r\n")), (changed, MAIL), (TOML, MAIL + "<p>x</p>")]):
        write(tmp_path / str(number), "w", {"campaign.toml": toml, "reminder.email.liquid": mail})
        digests.append(load_campaigns(tmp_path / str(number)).versions["w"].digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_problems_of_all_campaigns_come_at_once(tmp_path: Path) -> None:
    """Each with its path; the good campaigns are still there for those who ask."""
    write(tmp_path, "good", {"campaign.toml": TOML, "reminder.email.liquid": MAIL})
    write(tmp_path, "one", {"campaign.toml": "x = 1\n" + TOML, "reminder.email.liquid": MAIL + "\n{{ vars.x | upcse }}"})
    write(tmp_path, "two", {"reminder.email.liquid": MAIL})
    with pytest.raises(ConfigError) as caught:
        load_campaigns(tmp_path)
    assert [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems] == [
        "one/campaign.toml:1: x: unknown key",
        'one/reminder.email.liquid:6: upcse: unknown filter; did you mean "upcase"?',
        "two/campaign.toml:1: missing: a campaign's folder has a campaign.toml",
    ]
    assert set(read_campaigns(tmp_path)[0].versions) == {"good"}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "w/reminder.email.liquid:1: missing: the template of step reminder for email"),
        ({"reminder.email.fa.liquid": MAIL}, "w/reminder.email.liquid:1: missing: the template of step reminder for email"),
        ({"reminder.email.liquid": MAIL, "remindr.email.liquid": MAIL}, 'w/remindr.email.liquid:1: no step "remindr"; did you mean'),
        (
            {"reminder.email.fa-IR.liquid": MAIL, "reminder.email.fa_IR.liquid": MAIL},
            "w/reminder.email.fa_IR.liquid:1: the same variant as",
        ),
        ({"reminder.email.liquid": b"---\nsubject: \xff\n---\nx"}, "w/reminder.email.liquid:2: is not UTF-8 text"),
        ({"reminder.email.liquid": MAIL + "{{ frist_name }}"}, "w/reminder.email.liquid:5: frist_name: unknown variable"),
        ({"reminder.email.liquid": MAIL + "{{ recipent.x }}"}, 'recipent.x: unknown variable; did you mean "recipient"?'),
        ({"reminder.email.liquid": MAIL + "{{ campaign.nme }}"}, 'campaign.nme: campaign has name and step; did you mean "name"?'),
        (
            {"reminder.email.liquid": MAIL + "\n{% unles vars.x %}"},
            'w/reminder.email.liquid:6: unknown or misplaced tag `unles`; did you mean "unless"?',
        ),
        ({"reminder.email.liquid": MAIL + "{% if vars.x %}"}, "w/reminder.email.liquid:5: `{% if %}` is never closed"),
        ({"reminder.email.liquid": MAIL + "{{ vars.x | replace }}"}, "w/reminder.email.liquid:5: replace: wrong arguments"),
        ({"reminder.email.liquid": MAIL + "{{ vars.x | money: 'USD', 2 }}"}, "w/reminder.email.liquid:5: money: wrong arguments"),
        ({"reminder.email.liquid": MAIL + "{{ vars.x"}, "w/reminder.email.liquid:5: `{{` is never closed"),
        ({"reminder.email.liquid": MAIL + "<a href='javascript:x'>y</a>"}, "w/reminder.email.liquid:5: the address"),
        (
            {"reminder.email.liquid": MAIL.replace("Hello\n", "{{ vars.x | upcse }}\n", 1)},
            "w/reminder.email.liquid:2: upcse: unknown filter",
        ),
        ({"reminder.email.liquid": MAIL + "--- text\n{{ nothing }}"}, "w/reminder.email.liquid:6: nothing: unknown variable"),
    ],
)
def test_each_mistake_in_a_folder_is_named(tmp_path: Path, files: dict[str, str | bytes], problem: str) -> None:
    """With the file, the line and what was probably meant."""
    write(tmp_path, "w", {"campaign.toml": TOML, **files})
    found = problems_of(tmp_path)
    assert any(problem in line for line in found), found


def test_a_mistake_is_told_once(tmp_path: Path) -> None:
    """The text part made of the HTML does not repeat its mistakes."""
    write(tmp_path, "w", {"campaign.toml": TOML, "reminder.email.liquid": MAIL + "<p>{{ nothing }}</p>"})
    assert len(problems_of(tmp_path)) == 1


def test_campaign_that_a_queue_names_must_be_there(tmp_path: Path) -> None:
    """Told at the queue's line of the config; not again when the campaign is there but wrong."""
    write(tmp_path, "winback", {"campaign.toml": TOML, "reminder.email.liquid": MAIL})
    write(tmp_path, "wrong", {"campaign.toml": TOML})
    wanted = [
        Wanted(campaign="winbak", where="config.toml:13", key="queues.lapsed.campaign"),
        Wanted(campaign="wrong", where="config.toml:15", key="queues.late.campaign"),
    ]
    with pytest.raises(ConfigError) as caught:
        load_campaigns(tmp_path, wanted=wanted)
    assert [problem.where for problem in caught.value.problems] == [f"{tmp_path}/wrong/reminder.email.liquid:1", "config.toml:13"]
    assert caught.value.problems[1].suggestion == "winback"


def test_missing_folder_is_one_clear_problem(tmp_path: Path) -> None:
    """No traceback where the folder is not there."""
    assert problems_of(tmp_path / "none") == [f"{tmp_path}/none:1: the campaigns folder cannot be read: No such file or directory; make it, or name another as [homing] campaigns"]


def test_message_of_a_job_is_a_version_of_its_own() -> None:
    """Named after the job, active, one step of its channel, with the same checks."""
    version = inline_version("j-1", InlineMessage(channel="email", purpose="marketing", subject="Hi {{ vars.x }}", html="<p>x</p>"))
    assert (version.campaign.name, version.campaign.status, version.is_inline) == ("job:j-1", "active", True)
    assert version.campaign.steps[0].channels == ("email",)
    assert CampaignVersion.from_json(version.to_json()) == version


@pytest.mark.promise("B26", "B29")
@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (InlineMessage(channel="email", purpose="marketing", html="<p>x</p>"), "message:1: subject: missing"),
        (
            InlineMessage(channel="email", purpose="marketing", subject="a\nBcc: x@y.example", html="x"),
            "message:1: subject: has a line end",
        ),
        (InlineMessage(channel="email", purpose="marketing", subject="a"), "message:1: text: missing"),
        (InlineMessage(channel="email", purpose="marketing", subject="a", html="\n\n{{ x }}"), "message:3: x: unknown variable"),
        (InlineMessage(channel="sms", purpose="marketing", html="<p>x</p>"), "message:1: html: the channel sms carries no HTML"),
    ],
)
def test_wrong_message_of_a_job_is_refused(message: InlineMessage, problem: str) -> None:
    """Before a single recipient is planned."""
    with pytest.raises(ConfigError) as caught:
        inline_version("j-1", message)
    assert any(str(found).startswith(problem) for found in caught.value.problems), str(caught.value)
