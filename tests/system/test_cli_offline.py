"""Commands without a daemon: the same API in the command's own process, under the state lock."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.cli import client
from daemon.cli.context import Cli
from daemon.store.engine import StateLock
from tests.system.cli_world import CliWorld, quiet_logs, row, write_world


@pytest.fixture
def homing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CliWorld:
    write_world(tmp_path)
    return CliWorld(tmp_path, capsys)


def test_status_of_a_new_folder(homing: CliWorld) -> None:
    """No daemon, nothing waits; the state folder is made and the lock let go."""
    found = homing.ok("status")
    assert (found["daemon"], found["gate"]["open"], found["deliveries"]) == (False, True, {})
    assert [queue["queue"] for queue in found["queues"]] == ["lapsed-45", "other"]
    assert "No daemon runs" in homing("status").out


@pytest.mark.parametrize("file", ["campaigns/winback/campaign.toml", "segments.toml"])
def test_status_is_told_whatever_is_wrong_with_a_campaign(homing: CliWorld, file: str) -> None:
    """Somebody looks because something is wrong. Nothing is made of a half folder, and what does more than look refuses."""
    homing.ok("status")
    before = homing.ok("campaigns", "show", "winback")
    path = homing.folder / file
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{there}\n[nonsense]\nx = 1\n", encoding="utf-8")
    said = homing("status")
    assert (said.code, "No daemon runs" in said.out) == (0, True)
    assert "no daemon would start with these mistakes" in said.err and "nonsense" in said.err
    assert [queue["queue"] for queue in homing.ok("status")["queues"]] == ["lapsed-45", "other"]
    assert homing("queue", "pause", "other").code == 78
    path.write_text(there, encoding="utf-8")
    assert homing.ok("campaigns", "show", "winback") == before


def test_job_is_taken_expanded_and_answered(homing: CliWorld) -> None:
    """The receipt is final: bad rows are named, the good ones are due; explain knows them."""
    path = homing.job("j1", [row("anna"), row("bad", email="two@@signs"), row("citra", zone="Asia/Makassar")])
    receipt = homing.ok("enqueue", "lapsed-45", str(path))
    assert (receipt["rows"], receipt["accepted"], receipt["rejected"], receipt["state"]) == (3, 2, 1, "accepted")
    assert (receipt["errors"][0]["recipient"], receipt["errors"][0]["field"]) == ("bad", "email")
    assert "2 accepted, 0 duplicate, 1 rejected" in homing("enqueue", "lapsed-45", str(path)).out
    (walk,) = homing.ok("explain", "anna", "winback")["enrolments"]
    assert walk["deliveries"][0]["state"] == "due"
    assert "anna: zone Asia/Jakarta" in homing("explain", "anna").out


def test_same_id_same_content_is_a_no_op_other_content_is_refused(homing: CliWorld) -> None:
    """The first receipt again, or exit 1 with the conflict."""
    path = homing.job("j1", [row("anna")])
    first = homing.ok("enqueue", "lapsed-45", str(path))
    assert homing.ok("enqueue", "lapsed-45", str(path)) == first
    homing.job("j1", [row("anna"), row("budi")])
    said = homing("enqueue", "lapsed-45", str(path))
    assert said.code == 1
    assert "other content" in said.err


def test_csv_takes_id_and_count_from_its_name(homing: CliWorld) -> None:
    """`ID.EXPECTED.csv`; a row less than expected holds the job."""
    path = homing.folder / "lapsed-nov.3.csv"
    path.write_text("id,email,zone,traits.first_name\nanna,anna@example.com,Asia/Jakarta,Anna\n", encoding="utf-8")
    receipt = homing.ok("enqueue", "lapsed-45", str(path))
    assert (receipt["job"], receipt["expected"], receipt["state"], receipt["reason"]) == ("lapsed-nov", 3, "held", "count_mismatch")
    shown = homing("enqueue", "lapsed-45", str(path))
    assert "check the export" in shown.out


def test_a_job_of_bad_rows_alone_ends_with_1(homing: CliWorld) -> None:
    """Nothing of it could be taken: a script must not go on as if it had. Digits that are no ASCII are no count of a CSV's name."""
    path = homing.folder / "lapsed.\N{SUPERSCRIPT TWO}.csv"
    path.write_text("id,email\nanna,anna at example.com\n", encoding="utf-8")
    said = homing("enqueue", "lapsed-45", str(path), "--id", "bad")
    assert said.code == 1
    assert "1 row: 0 accepted, 0 duplicate, 1 rejected" in said.out
    said = homing("enqueue", "lapsed-45", str(path))
    assert said.code == 1
    assert "is no job id" in said.err


