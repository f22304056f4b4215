"""What commands do, read off their source: `gated --help` waits for no import of torch."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path


def help_of(where: str) -> str:
    """Return the docstring of a function, given as `module:name`, up to its parameters."""
    node = _definition(where)
    assert isinstance(node, ast.FunctionDef)  # noqa: S101 - commands are functions
    described, _, _ = (ast.get_docstring(node) or "").partition("\n\nParameters\n---")
    return described


def purpose_of(where: str) -> str:
    """Return what a learner, given as `module:class`, says that its network does.

    >>> purpose_of("gated.tasks.language.model:LanguageModel")
    'say what comes next in a text'
    """
    for line in _definition(where).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "does":
            return str(ast.literal_eval(line.value))
    raise LookupError(f"{where} does not say `does = ...` in its class.")


def _definition(where: str) -> ast.ClassDef | ast.FunctionDef:
    """Return the source of a class or a function."""
    module, _, name = where.partition(":")
    package, *rooms = module.split(".")
    spec = find_spec(package)  # of the rooms in it would import them
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"There is no package {package}.", name=package)
    path = Path(spec.origin).parent.joinpath(*rooms).with_suffix(".py") if rooms else spec.origin
    for node in ast.parse(Path(path).read_text("utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
    raise LookupError(f"{path} holds no {name}.")
