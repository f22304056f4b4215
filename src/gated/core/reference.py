"""The reference implementation: recurrent layers of any cell in NumPy, forward and backward.

A step evaluates the tape of its cell, node by node; the backward pass evaluates its derivative.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.cells.cell import Cell
from gated.cells.derivative import Derivative, derivative
from gated.cells.evaluate import ARITHMETIC, Equations, Functions
from gated.core.arguments import check_gate_names
from gated.core.call import Arrays, Backward, Call, Forward, checked_call, checked_gradients
from gated.core.layout import Array, Weights
from gated.core.variants import Regularisation

HoldAt: TypeAlias = Callable[[int, NDArray[np.int64], str, Array], Array]
"""A function from the time, the running sequences, the name of a gate or state, and its value by
the equations, (B, H), to the value that is used instead."""


class Step(NamedTuple):
    """The values of one step, for the sequences that have not ended."""

    time: int
    running: NDArray[np.int64]
    """Indices of these sequences."""
    given: dict[str, Any]
    """Its arguments, as `gated.cells.evaluate.Equations.values` takes them."""
    values: list[Array]
    """The value of each node of the cell's tape."""

    def of(self, rows: Any) -> Step:
        """Return the step for some of its sequences only."""

        def chosen(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: chosen(of) for name, of in value.items()}
            return value[rows] if np.ndim(value) == 2 else value

        return Step(
            self.time, self.running[rows], chosen(self.given), list(map(chosen, self.values))
        )


@dataclass(frozen=True)
class Kept:
    """Values of a forward pass that the backward pass needs; gates and states can be read too."""

    call: Call
    equations: Equations
    steps: list[Step] = field(default_factory=list)
    """In the order of computation."""

    def gate(self, name: str) -> Array:
        """Return a gate or state at every step, (T, B, H); zeros in the padding.

        The hidden state of a projected LSTM is (T, B, P).

        Raises:
            ConfigurationError: the cell has no gate or state of this name.
        """
        cell = self.call.cell
        check_gate_names(cell, "gate", [name])
        place = cell.named[name]
        width = self.call.sizes[cell.tape[place].width]
        padded = np.zeros((*self.call.x.shape[:2], width), self.call.x.dtype)
        for step in self.steps:
            padded[step.time, step.running] = step.values[place]
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
    regularisation: Regularisation | None = None,
    per_step: Mapping[str, Array] | None = None,
    hold: HoldAt | None = None,
) -> Forward[Kept]:
    """Run one recurrent layer over whole sequences, in one direction.

    Args:
        cell: any cell, or the name of one of `gated.core.layout.LAYOUTS`.
        x: (T, B, I), float32 or float64.
        weights: `Weights`, or those of any cell by name, of the dtype of `x`.
        lengths: (B,), the number of real steps of each sequence, in any order; T by default.
            Padding is never read.
        initial: the initial states, zeros by default.
        reverse: whether to run from each sequence's last real step to its first.
        keep: whether to return what `backward` needs too, every value at every step.
        regularisation: masks and zoneout; none by default.
        per_step: (T, B) for each of the cell's inputs for a step, by name.
        hold: replaces the value of each gate and state where it is computed; everything after is
            computed from the new value. States are held at the end of a step: the hidden state
            after the projection, both after zoneout. h_t is computed from the held cell state,
            except with zoneout, which comes after h_t is computed. Gradients are then not those of
            the equations.

    Raises:
        ConfigurationError: there is no such cell.
        DataError: an array has another shape or dtype than described above.

    >>> ones = np.ones((1, 1))
    >>> forward("rnn_relu", np.ones((3, 1, 1)), Weights(ones, ones)).output.ravel()
    array([1., 2., 3.])
    """
    call = checked_call(cell, x, weights, lengths, initial, reverse, regularisation, per_step)
    return run(call, keep=keep, hold=hold)


def run(call: Call, *, keep: bool = False, hold: HoldAt | None = None) -> Forward[Kept]:
    """Do the same as `forward`, with arguments that have been checked."""
    kept = Kept(call, equations(call.cell, call.masked_arrays, call.sizes))
    x, reverse = call.x, call.reverse
    T, B, _ = x.shape
    ends = np.full(B, T) if call.lengths is None else call.lengths
    output = np.zeros((T, B, call.state_widths[0]), x.dtype)
    states = [
        np.zeros((B, width), x.dtype) if start is None else start.copy()
        for start, width in zip(call.initial, call.state_widths, strict=True)
    ]
    for t in reversed(range(T)) if reverse else range(T):
        running = np.flatnonzero(t < ends)
        given = _given(call, t, running, [state[running] for state in states])
        held = None if hold is None else _held(call.cell, hold, t, running)
        values = kept.equations.values(given, hold=held)
        for state, of in zip(states, call.cell.states, strict=True):
            state[running] = values[of.after]
        output[t, running] = values[call.cell.output]
        if keep:
            kept.steps.append(Step(t, running, given, values))
    return Forward(output, tuple(states), kept if keep else None)


