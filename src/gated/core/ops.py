"""The door to the native core: NumPy arrays in, NumPy arrays out.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), G gates of the cell, N the real steps of all sequences
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.core import native
from gated.core.arguments import check_gate_names, check_lengths, check_shape, check_variant
from gated.core.layout import Array, Weights, layout_of, weight_shapes
from gated.core.variants import Regularisation, Zoneout, check_regularisation
from gated.errors import ConfigurationError, DataError

KEPT_SCALES = 6
"""Numbers per step that layer normalisation keeps beside what it normalised."""


@dataclass(frozen=True)
class Call:
    """One layer in one direction on its sequences: what forward and backward both take."""

    cell: str
    x: Array
    """(T, B, I)"""
    weights: Weights[Array]
    initial: tuple[Array | None, Array | None]
    """(B, P) and, of an LSTM, (B, H); zeros where None."""
    lengths: NDArray[np.int64] | None
    """(B), or None where all sequences have T steps."""
    reverse: bool
    regularisation: Regularisation

    @property
    def units(self) -> int:
        """H."""
        return len(self.weights.weight_hh) // len(layout_of(self.cell).gates)

    @property
    def outputs(self) -> int:
        """P."""
        return int(self.weights.weight_hh.shape[1])

    @property
    def rows(self) -> int:
        """N."""
        T, B, _ = self.x.shape
        return T * B if self.lengths is None else int(self.lengths.sum())

    def native(self) -> Any:
        """The same for the native core."""
        core = native.extension()
        single = self.x.dtype == np.float32
        regularisation = self.regularisation
        zoneout = regularisation.zoneout or Zoneout(0.0, 0.0, None)
        return (core.Layer32 if single else core.Layer64)(
            getattr(core.Cell, self.cell),
            self.x,
            self.lengths,
            self.reverse,
            (core.WeightsRead32 if single else core.WeightsRead64)(*native_order(self.weights)),
            *self.initial,
            regularisation.hidden_mask,
            regularisation.weight_mask,
            core.Zoneout(*zoneout),
        )


@dataclass(frozen=True)
class Kept:
    """What a forward pass leaves for the backward pass, and for whoever looks inside.

    Gates and cell states are those of real steps alone, by time and then by falling length, as in a
    `PackedSequence`: padding takes no memory.
    """

    call: Call
    output: Array
    """(T, B, P)"""
    gates: Array | None
    """(N, K, H), after their activation, in the order of the weights; for the GRU with the reset
    gate after the product then the hidden state's part of the candidate."""
    cells: Array | None
    """(N, H), of an LSTM."""
    normalised: Array | None = None
    """(N, 2, G, H), the sums of input and of hidden state, normalised."""
    scales: Array | None = None
    """(N, …), what normalised them."""

    def gate(self, name: str) -> Array:
        """A gate or state of every sequence at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name, or it was not kept.
        """
        check_gate_names(self.call.cell, "gate", [name])
        if name == "hidden":
            return self.output
        if name == "cell" and self.cells is not None:
            return self._padded(self.cells)
        if self.gates is None:
            raise ConfigurationError(f"{name} was not kept: leave out recompute=True")
        return self._padded(self.gates[:, layout_of(self.call.cell).gates.index(name)])

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


def kept_shapes(
    cell: str, rows: int, units: int, layer_norm: bool, recompute: bool
) -> dict[str, tuple[int, ...]]:
    """The arrays that a forward pass keeps for the backward pass, by the names of `Kept`.

    Args:
        cell: one of `gated.core.layout.LAYOUTS`.
        rows: N, or more: those behind are never touched, and so cost no memory.
        units: H.
        layer_norm: whether the weights have gains.
        recompute: keep the states alone, and compute the rest anew on the way back.
    """
    layout = layout_of(cell)
    shapes: dict[str, tuple[int, ...]] = {}
    if not recompute:
        shapes["gates"] = (rows, layout.kept, units)
    if "cell" in layout.states:
        shapes["cells"] = (rows, units)
    if layer_norm and not recompute:
        shapes["normalised"] = (rows, 2, len(layout.gates), units)
        shapes["scales"] = (rows, KEPT_SCALES)
    return shapes


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
    weights: Weights[Array]
    initial: tuple[Array, ...]


