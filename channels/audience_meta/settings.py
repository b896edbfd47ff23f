"""Meta: the keys of a `[providers.NAME]` table with `plugin = "audience_meta"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from plugins import Secret, SettingError

_VERSION = re.compile(r"v\d{1,3}\.\d")
_ACCOUNT = re.compile(r"(act_)?\d{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The ad account whose custom audiences are kept.

    base_url: of the Graph API · version: of the Graph API · access_token: of a system user with `ads_management` · account_id: the ad
    account, with or without "act_" · app_secret: signs each request (appsecret_proof), if the app asks for that.
    """

    access_token: Secret
    account_id: str
    base_url: str = "https://graph.facebook.com"
    version: str = "v25.0"
    app_secret: Secret | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise SettingError("base_url", f'must be an address such as "https://graph.facebook.com" (got "{self.base_url}")')
        if not _VERSION.fullmatch(self.version):
            raise SettingError("version", f'must be a version such as "v25.0" (got "{self.version}")')
        if not _ACCOUNT.fullmatch(self.account_id):
            raise SettingError("account_id", "must be the number of the ad account, with or without act_")

    @property
    def account(self) -> str:
        """As a node of the Graph API."""
        return f"act_{self.account_id.removeprefix('act_')}"

    def url(self, *path: str) -> str:
        return "/".join((self.base_url.rstrip("/"), self.version, *path))
