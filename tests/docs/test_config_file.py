"""The shipped config.toml and docs/config.md say what the schema says."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.config import load_config, locate_keys, parse_config
from daemon.config.schema import Document, Table, table_at
from daemon.policy.window import parse_window
from tools.docs_channels import built_in
from tools.docs_config import SMALLEST, config_page, default

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "config.toml").read_text(encoding="utf-8")
WHOLE = re.sub(r"^#(?=[a-z_]+ = |\[)", "", SHIPPED, flags=re.MULTILINE)


def tables(document: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Each table of the file that has a model, with its path."""
    if path and table_at(path):
        yield path, document
    for key, value in document.items():
        if isinstance(value, dict):
            yield from tables(value, (*path, key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from tables(value[0], (*path, key, 0))


def keys_of(model: type[Table]) -> set[str]:
    return set(model.model_fields)


def test_shipped_config_has_every_key_of_the_schema_and_no_other():
    """Written out, if only as a comment: #key = value."""
    found: dict[type[Table], set[str]] = {}
    for path, table in tables(tomllib.loads(WHOLE)):
        model = table_at(path)
        assert model is not None
        found.setdefault(model, set()).update(table)
    for model, keys in found.items():
        extra = set() if model.model_config.get("extra") == "forbid" else keys - keys_of(model)
        assert keys - extra <= keys_of(model)
        if "window.channels" not in str(model) and model.__name__ not in ("WindowFields", "ProviderTable"):
            assert keys_of(model) == keys, model.__name__
    models = {table_at((key,)) or table_at((key, "x")) or table_at((key, 0)) for key in Document.model_fields}
    assert models <= found.keys()


def test_shipped_config_shows_each_default():
    """Loading it is as good as loading nothing, but for the provider and the queues."""
    shipped = load_config(ROOT / "config.toml", {})
    empty = parse_config("", path=ROOT / "config.toml", environ={})
    for table in ("homing", "http", "spool", "intake", "caps", "weights", "consent", "topics", "shop"):
        assert getattr(shipped, table) == getattr(empty, table), table
    assert parse_window(shipped.window.default) == parse_window(empty.window.default)
    assert shipped.providers.keys() == {"relay"}
    assert shipped.queues.keys() == {"lapsed-30-60", "lapsed-60-90", "lapsed-90-180"}


def test_defaults_that_are_shown_as_comments_are_the_schemas_too():
    """`#count = "touches"`."""
    raw = tomllib.loads(WHOLE)
    for key in ("cap", "queues"):
        model = table_at((key, 0 if key == "cap" else "x"))
        table = raw["cap"][0] if key == "cap" else raw["queues"]["lapsed-30-60"]
        assert model is not None
        for name, field in model.model_fields.items():
            shown = default(field).strip("`")
            if shown and shown != "*required*" and name != "campaign":
                assert tomllib.loads(f"value = {shown}")["value"] == table[name], name


def test_every_key_of_the_shipped_config_has_a_comment():
    """On its own line, after the value."""
    lines = WHOLE.splitlines()
    bare = {lines[line - 1] for line in locate_keys(WHOLE).values() if "#" not in lines[line - 1] and "=" in lines[line - 1]}
    assert {line for line in bare if not line.startswith(("start", "end", "campaign"))} == set()


def test_config_page_is_what_the_schema_says():
    """`make docs` writes it."""
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page.endswith(config_page())
    for model in (table_at((key,)) or table_at((key, "x")) or table_at((key, 0)) for key in Document.model_fields):
        assert model is not None
        for key in model.model_fields:
            assert f"| `{key}` |" in page


def test_the_smallest_config_of_the_page_loads():
    """Thirteen lines."""
    assert len(SMALLEST.splitlines()) == 13
    assert parse_config(SMALLEST, path=Path("config.toml"), environ={}).queues["lapsed-45"].campaign == "winback"


@pytest.mark.parametrize("name", built_in())
def test_keys_of_built_in_channels_are_on_the_page(name: str):
    """With their defaults, from their settings dataclass."""
    assert f'### plugin = "{name}"' in config_page()
