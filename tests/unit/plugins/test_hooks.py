"""Each hook is documented and has a test named after it; the page in the repository is what the code says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pluggy

from plugins import Secret, hookspecs
from plugins.hookdocs import hook_functions, hooks_page
from plugins.hookspecs import hookimpl
from plugins.testing import STATEMENTS, Rule
from tests.unit.plugins.faulty.base import Sound

ROOT = Path(__file__).parents[3]


def test_every_hook_is_documented() -> None:
    """A hook without words is no hook; the page has each with its docstring."""
    page = hooks_page()
    for name, function in hook_functions():
        assert f"## `{name}(" in page
        assert inspect.getdoc(function) in page
    assert [name for name, _ in hook_functions()] == ["register_channels", "register_audiences"]
    assert all(f"| `{rule.value}` | {STATEMENTS[rule]} |" in page for rule in Rule)


def test_every_hook_has_a_test_of_its_name() -> None:
    """`test_hook_NAME` stands in this file."""
    assert {f"test_hook_{name}" for name, _ in hook_functions()} <= {name for name in globals() if name.startswith("test_hook_")}


def test_the_page_in_docs_is_what_the_code_says() -> None:
    """`make docs` was run."""
    assert hooks_page().strip() in (ROOT / "docs/hooks.md").read_text(encoding="utf-8")


def test_hook_register_channels() -> None:
    """An implementation marked with @hookimpl is found and returns classes."""

    class Plugin:
        @hookimpl
        def register_channels(self) -> list[type[Sound]]:
            return [Sound]

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin())
    manager.check_pending()
    assert manager.hook.register_channels() == [[Sound]]


def test_a_secret_never_shows_itself() -> None:
    """Not in repr, str, an f-string or a pickle."""
    secret = Secret("canary")
    assert "canary" not in f"{secret} {secret!r} {[secret]} {secret}"
    assert secret.reveal() == "canary"
    assert secret == Secret("canary") != Secret("other")


def test_hook_register_audiences() -> None:
    """An implementation is found and returns classes; what it makes of them: test_audience_kit."""

    class Plugin:
        @hookimpl
        def register_audiences(self) -> list[type[object]]:
            return [object]

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin())
    manager.check_pending()
    assert manager.hook.register_audiences() == [[object]]
