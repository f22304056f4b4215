"""Cells as the native core takes them, each made once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from gated.cells import library, options
from gated.cells.cell import Cell
from gated.cells.emit_cpp import listed_cell, listed_plan
from gated.cells.plan import plans
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
    """A name by which `named_cell` finds the cell again: for operators that take names alone."""
    key = f"{cell.name}:{cell.digest}"
    _registered[key] = cell
    return key


def named_cell(name: str, weights: Mapping[str, Any]) -> Cell:
    """The cell of this name, with what its weights ask for.

    Raises:
        ConfigurationError: there is no such cell, or it cannot be changed so.
    """
    if name in _registered:
        return _registered[name]
    layout_of(name)
    return _named(name, "gain_hh" in weights, "weight_hr" in weights, "peepholes" in weights)


def varied(cell: Cell, regularisation: Regularisation) -> Cell:
    """A cell with what is done beside its equations, as far as its tape says it."""
    zoneout = regularisation.zoneout or Zoneout()
    zones = (zoneout.hidden > 0, zoneout.cell > 0, *(False for _ in cell.states))
    return _varied(cell, regularisation.hidden_mask is not None, zones[: len(cell.states)])


@cache
def _varied(cell: Cell, dropout: bool, zones: tuple[bool, ...]) -> Cell:
    if dropout:
        cell = options.recurrent_dropout(cell)
    return options.zoneout(cell, zones) if any(zones) else cell


def parameter_shapes(cell: Cell, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of every weight, bias and parameter, in the order of a state dict.

    Args:
        cell: any.
        sizes: how many units each width has.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for of in cell.matrices:
        shapes[of.name] = (len(of.gates) * sizes[of.rows], sizes[of.columns])
    for of in cell.matrices:
        if of.has_bias:
            shapes[of.bias] = (len(of.gates) * sizes[of.rows],)
    for parameter in cell.parameters:
        gates = len(parameter.gates)
        alone = parameter.gates == ("1",)
        flat = parameter.name.startswith(("gain_", "bias_"))  # as they are of PyTorch's layers
        shape = (gates * sizes["H"],) if gates and flat else (gates, sizes["H"])
        shapes[parameter.name] = () if alone else shape if gates else (sizes["H"],)
    return shapes


@cache
def kept_places(cell: Cell) -> tuple[Place, ...]:
    """The nodes that a step of a cell keeps for the way back, gates first."""
    return plans(cell).kept


def kept_numbers(cell: Cell, sizes: Mapping[str, int]) -> int:
    """Numbers that a step keeps for each sequence, of so many units in each width."""
    return sum(_kept_widths(cell, sizes))


def kept_columns(cell: Cell, place: Place, sizes: Mapping[str, int]) -> slice:
    """Where a node's value is among them."""
    widths = _kept_widths(cell, sizes)
    index = kept_places(cell).index(place)
    return slice(sum(widths[:index]), sum(widths[: index + 1]))


def kept_shapes(
    cell: Cell, rows: int, sizes: Mapping[str, int], recompute: bool
) -> dict[str, tuple[int, ...]]:
    """The arrays that a forward pass keeps, by name: `values` and states by theirs.

    Args:
        cell: any.
        rows: N, or more: those behind are never touched, and so cost no memory.
        sizes: how many units each width has.
        recompute: keep the states alone, and compute the rest anew on the way back.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if not recompute:
        shapes["values"] = (rows, kept_numbers(cell, sizes))
    for place, (name, state) in enumerate(zip(cell.state_names, cell.states, strict=True)):
        if place or not cell.output_is_hidden:
            shapes[name] = (rows, sizes[state.width])
    return shapes


def sizes_of(cell: Cell, weights: Mapping[str, Any], inputs: int) -> dict[str, int]:
    """How many units each width has, by arrays or tensors of weights that fit the cell."""
    name, gates = _tall(cell)
    units = weights[name].shape[0] // gates
    outputs = weights["weight_hr"].shape[0] if "weight_hr" in weights else units
    return {"H": units, "I": inputs, "P": outputs, "1": 1}


@cache
def _tall(cell: Cell) -> tuple[str, int]:
    """A matrix that has the rows of so many gates."""
    tall = [matrix for matrix in cell.matrices if matrix.rows == "H"]
    of = next((matrix for matrix in tall if matrix.name == "weight_hh"), tall[0])
    return of.name, len(of.gates)


@cache
def required_arrays(cell: Cell) -> tuple[tuple[str, int], ...]:
    """What a layer of the cell cannot be without: the gates of each matrix, 0 of other arrays."""
    parameters = [of.name for of in cell.parameters if not of.name.startswith("bias_")]
    return (
        *((matrix.name, len(matrix.gates)) for matrix in cell.matrices),
        *((name, 0) for name in parameters),
    )


@cache
def shapes_for(cell: Cell, inputs: int, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """`parameter_shapes`, remembered; not to be written to."""
    return parameter_shapes(cell, {"I": inputs, "H": units, "P": outputs, "1": 1})


def _kept_widths(cell: Cell, sizes: Mapping[str, int]) -> list[int]:
    widths = [cell.tape[place].width for place in kept_places(cell)]
    one = int(native.extension().kept_one)
    return [one if width == "1" else sizes[width] for width in widths]


@cache
def native_cell(cell: Cell, compiled: bool = True) -> Any:
    """A cell for the native core.

    Args:
        cell: any.
        compiled: whether to use what the core was built with, or to interpret all of it.

    Raises:
        MissingNativeError: the extension is not built.
    """
    core = native.extension()
    made = [core.Plan(*listed_plan(plan, compiled)) for plan in plans(cell)[:4]]
    return core.Cell(*listed_cell(cell), *made)
