"""GROUND, config: `config.toml` and the environment in, one frozen and wholly checked `Config` out; all problems at once.

`schema` says what there is, `values` reads the texts, `locate` finds the lines, `environment` and `secret_files` bring what is
not in the file, `problems` words what is wrong, `load` puts it together. Knows no domain rule and no plugin.
"""

from daemon.config.load import Config, WindowTables, load_config, load_for_client, order, parse_config, read_config
from daemon.config.locate import find_line, locate_keys, syntax_error
from daemon.config.problems import name as key_name
from daemon.config.schema import CapTable, ConsentTable, ProviderTable, QueueTable, ShopTable, TopicTable
from daemon.config.values import Address, BadValue, Rate, format_duration, parse_duration, parse_rate

__all__ = [
    "Address",
    "BadValue",
    "CapTable",
    "Config",
    "ConsentTable",
    "ProviderTable",
    "QueueTable",
    "Rate",
    "ShopTable",
    "TopicTable",
    "WindowTables",
    "find_line",
    "format_duration",
    "key_name",
    "load_config",
    "load_for_client",
    "locate_keys",
    "order",
    "parse_config",
    "parse_duration",
    "parse_rate",
    "read_config",
    "syntax_error",
]
