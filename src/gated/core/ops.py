"""The native core on NumPy arrays, for any cell, forward and backward.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), G gates of the cell, N real steps of all sequences together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gated.cells.cell import Cell
from gated.core import native
from gated.core.arguments import StoredAs, check_gate_names
from gated.core.call import (
    Arrays,
    Backward,
    Call,
    Forward,
    checked_call,
    checked_gradients,
)
from gated.core.layout import Array, Weights
from gated.core.plans import kept_columns, kept_shapes
from gated.core.variants import Regularisation
from gated.errors import ConfigurationError, DataError


@dataclass(frozen=True)
class Kept:
    """Values of a forward pass that the backward pass needs; gates and states can be read too.

    There are rows for real steps only, by time and then by falling length, as in a
    `PackedSequence`: padding takes no memory.
    """

    call: Call
    output: Array
    """(T, B, P)"""
    values: Array | None
    """(N, …): gates, after their activation, and other values; None with `recompute`."""
    history: dict[str, Array]
    """(N, H) for each state that is not the output, by name."""

    def gate(self, name: str) -> Array:
        """Return a gate or state at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name.
            DataError: it was not kept, because of `recompute`.
        """
        cell = self.call.cell
        check_gate_names(cell, "gate", [name])
        names = cell.state_names
        after = [state.after for state in cell.states]
        if cell.named[name] in after:
            name = names[after.index(cell.named[name])]
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
    stored_as: StoredAs = "float32",
    threads: int | None = None,
) -> Forward[Kept]:
    """Run one recurrent layer over whole sequences, in one direction.

    The equations are those of the cell's tape, as in `gated.core.reference`.

    Args:
        cell: any cell, or the name of one of `gated.core.layout.LAYOUTS`.
        x: (T, B, I), float32 or float64. Features must be adjacent in memory; steps and sequences
            may have any stride, so that a transposed (B, T, I) array needs no copy.
        weights: `Weights`, or those of any cell by name, of the dtype of `x`.
        lengths: (B,), the number of real steps of each sequence, in any order; T by default.
            Padding is neither computed nor read.
        initial: the initial states, (B, P) and, of an LSTM, (B, H); zeros by default.
        reverse: whether to run from each sequence's last real step to its first.
        keep: whether to return what `backward` needs too.
        recompute: with `keep`, keep only the states; `backward` computes the gates again, which
            takes a third more time and about a third of the memory.
        regularisation: masks and zoneout, as in `gated.core.variants`.
        per_step: (T, B) for each of the cell's inputs for a step, by name.
        compiled: whether to use code that was generated when the core was built; else all is
            interpreted.
        stored_as: how the core packs the weights, as for `gated.core.stream.Stream`; without
            `keep`, since the backward pass would have to round the weights anew.
        threads: number of threads at most; `gated.core.native.threads()` by default. Results do
            not depend on it.

    Raises:
        ConfigurationError: there is no such cell, the weights do not fit it, or they cannot be
            stored so.
        DataError: an array has another shape, dtype or layout than described above.
        MissingNativeError: the extension is not built.

    >>> ones = np.ones((1, 1), np.float32)
    >>> result = forward("rnn_relu", np.ones((3, 1, 1), np.float32), Weights(ones, ones))
    >>> result.output.ravel()
    array([1., 2., 3.], dtype=float32)
    """
    if keep and stored_as != "float32":
        raise ConfigurationError(f"stored_as={stored_as!r} is for calls without keep=True")
    call = checked_call(
        cell, x, weights, lengths, initial, reverse, regularisation, per_step, compiled, stored_as
    )
    T, B, _ = x.shape
    widths = call.state_widths
    output = np.empty((T, B, widths[0]), x.dtype)
    final = tuple([np.empty((B, width), x.dtype) for width in widths])
    kept: dict[str, Array] = {}
    if keep:
        shapes = kept_shapes(call.cell, call.rows, call.sizes, recompute)
        kept = {name: np.empty(shape, x.dtype) for name, shape in shapes.items()}
    forward_into(call, output, final, kept, threads)
    if not keep:
        return Forward(output, final, None)
    return Forward(output, final, Kept(call, output, kept.pop("values", None), kept))


def forward_into(
    call: Call,
    output: Array,
    final: Sequence[Array],
    kept: Mapping[str, Array],
    threads: int | None = None,
) -> None:
    """Run `forward` into arrays that the caller has allocated.

    Args:
        call: the layer and its sequences.
        output: (T, B, P); of a call in float32 also in `gated.core.call.BFLOAT16`, as the arrays in
            `kept` may be, either all or none: then they are rounded when a step is done.
        final: one array for each state: (B, P), and any others (B, H).
        kept: by the names of `gated.core.plans.kept_shapes`; absent ones are not kept.
        threads: as for `forward`.
    """
    history = [kept.get(name) for name in call.cell.state_names]
    (call.native if kept else call.inference).forward(
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
    """Return the gradients of the arguments of `forward`, given those of its results.

    Args:
        kept: from `forward` with `keep=True`; its arrays must not have changed since.
        grad_output: gradient of the output, (T, B, P), with strides like `x`; padding is not read.
        grad_final: gradient of each final state, in its shape; zeros by default.
        grad_gates: gradients of gates and states at every step, by the names of `kept.gate`, each
            (T, B, H), for a loss that reads them; padding is not read.
        threads: as for `forward`.

    Raises:
        ConfigurationError: `grad_gates` has a name that no gate or state of the cell has.
        DataError: a gradient has another shape, dtype or layout than its array.
    """
    grad_output, last, grads = checked_gradients(kept.call, grad_output, grad_final, grad_gates)
    return backward_packed(kept, grad_output, last, *_packed(kept, grads), threads=threads)


def backward_packed(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array | None],
    grad_values: Array | None,
    grad_history: Mapping[str, Array | None],
    *,
    threads: int | None = None,
    unwanted: Collection[str] = (),
) -> Backward:
    """Do the same as `backward`, with the gradients of gates and states laid out like `kept`.

    Args:
        kept: as for `backward`; or with arrays in `gated.core.call.BFLOAT16`, which are widened
            when a step needs them.
        grad_output: (T, B, P), also in `gated.core.call.BFLOAT16`; the gradient of `x` is of the
            dtype of `x`.
        grad_final: gradient of each state, or None.
        grad_values: laid out like `kept.values`, or None.
        grad_history: laid out like `kept.history`.
        threads: as for `backward`.
        unwanted: `x` and weights by name whose gradients are not computed; theirs are empty.
    """
    call = kept.call
    dtype, cell, B = call.dtype, call.cell, call.x.shape[1]
    if grad_values is not None or any(grad is not None for grad in grad_history.values()):
        # The core takes the gradients of all of them or of none: absent ones are zero.
        if grad_values is None:
            shape = kept_shapes(cell, call.rows, call.sizes, recompute=False)["values"]
            grad_values = np.zeros(shape, dtype)
        missing = {
            n: np.zeros_like(of) for n, of in kept.history.items() if grad_history.get(n) is None
        }
        grad_history = {**grad_history, **missing}
    grad_x = np.empty(call.x.shape, call.x.dtype)
    matrices = {matrix.name for matrix in cell.matrices}
    grads = {  # of a bias, the core writes only the blocks that are used
        name: (np.empty_like if name in matrices else np.zeros_like)(array)
        for name, array in call.arrays.items()
    }
    wanted = {name: grad for name, grad in grads.items() if name not in unwanted}
    initial = tuple(np.empty((B, width), dtype) for width in call.state_widths)
    per_step = tuple(np.zeros(array.shape, dtype) for array in call.per_step)
    call.native.backward(
        kept.output,
        kept.values,
        [kept.history.get(name) for name in cell.state_names],
        grad_output,
        list(grad_final),
        grad_values,
        [grad_history.get(name) for name in cell.state_names],
        None if "x" in unwanted else grad_x,
        [wanted.get(matrix.name) for matrix in cell.matrices],
        [wanted.get(matrix.bias) if matrix.has_bias else None for matrix in cell.matrices],
        [wanted.get(of.name) for of in cell.parameters],
        list(per_step),
        list(initial),
        threads or native.threads(),
    )
    if call.regularisation.weight_mask is not None:
        grads["weight_hh"] *= call.regularisation.weight_mask
    as_given = Weights(**grads) if isinstance(call.weights, Weights) else grads
    return Backward(grad_x, as_given, initial, per_step)


def _packed(kept: Kept, grads: dict[str, Array]) -> tuple[Array | None, dict[str, Array | None]]:
    """Return padded gradients of gates and states (T, B, H) in the layout of `kept`."""
    if not grads:
        return None, {}
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
