"""The commands by name, with the description of each, without importing what it needs."""

from __future__ import annotations

import ast
import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

from gated.tasks import LEARNERS

GROUPS = {
    "fit": "Train a network for a task and measure it.",
    "compare": "Train RNN, GRU and LSTM with one budget and compare them.",
    "tune": "Try options for a task and choose the best on the validation part.",
}
"""Commands that are followed by the name of a task."""
FOR_A_TASK = {
    "fit": "Train a network to {}, and score it on data held back.",
    "compare": "Train each kind of recurrent cell to {}, with one budget, and compare them.",
    "tune": "Try options of a network to {}, and choose the best on the validation part.",
}
COMMANDS = {
    "resume": "fit:resume",
    "finish": "fit:finish",
    "predict": "runs:predict",
    "evaluate": "runs:evaluate",
    "explain": "runs:explain",
    "backtest": "forecast:backtest",
    "update": "forecast:update",
    "translate": "translate:translate",
    "transcribe": "speech:transcribe",
    "generate": "language:generate",
    "explore": "explore:explore",
    "serve": "serve:serve",
    "export": "export:export",
    "quantize": "quantize:quantize",
    "memory-test": "memory:find_longest",
}
"""All others: module of this package and function."""
OTHER_NAMES = {"sklearn": "scikit-learn"}
"""Packages whose module is called otherwise."""


def description(command: str) -> str:
    """Return the description of a command: its docstring up to the parameters.

    >>> description("backtest")
    'Score forecasts of any windows; those that overlap the training data are counted.'
    """
    if command in GROUPS:
        return GROUPS[command]
    node = _definition(f"gated.cli.{COMMANDS[command]}")
    return (ast.get_docstring(node) or "").partition("\n\nParameters\n")[0]


def task_description(command: str, task: str) -> str:
    """Return the description of a command that is followed by a task.

    >>> task_description("fit", "forecast")
    'Train a network to forecast a table of time series, and score it on data held back.'
    """
    for line in _definition(LEARNERS[task]).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "does":
            return FOR_A_TASK[command].format(ast.literal_eval(line.value))
    raise LookupError(f"The learner of {task} does not say `does = ...` in its class.")


def _definition(where: str) -> ast.ClassDef | ast.FunctionDef:
    """Return the source of a class or a function, given as `module:name`."""
    module, _, name = where.partition(":")
    package, *rooms = module.split(".")
    spec = find_spec(package)  # of a module in it would import the package
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"There is no package {package}.", name=package)
    path = Path(spec.origin).parent.joinpath(*rooms).with_suffix(".py") if rooms else spec.origin
    for node in ast.parse(Path(path).read_text("utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
    raise LookupError(f"{path} holds no {name}.")


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