def forward(
    cell: str,
    x: Array,
    weights: Weights[Array],
    *,
    lengths: ArrayLike | None = None,
    initial: Sequence[Array] | None = None,
    reverse: bool = False,
    keep: bool = False,
    recompute: bool = False,
    regularisation: Regularisation | None = None,
    threads: int | None = None,
) -> Forward:
    """One recurrent layer over whole sequences, in one direction.

    The equations, and their papers, are those of `gated.core.reference`.

    Args:
        cell: one of `gated.core.layout.LAYOUTS`.
        x: (T, B, I), float32 or float64; its features lie side by side, its steps and sequences
            anywhere, so that a transposed (B, T, I) array is read as it is.
        weights: in PyTorch's order, of the dtype of `x`.
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding
            costs nothing, and is never read.
        initial: the states to start from, (B, P) and, of an LSTM, (B, H); zeros where not given.
        reverse: from each sequence's last real step to its first.
        keep: also return what `backward` needs.
        recompute: with `keep`, keep the states alone: `backward` computes the gates once more,
            which takes a third more time and about a third of the memory.
        regularisation: masks and zoneout, as in `gated.core.variants`.
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
    call = checked_call(cell, x, weights, lengths, initial, reverse, regularisation)
    T, B, _ = x.shape
    output = np.empty((T, B, call.outputs), x.dtype)
    final = tuple(np.empty((B, width), x.dtype) for width in _state_widths(call))
    kept: dict[str, Array] = {}
    if keep:
        layer_norm = weights.gain_hh is not None
        shapes = kept_shapes(cell, call.rows, call.units, layer_norm, recompute)
        kept = {name: np.empty(shape, x.dtype) for name, shape in shapes.items()}
    forward_into(call, output, final, kept, threads)
    if not keep:
        return Forward(output, final, None)
    return Forward(
        output,
        final,
        Kept(
            call,
            output,
            kept.get("gates"),
            kept.get("cells"),
            kept.get("normalised"),
            kept.get("scales"),
        ),
    )


def checked_call(
    cell: str,
    x: Array,
    weights: Weights[Array],
    lengths: ArrayLike | None,
    initial: Sequence[Array] | None,
    reverse: bool,
    regularisation: Regularisation | None,
) -> Call:
    """The arguments of `forward`, checked.

    Raises:
        ConfigurationError: as `forward`.
        DataError: as `forward`.
    """
    native.extension()
    _check_input(x)
    T, B, _ = x.shape
    units, outputs = _check_weights(cell, weights, x)
    regularisation = regularisation or Regularisation()
    check_regularisation(regularisation, (B, outputs), weights.weight_hh.shape, x.dtype)
    for name in ("hidden_mask", "weight_mask"):
        mask = getattr(regularisation, name)
        if mask is not None:
            _check_block(name, mask, mask.shape, x.dtype)
    widths = (outputs, units)
    start = _checked_states("initial", initial, layout_of(cell).states, B, widths, x.dtype)
    spans = None if lengths is None else check_lengths(lengths, T, B)
    return Call(cell, x, weights, start, spans, reverse, regularisation)


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
        final: a state each, (B, P) and, of an LSTM, (B, H).
        kept: by the names of `kept_shapes`; what is missing is not kept.
        threads: as for `forward`.
    """
    core = native.extension()
    kind = core.Kept32 if call.x.dtype == np.float32 else core.Kept64
    places = (kept.get(name) for name in ("gates", "cells", "normalised", "scales"))
    call.native().forward(output, *_pair(final), kind(*places), threads or native.threads())


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
    states = layout_of(call.cell).states
    _check_gradient("grad_output", grad_output, kept.output.shape, "(T, B, P)", dtype)
    shape = (kept.output.shape[1], (call.outputs, call.units))
    last = _checked_states("grad_final", grad_final, states, *shape, dtype)
    grads = dict(grad_gates or {})
    check_gate_names(call.cell, "grad_gates", grads)
    for name, grad in grads.items():
        width = call.outputs if name == "hidden" else call.units
        of_state = (*kept.output.shape[:2], width)
        _check_gradient(f"grad_gates[{name!r}]", grad, of_state, "(T, B, H)", dtype)
    if "hidden" in grads:  # the output under another name
        grad_output = grad_output + grads.pop("hidden")
    return backward_packed(kept, grad_output, last, *_packed(kept, grads), threads=threads)