def test_unknown_queue_is_refused_with_its_name(homing: CliWorld) -> None:
    """A job into a queue that the config does not have: exit 1."""
    path = homing.job("j1", [row("anna")])
    said = homing("enqueue", "lapsd-45", str(path))
    assert said.code == 1
    assert "lapsd-45" in said.err


@pytest.mark.promise("B59")
def test_held_job_is_released_or_cancelled_only_with_its_count(homing: CliWorld) -> None:
    """77 without --expect or with another number, naming the right one; then it goes on."""
    homing("enqueue", "lapsed-45", str(homing.job("j1", [row("anna"), row("budi")], expected_count=9)))
    (group,) = homing.ok("held", "list")
    assert (group["kind"], group["reason"], group["count"], group["job"]) == ("job", "count_mismatch", 2, "j1")
    assert "count_mismatch: " in homing("held", "list").out
    for words in (("held", "release"), ("held", "release", "--expect", "3"), ("held", "cancel", "--expect", "1")):
        said = homing(*words)
        assert said.code == 77
        assert "--expect 2" in said.err
    said = homing("held", "list", "--reason", "count_mismatsh")  # an operator must not read that nothing is held for it
    assert said.code == 2
    assert "reason must be one of" in said.err
    assert homing.ok("held", "release", "--job", "other", "--expect", "0") == {"released": 0}
    assert homing.ok("held", "release", "--reason", "count_mismatch", "--expect", "2") == {"released": 2}
    assert homing.ok("held", "list") == []
    assert homing("held", "list").out == "nothing is held\n"


@pytest.mark.promise("B59")
def test_cancelling_a_queue_needs_its_count(homing: CliWorld) -> None:
    """`queue cancel` names what it would end; paused and resumed without a count."""
    homing("enqueue", "lapsed-45", str(homing.job("j1", [row("anna"), row("budi")])))
    assert homing.ok("queue", "pause", "lapsed-45")["paused"] is True
    assert "lapsed-45 is open" in homing("queue", "resume", "lapsed-45").out
    assert homing("queue", "cancel", "lapsed-45").code == 77
    assert homing.ok("queue", "cancel", "lapsed-45", "--expect", "2") == {
        "queue": "lapsed-45", "cancelled": 1, "deliveries": 2, "walks_left": {},
    }  # fmt: skip
    assert homing("queue", "pause", "nowhere").code == 1
    assert "lapsed-45" in homing("queue", "list").out


def test_campaigns_are_listed_shown_paused_and_resumed(homing: CliWorld) -> None:
    """The operator's word stands over the file's status."""
    assert [(c["campaign"], c["status"]) for c in homing.ok("campaigns", "list")] == [("winback", "active")]
    assert homing.ok("campaigns", "pause", "winback")["status"] == "paused"
    assert homing.ok("campaigns", "list")[0]["status"] == "paused"
    assert "winback is active" in homing("campaigns", "resume", "winback").out
    shown = homing("campaigns", "show", "winback").out
    assert "reminder (email, 72 h)" in shown
    assert homing("campaigns", "show", "summer").code == 1


def test_test_send_needs_the_daemon_and_a_test_address(homing: CliWorld) -> None:
    """Without a daemon there is no channel; an address that is not named is refused before that."""
    assert homing("campaigns", "test", "winback").code == 2
    said = homing("campaigns", "test", "winback", "--to", "customer@example.com")
    assert said.code == 77
    assert "test_addresses" in said.err