def backward(
    kept: Kept,
    grad_output: Array,
    grad_final: Sequence[Array] | None = None,
    grad_gates: Mapping[str, Array] | None = None,
) -> Backward:
    """Return the gradients of the arguments of `forward`, given those of its results.

    Args:
        kept: from `forward` with `keep=True`.
        grad_output: gradient of the output, (T, B, P); padding is not read.
        grad_final: gradient of each final state, in its shape; zeros by default.
        grad_gates: gradients of gates and states at every step, by the names and in the shapes of
            `kept.gate`, for a loss that reads them; padding is not read.

    Raises:
        ConfigurationError: `grad_gates` has a name that no gate or state of the cell has.
        DataError: a gradient has another shape than its array.
    """
    call = kept.call
    grad_output, last, grads = checked_gradients(call, grad_output, grad_final, grad_gates)
    grad_states = [
        np.zeros((call.x.shape[1], width), call.x.dtype) if grad is None else grad.copy()
        for grad, width in zip(last, call.state_widths, strict=True)
    ]
    grad_x = np.zeros_like(call.x)
    grad_weights = {name: np.zeros_like(array) for name, array in call.arrays.items()}
    grad_per_step = {
        name: np.zeros_like(of) for name, of in zip(call.cell.per_step, call.per_step, strict=True)
    }
    for step in reversed(kept.steps):
        t, running = step.time, step.running
        of_step = step_backward(
            kept.equations,
            step,
            [grad[running] for grad in grad_states],
            grad_output[t, running],
            {name: grad[t, running] for name, grad in grads.items()},
        )
        of_step.add_to(grad_weights)
        grad_x[t, running] = of_step.x
        for name, grad in of_step.per_step.items():
            whole = grad_per_step[name].reshape(*call.x.shape[:2], -1)
            whole[t, running] = np.broadcast_to(grad, (len(running), whole.shape[2]))
        for whole, grad in zip(grad_states, of_step.states, strict=True):
            whole[running] = grad
    if call.regularisation.weight_mask is not None:
        grad_weights["weight_hh"] *= call.regularisation.weight_mask
    named = isinstance(call.weights, Weights)
    return Backward(
        grad_x,
        Weights(**grad_weights) if named else grad_weights,
        tuple(grad_states),
        tuple(grad_per_step.values()),
    )


class StepGradients(NamedTuple):
    """The gradients of the arguments of one step."""

    equations: Equations
    of: Derivative
    step: Step
    values: list[Array]
    """The value of each node of the derivative's tape."""

    @property
    def states(self) -> list[Array]:
        """The gradient of each previous state, (B, ·)."""
        found = [self.values[place] for place in self.of.states]
        for state, place in self.of.into_states:
            found[state] = found[state] + self.values[place]
        return found

    @property
    def x(self) -> Array:
        """The gradient of the input, (B, I)."""
        tape, found = self.equations.cell.tape, self.values[self.of.input]
        for (block, source), place in self.of.sums.items():
            if tape[source].operation == "input":
                found = found + self.values[place] @ self.equations.blocks[block][0]
        return found

    @property
    def per_step(self) -> dict[str, Array]:
        """The gradients of the inputs for each step, (B, 1), by name."""
        return {name: self.values[place] for name, place in self.of.per_step.items()}

    def add_to(self, grads: dict[str, Array]) -> None:
        """Add this step's part to the gradients of weights, biases and parameters, by name."""
        cell, sizes, count = self.equations.cell, self.equations.sizes, len(self.step.running)
        for (block, source), place in self.of.sums.items():
            matrix = cell.matrix(block.matrix)
            height = sizes[matrix.rows]
            first = matrix.gates.index(block.gate) * height
            grad = np.broadcast_to(self.values[place], (count, height))
            of_heads = zip(
                np.split(grads[matrix.name][first : first + height], matrix.heads),
                np.split(grad, matrix.heads, axis=1),
                np.split(self.step.values[source], matrix.heads, axis=1),
                strict=True,
            )
            for rows, of_head, taken in of_heads:
                rows += of_head.T @ taken
            if matrix.has_bias and matrix.bias in grads:
                grads[matrix.bias][first : first + height] += grad.sum(axis=0)
        for of in cell.parameters:
            for row, gate in enumerate(of.gates or ("",)):
                node = self.of.parameters.get((of.name, gate))  # type: ignore[call-overload]
                if node is None or of.name not in grads:
                    continue
                if gate == "1":
                    grads[of.name] += np.broadcast_to(self.values[node], (count, 1)).sum()
                else:
                    rows = grads[of.name].reshape(len(of.gates) or 1, -1)
                    rows[row] += np.broadcast_to(self.values[node], (count, sizes["H"])).sum(axis=0)


