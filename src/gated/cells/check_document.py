"""Whether a JSON document that someone else may have written is that of a cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from gated.cells.tape import ARITHMETIC
from gated.errors import CellError

MOST_NODES = 2_000
MOST_LINES = 200
WIDTHS = ("H", "I", "P", "1")
LEAVES = ("constant", "input", "state", "parameter", "size")
NAME = re.compile(r"(?!__)[^\W\d]\w{0,59}")
LINE = 1_000
"""Characters of a line or a symbol at most."""


def check_document(found: object) -> dict[str, Any]:
    """Return a document as `gated.cells.document` writes it, which can be computed as it is.

    Args:
        found: what `json` read.

    Raises:
        CellError: it is none, or needs inputs that differ from step to step; the message says what
            was found, what was expected, and what to do.
    """
    if not isinstance(found, dict):
        _refuse("it", found, "an object")
    keys = ("nodes", "states", "matrices", "parameters", "held", "equations")
    for key in keys:
        _list(found, key, MOST_NODES if key == "nodes" else MOST_LINES)
    for key in ("gates", "symbols"):
        if not isinstance(found.get(key), dict):
            _refuse(key, found.get(key), "an object")
    _name(found.get("name"), "name")
    _check_parts(found)
    nodes = found["nodes"]
    for place in range(len(nodes)):
        _check_node(found, place)
    for place, state in enumerate(found["states"]):
        where = f"states[{place}]"
        _node(state.get("after"), nodes, f"{where}.after")
        _one_of(nodes[state["after"]]["width"], ("H", "1"), f"{where}.after's width")
    if not found["states"]:
        _refuse("states", [], "at least one")
    output = _node(found.get("output"), nodes, "output")
    _one_of(nodes[output]["width"], ("H",), "output's width")
    for gate, place in found["gates"].items():
        _name(gate, "gates")
        _node(place, nodes, f"gates.{gate}")
    for gate in found["held"]:
        _one_of(gate, found["gates"], "held")
        operation = nodes[found["gates"][gate]]["operation"]
        _one_of(operation, ("sigmoid",), f"operation of the held gate {gate}")
    memory = found.get("memory")
    if memory is not None:
        if not isinstance(memory, dict):
            _refuse("memory", memory, "an object or null")
        _one_of(memory.get("state"), [of["name"] for of in found["states"]], "memory.state")
        for key in ("keep", "write"):
            _node(memory.get(key), nodes, f"memory.{key}")
    for line in [*found["equations"], *found["symbols"].values()]:
        if not isinstance(line, str) or len(line) > LINE:
            _refuse("equations and symbols", line, f"text of up to {LINE} characters")
    return found


def _check_parts(found: Mapping[str, Any]) -> None:
    for key in ("states", "matrices", "parameters", "nodes"):
        for place, one in enumerate(found[key]):
            if not isinstance(one, dict):
                _refuse(f"{key}[{place}]", one, "an object")
    for place, state in enumerate(found["states"]):
        _name(state.get("name"), f"states[{place}].name")
        _one_of(state.get("width"), ("H",), f"states[{place}].width")
    for place, matrix in enumerate(found["matrices"]):
        where = f"matrices[{place}]"
        _name(matrix.get("name"), f"{where}.name")
        if matrix.get("bias") is not None:
            _name(matrix["bias"], f"{where}.bias")
        for key in ("rows", "columns"):
            _one_of(matrix.get(key), WIDTHS, f"{where}.{key}")
        heads = matrix.get("heads")
        if type(heads) is not int or not 1 <= heads <= MOST_NODES:
            _refuse(f"{where}.heads", heads, "a number of heads")
    for key in ("matrices", "parameters"):
        for place, one in enumerate(found[key]):
            _name(one.get("name"), f"{key}[{place}].name")
            for gate in _list(one, "gates", MOST_LINES, f"{key}[{place}]."):
                if gate != "1":  # one number for the layer
                    _name(gate, f"{key}[{place}].gates")


def _check_node(found: Mapping[str, Any], place: int) -> None:
    nodes, where = found["nodes"], f"nodes[{place}]"
    node = nodes[place]
    operation, about = node.get("operation"), node.get("about")
    width = _one_of(node.get("width"), WIDTHS, f"{where}.width")
    arguments = _list(node, "arguments", 3, f"{where}.")
    if operation in ("per_step", "per_sequence"):
        _refuse(
            f"{where}.operation", operation, "what follows from x and the states", "A text has none"
        )
    known = {**ARITHMETIC, **dict.fromkeys(LEAVES, 0), "product": 1, "sum": 1, "spread": 1}
    _one_of(operation, known, f"{where}.operation")
    if len(arguments) != known[operation]:
        _refuse(f"{where}.arguments", arguments, f"{known[operation]} for {operation}")
    widths = [
        nodes[_node(argument, nodes[:place], f"{where}.arguments")]["width"]
        for argument in arguments
    ]
    if operation in ARITHMETIC:
        for of in widths:
            _one_of(of, (width, "1"), f"{where}: width of an argument")
    elif operation in ("sum", "size"):
        _one_of(width, ("1",), f"{where}.width")
    elif operation == "spread":
        _one_of(widths[0], ("1",), f"{where}: width of its argument")
    elif operation == "constant":
        if type(about) not in (int, float) or not math.isfinite(about):
            _refuse(f"{where}.about", about, "a number")
        _one_of(width, ("1",), f"{where}.width")
    elif operation == "input":
        _one_of(width, ("I",), f"{where}.width")
    elif operation == "state":
        _node(about, found["states"], f"{where}.about")
        _one_of(width, (found["states"][about].get("width"),), f"{where}.width")
    if operation == "size":
        _one_of(about, WIDTHS, f"{where}.about")
    if operation in ("product", "parameter"):
        key = "matrices" if operation == "product" else "parameters"
        if not isinstance(about, dict):
            _refuse(f"{where}.about", about, "a name and a gate")
        of = {one["name"]: one for one in found[key]}
        one = of[_one_of(about.get("name"), of, f"{where}.about.name")]
        _one_of(about.get("gate"), one["gates"] or [""], f"{where}.about.gate")
        if operation == "product":
            _one_of(width, (one["rows"],), f"{where}.width")
            _one_of(widths[0], (one["columns"],), f"{where}: width of its argument")


def _list(of: Mapping[str, Any], key: str, most: int, before: str = "") -> list[Any]:
    found = of.get(key)
    if not isinstance(found, list) or len(found) > most:
        _refuse(f"{before}{key}", found, f"a list of up to {most}")
    return found


def _name(found: object, where: str) -> str:
    if not isinstance(found, str) or not NAME.fullmatch(found):
        _refuse(where, found, "a name of letters, digits and _")
    return found


def _node(found: object, nodes: list[Any], where: str) -> int:
    if type(found) is not int or not 0 <= found < len(nodes):
        _refuse(where, found, f"a whole number below {len(nodes)}")
    return found


def _one_of(found: Any, known: Any, where: str) -> Any:
    if not isinstance(found, str) or found not in known:
        _refuse(where, found, f"one of {', '.join(known)}")
    return found


def _refuse(where: str, found: object, expected: str, more: str = "") -> NoReturn:
    said = repr(found)
    said = said if len(said) < 80 else f"{said[:77]}…"
    raise CellError(
        f"this is not the document of a cell that reads characters: {where} is {said}, expected "
        f"{expected}. {more + '. ' if more else ''}Save the `document` of the cell, "
        "`layer.cell.document`, once more."
    )