def test_kill_switch_without_a_daemon(homing: CliWorld) -> None:
    """`stop --all` makes the file, twice is the same; `start --all` wants the count and removes it."""
    homing("enqueue", "lapsed-45", str(homing.job("j1", [row("anna")])))
    assert homing("stop").code == 2
    answer = homing.ok("stop", "--all")
    assert Path(answer["file"]).read_text(encoding="utf-8").startswith("stopped by ")
    assert "No daemon runs" in homing("stop", "--all").out
    found = homing.ok("status")
    assert "kill_switch" in found["gate"]["holds"]
    assert "homing start --all --expect 1" in homing("status").out
    said = homing("start", "--all")
    assert (said.code, "homing start --all --expect 1" in said.err) == (2, True)
    assert homing("start", "--all", "--expect", "7").code == 77
    assert Path(answer["file"]).exists()
    assert homing.ok("start", "--all", "--expect", "1")["open"] is True
    assert not Path(answer["file"]).exists()


@pytest.mark.promise("F42", "P8")
def test_kill_switch_works_with_a_broken_store_and_a_broken_config(homing: CliWorld) -> None:
    """It asks nothing of the store, and of the config only where the state folder is."""
    (homing.folder / "var").mkdir()
    (homing.folder / "var" / "homing.db").write_bytes(b"this is no database")
    assert homing.ok("stop", "--all")["stopped"] is True
    (homing.folder / "var" / "stop").unlink()
    config = homing.folder / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("[window]", "[windwo]"), encoding="utf-8")
    assert homing.ok("stop", "--all")["stopped"] is True
    assert (homing.folder / "var" / "stop").exists()


def test_an_empty_list_of_suppressions_is_an_empty_file(homing: CliWorld) -> None:
    """And a file that cannot be written is no success."""
    out = homing.folder / "out.ndjson"
    assert homing.ok("suppressions", "export", str(out)) == {"exported": 0}
    assert out.read_bytes() == b""
    assert homing("suppressions", "export", str(homing.folder / "nowhere" / "out.ndjson")).code == 2


def test_suppressions_come_in_and_go_out_as_hashes(homing: CliWorld) -> None:
    """Import names bad lines (exit 1), is idempotent; export shows no address; remove lifts one."""
    path = homing.folder / "list.txt"
    path.write_text('anna@example.com\nnot an address\n{"address": "budi@example.com", "scope": "marketing"}\n', encoding="utf-8")
    said = homing("suppressions", "import", str(path))
    assert said.code == 1
    assert "2 added, 0 were there, 1 rejected" in said.out
    assert "line 2" in said.out
    assert "0 added, 2 were there" in homing("suppressions", "import", str(path)).out
    exported = [json.loads(line) for line in homing("suppressions", "export").out.splitlines()]
    assert {entry["scope"] for entry in exported} == {"all", "marketing"}
    assert "example.com" not in json.dumps(exported)
    assert homing("suppressions", "add", "ANNA@example.com").out == "0 added, 1 were there, 0 rejected\n"
    assert homing("suppressions", "remove", "anna@example.com").code == 0
    assert homing("suppressions", "remove", "anna@example.com").code == 1
    out = homing.folder / "out.ndjson"
    assert homing("suppressions", "export", str(out)).out == "1 written\n"
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1


def test_long_lists_are_read_page_by_page(homing: CliWorld) -> None:
    """Five entries in pages of two: all five, each once."""
    path = homing.folder / "list.txt"
    path.write_text("".join(f"p{n}@example.com\n" for n in range(5)), encoding="utf-8")
    homing.ok("suppressions", "import", str(path))
    with quiet_logs():
        items = client.every(Cli(config_path=homing.folder / "config.toml"), "/v1/suppressions", {"limit": 2})
    assert len({item["hash"] for item in items}) == len(items) == 5


def test_tokens_are_shown_once_and_revoked(homing: CliWorld) -> None:
    """The text is printed at creation only; an unknown scope is a usage error."""
    text = homing("token", "create", "shop", "jobs:write").out.strip()
    assert text.startswith("homing_")
    listed = homing("token", "list").out
    assert "shop" in listed
    assert text not in listed
    assert homing("token", "revoke", "shop").out == "shop is revoked\n"
    assert homing("token", "create", "shop2", "jobs:wite").code == 2


