"""A layer's two passes on plain tensors, for one layer or for members side by side.

Members are layers that differ in their weights, as of an ensemble: their tensors are stacked along
the first axis. What autograd and the transforms make of these passes is in `gated.nn.transforms`.

Shapes: T steps, B sequences, V members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from gated.core import ops
from gated.core.call import Call
from gated.core.plans import parameter_shapes
from gated.core.rows import Outer, RowGradients, Sums, backward_by_rows, sums_of
from gated.nn.operators import (
    LayerCall,
    Saved,
    as_array,
    packed_rows,
    padded_rows,
    put_together,
    run_back,
    run_into,
)

Maybe: TypeAlias = Tensor | None
R = TypeVar("R")

WORTH_THREADS = 200_000_000
"""Multiplications of all members from which on it pays to start threads for them: some 10 ms."""


@dataclass
class Way:
    """The arguments of a layer besides tensors, and what its forward pass saves."""

    saved: Saved
    kept: int = 0
    """How many kept values are results too, all or none, (T, B, ·), behind the final states."""
    shown: tuple[int, ...] = ()
    """The states that are results too at every step, (T, B, ·), behind the final states."""
    members: int = 0
    """How many layers stand side by side, stacked along the first axis of every tensor and result;
    0 for one alone, without that axis."""
    calls: Sequence[Call] = ()
    """Of each member, checked; they share the memory of the tensors."""
    read: Sequence[Tensor] = ()
    """What the backward pass reads: the output, and the kept values."""
    joined: Way | None = None
    """Under `vmap`: the way of the one larger batch that this batch is a part of."""

    def anew(self, **changes: Any) -> Way:
        """The same for other tensors: without what the forward pass saved."""
        return replace(self, **{"calls": (), "read": (), "joined": None, **changes})

    @property
    def results(self) -> int:
        """How many results there are."""
        return 1 + self.saved.initial + len(self.shown) + self.kept


def _layer_calls(way: Way, tensors: Sequence[Tensor]) -> list[LayerCall]:
    return [put_together(way.saved, given) for given in _of_each(way, tensors)]


def _of_each(way: Way, tensors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """The tensors of each member."""
    if not way.members:
        return [tuple(tensors)]
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))


def side_by_side(works: Sequence[Callable[[int], R]], multiplications: int) -> list[R]:
    """Call functions with the number of threads that each may use, several at once if that pays."""
    threads = torch.get_num_threads()
    if threads == 1 or len(works) < threads or multiplications < WORTH_THREADS:
        return [work(threads) for work in works]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda work: work(1), works))


def _multiplications(calls: Sequence[Call]) -> int:
    T, B, _ = map(int, calls[0].x.shape)
    return len(calls) * T * B * sum(int(array.size) for array in calls[0].arrays.values())


def forward(way: Way, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the results of a layer, and save in `way` what its backward pass needs."""
    layer_calls = _layer_calls(way, tensors)
    keep = layer_calls[0].keep
    if way.shown and not keep:  # the states alone
        layer_calls = [call._replace(keep=True, recompute=True) for call in layer_calls]
    calls, results = _forward(way, layer_calls)
    last = 1 + way.saved.initial
    if keep:
        # The backward pass reads the output, which callers may change, and no final state.
        way.calls, way.read = calls, [results[0]._lazy_clone(), *results[last:]]
    kept = results[last:] if way.kept else []
    for state in way.shown:
        names, states = layer_calls[0].kept_names(), layer_calls[0].changed_cell.state_names
        history = results[last + names.index(states[state])]
        kept.append(history.clone() if keep else history)
    return [*results[:last], *(_steps_of(way, rows, layer_calls) for rows in kept)]


def _forward(way: Way, layer_calls: Sequence[LayerCall]) -> tuple[list[Call], list[Tensor]]:
    calls = [call.checked() for call in layer_calls]
    results = layer_calls[0].fresh(way.members)
    works = [
        partial(run_into, *of)
        for of in zip(layer_calls, calls, _of_each(way, results), strict=True)
    ]
    side_by_side(works, _multiplications(calls))
    return calls, results


