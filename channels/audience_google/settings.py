"""Google: the keys of a `[providers.NAME]` table with `plugin = "audience_google"`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from plugins import Secret, SettingError

_ACCOUNT = re.compile(r"\d{3}-?\d{3}-?\d{4}|\d{1,20}")
_NEEDED = ("client_email", "private_key", "token_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The Google Ads account whose customer lists are kept.

    base_url: of the Data Manager API · credentials: the key file of a service account (JSON), as a secret · account_id: the Google Ads
    account · login_account_id: the manager account, where access goes through one. That the Customer Match terms were accepted in the
    account is what each request says: see that they were.
    """

    credentials: Secret
    account_id: str
    base_url: str = "https://datamanager.googleapis.com"
    login_account_id: str = ""
    token_uri: str = field(init=False)
    """From the credentials: where tokens are asked for."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise SettingError("base_url", f'must be an address such as "https://datamanager.googleapis.com" (got "{self.base_url}")')
        for key in ("account_id", "login_account_id"):
            if (value := getattr(self, key)) and not _ACCOUNT.fullmatch(value):
                raise SettingError(key, "must be the number of a Google Ads account, with or without dashes")
        if not self.account_id:
            raise SettingError("account_id", "must not be empty")
        object.__setattr__(self, "token_uri", self.key_file()["token_uri"])

    def key_file(self) -> dict[str, str]:
        """The service account's key file. SettingError without saying anything of its content."""
        try:
            content = json.loads(self.credentials.reveal())
        except ValueError:
            raise SettingError("credentials", "must hold the key file of a service account (JSON)") from None
        if not isinstance(content, dict) or not all(isinstance(content.get(name), str) and content[name] for name in _NEEDED):
            raise SettingError("credentials", f"the key file lacks one of {', '.join(_NEEDED)}: is it that of a service account?")
        if urlsplit(content["token_uri"]).scheme not in ("http", "https"):
            raise SettingError("credentials", "its token_uri is no http address")
        return content

    @property
    def account(self) -> str:
        return self.account_id.replace("-", "")

    @property
    def login_account(self) -> str:
        return self.login_account_id.replace("-", "")