def step_backward(
    equations: Equations,
    step: Step,
    grad_states: Sequence[Array],
    grad_output: Array | float = 0.0,
    grad_gates: Mapping[str, Array] | None = None,
) -> StepGradients:
    """Return the gradients of the arguments of a step, given those of its results.

    Args:
        equations: of the cell, with its weights.
        step: a step that has run, for B sequences or for one.
        grad_states: gradient of each state after it, (B, ·).
        grad_output: gradient of its output, (B, P).
        grad_gates: gradients of gates and states, (B, H), by name.
    """
    cell = equations.cell
    of = _derivative(cell, bool(grad_gates))
    output = step.values[cell.output]
    dtype = output.dtype
    if np.ndim(grad_output) == 0:  # products with a matrix need its features
        grad_output = np.full_like(output, grad_output)
    given = step.given | {
        "value": dict(enumerate(step.values)),
        "grad_output": np.asarray(grad_output, dtype),
        "grad_state": dict(enumerate(grad_states)),
        "grad_gate": dict.fromkeys(cell.watched, dtype.type(0))
        | {cell.named[name]: grad for name, grad in (grad_gates or {}).items()},
    }
    return StepGradients(equations, of, step, equations.values(given, of.tape))


def equations(cell: Cell, arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> Equations:
    """Return the equations of a cell with its weights, evaluated in NumPy.

    Args:
        cell: with dropout and zoneout in its tape.
        arrays: the weights by name.
        sizes: number of units of each width.
    """
    return Equations(cell, arrays, sizes, _functions(next(iter(arrays.values())).dtype))


_derivative = cache(derivative)


def _given(call: Call, t: int, running: NDArray[np.int64], states: list[Array]) -> dict[str, Any]:
    """Return the arguments of the step at time t."""
    zoneout, mask = call.regularisation.zoneout, call.regularisation.hidden_mask
    given: dict[str, Any] = {"input": call.x[t, running], "state": dict(enumerate(states))}
    given["per_step"] = {
        name: of[t, running, None] if of.ndim == 2 else of[t, running]
        for name, of in zip(call.cell.per_step, call.per_step, strict=True)
    }
    if mask is not None:
        given["per_sequence"] = {"hidden_mask": mask[running]}
    if zoneout is not None:
        given["draw"] = {
            k: zoneout.kept(k, t, running, state.shape[-1], state.dtype)
            for k, state in enumerate(states)
        }
    return given


def _held(cell: Cell, hold: HoldAt, t: int, running: NDArray[np.int64]) -> Callable[..., Any]:
    names: dict[int, list[str]] = {}
    for name, place in cell.named.items():
        names.setdefault(place, []).append(name)

    def held(place: int, value: Array) -> Array:
        for name in names.get(place, ()):
            value = hold(t, running, name, value)
        return value

    return held


def sigmoid(a: Array) -> Array:
    """Return σ(a) = 1 / (1 + exp(-a)), accurate and without overflow for either sign."""
    z = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + z), z / (1 + z))


@cache
def _functions(dtype: np.dtype[Any]) -> Functions:
    def linear(vectors: Array, weight: Array, bias: Array | None) -> Array:
        return vectors @ weight.T if bias is None else vectors @ weight.T + bias

    def spread(value: Array, units: int) -> Array:
        return np.broadcast_to(value, (*np.shape(value)[:-1], units))

    return {
        **ARITHMETIC,
        "constant": dtype.type,
        "linear": linear,
        "spread": spread,
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": lambda v: np.maximum(v, dtype.type(0)),
        "softplus": lambda v: np.logaddexp(v, dtype.type(0)),
        "exp": np.exp,
        "log": np.log,
        "sqrt": np.sqrt,
        "abs": np.abs,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "less": lambda a, b: np.less(a, b).astype(dtype),
        "less_equal": lambda a, b: np.less_equal(a, b).astype(dtype),
        "equal": lambda a, b: np.equal(a, b).astype(dtype),
        "where": lambda condition, a, b: np.where(condition != 0, a, b),
        "sum": lambda v: v.sum(axis=-1, keepdims=True),
    }
