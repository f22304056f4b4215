"""Cells in the form that the native core takes, and the shapes of their arrays; cached."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from gated.cells import library, options
from gated.cells.cell import Cell
from gated.cells.tape import Place
from gated.core import native
from gated.core.layout import layout_of
from gated.core.variants import Regularisation, Zoneout


@cache
def _named(name: str, layer_norm: bool, projects: bool, peepholes: bool) -> Cell:
    cell: Cell = getattr(library, "lstm_peephole" if peepholes else name)
    if layer_norm:
        cell = options.layer_norm(cell)
    return options.projected(cell) if projects else cell


_registered: dict[str, Cell] = {}


def register(cell: Cell) -> str:
    """Return a name by which `named_cell` finds the cell, for operators that only take names."""
    key = f"{cell.name}:{cell.digest}"
    _registered[key] = cell
    return key


def named_cell(name: str, weights: Mapping[str, Any]) -> Cell:
    """Return the cell of this name, with the options that its weights imply.

    Raises:
        ConfigurationError: there is no such cell, or it does not have one of these options.
    """
    if name in _registered:
        return _registered[name]
    layout_of(name)
    return _named(name, "gain_hh" in weights, "weight_hr" in weights, "peepholes" in weights)


def varied(cell: Cell, regularisation: Regularisation) -> Cell:
    """Return a cell with recurrent dropout and zoneout in its tape, if they are not there."""
    if cell.per_sequence or any(node.operation == "draw" for node in cell.tape.nodes):
        return cell
    zoneout = regularisation.zoneout or Zoneout()
    zones = (*(rate > 0 for rate in zoneout.rates), *(False for _ in cell.states))
    return _varied(cell, regularisation.hidden_mask is not None, zones[: len(cell.states)])


@cache
def _varied(cell: Cell, dropout: bool, zones: tuple[bool, ...]) -> Cell:
    if dropout:
        cell = options.recurrent_dropout(cell)
    return options.zoneout(cell, zones) if any(zones) else cell


def parameter_shapes(cell: Cell, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight, bias and parameter, in the order of a state dict.

    Args:
        cell: any cell.
        sizes: number of units of each of its widths.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for of in cell.matrices:
        columns = sizes[of.columns] // of.heads
        shapes[of.name] = (len(of.gates) * sizes[of.rows], columns)
    for of in cell.matrices:
        if of.has_bias:
            shapes[of.bias] = (len(of.gates) * sizes[of.rows],)
    for parameter in cell.parameters:
        gates = len(parameter.gates)
        alone = parameter.gates == ("1",)
        flat = parameter.name.startswith(("gain_", "bias_"))  # one dimension, like PyTorch's biases
        shape = (gates * sizes["H"],) if gates and flat else (gates, sizes["H"])
        shapes[parameter.name] = () if alone else shape if gates else (sizes["H"],)
    return shapes


@cache
def kept_places(cell: Cell) -> tuple[Place, ...]:
    """Return the nodes whose values a step keeps for the backward pass, gates first."""
    from gated.cells.plans import plans  # not what loading a network waits for

    return plans(cell).kept


def kept_numbers(cell: Cell, sizes: Mapping[str, int]) -> int:
    """Return how many numbers a step keeps for each sequence, for these numbers of units."""
    return sum(_kept_widths(cell, sizes))


def kept_columns(cell: Cell, place: Place, sizes: Mapping[str, int]) -> slice:
    """Return the columns of a node's value in the numbers that a step keeps."""
    widths = _kept_widths(cell, sizes)
    index = kept_places(cell).index(place)
    return slice(sum(widths[:index]), sum(widths[: index + 1]))


def kept_shapes(
    cell: Cell, rows: int, sizes: Mapping[str, int], recompute: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that a forward pass keeps: `values`, and states by name.

    Args:
        cell: any cell.
        rows: N, or more: further rows are never written to, and so use no memory.
        sizes: number of units of each width.
        recompute: whether only the states are kept, and the backward pass computes the rest again.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if not recompute:
        shapes["values"] = (rows, kept_numbers(cell, sizes))
    for place, (name, state) in enumerate(zip(cell.state_names, cell.states, strict=True)):
        if place or not cell.output_is_hidden:
            shapes[name] = (rows, sizes[state.width])
    return shapes


def sizes_of(cell: Cell, weights: Mapping[str, Any], inputs: int) -> dict[str, int]:
    """Return the number of units of each width, from arrays or tensors that fit the cell."""
    name, gates = _tall(cell)
    units = weights[name].shape[0] // gates
    outputs = weights["weight_hr"].shape[0] if "weight_hr" in weights else units
    return {"H": units, "I": inputs, "P": outputs, "1": 1}


@cache
def _tall(cell: Cell) -> tuple[str, int]:
    """Return a matrix with H rows for each gate: its name and the number of its gates."""
    tall = [matrix for matrix in cell.matrices if matrix.rows == "H"]
    of = next((matrix for matrix in tall if matrix.name == "weight_hh"), tall[0])
    return of.name, len(of.gates)


@cache
def required_arrays(cell: Cell) -> tuple[tuple[str, int], ...]:
    """Return the arrays that a layer needs: the names, and numbers of gates, 0 if no matrix."""
    parameters = [of.name for of in cell.parameters if not of.name.startswith("bias_")]
    return (
        *((matrix.name, len(matrix.gates)) for matrix in cell.matrices),
        *((name, 0) for name in parameters),
    )


@cache
def shapes_for(cell: Cell, inputs: int, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return `parameter_shapes` from a cache; the dictionary must not be changed."""
    return parameter_shapes(cell, {"I": inputs, "H": units, "P": outputs, "1": 1})


def _kept_widths(cell: Cell, sizes: Mapping[str, int]) -> list[int]:
    widths = [cell.tape[place].width for place in kept_places(cell)]
    one = int(native.extension().kept_one)
    return [one if width == "1" else sizes[width] for width in widths]


@cache
def native_cell(cell: Cell, compiled: bool = True) -> Any:
    """Return a cell in the form that the native core takes.

    Args:
        cell: any cell.
        compiled: whether to use code that was generated when the core was built; else all is
            interpreted.

    Raises:
        MissingNativeError: the extension is not built.
    """
    from gated.cells.emit_cpp import listed_cell, listed_plan
    from gated.cells.plans import plans

    core = native.extension()
    made = [core.Plan(*listed_plan(plan, compiled)) for plan in plans(cell)[:4]]
    return core.Cell(*listed_cell(cell), *made)


@cache
def inference_cell(cell: Cell, compiled: bool = True) -> Any:
    """Return the same for calls that keep nothing: without derivatives, in a fifth of the time."""
    from gated.cells.emit_cpp import listed_cell, listed_plan
    from gated.cells.forward_plan import forward_plan

    core = native.extension()
    made = core.Plan(*listed_plan(forward_plan(cell), compiled))
    return core.Cell(*listed_cell(cell), made, made, made, made)
