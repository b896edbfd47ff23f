"""Bearer tokens: shown once, kept as a digest, scoped, revocable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, select

from daemon.errors import NotFoundError, UsageError
from daemon.store import schema as s
from daemon.store.engine import open_writer, prepare
from daemon.store.tokens import allows, check_scopes, create_token, digest, find_token, list_tokens, revoke_token

SECRET = bytes(range(32))


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = open_writer(None)
    prepare(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_token_is_kept_as_its_digest_only(conn: Connection) -> None:
    """The text is given once; no column holds it or its secret."""
    text = create_token(conn, name="crm", scopes=frozenset({"jobs:write"}), secret=SECRET, now=5)
    assert text.startswith("homing_")
    assert len(text) == 50
    stored = conn.execute(select(s.token)).one()
    assert text not in repr(tuple(stored))
    assert stored.hash == digest(text)
    found = find_token(conn, digest(text))
    assert found is not None
    assert (found.name, found.scopes) == ("crm", {"jobs:write"})


def test_wrong_and_revoked_tokens_are_not_found(conn: Connection) -> None:
    """A revoked token is as unknown as a wrong one; its name is free again."""
    text = create_token(conn, name="crm", scopes=frozenset({"jobs:write"}), secret=SECRET, now=5)
    assert find_token(conn, digest(text + "x")) is None
    revoke_token(conn, name="crm", now=9)
    assert find_token(conn, digest(text)) is None
    assert [row.revoked_at for row in list_tokens(conn)] == [9]
    with pytest.raises(NotFoundError):
        revoke_token(conn, name="crm", now=10)
    create_token(conn, name="crm", scopes=frozenset({"jobs:read"}), secret=SECRET[::-1], now=11)


def test_a_name_in_force_is_taken(conn: Connection) -> None:
    """Two tokens of one name could not be told apart when one is revoked."""
    create_token(conn, name="crm", scopes=frozenset({"jobs:write"}), secret=SECRET, now=5)
    with pytest.raises(UsageError, match="already"):
        create_token(conn, name="crm", scopes=frozenset({"jobs:write"}), secret=SECRET[::-1], now=6)


def test_scopes_are_a_closed_set() -> None:
    """An unknown scope names the nearest; none at all is refused."""
    with pytest.raises(UsageError, match='did you mean "jobs:write"'):
        check_scopes(["job:write"])
    with pytest.raises(UsageError, match="at least one"):
        check_scopes([])
    assert check_scopes(["jobs:write", "jobs:write"]) == {"jobs:write"}


@pytest.mark.parametrize(
    ("held", "needed", "allowed"),
    [
        ({"jobs:write"}, "jobs:write", True),
        ({"jobs:write"}, "jobs:read", False),
        ({"jobs:read"}, "jobs:write", False),
        ({"admin:read"}, "jobs:read", True),
        ({"admin:read"}, "jobs:write", False),
        ({"admin:write"}, "operate:write", True),
        (set(), "jobs:read", False),
    ],
)
def test_admin_has_all_areas_and_the_others_only_their_own(held: set[str], needed: str, allowed: bool) -> None:
    """Writing does not bring reading; admin brings every area in its mode, admin:write everything."""
    assert allows(frozenset(held), needed) is allowed
