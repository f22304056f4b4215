"""The arguments of one layer in one direction, checked, and its results.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), G gates of the cell, N real steps of all sequences together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.cells.cell import Cell
from gated.core import native
from gated.core.arguments import (
    StoredAs,
    check_gate_names,
    check_lengths,
    check_shape,
    check_stored_as,
    check_variant,
)
from gated.core.layout import Array, Weights, layout_of
from gated.core.plans import (
    inference_cell,
    named_cell,
    native_cell,
    required_arrays,
    shapes_for,
    sizes_of,
    varied,
)
from gated.core.variants import Regularisation, Zoneout, check_regularisation
from gated.errors import ConfigurationError, DataError

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
BFLOAT16 = np.dtype(np.uint16)
"""Of arrays of bfloat16, by its bits; they belong to calls in float32."""
_ALWAYS = frozenset({"weight_ih", "weight_hh", "bias_ih", "bias_hh"})
"""Weights that every named cell may have."""
_NONE = Regularisation()
_NO_ZONEOUT = Zoneout()
K = TypeVar("K")
Arrays = Weights[Array] | Mapping[str, Array]
"""The weights of a layer and direction: PyTorch's, or those of any cell by name."""


@dataclass(frozen=True)
class Call:
    """The checked arguments of one layer in one direction, for forward and backward."""

    cell: Cell
    """The cell, with dropout and zoneout applied."""
    x: Array
    """(T, B, I); of a layer in float32 also in `BFLOAT16`."""
    weights: Arrays
    initial: tuple[Array | None, ...]
    """The initial states: (B, P), and any others (B, H); zeros where None."""
    lengths: NDArray[np.int64] | None
    """(B,), the real steps of each sequence; None where all have T."""
    reverse: bool
    regularisation: Regularisation
    arrays: dict[str, Array]
    """The weights by name, without absent ones."""
    sizes: dict[str, int]
    """Number of units of each of the cell's widths: H, I, P and 1."""
    per_step: tuple[Array, ...] = ()
    """The cell's inputs for each step, (T, B) each."""
    compiled: bool = True
    """Whether to use code that was generated when the core was built; else all is interpreted."""
    stored_as: StoredAs = "float32"
    """How the native core packs the weights."""

    @cached_property
    def native(self) -> Any:
        """The same as the native core takes it: made once for the way forward and the way back."""
        return self.native_layer(native_cell(self.cell, self.compiled), self.per_step)

    @cached_property
    def inference(self) -> Any:
        """The same for the way forward alone, of which nothing is kept."""
        return self.native_layer(inference_cell(self.cell, self.compiled), self.per_step)

    def native_layer(self, cell: Any, per_step: Sequence[Array | None]) -> Any:
        """The same for another native cell with the same weights.

        Args:
            cell: as `native_cell` returns it.
            per_step: the cell's per-step inputs; None for those that it never reads.
        """
        core = native.extension()
        zoneout = self.regularisation.zoneout or _NO_ZONEOUT
        return (core.Layer32 if self.dtype == np.float32 else core.Layer64)(
            cell,
            self.x,
            self.units,
            self.outputs,
            self.lengths,
            self.reverse,
            *native_arrays(self.cell, self.masked_arrays, self.units, self.dtype),
            [self.regularisation.hidden_mask] * len(self.cell.per_sequence),
            list(per_step),
            list(self.initial),
            probabilities_of(zoneout, len(self.initial)),
            zoneout.seed,
            getattr(core.Format, self.stored_as),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """What is computed in: float32 or float64."""
        return computed_in(self.x)

    @property
    def units(self) -> int:
        """H."""
        return self.sizes["H"]

    @property
    def outputs(self) -> int:
        """P."""
        return self.sizes["P"]

    @property
    def rows(self) -> int:
        """N."""
        T, B, _ = self.x.shape
        return T * B if self.lengths is None else int(self.lengths.sum())

    @property
    def masked_arrays(self) -> dict[str, Array]:
        """The weights by name, with the mask of weight drop applied."""
        mask = self.regularisation.weight_mask
        if mask is None:
            return self.arrays
        return {**self.arrays, "weight_hh": self.arrays["weight_hh"] * mask}

    @cached_property
    def state_widths(self) -> tuple[int, ...]:
        """Number of units of each state."""
        return tuple(self.sizes[state.width] for state in self.cell.states)


def computed_in(x: Array) -> np.dtype[Any]:
    """The dtype of the sums and states of a layer with this input."""
    return _DTYPES[0] if x.dtype == BFLOAT16 else x.dtype


def probabilities_of(zoneout: Zoneout, states: int) -> list[float]:
    """Return the probability of zoneout for each state."""
    return [*zoneout.rates, *(0.0 for _ in range(len(zoneout.rates), states))]


def native_arrays(
    cell: Cell, arrays: Mapping[str, Array], units: int, dtype: Any
) -> tuple[list[Array | None], list[Array | None], list[Array]]:
    """Return weights, biases and parameters of a cell in the form that the core takes."""
    return (
        [arrays[matrix.name] for matrix in cell.matrices],
        [arrays.get(matrix.bias) if matrix.has_bias else None for matrix in cell.matrices],
        [
            arrays[of.name] if of.name in arrays else np.zeros((len(of.gates), units), dtype)
            for of in cell.parameters  # absent: bias_cell of a normalised layer without biases
        ],
    )


class Forward(NamedTuple, Generic[K]):
    """The results of a layer in one direction."""

    output: Array
    """(T, B, P), the hidden state at every step; zeros in the padding."""
    final: tuple[Array, ...]
    """The states after each sequence's last step: (B, P), and any others (B, H)."""
    kept: K | None
    """What `backward` needs; None without `keep=True`."""


class Backward(NamedTuple):
    """The gradients of the arguments of `forward`."""

    x: Array
    """(T, B, I); zeros in the padding."""
    weights: Any
    """`Weights`, or a dictionary by name: the type that `forward` was given."""
    initial: tuple[Array, ...]
    per_step: tuple[Array, ...] = ()


def named_arrays(weights: Arrays) -> dict[str, Array]:
    """Return the weights by name, without absent ones."""
    if isinstance(weights, Weights):
        fields = zip(Weights._fields, weights, strict=True)
        return {name: array for name, array in fields if array is not None}
    return {name: array for name, array in weights.items() if array is not None}


def checked_call(
    cell: str | Cell,
    x: Array,
    weights: Arrays,
    lengths: ArrayLike | None,
    initial: Sequence[Array] | None,
    reverse: bool,
    regularisation: Regularisation | None,
    per_step: Mapping[str, Array] | None = None,
    compiled: bool = True,
    stored_as: StoredAs = "float32",
    may_be_narrow: bool = False,
) -> Call:
    """Return the arguments of `forward`, checked.

    Args:
        cell: as for `forward`, and so all others.
        may_be_narrow: whether x may be in `BFLOAT16`.

    Raises:
        ConfigurationError: as for `forward`.
        DataError: as for `forward`.
    """
    _check_input(x, may_be_narrow)
    dtype = computed_in(x)
    if stored_as != "float32":
        check_stored_as(stored_as)
        if dtype != np.float32:
            raise ConfigurationError(
                f"stored_as is {stored_as!r}, which is for float32 weights: x is {x.dtype}"
            )
    T, B, inputs = x.shape
    arrays = named_arrays(weights)
    if isinstance(cell, str) and isinstance(weights, Weights):
        _check_named(cell, weights, arrays)
    plain = named_cell(cell, arrays) if isinstance(cell, str) else cell
    sizes = _check_arrays(plain, arrays, inputs, dtype)
    if regularisation is None or all(of is None for of in regularisation):
        regularisation, changed = _NONE, plain
    else:
        recurrent = arrays["weight_hh"].shape if "weight_hh" in arrays else ()
        check_regularisation(regularisation, plain.state_names, (B, sizes["P"]), recurrent, dtype)
        for name in ("hidden_mask", "weight_mask"):
            mask = getattr(regularisation, name)
            if mask is not None:
                _check_block(name, mask, mask.shape, dtype)
        changed = varied(plain, regularisation)
    widths = tuple(sizes[state.width] for state in plain.states)
    start = _checked_states("initial", initial, plain.state_names, B, widths, dtype)
    spans = None if lengths is None else check_lengths(lengths, T, B)
    return Call(
        changed,
        x,
        weights,
        start,
        spans,
        reverse,
        regularisation,
        arrays,
        sizes,
        _checked_per_step(plain, per_step, (T, B), sizes, dtype),
        compiled,
        stored_as,
    )


def checked_gradients(
    call: Call,
    grad_output: Array,
    grad_final: Sequence[Array] | None,
    grad_gates: Mapping[str, Array] | None,
) -> tuple[Array, tuple[Array | None, ...], dict[str, Array]]:
    """Return the arguments of `backward`, checked.

    Returns:
        The gradients of the output (including that of the hidden state in `grad_gates`, if it is
        the output), of the final states, and of other gates and states by name.

    Raises:
        ConfigurationError: `grad_gates` has a name that no gate or state of the cell has.
        DataError: a gradient has another shape, dtype or layout than its array.
    """
    cell, dtype = call.cell, call.x.dtype
    T, B, _ = call.x.shape
    shape = (T, B, call.state_widths[0])
    _check_gradient("grad_output", grad_output, shape, "(T, B, P)", dtype)
    last = _checked_states("grad_final", grad_final, cell.state_names, B, call.state_widths, dtype)
    check_gate_names(cell, "grad_gates", grad_gates or {})
    grads: dict[str, Array] = {}
    for name, grad in (grad_gates or {}).items():
        of_gate = (T, B, call.sizes[cell.tape[cell.named[name]].width])
        _check_gradient(f"grad_gates[{name!r}]", grad, of_gate, "(T, B, H)", dtype)
        kept = cell.one_name[name]
        grads[kept] = grads[kept] + grad if kept in grads else grad
    hidden = cell.state_names[0]
    if cell.output_is_hidden and hidden in grads:  # both are gradients of the same array
        grad_output = grad_output + grads.pop(hidden)
    return grad_output, last, grads


def _check_gradient(
    name: str, array: Array, shape: tuple[int, ...], meaning: str, dtype: np.dtype[Any]
) -> None:
    check_shape(name, array, shape, meaning)
    _check_dtype(name, array, dtype)
    _check_side_by_side(name, array)


# Calls of few steps cost little more than their checks: what is as it should be is seen at once.


def _check_input(x: Array, may_be_narrow: bool = False) -> None:
    if not isinstance(x, np.ndarray):
        raise DataError(f"x must be a NumPy array, got {type(x).__name__}")
    if x.ndim != 3:
        raise DataError(f"x must have the shape (T, B, I), got {x.shape}")
    if x.dtype not in _DTYPES and not (may_be_narrow and x.dtype == BFLOAT16):
        raise DataError(f"x must be float32 or float64, got {x.dtype}")
    _check_side_by_side("x", x)


def _check_side_by_side(name: str, array: Array) -> None:
    if array.flags.c_contiguous and array.flags.aligned:
        return
    side_by_side = array.shape[2] < 2 or array.strides[2] == array.itemsize
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.size and not (side_by_side and whole and array.flags.aligned):
        raise DataError(
            f"the features of {name} (its last axis) must be adjacent in memory, got strides of "
            f"{array.strides} bytes; numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_named(cell: str, weights: Weights[Array], arrays: Mapping[str, Array]) -> None:
    """Refuse weights that cannot belong to the cell of this name."""
    if not _ALWAYS.issuperset(arrays):
        check_variant(cell, weights)
    gates = len(layout_of(cell).gates)
    recurrent = weights.weight_hh
    if type(recurrent) is np.ndarray and recurrent.ndim == 2:
        rows, columns = recurrent.shape
        if rows and columns and rows % gates == 0:
            return
    rows = np.shape(recurrent)[0] if np.ndim(recurrent) == 2 else 0
    if rows == 0 or recurrent.shape[1] < 1 or rows % gates:
        raise DataError(
            f"weight_hh must have the shape ({gates}·H, H) with H of at least 1, "
            f"got {np.shape(recurrent)}"
        )


def _check_arrays(
    cell: Cell, arrays: Mapping[str, Array], inputs: int, dtype: np.dtype[Any]
) -> dict[str, int]:
    """Check that the weights fit each other and x; return the number of units of each width."""
    for name, gates in required_arrays(cell):
        array = arrays.get(name)
        if type(array) is np.ndarray and array.ndim == 2 and gates:
            rows = array.shape[0]
            if rows and rows % gates == 0:
                continue
        if array is None:
            raise DataError(f"the cell {cell.name} needs {name}, got {', '.join(arrays)}")
        if gates and (np.ndim(array) != 2 or not len(array) or len(array) % gates):
            raise DataError(
                f"{name} must have the rows of {gates} gates, one or more each, and two "
                f"dimensions, got the shape {np.shape(array)}"
            )
    sizes = sizes_of(cell, arrays, inputs)
    shapes = shapes_for(cell, inputs, sizes["H"], sizes["P"])
    for name, array in arrays.items():
        if name not in shapes:
            raise DataError(f"the cell {cell.name} has no {name}: it has {', '.join(shapes)}")
        _check_block(name, array, shapes[name], dtype)
    return sizes


def _checked_states(
    name: str,
    given: Sequence[Array] | None,
    states: tuple[str, ...],
    sequences: int,
    widths: tuple[int, ...],
    dtype: np.dtype[Any],
) -> tuple[Array | None, ...]:
    if given is None:
        return (None,) * len(states)
    if not isinstance(given, (tuple, list)) or len(given) != len(states):
        raise DataError(
            f"{name} must be the states ({', '.join(states)}), got {type(given).__name__}"
            + (f" of {len(given)}" if isinstance(given, (tuple, list)) else "")
        )
    for state, array, width in zip(states, given, widths, strict=True):
        _check_block(f"{name} {state}", array, (sequences, width), dtype)
    return tuple(given)


def _checked_per_step(
    cell: Cell,
    given: Mapping[str, Array] | None,
    shape: tuple[int, int],
    sizes: Mapping[str, int],
    dtype: np.dtype[Any],
) -> tuple[Array, ...]:
    if not given and not cell.per_step:
        return ()
    found = dict(given or {})
    if sorted(found) != sorted(cell.per_step):
        raise DataError(
            f"the cell {cell.name} takes for each step: {', '.join(cell.per_step) or 'nothing'}; "
            f"got {', '.join(found) or 'nothing'}"
        )
    for name, width in cell.per_step_widths.items():
        wide = shape if width == "1" else (*shape, sizes[width])
        _check_block(name, found[name], wide, dtype)
    return tuple(found[name] for name in cell.per_step)


def _check_block(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that an array has this shape and dtype and is contiguous in memory."""
    if type(array) is np.ndarray and array.shape == shape and array.dtype is dtype:
        flags = array.flags
        if flags.c_contiguous and flags.aligned:
            return
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} must be a NumPy array, got {type(array).__name__}")
    check_shape(name, array, shape)
    _check_dtype(name, array, dtype)
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise DataError(
            f"{name} must be contiguous in memory, got strides of {array.strides} bytes; "
            f"numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_dtype(name: str, array: Array, dtype: np.dtype[Any]) -> None:
    if array.dtype != dtype:
        raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
