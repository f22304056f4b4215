"""What griffe reads differently for the reference."""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^ *>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


class ReadableDocstrings(griffe.Extension):
    """Docstrings that are arguments, and doctests without a heading."""

    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **_: Any) -> None:
        """Take the docstring of `sigmoid = _function("sigmoid", "…")` from there."""
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_function":
            attr.docstring = griffe.Docstring(ast.literal_eval(call.args[1]), parent=attr)
            attr.value = None  # how it is made is no news to a reader

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Show a doctest as code."""
        if obj.docstring is not None:
            obj.docstring.value = DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
