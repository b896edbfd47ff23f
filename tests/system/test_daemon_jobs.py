"""Jobs through every door of a running daemon: what is taken, what is refused with which words, and what is sent."""

from __future__ import annotations

import json

import pytest

from tests.system.conftest import NAMED
from tests.system.daemon_world import House, click_once, document, fetch, lines, person, wait_for

pytestmark = pytest.mark.slow


def named(name: str) -> dict[str, object]:
    return person(name, traits={"first_name": name.title()})


# the spool


@pytest.mark.promise("F41")
def test_what_lies_in_tmp_is_never_read(shop: House):
    """Neither half a file nor a whole one; renamed into new it is taken."""
    whole = lines("whole", [person("tmp-whole")])
    path = shop.drop("lapsed", "whole.ndjson", whole, part="tmp")
    half = shop.drop("lapsed", "half.ndjson", whole[:100], part="tmp")
    shop.drop("lapsed", "later.ndjson", lines("later", [person("tmp-later")]))
    assert shop.moved("lapsed", "later.ndjson")[0] == "done"
    shop.sent(1, "tmp-later")
    assert shop.job("whole") == {}
    assert half.read_text() == whole[:100]
    path.rename(path.parent.parent / "new" / path.name)
    assert shop.moved("lapsed", "whole.ndjson")[0] == "done"
    shop.sent(1, "tmp-whole")
    assert shop.relay.counts("tmp-") == {"tmp-later@example.com": 1, "tmp-whole@example.com": 1}
    half.unlink()


