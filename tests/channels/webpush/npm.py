"""npm's web-push and http_ece, in a folder beside the environment: fetched by name once, used by tests and bench."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

FOLDER = Path(sys.prefix) / "share" / "homing-webpush"
PACKAGES = ("web-push@3.6.7", "http_ece@1.2.1")


@cache
def ready() -> bool:
    """They are there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    if not all((FOLDER / "node_modules" / package.partition("@")[0] / "package.json").exists() for package in PACKAGES):
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(FOLDER), *PACKAGES]
        return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    return True
