"""A step of a cell in C99, for one sequence: any cell, with every option that its tape has.

Values of a node are an array of the step's memory where a later loop reads them, else a variable
within one loop. Weights are stored column by column, so that the innermost loop runs over units
that do not depend on each other, which compilers turn into vector instructions.

Shapes: H hidden units, I input features, P projected units.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gated.cells.cell import Cell
from gated.cells.tape import Node, Place
from gated.errors import CellError

FUNCTIONS: Mapping[str, str] = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "sigmoid": "1.0f / (1.0f + expf(-{}))",
    "tanh": "tanhf({})",
    "relu": "{0} > 0.0f ? {0} : 0.0f",
    "softplus": "log1pf(expf(-fabsf({0}))) + ({0} > 0.0f ? {0} : 0.0f)",
    "exp": "expf({})",
    "log": "logf({})",
    "sqrt": "sqrtf({})",
    "abs": "fabsf({})",
    "maximum": "{0} > {1} ? {0} : {1}",
    "minimum": "{0} < {1} ? {0} : {1}",
    "less": "{} < {} ? 1.0f : 0.0f",
    "less_equal": "{} <= {} ? 1.0f : 0.0f",
    "equal": "{} == {} ? 1.0f : 0.0f",
    "where": "{} != 0.0f ? {} : {}",
    "normalise": "({} - {}) * {}",
}
"""Elementwise operations as expressions."""
_LEAVES = frozenset({"constant", "input", "state", "parameter", "size"})


SCALE = "scale of "
"""What the name of a matrix begins with where its scales are asked for."""


class Step(NamedTuple):
    """A step in C: statements in which `x` is the input."""

    lines: tuple[str, ...]
    memory: tuple[tuple[str, int], ...]
    """The arrays that it needs besides the states: names and numbers of floats."""
    output: str
    """The array with its output."""


def number(value: float) -> str:
    """Return a number as a float of C that has the same bits.

    >>> number(3), number(0.1), number(1e-20)
    ('3.0f', '0.100000001f', '9.99999968e-21f')
    """
    text = f"{_rounded(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _rounded(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def step_in_c(
    cell: Cell,
    sizes: Mapping[str, int],
    x: str,
    state: Callable[[int], str],
    weight: Callable[[str, str], str | None],
    prefix: str,
) -> Step:
    """Return a step of a cell.

    Args:
        cell: which reads nothing at a step but the input.
        sizes: the number of units of each width.
        x: the array with the input, (I).
        state: returns the array of the state with an index.
        weight: returns the array of a matrix, bias or parameter and a gate; None for a bias that is
            not there. A matrix' array holds its columns one after the other, of each head. Under
            the name with `SCALE` before it, there may be a number for each of its rows, by which
            products are multiplied.
        prefix: what the names of arrays of memory begin with.

    Raises:
        CellError: the cell reads more than the input, or draws random numbers.
    """
    nodes = cell.tape.nodes
    needed = _needed(cell)
    stages = _stages(nodes, needed)
    place_of = {place: at for at, stage in enumerate(stages) for place in stage}
    after = [of.after for of in cell.states]
    kept = {cell.output, *after}
    for at, stage in enumerate(stages):
        for place in stage:
            for read in nodes[place].arguments:
                if place_of.get(read, at) != at or nodes[place].operation in ("product", "sum"):
                    kept.add(read)
    vectors = {place for place in kept if nodes[place].width != "1"}
    array = {
        place: f"{prefix}v{place}"
        for place in sorted(needed)
        if (place in vectors and nodes[place].operation not in _LEAVES)
        or nodes[place].operation == "product"
    }
    # A state that another one becomes is copied before either changes.
    moved = {place: f"{prefix}v{place}" for place in after if nodes[place].operation == "state"}

    def value(place: Place) -> str:
        """The value of a node, for unit k where it has units."""
        node = nodes[place]
        if node.operation == "constant":
            return number(node.about)
        if node.operation == "size":
            return number(sizes[node.about])
        if node.operation == "input":
            return f"{x}[k]"
        if node.operation == "state":
            return f"{state(node.about)}[k]"
        if node.operation == "parameter":
            name, gate = node.about
            found = weight(name, gate)
            return "0.0f" if found is None else f"{found}[{'0' if node.width == '1' else 'k'}]"
        return f"{array[place]}[k]" if place in array else f"v{place}"

    def vector(place: Place) -> str:
        """The array of a node."""
        node = nodes[place]
        if node.operation == "input":
            return x
        if node.operation in _LEAVES - {"state"}:
            raise CellError(f"the cell {cell.name} passes a {node.operation} on as it is")
        return state(node.about) if node.operation == "state" else array[place]

    lines: list[str] = []
    for stage in stages:
        first = nodes[stage[0]]
        if first.operation == "product":
            lines += _product(cell, sizes, first, array[stage[0]], vector, weight)
        elif first.operation == "sum":
            read, total = nodes[stage[0]].arguments[0], f"v{stage[0]}"
            lines.append(f"float {total} = 0.0f;")
            units = sizes[nodes[read].width]
            lines.append(f"for (k = 0; k < {units}; ++k) {total} += {value(read)};")
        else:
            body = [_assigned(place, nodes, array, value) for place in stage]
            if first.width == "1":
                lines += body
            else:
                lines.append(f"for (k = 0; k < {sizes[first.width]}; ++k) {{")
                lines += [f"    {line}" for line in body]
                lines.append("}")
    for place, name in moved.items():
        lines.append(
            f"memcpy({name}, {vector(place)}, {sizes[nodes[place].width]} * sizeof(float));"
        )
    for number_of, of in enumerate(cell.states):
        source = moved.get(of.after) or vector(of.after)
        lines.append(f"memcpy({state(number_of)}, {source}, {sizes[of.width]} * sizeof(float));")
    memory = {name: sizes[nodes[place].width] for place, name in (array | moved).items()}
    return Step(tuple(lines), tuple(memory.items()), vector(cell.output))


def _needed(cell: Cell) -> set[Place]:
    """The nodes that output and states need; refuses those that only training has."""
    if cell.per_step or cell.per_sequence:
        raise CellError(f"the cell {cell.name} reads more than the input at each step")
    needed: set[Place] = set()
    left = [cell.output, *(of.after for of in cell.states)]
    while left:
        place = left.pop()
        if place not in needed:
            needed.add(place)
            left += cell.tape[place].arguments
    for place in needed:
        node = cell.tape[place]
        if node.operation not in {*FUNCTIONS, *_LEAVES, "product", "sum", "spread"}:
            raise CellError(f"the cell {cell.name} has {node.operation}, which C does not")
    return needed


def _stages(nodes: list[Node], needed: set[Place]) -> list[list[Place]]:
    """Divide the nodes into products, sums, and loops of elementwise operations."""
    stages: list[list[Place]] = []
    open_: dict[str, int] = {}  # for each width, the loop that may still grow
    at: dict[Place, int] = {}
    for place in sorted(needed):
        node = nodes[place]
        if node.operation in _LEAVES:
            continue
        ready = max((at[of] for of in node.arguments if of in at), default=-1)
        loop = open_.get(node.width, -1)
        alone = node.operation in ("product", "sum")
        if not alone and loop >= ready and loop >= 0:
            stages[loop].append(place)
            at[place] = loop
            continue
        stages.append([place])
        at[place] = len(stages) - 1
        if not alone:
            open_[node.width] = at[place]
    return stages


def _assigned(
    place: Place, nodes: list[Node], array: Mapping[Place, str], value: Callable[[Place], str]
) -> str:
    node = nodes[place]
    arguments = [value(of) for of in node.arguments]
    if node.operation == "spread":
        said = arguments[0]
    else:
        said = FUNCTIONS[node.operation].format(*arguments)
    return f"{array[place]}[k] = {said};" if place in array else f"const float v{place} = {said};"


def _product(
    cell: Cell,
    sizes: Mapping[str, int],
    node: Node,
    target: str,
    vector: Callable[[Place], str],
    weight: Callable[[str, str], str | None],
) -> list[str]:
    """A block of a matrix times a vector, and its bias."""
    matrix = next(of for of in cell.matrices if of.name == node.about.matrix)
    rows, columns = sizes[matrix.rows], sizes[matrix.columns]
    bias = weight(matrix.bias, node.about.gate) if matrix.has_bias else None
    table, source = weight(matrix.name, node.about.gate), vector(node.arguments[0])
    scale = weight(f"{SCALE}{matrix.name}", node.about.gate)
    added = f"{bias}[k]" if bias else "0.0f"
    begin = "0.0f" if scale else added
    ends = f"for (k = 0; k < {rows}; ++k) {target}[k] = {target}[k] * {scale}[k] + {added};"
    each = rows // matrix.heads
    unit = "k" if matrix.heads == 1 else f"j / {each} * {each} + k"
    return [
        f"for (k = 0; k < {rows}; ++k) {target}[k] = {begin};",
        f"for (j = 0; j < {columns}; ++j)",
        f"    for (k = 0; k < {each}; ++k)",
        f"        {target}[{unit}] += {table}[j * {each} + k] * {source}[j];",
        *([ends] if scale else []),
    ]
