"""The door to the native core: NumPy arrays in, NumPy arrays out, for any cell.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), G gates of the cell, N the real steps of all sequences
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.cells.cell import Cell
from gated.core import native
from gated.core.arguments import check_gate_names, check_lengths, check_shape, check_variant
from gated.core.layout import Array, Weights, layout_of
from gated.core.plans import (
    kept_columns,
    kept_shapes,
    named_cell,
    native_cell,
    required_arrays,
    shapes_for,
    sizes_of,
    varied,
)
from gated.core.variants import Regularisation, Zoneout, check_regularisation
from gated.errors import DataError

_NONE, _NO_ZONEOUT = Regularisation(), Zoneout()
Arrays = Weights[Array] | Mapping[str, Array]
"""The weights of a layer and direction: PyTorch's, or those of any cell by name."""


@dataclass(frozen=True)
class Call:
    """One layer in one direction on its sequences: what forward and backward both take."""

    cell: Cell
    """With all that is done beside its equations."""
    x: Array
    """(T, B, I)"""
    weights: Arrays
    initial: tuple[Array | None, ...]
    """(B, P) and whatever other states there are, (B, H); zeros where None."""
    lengths: NDArray[np.int64] | None
    """(B), or None where all sequences have T steps."""
    reverse: bool
    regularisation: Regularisation
    arrays: dict[str, Array]
    """The weights there are, by name."""
    sizes: dict[str, int]
    """How many units each width has."""
    per_step: tuple[Array, ...] = ()
    """(T, B) each."""
    compiled: bool = True
    """Whether to use what the core was built with, or to interpret all of it."""

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
    def state_widths(self) -> tuple[int, ...]:
        """The units of each state."""
        return tuple(self.sizes[state.width] for state in self.cell.states)

    def native(self) -> Any:
        """The same for the native core."""
        core = native.extension()
        single = self.x.dtype == np.float32
        regularisation = self.regularisation
        arrays = self.arrays
        if regularisation.weight_mask is not None:
            dropped = arrays["weight_hh"] * regularisation.weight_mask
            arrays = arrays | {"weight_hh": dropped}
        zoneout = regularisation.zoneout or _NO_ZONEOUT
        return (core.Layer32 if single else core.Layer64)(
            native_cell(self.cell, self.compiled),
            self.x,
            self.units,
            self.outputs,
            self.lengths,
            self.reverse,
            *native_arrays(self.cell, arrays, self.units, self.x.dtype),
            [regularisation.hidden_mask] * len(self.cell.per_sequence),
            list(self.per_step),
            list(self.initial),
            probabilities_of(zoneout, len(self.initial)),
            zoneout.seed,
        )


def probabilities_of(zoneout: Zoneout, states: int) -> list[float]:
    """Of zoneout, one for each state: the first two can keep their old value."""
    return [zoneout.hidden, zoneout.cell, *(0.0 for _ in range(2, states))][:states]


def named_arrays(weights: Arrays) -> dict[str, Array]:
    """The weights there are, by name."""
    given = weights._asdict() if isinstance(weights, Weights) else weights
    return {name: array for name, array in given.items() if array is not None}


def native_arrays(
    cell: Cell, arrays: Mapping[str, Array], units: int, dtype: Any
) -> tuple[list[Array | None], list[Array | None], list[Array]]:
    """Weights, biases and parameters of a cell, as the core takes them."""
    return (
        [arrays[matrix.name] for matrix in cell.matrices],
        [arrays.get(matrix.bias) if matrix.has_bias else None for matrix in cell.matrices],
        [
            arrays[of.name] if of.name in arrays else np.zeros((len(of.gates), units), dtype)
            for of in cell.parameters  # layers without bias have none that is normalised
        ],
    )


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside.

    Rows are those of real steps alone, by time and then by falling length, as in a
    `PackedSequence`: padding takes no memory.
    """

    call: Call
    output: Array
    """(T, B, P)"""
    values: Array | None
    """(N, …): gates, after their activation, and what else is not computed anew."""
    history: dict[str, Array]
    """(N, H) of each state that is not the output, by name."""

    def gate(self, name: str) -> Array:
        """A gate or state of every sequence at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name, or it was not kept.
        """
        cell = self.call.cell
        check_gate_names(cell, "gate", [name])
        names = cell.state_names
        after = [state.after for state in cell.states]
        if name in cell.gates and cell.gates[name] in after:
            name = names[after.index(cell.gates[name])]
        if name == names[0] and cell.output_is_hidden:
            return self.output
        if name in names:
            return self._padded(self.history[name])
        if self.values is None:
            raise DataError(f"{name} was not kept: leave out recompute=True")
        columns = kept_columns(cell, cell.gates[name], self.call.sizes)
        return self._padded(self.values[:, columns])

    def _padded(self, rows: Array) -> Array:
        T, B, _ = self.call.x.shape
        if self.call.lengths is None:
            return rows.reshape(T, B, rows.shape[-1])
        lengths = self.call.lengths
        running = np.arange(T)[:, None] < np.sort(lengths)[::-1]
        by_rank = np.zeros((*running.shape, rows.shape[-1]), rows.dtype)
        by_rank[running] = rows[: self.call.rows]
        padded = np.empty_like(by_rank)
        padded[:, np.argsort(-lengths, kind="stable")] = by_rank
        return padded


class Forward(NamedTuple):
    """What a layer makes of its sequences in one direction."""

    output: Array
    """(T, B, P), the hidden state at every step; zeros in the padding."""
    final: tuple[Array, ...]
    """The states after each sequence's last step, (B, P) and, of an LSTM, (B, H)."""
    kept: Kept | None
    """With `keep=True`."""


