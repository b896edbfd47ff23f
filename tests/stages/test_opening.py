"""Opening the state: folders that are not there yet, and those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.opening import open_state
from daemon.app.ports import system_ports
from daemon.app.setup import Setup, read_setup
from daemon.clock import SystemClock
from daemon.errors import StoreUnavailableError


def setup_of(folder: Path, place: str) -> Setup:
    (folder / "campaigns").mkdir()
    text = f'[homing]\nstate_dir = "{folder}/var"\nstore = "sqlite:{folder}/{place}/homing.db"\njournal = "{folder}/other/journal"\n'
    (folder / "config.toml").write_text(text)
    return read_setup(folder / "config.toml", {})


async def test_folders_of_store_and_journal_are_made(tmp_path: Path) -> None:
    """Wherever the config puts them, before room is looked for there."""
    ports = system_ports(SystemClock(), {})
    opened = await open_state(setup_of(tmp_path, "disk/of/its/own"), ports)
    assert (tmp_path / "disk/of/its/own/homing.db").exists()
    assert opened.room.free is not None
    await opened.close()
    await ports.close()


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """In words, with the key of the config; the state folder is let go of."""
    (tmp_path / "file").write_text("no folder")
    ports = system_ports(SystemClock(), {})
    setup = setup_of(tmp_path, "file/below")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"file.* cannot be used: .*\[homing\]"):
            await open_state(setup, ports)
    await ports.close()
