"""The public names of the packages and their docstrings, from the source: nothing is imported."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
Definition = ast.ClassDef | ast.FunctionDef
NOT_FOR_IMPORT = {"gated.cli"}  # the command


@dataclass(frozen=True)
class PublicName:
    """A name that a module exports, and where it is defined."""

    module: str
    name: str
    origin: str
    """The dotted path of its definition, or of the module that it names."""
    docstring: str
    undocumented: tuple[str, ...] = ()
    """Public methods without a docstring."""

    @property
    def anchor(self) -> str:
        """Where the reference has it."""
        return f"{self.module}.{self.name}"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, on one line."""
        return " ".join(self.docstring.split("\n\n")[0].split())


def file_of(module: str) -> Path:
    """The source file of a module."""
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(file_of(module).read_text(encoding="utf-8"))


def exporting_modules() -> list[str]:
    """The packages that declare `__all__`, but for the command."""
    found = []
    for file in sorted((SOURCE / "gated").rglob("__init__.py")):
        module = ".".join(file.parent.relative_to(SOURCE).parts)
        if exports(module) and module not in NOT_FOR_IMPORT:
            found.append(module)
    return found


def exports(module: str) -> list[str]:
    """What `__all__` of a module holds; empty without one."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and _targets(node) == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return []


def public_name(module: str, name: str) -> PublicName:
    """Find a name where it is defined.

    Raises:
        LookupError: the module neither defines nor imports it.
    """
    imported = ""
    statements = list(_statements(tree_of(module)))
    for node, following in zip(statements, [*statements[1:], None], strict=True):
        origin = f"{module}.{name}"
        if isinstance(node, Definition) and node.name == name and not _only_typed(node):
            return PublicName(module, name, origin, ast.get_docstring(node) or "", _silent(node))
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return PublicName(module, name, origin, _attribute_docstring(node, following))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gated"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    imported = f"{node.module}.{alias.name}"
    lazily = re.search(
        rf'import_module\("([\w.]+)"\)\.{re.escape(name)}\b', file_of(module).read_text("utf-8")
    )
    if lazily:  # in a `__getattr__`
        imported = f"{lazily[1]}.{name}"
    if not imported:
        raise LookupError(f"{module} has no {name}")
    parent, _, defined = imported.rpartition(".")
    if parent == module:  # a module of the package itself
        return PublicName(module, name, imported, ast.get_docstring(tree_of(imported)) or "")
    try:
        there = public_name(parent, defined)
    except LookupError:  # `init` of `gated.nn`
        there = PublicName(parent, defined, imported, ast.get_docstring(tree_of(imported)) or "")
    return replace(there, module=module, name=name)


def reference() -> list[dict[str, Any]]:
    """The pages of the reference, as `reference.toml` has them."""
    pages = tomllib.loads((Path(__file__).parent / "reference.toml").read_text(encoding="utf-8"))
    return list(pages["page"])


def _statements(module: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, with those under `if TYPE_CHECKING`."""
    for node in module.body:
        yield node
        if isinstance(node, ast.If):
            yield from node.body


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _attribute_docstring(node: ast.Assign | ast.AnnAssign, following: ast.stmt | None) -> str:
    """The string under an assignment, or the one that its call is given as in `gated.cells`."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return str(following.value.value)
    if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "_function":
        return str(ast.literal_eval(node.value.args[1]))
    return ""


def _silent(node: Definition) -> tuple[str, ...]:
    if not isinstance(node, ast.ClassDef):
        return ()
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return tuple(
        method.name
        for method in methods
        if not method.name.startswith("_")
        and not ast.get_docstring(method)
        and not _only_typed(method)
    )


def _only_typed(node: Definition) -> bool:
    """Whether it repeats another for the type checker, or sets what another returns."""
    decorators = {getattr(d, "id", getattr(d, "attr", "")) for d in node.decorator_list}
    return bool(decorators & {"overload", "override", "setter"})