def backward_packed(
    kept: Kept,
    grad_output: Array,
    grad_final: tuple[Array | None, Array | None],
    grad_gates: Array | None,
    grad_cells: Array | None,
    *,
    threads: int | None = None,
) -> Backward:
    """The same as `backward`, with the gradients of gates and cell states laid out like `kept`.

    Args:
        kept: as for `backward`.
        grad_output: (T, B, P).
        grad_final: (B, P) and, of an LSTM, (B, H).
        grad_gates: laid out like `kept.gates`, or None.
        grad_cells: laid out like `kept.cells`, or None.
        threads: as for `backward`.
    """
    call = kept.call
    dtype = call.x.dtype
    grad_x = np.empty(call.x.shape, dtype)
    weights: Weights[Any] = Weights(
        *(None if w is None else np.empty_like(w) for w in call.weights)
    )
    initial = tuple(np.empty((call.x.shape[1], width), dtype) for width in _state_widths(call))
    core = native.extension()
    single = dtype == np.float32
    kind = core.KeptRead32 if single else core.KeptRead64
    call.native().backward(
        kept.output,
        kind(kept.gates, kept.cells, kept.normalised, kept.scales),
        grad_output,
        *grad_final,
        kind(grad_gates, grad_cells, None, None),
        grad_x,
        (core.Weights32 if single else core.Weights64)(*native_order(weights)),
        *_pair(initial),
        threads or native.threads(),
    )
    return Backward(grad_x, weights, initial)


def _packed(kept: Kept, grads: dict[str, Array]) -> tuple[Array | None, Array | None]:
    """Padded gradients of gates and of cell states (T, B, H), laid out as they are kept."""
    call = kept.call
    T, B, _ = call.x.shape
    lengths = np.full(B, T) if call.lengths is None else call.lengths
    order = np.argsort(-lengths, kind="stable")
    running = np.arange(T)[:, None] < lengths[order]
    cells = grads.pop("cell", None)
    names = layout_of(call.cell).gates
    gates = None
    if grads:
        gates = np.zeros((call.rows, layout_of(call.cell).kept, call.units), call.x.dtype)
        for name, grad in grads.items():
            gates[:, names.index(name)] = grad[:, order][running]
    return gates, None if cells is None else np.ascontiguousarray(cells[:, order][running])


_NATIVE_ORDER: Callable[[Weights[Any]], tuple[Any, ...]] = itemgetter(
    *(place for place, name in enumerate(Weights._fields) if name != "peepholes")
)


def native_order(weights: Weights[Any]) -> tuple[Any, ...]:
    """The weights as the native core takes them: it has no peepholes."""
    return _NATIVE_ORDER(weights)


def _state_widths(call: Call) -> tuple[int, ...]:
    return (call.outputs, call.units)[: len(layout_of(call.cell).states)]


def _check_gradient(
    name: str, array: Array, shape: tuple[int, ...], meaning: str, dtype: np.dtype[Any]
) -> None:
    check_shape(name, array, shape, meaning)
    _check_dtype(name, array, dtype)
    _check_side_by_side(name, array)


def _pair(states: Sequence[Array]) -> tuple[Array, Array | None]:
    """The hidden state and, if there is one, the cell state."""
    return states[0], states[1] if len(states) == 2 else None


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


def _check_weights(cell: str, weights: Weights[Array], x: Array) -> tuple[int, int]:
    """H and P, by weights that fit together and to `x`."""
    gates = len(layout_of(cell).gates)
    if weights.peepholes is not None:
        raise ConfigurationError(
            "the native core does not know peepholes yet; gated.core.reference does"
        )
    check_variant(cell, weights)
    recurrent = weights.weight_hh
    rows = np.shape(recurrent)[0] if np.ndim(recurrent) == 2 else 0
    if rows == 0 or recurrent.shape[1] < 1 or rows % gates:
        raise DataError(
            f"weight_hh must have the shape ({gates}·H, H) with H of at least 1, "
            f"got {np.shape(recurrent)}"
        )
    outputs = int(recurrent.shape[1])
    units = outputs if weights.weight_hr is None else rows // gates
    shapes = weight_shapes(cell, x.shape[2], units, outputs)
    for name, shape in shapes._asdict().items():
        weight = getattr(weights, name)
        if weight is not None or name in ("weight_ih", "weight_hh"):
            _check_block(name, weight, shape, x.dtype)
    return units, outputs


def _checked_states(
    name: str,
    given: Sequence[Array] | None,
    states: tuple[str, ...],
    sequences: int,
    widths: tuple[int, int],
    dtype: np.dtype[Any],
) -> tuple[Array | None, Array | None]:
    if given is None:
        return None, None
    if not isinstance(given, (tuple, list)) or len(given) != len(states):
        raise DataError(
            f"{name} must be the states ({', '.join(states)}), got {type(given).__name__}"
            + (f" of {len(given)}" if isinstance(given, (tuple, list)) else "")
        )
    for state, array, width in zip(states, given, widths, strict=False):
        _check_block(f"{name} {state}", array, (sequences, width), dtype)
    return _pair(tuple(given))


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
