"""Every gate and state of every recurrent layer, while a model runs.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.core.layout import Array, layout_of
from gated.errors import DataError
from gated.explain._equations import as_arrays
from gated.explain._layer_trace import LayerTrace, Taken, version_of
from gated.explain._looking import Run, as_lines, evaluating, looking, nothing_ran, refusing
from gated.nn.arguments import checked_lengths, initial_states
from gated.nn.backends import Result
from gated.nn.sequences import Sequences

CHUNK = 128
"""Steps that run at a time where not all is kept."""


@dataclass(frozen=True)
class Trace:
    """What a model's recurrent layers did in one run."""

    layers: list[LayerTrace]
    """In the order in which they ran; of one module layer k, direction d at k·D + d, PyTorch's
    order."""
    output: Any = field(repr=False)
    """What the model gave."""
    left: dict[str, str]
    """The recurrent layers and cells that were not looked into, by name, and why."""


def trace(
    model: nn.Module,
    x: Any,
    *,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
    layers: Sequence[int] | None = None,
    units: Sequence[int] | slice | None = None,
    steps: Sequence[int] | slice | None = None,
) -> Trace:
    """Run a model once and keep every gate and state of its recurrent layers.

    Layers of `torch.nn` and of `gated.nn` anywhere in the model run in the fused core, which has
    the gates in hand. The model runs in evaluation mode, without gradients, and is left as it was:
    same classes, weights and mode.

    Args:
        model: a recurrent layer, or any module that contains some.
        x: its input, as it takes it; of a layer (T, B, I), or (B, T, I) with `batch_first`.
        lengths: (B), the real steps of each sequence, for a model that takes them.
        initial: the states to start from, for a layer.
        layers: which to keep, by their place in `Trace.layers`; all by default.
        units: which to keep, indices or a slice; all by default.
        steps: which to keep, indices or a slice of time; all by default. Where units or steps are
            chosen, a module of one direction runs 128 steps at a time, so that the gates of no more
            are ever there; one of two directions keeps all until it has run.

    Raises:
        ConfigurationError: the model has no recurrent layer, or one that cannot be looked into.
        DataError: a selection does not fit.
        MissingNativeError: the core is not built.

    >>> lstm = torch.nn.LSTM(3, 4)
    >>> trace(lstm, torch.zeros(5, 2, 3)).layers[0].forget_gate.shape
    (5, 2, 4)
    """
    found: list[LayerTrace] = []
    selection = _Selection(layers, units, steps)
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()

    def watched(name: str, layer: Any, run: Run) -> Run:
        return _watched(name, layer, run, found, selection)

    with evaluating(model), looking(model, watched) as left, torch.no_grad():
        output = model(x, *before, **options)
    if selection.seen == 0:
        raise nothing_ran(left)
    absent = [place for place in layers or () if not 0 <= place < selection.seen]
    if absent:
        raise DataError(
            f"layers: {absent[0]} was asked for, the model has {selection.seen}{as_lines(left)}"
        )
    return Trace(found, output, left)


@dataclass
class _Selection:
    """Which part is wanted."""

    layers: Sequence[int] | None
    units: Sequence[int] | slice | None
    steps: Sequence[int] | slice | None
    seen: int = 0
    """Layers and directions that ran."""

    def next(self, count: int) -> list[int]:
        """Which of the next so many layers and directions are to be kept."""
        first = self.seen
        self.seen += count
        return [p for p in range(count) if self.layers is None or first + p in self.layers]


class _Part(NamedTuple):
    """What is kept of one layer in one direction, of some steps."""

    values: dict[str, Array]
    taken: dict[str, Array]


class _Chunk(NamedTuple):
    """Some steps of a module, and what came of them."""

    x: Tensor
    """(K, B, I)"""
    before: tuple[Array, ...]
    """The states before the first of them, (L·D, B, ·) each."""
    lengths: NDArray[np.int64]
    """(B), how many of them each sequence has."""
    steps: NDArray[np.int64]
    """Which of the K are wanted, in order."""
    result: Result