@pytest.mark.promise("F41")
@pytest.mark.parametrize("form", ["ndjson", "json"])
def test_a_file_that_breaks_off_fails_and_nothing_of_it_is_sent(shop: House, form: str):
    """It ends in failed/ with the reason and the line beside it; the whole file under the same name is taken then."""
    people = [person(f"cut-{form}-{n}") for n in range(20)]
    whole = (lines if form == "ndjson" else document)(f"cut-{form}", people)
    name = f"cut-{form}.{form}"
    shop.drop("lapsed", name, whole[: len(whole) * 3 // 4 + 7])
    part, reason = shop.moved("lapsed", name)
    assert part == "failed"
    assert reason["queue"] == "lapsed" and reason["file"] == name
    assert "breaks off" in reason["detail"]
    assert reason["errors"][0]["code"] == "cut_off"
    (shop.state / "spool" / "lapsed" / "failed" / name).unlink()
    shop.drop("lapsed", name, whole)
    part, receipt = shop.moved("lapsed", name)
    assert (part, receipt.get("detail")) == ("done", None)
    assert (receipt["state"], receipt["accepted"], receipt["duplicate"]) == ("accepted", 20, 0)
    shop.settled(f"cut-{form}")
    assert shop.relay.counts(f"cut-{form}-") == {row["email"]: 1 for row in people}


def test_a_broken_file_leaves_no_trace_but_its_reason(shop: House):
    """Nobody of it is planned, held or sent, and the next job goes on."""
    whole = lines("gone", [person(f"gone-{n}") for n in range(20)])
    shop.drop("lapsed", "gone.ndjson", whole[:-15])
    assert shop.moved("lapsed", "gone.ndjson")[0] == "failed"
    shop.give(document("after", [person("gone-after")]))
    shop.settled("after")
    assert shop.relay.counts("gone-") == {"gone-after@example.com": 1}
    wait_for(lambda: not shop.state_of("gone-1@example.com"), "what was planned of it is forgotten")


# ids, counts, bad rows


@pytest.mark.promise("B13", "B34")
def test_the_same_job_again_is_the_first_receipt_and_other_content_is_refused(shop: House):
    """At every door: no second message, and words that say what to do."""
    text = document("twice", [person("twice-1"), person("twice-2")])
    other = document("twice", [person("twice-1"), person("twice-3")])
    token = shop("token", "create", "shop", "jobs:write", "--json").json["token"]
    url, head = f"http://127.0.0.1:{shop.admin}/v1/jobs", {"Authorization": f"Bearer {token}", "Content_Type": "application/json"}
    code, first = fetch(url, data=text.encode(), **head)
    assert code == 202
    shop.settled("twice")
    code, again = fetch(url, data=text.encode(), **head)
    assert code == 202
    assert {key: json.loads(again)[key] for key in ("job", "digest", "received_at", "rows", "accepted")} == {
        **{key: json.loads(first)[key] for key in ("job", "digest", "received_at")}, "rows": 2, "accepted": 2,
    }  # fmt: skip
    code, refused = fetch(url, data=other.encode(), **head)
    problem = json.loads(refused)
    assert (code, problem["type"], problem["status"]) == (409, "/problems/job-conflict", 409)
    assert "another id" in problem["detail"]

    file = shop.folder / "twice.json"
    file.write_text(text)
    assert shop("enqueue", "lapsed", str(file), "--json").json["accepted"] == 2
    file.write_text(other)
    said = shop("enqueue", "lapsed", str(file))
    assert said.code == 1
    assert '"twice" came before with other content' in said.err and "another id" in said.err

    shop.drop("lapsed", "twice.json", other)
    part, reason = shop.moved("lapsed", "twice.json")
    assert (part, reason["type"]) == ("failed", "job-conflict")
    assert "another id" in reason["detail"]
    shop.drop("lapsed", "twice-again.json", text)
    assert shop.moved("lapsed", "twice-again.json")[0] == "done"
    shop.settled("twice")
    assert shop.relay.counts("twice-") == {"twice-1@example.com": 1, "twice-2@example.com": 1}


def test_bad_rows_are_named_and_good_ones_go(shop: House):
    """The receipt counts them and says line, recipient, field and what is wrong; so does the errors file beside it."""
    bad = [person("rows-2", email="rows@@example.com"), person("rows-1"), person("rows-3", zone="Asia/Djakarta"), {"email": "x@y.example"}]
    rows = [person("rows-1"), *bad]
    shop.drop("lapsed", "rows.ndjson", lines("rows", rows))
    part, receipt = shop.moved("lapsed", "rows.ndjson")
    assert part == "done"
    assert {key: receipt[key] for key in ("rows", "expected", "accepted", "duplicate", "rejected")} == {
        "rows": 5, "expected": 5, "accepted": 1, "duplicate": 1, "rejected": 3,
    }  # fmt: skip
    assert {(error["line"], error["recipient"], error["field"], error["code"]) for error in receipt["errors"]} == {
        (3, "rows-2", "email", "address_invalid"),
        (4, "rows-1", "id", "duplicate_in_file"),
        (5, "rows-3", "zone", "zone"),
        (6, None, "id", "id"),
    }
    assert all(error["detail"] for error in receipt["errors"])
    beside = shop.state / "spool" / "lapsed" / "done" / "rows.ndjson.errors.ndjson"
    assert [json.loads(line) for line in beside.read_text().splitlines()] == receipt["errors"]
    shop.settled("rows")
    assert shop.relay.counts("rows") == {"rows-1@example.com": 1}


@pytest.mark.promise("B14", "P8")
def test_a_job_of_another_size_than_expected_is_held_until_someone_says_go(shop: House):
    """Nothing of it is sent; `held release` with the wrong number is refused with 77, with the right one it goes."""
    shop.drop("lapsed", "short.ndjson", lines("short", [person(f"short-{n}") for n in range(3)], expected_count=5))
    part, receipt = shop.moved("lapsed", "short.ndjson")
    assert (part, receipt["state"], receipt["reason"], receipt["rows"], receipt["expected"]) == ("done", "held", "count_mismatch", 3, 5)
    listed = shop("held", "list", "--job", "short")
    assert "count_mismatch" in listed.out and "homing held" in listed.out
    refused = shop("held", "release", "--job", "short", "--expect", "5")
    assert refused.code == 77
    assert "--expect 3" in refused.err
    assert shop.relay.counts("short-") == {}
    assert shop("held", "release", "--job", "short", "--expect", "3").code == 0
    shop.settled("short")
    assert shop.relay.counts("short-") == {f"short-{n}@example.com": 1 for n in range(3)}


# templates


def test_a_missing_variable_holds_that_person_only_and_a_later_job_may_bring_it(shop: House):
    """The others are sent; the hold names the variable; with the trait and a release the mail goes, once."""
    shop.give(document("nameless", [named("var-ann"), person("var-x"), named("var-bob")], queue="named"))
    job = shop.settled("nameless")
    assert job["deliveries"] == {"accepted": 2, "held": 1}
    assert job["reasons"] == {"render_error": 1}
    listed = shop("held", "list", "--job", "nameless")
    assert "render_error" in listed.out and "var-x" in listed.out and "recipient.first_name" in listed.out
    assert "homing held release" in listed.out
    shop.give(document("bringer", [named("var-x")]))
    shop.settled("bringer")
    assert shop("held", "release", "--reason", "render_error", "--job", "nameless", "--expect", "1").code == 0
    wait_for(lambda: shop.job("nameless")["deliveries"] == {"accepted": 3}, "the held one is sent")
    subjects = {row["to"]: row["subject"] for row in shop.relay.taken("var-") if "word" in row["subject"]}
    assert subjects["var-x@example.com"] == "A word for Var-X"
    assert shop.relay.counts("var-") == {"var-ann@example.com": 1, "var-bob@example.com": 1, "var-x@example.com": 2}


def test_a_mended_template_frees_what_it_held(shop: House):
    """Write the default, SIGHUP, release: the held ones are sent with the new words."""
    shop.give(document("mend", [named("mend-ann"), person("mend-x"), person("mend-y")], queue="mended"))
    assert shop.settled("mend")["deliveries"] == {"accepted": 1, "held": 2}
    template = shop.folder / "campaigns" / "mended" / "reminder.email.liquid"
    template.write_text(NAMED.replace("recipient.first_name", 'recipient.first_name | default: "friend"'))
    before = len(shop.events("reloaded"))
    shop.hang_up()
    wait_for(lambda: len(shop.events("reloaded")) > before, "the reload")
    refused = shop("held", "release", "--reason", "render_error", "--job", "mend", "--expect", "3")
    assert refused.code == 77 and "--expect 2" in refused.err
    assert shop("held", "release", "--reason", "render_error", "--job", "mend", "--expect", "2").code == 0
    wait_for(lambda: shop.job("mend")["deliveries"] == {"accepted": 3}, "the held ones are sent")
    assert {row["subject"] for row in shop.relay.taken("mend-")} == {"A word for Mend-Ann", "A word for friend"}
    assert shop.relay.counts("mend-").most_common(1)[0][1] == 1


# unsubscribing


def test_one_click_between_two_jobs_ends_the_later_message(shop: House):
    """POST suppresses at once and for good; GET shows a page and changes nothing."""
    people = [named("stop-click"), named("stop-look")]
    shop.give(document("one", people))
    shop.settled("one")
    links = {row["to"]: row["unsubscribe"] for row in shop.relay.taken("stop-")}
    assert all(url.startswith(f"http://127.0.0.1:{shop.public}/u/") for url in links.values())
    for address in links:
        code, page = fetch(links[address])
        assert code == 200 and "<form" in page
    for _ in range(2):
        assert click_once(links["stop-click@example.com"]) == 200
    shop.give(document("two", people, queue="second"))
    assert shop.settled("two")["deliveries"] == {"accepted": 1, "dropped": 1}
    assert shop.job("two")["reasons"] == {"suppressed": 1}
    assert shop.state_of("stop-click@example.com") == [("accepted", None), ("dropped", "suppressed")]
    assert shop.relay.counts("stop-") == {"stop-click@example.com": 1, "stop-look@example.com": 2}
    explained = shop("explain", "stop-click", "second")
    assert "unsubscribed" in explained.out or "suppress" in explained.out


@pytest.mark.promise("P6")
def test_what_is_queued_when_someone_unsubscribes_is_not_sent(shop: House):
    """The queue is paused, the link is clicked, the queue goes on: that person's message is dropped."""
    people = [named("queued-click"), named("queued-stay")]
    shop.give(document("before", people))
    shop.settled("before")
    assert shop.api("POST", "/v1/queues/second/pause")[0] == 200
    shop.give(document("behind", people, queue="second"))
    assert shop.expanded("behind")["accepted"] == 2
    link = next(row["unsubscribe"] for row in shop.relay.taken("queued-click"))
    assert click_once(link) == 200
    assert shop.api("POST", "/v1/queues/second/resume")[0] == 200
    assert shop.settled("behind")["deliveries"] == {"accepted": 1, "dropped": 1}
    assert shop.relay.counts("queued-") == {"queued-click@example.com": 1, "queued-stay@example.com": 2}


@pytest.mark.promise("B48")
def test_a_forged_link_suppresses_nobody(shop: House):
    """A changed token is not found, by GET or POST."""
    shop.give(document("forge", [person("forge-1")]))
    shop.settled("forge")
    link = shop.relay.taken("forge-")[0]["unsubscribe"]
    changed = link[:-2] + ("AA" if not link.endswith("AA") else "BB")
    assert fetch(changed)[0] in (404, 410)
    assert click_once(changed) in (404, 410)
    suppressed = "SELECT count(*) FROM suppression s JOIN recipient r ON s.hash = r.email_hash WHERE r.email = 'forge-1@example.com'"
    assert shop.ask(suppressed) == [(0,)]