def _steps_of(way: Way, rows: Tensor, layer_calls: Sequence[LayerCall]) -> Tensor:
    """Kept values at every step, (T, B, ·)."""
    call = layer_calls[0]
    T, B, _ = call.x.shape
    if not way.members:
        return padded_rows(rows, (T, B), call.lengths)
    if call.lengths is None:
        return torch.unflatten(rows, 1, (T, B))
    of_each = zip(rows.unbind(), layer_calls, strict=True)
    return torch.stack([padded_rows(of, (T, B), each.lengths) for of, each in of_each])


def _read_by(way: Way, tensors: Sequence[Tensor]) -> tuple[list[LayerCall], Way]:
    """The calls, and what their backward pass reads, after a forward pass if none saved it."""
    layer_calls = [call._replace(keep=True) for call in _layer_calls(way, tensors)]
    if way.read:
        return layer_calls, way
    calls, results = _forward(way, layer_calls)
    return layer_calls, way.anew(calls=calls, read=[results[0], *results[1 + way.saved.initial :]])


def backward(
    way: Way, tensors: Sequence[Tensor], grads: Sequence[Maybe], wanted: Sequence[bool]
) -> list[Maybe]:
    """Return the gradients of a layer's tensors; those that are not wanted are None.

    Args:
        way: of the forward pass; one that saved nothing has it run once more.
        tensors: of the layer.
        grads: of its results, in their order; None for zeros.
        wanted: for each differentiable tensor.
    """
    layer_calls, way = _read_by(way, tensors)
    reads = _of_each(way, way.read)

    def one(place: int, threads: int) -> list[Maybe]:
        call, (output, *kept) = layer_calls[place], reads[place]
        own = [grad if grad is None or not way.members else grad[place] for grad in grads]
        own += [None] * (way.results - len(own))
        results = call.named([output, *call.initial, *kept])
        first = 1 + len(call.initial)
        given = [*own[:first], *_kept_grads(way, call, own[first:])]
        return run_back(results, way.calls[place], given, wanted, threads)

    works = [partial(one, place) for place in range(len(layer_calls))]
    found = side_by_side(works, _multiplications(way.calls))
    if not way.members:
        return found[0]
    return [
        torch.stack(of_each) if want else None
        for of_each, want in zip(zip(*found, strict=True), wanted, strict=False)
    ]


def _kept_grads(way: Way, call: LayerCall, grads: Sequence[Maybe]) -> list[Maybe]:
    """The gradients of all kept values, from those of the ones that are results."""
    names, states = call.kept_names(), call.changed_cell.state_names
    shown = names if way.kept else [states[state] for state in way.shown]
    found: list[Maybe] = [None] * len(names)
    for name, grad in zip(shown, grads, strict=True):
        if grad is not None:
            found[names.index(name)] = packed_rows(grad, call.lengths)
    return found


# The gradients of the weights by each part of a batch.


def has_gradients_of_each(call: LayerCall) -> bool:
    """Whether `backward_of_each` can be had for this call's cell."""
    return not call.recompute and sums_of(call.changed_cell) is not None


def backward_of_each(
    way: Way, size: int, tensors: Sequence[Tensor], grads: Sequence[Maybe], wanted: Sequence[bool]
) -> list[Maybe]:
    """Do the same as `backward` for a batch of `size` equal parts, with the weights' by each part.

    One pass for all rows, and then a batched product for each block of the weights.

    Returns:
        Gradients in the shape of the tensors; those of weights with a first axis (size).
    """
    (call,), way = _read_by(way, tensors)
    of, checked = call.changed_cell, way.calls[0]
    sums = sums_of(of)
    assert sums is not None  # noqa: S101 - the caller has asked
    output, *kept = way.read
    results = call.named([output, *call.initial, *kept])
    arrays = {name: tensor.numpy() for name, tensor in results.kept.items()}
    grad_output, *finals = map(as_array, grads)
    found = backward_by_rows(
        ops.Kept(checked, output.numpy(), arrays.pop("values"), arrays),
        sums,
        np.zeros(output.shape, checked.x.dtype) if grad_output is None else grad_output,
        finals,
        threads=torch.get_num_threads(),
        with_input=wanted[0],
    )
    names = call.names.split(",")
    of_weights = {name for name, want in zip(names, wanted[1:], strict=False) if want}
    by_name = _weights_of_each(call, results.output, results.kept, sums, found, size, of_weights)
    rest = [torch.from_numpy(array) for array in (*found.initial, *found.per_step)]
    of_all = [torch.from_numpy(found.x), *(by_name.get(name) for name in names), *rest]
    return [of if want else None for of, want in zip(of_all, wanted, strict=True)]