def test_state_in_use_is_75(homing: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the state folder and takes no questions: exit 75 with its process id."""
    monkeypatch.setattr(client, "STARTING_SECONDS", 0.2)
    lock = StateLock(homing.folder / "var")
    lock.acquire()
    try:
        said = homing("status")
    finally:
        lock.release()
    assert said.code == 75
    assert "already in use by process" in said.err


def test_nothing_is_in_doubt_and_none_can_be_resolved(homing: CliWorld) -> None:
    """Empty list; an id that is none is not found."""
    assert homing("doubt", "list").out == "nothing is in doubt\n"
    assert homing("doubt", "resolve", "0SAT5FPWPWDWY", "sent").code == 1
    assert homing("doubt", "resolve", "nonsense", "sent").code == 1
    assert homing("doubt", "resolve", "0SAT5FPWPWDWY", "maybe").code == 2


def test_backup_is_whole_and_checked(homing: CliWorld) -> None:
    """Store and keys in a new folder, readable by nobody else; a folder that is there is refused; check finds all well."""
    homing("enqueue", "lapsed-45", str(homing.job("j1", [row("anna")])))
    folder = homing.folder / "backup"
    answer = homing.ok("db", "backup", str(folder))
    assert answer["problems"] == []
    assert sorted(path.name for path in folder.iterdir()) == sorted(answer["files"]) == ["homing.db", "links.key", "pepper.key"]
    assert {path.stat().st_mode & 0o77 for path in (folder, *folder.iterdir())} == {0}
    assert homing("db", "backup", str(folder)).code == 1
    assert homing("db", "check").out == "all well\n"


def test_check_of_a_store_names_what_is_wrong(homing: CliWorld) -> None:
    """A count that does not fit its rows, and a due row of nothing, are found; exit 1."""
    import sqlite3

    homing("enqueue", "lapsed-45", str(homing.job("j1", [row("anna"), row("budi")])))
    with sqlite3.connect(homing.folder / "var" / "homing.db") as conn:
        conn.execute("UPDATE tally SET n = 7 WHERE state = 'due'")
        conn.execute("DELETE FROM due WHERE delivery = (SELECT min(delivery) FROM due)")
    conn.close()
    said = homing("--json", "db", "check")
    assert said.code == 1
    assert said.json["problems"] == ["1 deliveries are due and neither in the due queue nor in flight", "job 1: 7 counted as due, there are 2"]


def test_upgrade_of_a_current_store_does_nothing(homing: CliWorld) -> None:
    """The schema is told, before and after."""
    homing("status")
    answer = homing.ok("db", "upgrade")
    assert answer["schema"] == answer["before"]
    assert homing("db", "check").code == 0


def test_check_tells_what_the_audit_found_until_it_is_accepted(homing: CliWorld) -> None:
    """Exit 1 with each finding named, in status too; the right number accepts them, without a daemon as well."""
    assert homing.ok("check")["audit"] is None
    homing.ok("status")
    finding = {"kind": "cap", "rule": "cap.weekly", "delivery": 914131192105978615, "at": 1795782660101846, "facts": {"limit": 3, "used": 3}}
    progress = {"at": 1795782660101846, "judged": 50, "unjudged": 1, "found": 1, "accepted": 0}
    with closing(sqlite3.connect(homing.folder / "var" / "homing.db")) as conn, conn:
        conn.execute("INSERT OR REPLACE INTO meta VALUES ('audit', ?)", (json.dumps(progress),))
        conn.execute("INSERT OR REPLACE INTO meta VALUES ('audit.findings', ?)", (json.dumps([finding]),))
    said = homing("check")
    assert said.code == 1
    assert "audit: cap.weekly was not kept by delivery 0SBX5F7BS9JQQ" in said.out and "limit 3, used 3" in said.out
    assert "homing check --accept-findings 1" in said.out
    told = homing("check", "--json")
    assert (told.code, told.json["audit"]["open"], told.json["audit"]["findings"][0]["rule"]) == (1, 1, "cap.weekly")
    assert "Findings of the audit: 1; `homing check` names them" in homing("status").out
    refused = homing("check", "--accept-findings", "2")
    assert refused.code == 77
    assert "the audit has 1 findings that wait, not 2" in refused.err
    assert homing.ok("check", "--accept-findings", "1")["audit"]["open"] == 0
    assert homing("check").code == 0
    assert "no findings" in homing("status").out


def test_codes_come_in_and_the_books_are_read(homing: CliWorld) -> None:
    """A list with a bad line, one twice, one in capitals already there; CSV by its column; the same again changes nothing."""
    path = homing.folder / "codes.txt"
    path.write_text("WB-1\nwb-2\n\nWB-2\nbad\tcode\nÄ-1\n", encoding="utf-8")
    said = homing("offers", "import", "winter", str(path))
    assert said.code == 1
    assert "winter: 2 added, 1 were there, 2 rejected; 2 left" in said.out
    assert "line 4: WB-2 stands in line 2 already [duplicate]" in said.out and "line 6: 'Ä-1' has characters" in said.out
    table = homing.folder / "codes.csv"
    table.write_text('id;Code\n1;WB-3\n2;"WB-1"\n3\n', encoding="utf-8")
    said = homing("offers", "import", "winter", str(table))
    assert "winter: 1 added, 1 were there, 1 rejected; 3 left" in said.out
    assert "line 3: WB-1 is in this pool already" in said.out
    plain = homing.folder / "plain.txt"
    plain.write_text("WB-1,5\n", encoding="utf-8")
    assert "begins with their names" in homing("offers", "import", "spring", str(plain)).out
    assert homing("offers", "import", "a/b", str(plain)).code != 0
    found = homing.ok("offers", "list", "--reconcile")
    assert found["pools"] == [{"name": "winter", "total": 3, "free": 3}]
    assert (found["offers"], found["wrong"], found["uses"]) == ([], [], [])
    shown = homing("offers", "list", "--reconcile").out
    assert "no offer was issued yet" in shown and "the counts add up" in shown


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("coupon\nWB-1\n", "line 1: 'coupon' is the name of a column: call it code"),
        ('"WB-0"\nWB-1\n', "stands in quotes"),
        ('{"code":"WB-0"}\nWB-1\n', "is JSON: a list has a code a line, or is CSV"),
    ],
)
def test_what_a_list_only_has_for_its_form_is_no_code(homing: CliWorld, content: str, says: str) -> None:
    """It would be given to a customer."""
    path = homing.folder / "codes.csv"
    path.write_text(content, encoding="utf-8")
    said = homing("offers", "import", "winter", str(path))
    assert (said.code, says in said.out) == (1, True), said.out
    assert "winter: 1 added" in said.out


def test_a_state_folder_may_have_any_name(homing: CliWorld) -> None:
    """Signs that mean something in an address: all commands still speak of one file."""
    file = homing.folder / "config.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('state_dir = "var"', 'state_dir = "va#r?x=%41 y"'), encoding="utf-8")
    people = homing.folder / "people.ndjson"
    people.write_text(json.dumps(row("anna")) + "\n", encoding="utf-8")
    homing.ok("recipients", "import", str(people))
    assert homing.ok("recipients", "show", "anna")["email"] is not None
    assert homing.ok("rehearse", "--days", "1")["people"] == 1
    homing.ok("db", "backup", str(homing.folder / "copy"))
    assert [path.name for path in homing.folder.glob("va*")] == ["va#r?x=%41 y"]


def test_codes_that_a_shop_must_accept_are_listed(homing: CliWorld) -> None:
    """Reserved and open ones, imported or made here; filtered; as columns, CSV and lines of JSON."""
    homing.ok("offers", "list")
    with closing(sqlite3.connect(homing.folder / "var" / "homing.db")) as conn, conn:
        conn.execute("INSERT INTO campaign (id, name, status) VALUES (7, 'spring', 'active'), (8, 'cart', 'active')")
        conn.execute("INSERT INTO recipient (id, key, created_at, updated_at) VALUES (1, '=anna', 0, 0)")
        conn.execute("INSERT INTO code (id, pool, code, said, issue, added_at) VALUES (1, 'winter', 'WB-1', 'wb-1', 11, 0)")
        rows = [
            (11, 7, "back15", "winter", "WB-1", "open", 1_764_000_000_000_000), (12, 7, "back15", None, "GEN-2", "redeemed", None),
            (13, 8, "cart5", None, "GEN-3", "reserved", None), (14, 8, "cart5", None, None, "open", None),
        ]  # fmt: skip
        conn.executemany(
            "INSERT INTO issue (id, walk, step, person, campaign, offer, rank, pool, code, state, reserved_at, ends_at)"
            " VALUES (?1, ?1, 's', 1, ?2, ?3, 0, ?4, ?5, ?6, 1763000000000000, ?7)", rows,
        )  # fmt: skip
    lines = homing("offers", "list", "--codes", "--format", "csv").out.splitlines()
    assert lines == [
        "code,state,campaign,offer,recipient,issued_at,ends_at,pool",
        "wb-1,open,spring,back15,'=anna,2025-11-13T02:13:20.000Z,2025-11-24T16:00:00.000Z,winter",
        "GEN-3,reserved,cart,cart5,'=anna,2025-11-13T02:13:20.000Z,,",
    ]
    told = [json.loads(line) for line in homing("offers", "list", "--codes", "--campaign", "spring", "--state", "all", "--json").out.splitlines()]
    assert [(one["code"], one["state"], one["pool"]) for one in told] == [("wb-1", "open", "winter"), ("GEN-2", "redeemed", None)]
    assert [json.loads(line)["code"] for line in homing("offers", "list", "--codes", "--offer", "cart5", "--format", "json").out.splitlines()] == ["GEN-3"]
    assert "no codes" in homing("offers", "list", "--codes", "--campaign", "spring", "--offer", "cart5").out
    for what in ([], ["--codes"], ["--reconcile"]):
        unknown = homing("offers", "list", *what, "--campaign", "sprnig")
        assert (unknown.code, 'no campaign is named "sprnig"' in unknown.err, unknown.out) == (1, True, "")
    assert "2025-11-24 16:00:00 UTC" in homing("offers", "list", "--codes").out
    for wrong in (["--codes", "--reconcile"], ["--state", "open"], ["--format", "csv"]):
        assert homing("offers", "list", *wrong).code == 2


def test_orders_with_codes_that_are_not_ours_are_listed(homing: CliWorld) -> None:
    events = homing.folder / "events.ndjson"
    order = {"order_id": "7", "revenue": 9, "coupon": "SUMMER"}
    events.write_text(json.dumps({"userId": "anna", "event": "Order Completed", "messageId": "m", "timestamp": "2026-11-01T00:00:00Z", "properties": order}))
    homing.ok("events", "import", str(events))
    [use] = homing.ok("offers", "list", "--reconcile")["uses"]
    assert use == {"what": "unknown", "code": "SUMMER", "order": "7", "recipient": "anna", "at": "2026-11-01T00:00:00.000Z"}
    assert "SUMMER is no code of ours: order 7 of anna" in homing("offers", "list", "--reconcile").out


def test_a_code_of_the_shop_for_all_does_not_flood_the_books(homing: CliWorld) -> None:
    """Ten orders with one foreign code: three of them and a count; --json has all."""
    events = homing.folder / "events.ndjson"
    orders = [
        {"userId": "anna", "event": "Order Completed", "messageId": f"m{n}", "timestamp": f"2026-11-{n:02}T00:00:00Z",
         "properties": {"order_id": str(n), "revenue": 9, "coupon": "C10"}}
        for n in range(1, 11)
    ]  # fmt: skip
    events.write_text("\n".join(map(json.dumps, orders)))
    homing.ok("events", "import", str(events))
    assert len(homing.ok("offers", "list", "--reconcile")["uses"]) == 10
    lines = [line for line in homing("offers", "list", "--reconcile").out.splitlines() if line.startswith("C10")]
    assert len(lines) == 4
    assert lines[-1] == "C10 is no code of ours: 7 more orders; --json has them all"


def test_a_report_is_a_table_csv_or_json(homing: CliWorld) -> None:
    """The list of reports; an empty one; a name that is none, with the nearest."""
    assert "experiments" in homing("report").out
    assert "nothing to report yet" in homing("report", "experiments").out
    assert homing("report", "experiments", "--format", "csv").out.startswith("campaign,step,segment,finding,winner,arm,")
    assert json.loads(homing("report", "experiments", "--format", "json").out)["rows"] == []
    said = homing("report", "experiment")
    assert said.code == 1 and 'did you mean "experiments"' in said.err