class Backward(NamedTuple):
    """The gradients of everything that `forward` took."""

    x: Array
    """(T, B, I); zeros in the padding."""
    weights: Any
    """In the form in which they were given."""
    initial: tuple[Array, ...]
    per_step: tuple[Array, ...] = ()


def forward(
    cell: str | Cell,
    x: Array,
    weights: Arrays,
    *,
    lengths: ArrayLike | None = None,
    initial: Sequence[Array] | None = None,
    reverse: bool = False,
    keep: bool = False,
    recompute: bool = False,
    regularisation: Regularisation | None = None,
    per_step: Mapping[str, Array] | None = None,
    compiled: bool = True,
    threads: int | None = None,
) -> Forward:
    """One recurrent layer over whole sequences, in one direction.

    The equations, and their papers, are those of `gated.core.reference`.

    Args:
        cell: any, or the name of one of `gated.core.layout.LAYOUTS`.
        x: (T, B, I), float32 or float64; its features lie side by side, its steps and sequences
            anywhere, so that a transposed (B, T, I) array is read as it is.
        weights: in PyTorch's order, or those of any cell by name, of the dtype of `x`.
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding
            costs nothing, and is never read.
        initial: the states to start from, (B, P) and, of an LSTM, (B, H); zeros where not given.
        reverse: from each sequence's last real step to its first.
        keep: also return what `backward` needs.
        recompute: with `keep`, keep the states alone: `backward` computes the gates once more,
            which takes a third more time and about a third of the memory.
        regularisation: masks and zoneout, as in `gated.core.variants`.
        per_step: (T, B) of each of the cell's inputs for a step, by name.
        compiled: whether to use what the core was built with, or to interpret all of it.
        threads: at most so many; as `gated.core.native.threads` says where not given. Results do
            not depend on it.

    Raises:
        ConfigurationError: `cell` is none of these, or cannot be combined with the weights given.
        DataError: an array has another shape, dtype or layout than asked for.
        MissingNativeError: the extension is not built.

    >>> ones = np.ones((1, 1), np.float32)
    >>> result = forward("rnn_relu", np.ones((3, 1, 1), np.float32), Weights(ones, ones))
    >>> result.output.ravel()
    array([1., 2., 3.], dtype=float32)
    """
    call = checked_call(
        cell, x, weights, lengths, initial, reverse, regularisation, per_step, compiled
    )
    T, B, _ = x.shape
    output = np.empty((T, B, call.state_widths[0]), x.dtype)
    final = tuple(np.empty((B, width), x.dtype) for width in call.state_widths)
    kept: dict[str, Array] = {}
    if keep:
        shapes = kept_shapes(call.cell, call.rows, call.sizes, recompute)
        kept = {name: np.empty(shape, x.dtype) for name, shape in shapes.items()}
    forward_into(call, output, final, kept, threads)
    if not keep:
        return Forward(output, final, None)
    return Forward(output, final, Kept(call, output, kept.pop("values", None), kept))


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
) -> Call:
    """The arguments of `forward`, checked.

    Raises:
        ConfigurationError: as `forward`.
        DataError: as `forward`.
    """
    native.extension()
    _check_input(x)
    T, B, inputs = x.shape
    arrays = named_arrays(weights)
    if isinstance(cell, str) and isinstance(weights, Weights):
        _check_named(cell, weights)
    plain = named_cell(cell, arrays) if isinstance(cell, str) else cell
    sizes = _check_arrays(plain, arrays, inputs, x.dtype)
    if regularisation is None or all(of is None for of in regularisation):
        regularisation, changed = _NONE, plain
    else:
        recurrent = arrays["weight_hh"].shape if "weight_hh" in arrays else ()
        check_regularisation(regularisation, (B, sizes["P"]), recurrent, x.dtype)
        for name in ("hidden_mask", "weight_mask"):
            mask = getattr(regularisation, name)
            if mask is not None:
                _check_block(name, mask, mask.shape, x.dtype)
        changed = varied(plain, regularisation)
    widths = tuple(sizes[state.width] for state in plain.states)
    start = _checked_states("initial", initial, plain.state_names, B, widths, x.dtype)
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
        _checked_per_step(plain, per_step, (T, B), x.dtype),
        compiled,
    )


