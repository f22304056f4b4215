"""The commands by name, and what each says of itself, without importing what it needs."""

from __future__ import annotations

import ast
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

GROUPS = {
    "fit": "Train a network for a task and measure it.",
    "compare": "Train RNN, GRU and LSTM with one budget and compare them.",
}
"""Commands that are followed by the name of a task."""
COMMANDS = {
    "resume": "fit:resume",
    "predict": "runs:predict",
    "evaluate": "runs:evaluate",
    "explain": "runs:explain",
    "backtest": "forecast:backtest",
    "translate": "translate:translate",
    "transcribe": "speech:transcribe",
    "generate": "language:generate",
    "explore": "explore:explore",
    "memory-test": "memory:find_longest",
}
"""All others: module of this package and function."""
OTHER_NAMES = {"sklearn": "scikit-learn"}
"""Packages whose module is called otherwise."""


def description(command: str) -> str:
    """Return what a command says of itself, up to its parameters.

    >>> description("backtest")
    'Score forecasts of any windows; those that overlap the training data are counted.'
    """
    if command in GROUPS:
        return GROUPS[command]
    module, _, name = COMMANDS[command].partition(":")
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n\nParameters\n")[0]
    raise LookupError(f"gated.cli.{module} has no function {name}")


def extra_with(module: str) -> str | None:
    """Return the first extra of gated that brings a module, if one does.

    >>> extra_with("torch"), extra_with("scipy.stats"), extra_with("json")
    ('train', 'train', None)
    """
    top = module.partition(".")[0]
    package = OTHER_NAMES.get(top, top).lower().replace("_", "-")
    try:
        requirements = requires("gated") or []
    except PackageNotFoundError:  # a source tree that is not installed
        return None
    for requirement in requirements:
        parts = re.match(r'([\w.-]+).*extra == "(\w+)"', requirement)
        if parts and parts[1].lower() == package:
            return parts[2]
    return None