def _watched(
    name: str, module: Any, run: Run, found: list[LayerTrace], selection: _Selection
) -> Run:
    ways = 1 + module.bidirectional
    # Whoever else takes part in the run counts its calls and steps.
    in_chunks = ways == 1 and getattr(run, "__func__", None) is Sequences._run
    in_chunks = in_chunks and not (selection.units is None and selection.steps is None)

    def watched(x: Tensor, hx: Any, lengths: Any, return_gates: bool) -> Result:
        places = selection.next(module.num_layers * ways)
        if not places:
            return run(x, hx, lengths, return_gates)
        T, B, _ = x.shape
        with refusing():
            steps = _chosen("steps", selection.steps, T)
            units = _chosen("units", selection.units, module.hidden_size)
            real = np.full(B, T) if lengths is None else checked_lengths(lengths, T, B).numpy()
        size = CHUNK if in_chunks and not return_gates else max(T, 1)
        kept: dict[int, list[_Part]] = {place: [] for place in places}
        chunks = []
        for chunk in _chunks(run, module, x, hx, None if lengths is None else real, size, steps):
            chunks.append(chunk._replace(result=chunk.result._replace(gates=None)))
            for place, part in _parts(module, chunk, selection, units, places):
                kept[place].append(part)
            final = chunk.result
        order = None if selection.steps is None else np.argsort(np.argsort(steps, kind="stable"))
        for place, parts in kept.items():
            weights = module._weights()[place // ways][place % ways]
            found.append(
                LayerTrace(
                    name,
                    module._cell,
                    place // ways,
                    place % ways == 1,
                    real.astype(np.int64),
                    _joined([part.values for part in parts], order),
                    tuple(state[place] for state in chunks[0].before),
                    (module.variant.zoneout_hidden, module.variant.zoneout_cell),
                    Taken(
                        T,
                        steps,
                        units,
                        _joined([part.taken for part in parts], order),
                        as_arrays(weights),
                        tuple((w, version_of(w)) for w in weights if w is not None),
                    ),
                )
            )
        outputs = [chunk.result.output for chunk in chunks]
        output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return Result(output, final.final, final.gates if return_gates else None)

    return watched


def _chunks(
    run: Run,
    module: Any,
    x: Tensor,
    hx: Any,
    lengths: NDArray[np.int64] | None,
    size: int,
    steps: NDArray[np.int64],
) -> Iterator[_Chunk]:
    """The run of a module, so many steps at a time; gates come with those that have some wanted."""
    T, B, _ = x.shape
    ordered, before = np.sort(steps), None
    for start in range(0, max(T, 1), size):
        of_chunk = x[start : start + size]
        here = ordered[(ordered >= start) & (ordered < start + size)] - start
        ran = np.clip(np.full(B, T) if lengths is None else lengths - start, 0, len(of_chunk))
        given = None if lengths is None else torch.from_numpy(ran)
        result = run(of_chunk, hx, given, start == 0 or len(here) > 0)
        if before is None:
            before = _initial(module, hx, B, x)
        yield _Chunk(of_chunk, before, ran, here, result)
        before = tuple(state.numpy() for state in result.final)
        hx = result.final if len(result.final) > 1 else result.final[0]


def _parts(
    module: Any,
    chunk: _Chunk,
    selection: _Selection,
    units: NDArray[np.int64],
    places: list[int],
) -> Iterator[tuple[int, _Part]]:
    """What is wanted of each place, in memory that the model does not get."""
    ways, layout = 1 + module.bidirectional, layout_of(module._cell)
    ran = [{gate: v.numpy() for gate, v in of.items()} for of in chunk.result.gates or ()]
    inputs = chunk.x.detach().to(chunk.result.output.dtype).numpy().copy()

    def at_steps(array: Array) -> Array:
        return array if selection.steps is None else array[chunk.steps]

    for place, values in enumerate(ran):
        layer, way = divmod(place, ways)
        if layer > 0 and way == 0:
            inputs = np.concatenate([of["hidden"] for of in ran[place - ways : place]], -1)
        if place not in places:
            continue
        hidden, before = _with_before(
            values["hidden"], chunk.before[0][place], chunk.lengths, way == 1
        )
        kept = {}
        for name in dict.fromkeys((*layout.gates, *layout.states)):
            kept[name] = at_steps(hidden if name == "hidden" else values[name])
            if selection.units is not None and not (name == "hidden" and module.proj_size):
                kept[name] = kept[name].take(units, axis=2)
        taken = {"x": at_steps(inputs), "before": at_steps(before)}
        if "reset_gate" in values:
            taken["reset_gate"] = at_steps(values["reset_gate"])
        if module.proj_size and module.layer_norm:
            taken["cell"] = at_steps(values["cell"])
        yield place, _Part(kept, taken)


def _with_before(
    hidden: Array, initial: Array, lengths: NDArray[np.int64], reverse: bool
) -> tuple[Array, Array]:
    """The hidden states after and before each step, (T, B, P), in one memory where that goes."""
    if not reverse:
        states = np.concatenate([initial[None], hidden])
        return states[1:], states[:-1]
    states = np.concatenate([hidden, initial[None]])
    before = states[1:]
    if (lengths < len(hidden)).any():
        before, real = before.copy(), np.flatnonzero(lengths)
        before[lengths[real] - 1, real] = initial[real]
    return states[:-1], before


def _joined(parts: list[dict[str, Array]], order: NDArray[np.int64] | None) -> dict[str, Array]:
    """The parts one after the other, and then in this order."""
    joined = parts[0]
    if len(parts) > 1:
        joined = {name: np.concatenate([part[name] for part in parts]) for name in joined}
    if order is None or np.array_equal(order, np.arange(len(order))):
        return joined
    return {name: array[order] for name, array in joined.items()}


def _chosen(name: str, places: Sequence[int] | slice | None, size: int) -> NDArray[np.int64]:
    """Which of so many are wanted."""
    everything = np.arange(size)
    if places is None or isinstance(places, slice):
        return everything[slice(None) if places is None else places]
    wanted = np.asarray(places, np.int64)
    if wanted.size and not -size <= wanted.min() <= wanted.max() < size:
        raise DataError(f"{name}: there are {size}, got {wanted.tolist()}")
    return everything[wanted]


def _initial(module: Any, hx: Any, sequences: int, x: Tensor) -> tuple[Array, ...]:
    """The states before the first step, (L·D, B, ·) each."""
    if hx is not None:
        given = (hx,) if isinstance(hx, Tensor) else hx
        return tuple(state.detach().numpy().copy() for state in given)
    rows = module.num_layers * (1 + module.bidirectional)
    widths = (module.proj_size or module.hidden_size, module.hidden_size)
    shapes = tuple((rows, sequences, width) for width in widths)
    return tuple(state.numpy() for state in initial_states(module._cell, x, None, shapes))