def forward_into(
    call: Call,
    output: Array,
    final: Sequence[Array],
    kept: Mapping[str, Array],
    threads: int | None = None,
) -> None:
    """Run forward into arrays that the caller has made.

    Args:
        call: the layer and its sequences.
        output: (T, B, P).
        final: a state each, (B, P) and whatever others there are, (B, H).
        kept: by the names of `gated.core.plans.kept_shapes`; what is missing is not kept.
        threads: as for `forward`.
    """
    history = [kept.get(name) for name in call.cell.state_names]
    call.native().forward(
        output, list(final), kept.get("values"), history, threads or native.threads()
    )


def backward(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array] | None = None,
    grad_gates: Mapping[str, Array] | None = None,
    *,
    threads: int | None = None,
) -> Backward:
    """The gradients of a loss, given those of what `forward` gave.

    Args:
        kept: from `forward` with `keep=True`; what it holds must not have changed since.
        grad_output: (T, B, P), laid out like `x`; padding is never read.
        grad_final: of each final state, in its shape; zeros where not given.
        grad_gates: of gates and states at every step, by the names that `kept.gate` knows, each
            (T, B, H), for a loss that reads them; padding is never read.
        threads: as for `forward`.

    Raises:
        ConfigurationError: the cell has no gate of a name in `grad_gates`.
        DataError: a gradient has another shape, dtype or layout than what it is the gradient of.
    """
    call = kept.call
    dtype = call.x.dtype
    cell = call.cell
    _check_gradient("grad_output", grad_output, kept.output.shape, "(T, B, P)", dtype)
    last = _checked_states(
        "grad_final", grad_final, cell.state_names, kept.output.shape[1], call.state_widths, dtype
    )
    grads = dict(grad_gates or {})
    check_gate_names(cell, "grad_gates", grads)
    for name, grad in grads.items():
        width = call.outputs if name == "hidden" else call.units
        of_state = (*kept.output.shape[:2], width)
        _check_gradient(f"grad_gates[{name!r}]", grad, of_state, "(T, B, H)", dtype)
    hidden = cell.state_names[0]
    if cell.output_is_hidden and hidden in grads:  # the output under another name
        grad_output = grad_output + grads.pop(hidden)
    return backward_packed(kept, grad_output, last, *_packed(kept, grads), threads=threads)


def backward_packed(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array | None],
    grad_values: Array | None,
    grad_history: Mapping[str, Array | None],
    *,
    threads: int | None = None,
) -> Backward:
    """The same as `backward`, with the gradients of gates and states laid out like `kept`.

    Args:
        kept: as for `backward`.
        grad_output: (T, B, P).
        grad_final: of each state, or None.
        grad_values: laid out like `kept.values`, or None.
        grad_history: laid out like `kept.history`.
        threads: as for `backward`.
    """
    call = kept.call
    dtype, cell, B = call.x.dtype, call.cell, call.x.shape[1]
    if grad_values is not None or any(grad is not None for grad in grad_history.values()):
        # Whoever reads one of them reads all: the others have gradients of zero.
        if grad_values is None:
            shape = kept_shapes(cell, call.rows, call.sizes, recompute=False)["values"]
            grad_values = np.zeros(shape, dtype)
        missing = {
            n: np.zeros_like(of) for n, of in kept.history.items() if grad_history.get(n) is None
        }
        grad_history = {**grad_history, **missing}
    grad_x = np.empty(call.x.shape, dtype)
    matrices = {matrix.name for matrix in cell.matrices}
    grads = {  # of a bias, the core gives the blocks that anything depends on
        name: (np.empty_like if name in matrices else np.zeros_like)(array)
        for name, array in call.arrays.items()
    }
    initial = tuple(np.empty((B, width), dtype) for width in call.state_widths)
    per_step = tuple(np.zeros(array.shape, dtype) for array in call.per_step)
    call.native().backward(
        kept.output,
        kept.values,
        [kept.history.get(name) for name in cell.state_names],
        grad_output,
        list(grad_final),
        grad_values,
        [grad_history.get(name) for name in cell.state_names],
        grad_x,
        [grads[matrix.name] for matrix in cell.matrices],
        [grads.get(matrix.bias) if matrix.has_bias else None for matrix in cell.matrices],
        [grads.get(of.name) for of in cell.parameters],
        list(per_step),
        list(initial),
        threads or native.threads(),
    )
    if call.regularisation.weight_mask is not None:
        grads["weight_hh"] *= call.regularisation.weight_mask
    as_given = Weights(**grads) if isinstance(call.weights, Weights) else grads
    return Backward(grad_x, as_given, initial, per_step)


