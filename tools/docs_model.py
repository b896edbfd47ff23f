"""Draws what the model and the tools' settings say: states, reasons, floors, exit codes. Pure: texts come out."""

from __future__ import annotations

import tomllib
from pathlib import Path

from daemon import errors
from daemon.model.delivery import FINAL, REASONS, TRANSITIONS, State

ROOT = Path(__file__).resolve().parent.parent


def states() -> str:
    """The life of a delivery as a Mermaid diagram and a table."""
    lines = ["```mermaid", "stateDiagram-v2", "  [*] --> planned"]
    lines += [f"  {state} --> {after}" for state, followers in TRANSITIONS.items() for after in State if after in followers]
    lines += [f"  {state} --> [*]" for state in State if state in FINAL]
    lines += ["```", "", "| state | may become |", "|---|---|"]
    for state, followers in TRANSITIONS.items():
        lines.append(f"| `{state}` | {', '.join(f'`{after}`' for after in State if after in followers) or 'nothing: it is an end'} |")
    return "\n".join(lines) + "\n"


def reasons() -> str:
    """The closed list of reasons: what each does to a delivery, and what ends it."""
    rows = "".join(f"| `{reason}` | {rule.verdict} | `{rule.state}` | {rule.remedy} |\n" for reason, rule in REASONS.items())
    return f"| reason | decision | state | what ends it |\n|---|---|---|---|\n{rows}"


def floors() -> str:
    """The layers of pyproject.toml, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["id"] == "floors")["layers"]
    lines = [
        "```",
        *(f"{'daemon':<8} {layer.replace('(', '').replace(')', '').replace(' : ', '  ').replace(' | ', ' | ')}" for layer in layers),
    ]
    return "\n".join([*lines, "```", "", *(f"- {contract['name']}" for contract in contracts)]) + "\n"


def exit_codes() -> str:
    """Each code of the command line."""
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HomingError)]
    rows = "| 0 | it went well |\n"
    for code in sorted({kind.exit_code for kind in tree}):
        texts = [
            (kind.__doc__ or "").strip().split(". ")[0].rstrip(".")
            for kind in tree
            if kind.exit_code == code and "exit_code" in vars(kind)
        ]
        rows += f"| {code} | {'; '.join(texts)} |\n"
    return f"| exit code | meaning |\n|---|---|\n{rows}"
