"""How members under `vmap` become one larger batch of a layer, or layers side by side.

Shapes: T steps, B sequences, V members that are mapped over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from gated.nn.members import Way
from gated.nn.operators import Saved

Apply: TypeAlias = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


def batch_axes(way: Way) -> list[int | None]:
    """The batch axis of each of a layer's tensors, None where it has none."""
    saved, behind = way.saved, int(way.members > 0)
    lengths, hidden_mask, _, seed = saved.optional
    return [
        behind + 1,
        *(None for _ in range(saved.weights)),
        *(behind for _ in range(saved.initial)),
        *(behind + 1 for _ in range(saved.per_step)),
        *(behind for there in (lengths, hidden_mask) if there),
        *(None for there in (seed,) if there),
    ]


def result_axes(way: Way) -> list[int | None]:
    """The batch axis of each of a layer's results."""
    behind = int(way.members > 0)
    states, shown = way.saved.initial, len(way.shown)
    steps = behind + 1
    return [steps, *(behind for _ in range(states)), *(steps for _ in range(shown + way.kept))]


def is_one_batch(saved: Saved, dims: Sequence[int | None], axes: Sequence[int | None]) -> bool:
    """Whether all members can be sequences of one larger batch: they share the weights.

    Not with zoneout in training, which draws by the index in the batch.
    """
    seed = saved.optional[-1]
    return not seed and all(
        dim is None for dim, axis in zip(dims, axes, strict=True) if axis is None
    )


def in_one_batch(
    size: int,
    dims: Sequence[int | None],
    axes: Sequence[int | None],
    tensors: Sequence[Tensor],
    apply: Apply,
    axes_of_results: Sequence[int | None],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Apply a function to all members' sequences; results without such an axis are (size, …)."""
    given = []
    for tensor, dim, axis in zip(tensors, dims, axes, strict=True):
        if axis is None:
            given.append(tensor)
            continue
        if dim is None:
            tensor = tensor.unsqueeze(axis)
            tensor = tensor.expand(*(size if i == axis else n for i, n in enumerate(tensor.shape)))
        else:
            tensor = tensor.movedim(dim, axis)
        given.append(tensor.flatten(axis, axis + 1))
    results = tuple(
        result if axis is None else split(result, axis, size)
        for result, axis in zip(apply(given), axes_of_results, strict=True)
    )
    return results, tuple(axis or 0 for axis in axes_of_results)


def split(tensor: Tensor, axis: int, size: int) -> Tensor:
    """An axis of equal parts as two axes, the first of `size`."""
    return torch.unflatten(tensor, axis, (size, tensor.shape[axis] // size))


def in_a_stack(
    size: int, way: Way, dims: Sequence[int | None], tensors: Sequence[Tensor], apply: Apply
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Apply a function to members, stacked: `size` times as many as `way` has."""
    given = [
        tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(tensors, dims, strict=True)
    ]
    if not way.members:
        results = apply(given)
    else:
        found = apply([tensor.flatten(0, 1) for tensor in given])
        results = tuple(split(result, 0, size) for result in found)
    return tuple(results), tuple(0 for _ in results)