def _weights_of_each(
    call: LayerCall,
    output: Tensor,
    kept: dict[str, Tensor],
    sums: Sums,
    rows: RowGradients,
    size: int,
    wanted: set[str],
) -> dict[str, Tensor]:
    of = call.changed_cell
    shapes = parameter_shapes(of, call.sizes)
    blocks = {(outer.matrix, outer.block) for outer in sums.outers}
    whole = {  # matrices all of whose blocks are written
        matrix.name
        for matrix in of.matrices
        if all((matrix.name, block) in blocks for block in range(len(matrix.gates)))
    }
    found = {
        name: (torch.empty if name in whole else torch.zeros)(
            size, *shapes[name], dtype=call.x.dtype
        )
        for name in wanted
    }
    slots = [torch.from_numpy(array) for array in rows.sums]
    parts = [_in_parts(slot, size) for slot in slots]
    vectors: dict[tuple[str, int], Tensor] = {}

    def vector(outer: Outer) -> Tensor:
        """What the weights were multiplied by, (size, rows of a part, ·)."""
        key = outer.base, outer.number
        if key not in vectors:
            if outer.base == "slot":
                vectors[key] = parts[outer.number]
            else:
                vectors[key] = _in_parts(_steps(call, output, kept, *key), size)
        return vectors[key]

    begun: set[tuple[str, int]] = set()
    for outer in sums.outers:
        if outer.matrix in wanted:
            grad = parts[outer.gradient].transpose(1, 2)
            height = grad.shape[1]
            to = found[outer.matrix][:, outer.block * height : (outer.block + 1) * height]
            is_first = (outer.matrix, outer.block) not in begun
            begun.add((outer.matrix, outer.block))
            torch.baddbmm(to, grad, vector(outer), beta=0 if is_first else 1, out=to)
    for part in sums.vectors:
        if part.name in wanted:
            grad = parts[part.gradient].sum(1)
            to = found[part.name].view(size, -1)
            to[:, part.block * grad.shape[1] : (part.block + 1) * grad.shape[1]] += grad
    return found


def _in_parts(steps: Tensor, size: int) -> Tensor:
    """(T, B, ·) as (size, T·B / size, ·)."""
    T, B, width = steps.shape
    if size == B:
        return steps.transpose(0, 1)
    return steps.view(T, size, B // size, width).transpose(0, 1).reshape(size, -1, width)


def _steps(
    call: LayerCall, output: Tensor, kept: dict[str, Tensor], base: str, state: int
) -> Tensor:
    """The input or a state at every step, (T, B, ·); zeros in the padding."""
    T, B, _ = call.x.shape
    lengths = call.lengths
    if base == "input":
        if lengths is None:
            return call.x
        return torch.where((torch.arange(T)[:, None] < lengths).unsqueeze(-1), call.x, 0)
    of = call.changed_cell
    is_output = state == 0 and of.output_is_hidden
    after = output if is_output else padded_rows(kept[of.state_names[state]], (T, B), lengths)
    if base == "after":
        return after
    start = call.initial[state].unsqueeze(0)
    if not call.reverse:
        return torch.cat([start, after[:-1]])
    before = torch.cat([after[1:], start])
    if lengths is not None:
        some = lengths.nonzero().squeeze(1)
        before[lengths[some] - 1, some] = call.initial[state][some]
    return before
