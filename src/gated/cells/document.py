"""A cell as a JSON document: what another program, such as the explorer's page, needs to run it.

    {"name": "rnn_tanh",
     "nodes": [{"operation": "input", "arguments": [], "width": "I", "about": null}, …],
     "states": [{"name": "hidden", "after": 4}],
     "output": 4,
     "matrices": [{"name": "weight_ih", "bias": "bias_ih", "gates": ["hidden"], …}, …],
     "parameters": [], "gates": {"hidden": 4}, "held": [], "memory": null, "equations": […],
     "symbols": {"hidden": "h"}}

Nodes are those of `gated.cells.tape` in an order in which they can be computed. `about` of a
product has the matrix and the gate, that of a parameter its name and gate; gates have their full
names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gated.cells.affine import memory
from gated.cells.cell import Cell
from gated.cells.latex import symbol
from gated.cells.tape import Block
from gated.errors import CellError


def document(cell: Cell) -> dict[str, Any]:
    """Return a cell as a document for `json`, with everything that is needed to compute it.

    `held` are the gates with a sigmoid. `memory` says which state is a sum over the past, and the
    nodes of what a step keeps of it and of what it writes (see `gated.cells.affine`); it is null
    where no state is. `symbols` are those of gates and states in the equations, in LaTeX.

    >>> from gated.cells.library import gru
    >>> found = document(gru)
    >>> found["held"], found["memory"]["state"]
    (['reset_gate', 'update_gate'], 'hidden')
    """
    tape, remembered = cell.tape, None
    try:
        found = memory(cell)
    except CellError:
        pass
    else:
        tape = found.tape  # which extends the cell's
        state = cell.state_names[found.state]
        remembered = {"state": state, "keep": found.keep, "write": found.write}

    def full(gate: str) -> str:
        return cell.gate_names.get(gate, gate)

    def about(of: Any) -> Any:
        return {"name": of.matrix, "gate": full(of.gate)} if isinstance(of, Block) else of

    return {
        "name": cell.name,
        "nodes": [
            {
                "operation": node.operation,
                "arguments": list(node.arguments),
                "width": node.width,
                "about": about(node.about),
            }
            for node in tape.nodes
        ],
        "states": [
            {"name": name, "width": state.width, "after": state.after}
            for name, state in zip(cell.state_names, cell.states, strict=True)
        ],
        "output": cell.output,
        "matrices": [
            {
                "name": matrix.name,
                "bias": matrix.bias if matrix.has_bias else None,
                "gates": [full(gate) for gate in matrix.gates],
                "rows": matrix.rows,
                "columns": matrix.columns,
                "heads": matrix.heads,
            }
            for matrix in cell.matrices
        ],
        "parameters": [
            {"name": parameter.name, "gates": [full(gate) for gate in parameter.gates]}
            for parameter in cell.parameters
        ],
        "gates": dict(cell.gates),
        "held": [gate for gate, place in cell.gates.items() if tape[place].operation == "sigmoid"],
        "memory": remembered,
        "equations": cell.equations.split("\n"),
        "symbols": {full(gate): symbol(gate) for matrix in cell.matrices for gate in matrix.gates}
        | {name: symbol(of.name) for name, of in zip(cell.state_names, cell.states, strict=True)},
    }


def documents(cells: Mapping[str, Cell]) -> dict[str, Any]:
    """Return the documents of several cells, by name."""
    return {name: document(cell) for name, cell in cells.items()}


if __name__ == "__main__":
    import json
    import sys

    from gated.cells import library

    found = documents({name: getattr(library, name) for name in sys.argv[1:]})
    print(json.dumps(found, ensure_ascii=False))
