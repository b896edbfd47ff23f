"""What several test files of stages share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.content.version import CampaignVersion
from tests.stages.playbook_world import Opening, PlaybookWorld


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens worlds with campaigns of the playbook, by name or as they are. A file may have an `opening` of its own, into another world."""
    worlds: list[PlaybookWorld] = []

    async def make(*campaigns: str | CampaignVersion) -> PlaybookWorld:
        worlds.append(await PlaybookWorld.of(tmp_path, *campaigns))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()