def _packed(kept: Kept, grads: dict[str, Array]) -> tuple[Array | None, dict[str, Array | None]]:
    """Padded gradients of gates and of states (T, B, H), laid out as they are kept."""
    call = kept.call
    T, B, _ = call.x.shape
    lengths = np.full(B, T) if call.lengths is None else call.lengths
    order = np.argsort(-lengths, kind="stable")
    running = np.arange(T)[:, None] < lengths[order]
    history: dict[str, Array | None] = {
        name: np.ascontiguousarray(grads.pop(name)[:, order][running])
        for name in kept.history
        if name in grads
    }
    values = None
    if grads:
        shape = kept_shapes(call.cell, call.rows, call.sizes, recompute=False)["values"]
        values = np.zeros(shape, call.x.dtype)
        for name, grad in grads.items():
            columns = kept_columns(call.cell, call.cell.gates[name], call.sizes)
            values[:, columns] = grad[:, order][running]
    return values, history


def _check_gradient(
    name: str, array: Array, shape: tuple[int, ...], meaning: str, dtype: np.dtype[Any]
) -> None:
    check_shape(name, array, shape, meaning)
    _check_dtype(name, array, dtype)
    _check_side_by_side(name, array)


def _check_input(x: Array) -> None:
    if not isinstance(x, np.ndarray):
        raise DataError(f"x must be a NumPy array, got {type(x).__name__}")
    if x.ndim != 3:
        raise DataError(f"x must have the shape (T, B, I), got {x.shape}")
    if x.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DataError(f"x must be float32 or float64, got {x.dtype}")
    _check_side_by_side("x", x)


def _check_side_by_side(name: str, array: Array) -> None:
    side_by_side = array.shape[2] < 2 or array.strides[2] == array.itemsize
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.size and not (side_by_side and whole and array.flags.aligned):
        raise DataError(
            f"the features of {name} (its last axis) must lie side by side in memory, got the "
            f"strides {array.strides} bytes; numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_named(cell: str, weights: Weights[Array]) -> None:
    """Refuse weights that cannot be those of the cell of this name."""
    check_variant(cell, weights)
    gates = len(layout_of(cell).gates)
    recurrent = weights.weight_hh
    rows = np.shape(recurrent)[0] if np.ndim(recurrent) == 2 else 0
    if rows == 0 or recurrent.shape[1] < 1 or rows % gates:
        raise DataError(
            f"weight_hh must have the shape ({gates}·H, H) with H of at least 1, "
            f"got {np.shape(recurrent)}"
        )


def _check_arrays(
    cell: Cell, arrays: Mapping[str, Array], inputs: int, dtype: np.dtype[Any]
) -> dict[str, int]:
    """Refuse weights that do not fit together and to x; how many units each width has."""
    for name, gates in required_arrays(cell):
        array = arrays.get(name)
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
    cell: Cell, given: Mapping[str, Array] | None, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[Array, ...]:
    if not given and not cell.per_step:
        return ()
    found = dict(given or {})
    if sorted(found) != sorted(cell.per_step):
        raise DataError(
            f"the cell {cell.name} takes for each step: {', '.join(cell.per_step) or 'nothing'}; "
            f"got {', '.join(found) or 'nothing'}"
        )
    for name, array in found.items():
        _check_block(name, array, shape, dtype)
    return tuple(found[name] for name in cell.per_step)


def _check_block(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what the core cannot read as one block."""
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name} must be a NumPy array, got {type(array).__name__}")
    check_shape(name, array, shape)
    _check_dtype(name, array, dtype)
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise DataError(
            f"{name} must be contiguous in memory, got the strides {array.strides} bytes; "
            f"numpy.ascontiguousarray({name}) makes such a copy"
        )


def _check_dtype(name: str, array: Array, dtype: np.dtype[Any]) -> None:
    if array.dtype != dtype:
        raise DataError(f"{name} must have the dtype of x, {dtype}, got {array.dtype}")
