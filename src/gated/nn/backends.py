"""The one place that chooses the backend of a recurrent layer, and calls it.

Shapes: T steps, B sequences, I input features, H hidden units, L layers, D directions, P units of
the projected hidden state (H where nothing is projected).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np
import torch
from torch import _VF, Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gated.cells import library, options
from gated.cells.cell import Cell
from gated.core import native, reference
from gated.core.arguments import StoredAs, check_lengths, check_stored_as
from gated.core.layout import Weights
from gated.core.plans import named_cell, register, varied
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError, MissingNativeError
from gated.nn import onnx_layers
from gated.nn.arguments import is_traced
from gated.nn.operators import (
    LayerCall,
    Results,
    as_array,
    constant,
    gate_columns,
    matrix_names,
    padded_rows,
    states_by_other_names,
)
from gated.nn.scripting import refusal
from gated.nn.stored import rounded_matrices
from gated.nn.transforms import (
    is_mapped,
    is_transformed,
    layer,
    may_be_derived_twice,
    needs_gradients,
)
from gated.nn.triton_loops import Given
from gated.nn.unrolled import unrolled

Backend: TypeAlias = Literal["native", "triton", "torch", "reference"]
"""Fastest first: by default a layer takes the first backend that can compute it."""
MARK = "_runs_on_gated"
"""In the `__dict__` of the layers of torch that `gated.accelerate` runs on the core."""
States: TypeAlias = tuple[Tensor, ...]
Layer: TypeAlias = Sequence[Weights[Tensor] | Mapping[str, Tensor]]
"""The weights of each direction: `Weights` for the cells of `torch.nn`, a mapping for any cell."""
Gates: TypeAlias = dict[str, Tensor]
"""Every gate and state of one layer and direction at every step, by name: (T, B, H), the hidden
state (T, B, P); zeros in the padding."""


class Variant(NamedTuple):
    """Regularisation and recomputation of a layer; by default none."""

    recurrent_dropout: float = 0.0
    """Probability that a unit of the hidden state is dropped, at all steps of a sequence, in
    training (Gal and Ghahramani 2016)."""
    weight_drop: float = 0.0
    """Probability that a recurrent weight is dropped, in training (Merity et al. 2018)."""
    zoneout: tuple[float, ...] = ()
    """Of each state, the probability that a unit keeps its value for a step (Krueger et al. 2017);
    in evaluation, the share of it that is kept. Empty where no unit does."""
    recompute: bool = False
    """Store only the states for the backward pass, which recomputes the gates."""
    stored_as: StoredAs | None = None
    """How the matrices are stored and multiplied; None as they are. Gradients are of the weights as
    they are, in their dtype."""

    @property
    def changes_results(self) -> bool:
        """Whether anything differs from the plain layer."""
        return any(self[:3])

    @property
    def changing(self) -> dict[str, float]:
        """The values of the options that change results, by name."""
        return {
            "recurrent_dropout": self.recurrent_dropout,
            "weight_drop": self.weight_drop,
            "zoneout": max(self.zoneout, default=0.0),
        }


class Result(NamedTuple):
    """The results of all layers of a module."""

    output: Tensor
    """(T, B, D·P), the last layer's hidden states; zeros in the padding."""
    final: States
    """The states after each sequence's last step, (L·D, B, P) and, of an LSTM, (L·D, B, H)."""
    gates: list[Gates] | None = None
    """The gates of each layer and direction, in PyTorch's order; only if they were requested."""


class LayerResult(NamedTuple):
    """The results of one layer in one direction."""

    output: Tensor
    """(T, B, P); zeros in the padding."""
    final: States
    """The states after each sequence's last step: (B, P), and any others (B, H)."""
    gates: Gates | None = None


Run: TypeAlias = Callable[[LayerCall, bool], LayerResult]
"""A function that runs a layer in one direction; the flag says whether to return gates."""
RunLayer: TypeAlias = Callable[[int, LayerCall, bool, Run], LayerResult]
"""A function that is called in place of a `Run`: with the layer's index among the layers and
directions of its module, in PyTorch's order, the call, the flag, and that `Run`."""


def can_be_observed(module: Any) -> bool:
    """Whether a module is a recurrent layer of gated, or one of torch that runs on the core."""
    return hasattr(module, "observers") or MARK in vars(module)


@contextmanager
def observed(module: Any, run_layer: RunLayer) -> Iterator[None]:
    """Call a function in place of each layer and direction of a recurrent module, in every run.

    `run_layer` may read and change the arguments and the results, or compute the results itself,
    with gradients if it does so in torch's operations. Of several such functions the last is
    called first, and its `run` calls the others.

    Args:
        module: a layer of `gated.nn`, or one of `torch.nn` after `gated.accelerate`.
        run_layer: called in place of the layer, with its index among the layers and directions in
            PyTorch's order, its call, whether gates are requested, and the function to run it.

    Raises:
        ConfigurationError: the module is none of these.

    >>> import gated
    >>> lstm, steps = gated.nn.LSTM(2, 3), []
    >>> def count(place, call, return_gates, run):
    ...     steps.append(len(call.x))
    ...     return run(call, return_gates)
    >>> with observed(lstm, count):
    ...     _ = lstm(torch.zeros(5, 1, 2))
    >>> steps
    [5]
    """
    if not can_be_observed(module):
        raise ConfigurationError(
            f"{type(module).__name__} cannot be observed: observed takes recurrent layers "
            "of gated.nn, and those of torch.nn after gated.accelerate"
        )
    before = getattr(module, "observers", ())
    module.observers = (*before, run_layer)
    try:
        yield
    finally:
        if before:
            module.observers = before
        else:
            del module.observers  # as it was: none but the class's


def checked_backend(name: str | None) -> Backend | None:
    """The backend of this name, None for the default.

    Raises:
        ConfigurationError: there is no such backend.
    """
    for known in (*get_args(Backend), None):
        if name == known:
            return cast(Backend | None, known)
    *first, last = get_args(Backend)
    raise ConfigurationError(f"backend must be {', '.join(first)} or {last}, got {name!r}")


def chosen_backend(
    backend: str | None,
    cell: str,
    x: Tensor,
    weights: Weights[Tensor] | Mapping[str, Tensor],
    variant: Variant,
    seen: bool = False,
) -> Backend:
    """Return the backend that computes: the one named, or else the first that can.

    native computes on the CPU, in float32 and float64, and layers in bfloat16 and float16 in
    float32; of these, few rows of the cells of `torch.nn` are left to torch. On a GPU the cells
    of `torch.nn` are computed by torch's own kernels (cuDNN), all other cells and options by
    triton. torch computes anything on any device in every dtype, step by step where it has no
    kernel; reference computes what native does, in NumPy. Only native and torch support the
    transforms of `torch.func` and forward-mode derivatives.

    Args:
        backend: a name, or None.
        cell: one that `gated.core.plans.named_cell` knows.
        x: (T, B, I).
        weights: of the first layer and direction.
        variant: regularisation and recomputation.
        seen: whether gates are requested or layers observed, which torch's own kernels cannot do.

    Raises:
        ConfigurationError: there is no such backend, or it cannot compute this.
    """
    named = checked_backend(backend)
    everyone: list[Backend] = list(_RUNS)
    cudnn = named is None and not seen and torch_kernel(cell, weights, variant) is not None
    if named != "triton" and (cudnn or x.device.type != "cuda"):  # on the CPU it is interpreted
        everyone.remove("triton")
    dtype = dtype_of(weights)
    if (
        named is None
        and ("native", dtype) in _IN_FLOAT32
        and x.shape[:-1].numel() <= _FEW_ROWS
        and not seen
        and torch_kernel(cell, weights, variant) is not None
    ):
        return "torch"
    for name in everyone if named is None else [named]:
        if _hindrance(name, x, dtype) is None:
            return name
    able = [f"backend={name!r}" for name in everyone if _hindrance(name, x, dtype) is None]
    first = named or everyone[0]
    hindrance = _hindrance(first, x, dtype)
    raise ConfigurationError(f"backend {first} {hindrance}: choose {' or '.join(able)}")


def _hindrance(name: Backend, x: Tensor, dtype: torch.dtype) -> str | None:
    """Why a backend cannot compute this, or None where it can."""
    if name == "torch":
        return None
    if name != "native" and is_transformed():
        return "knows neither the transforms of torch.func nor forward-mode derivatives"
    device = x.device.type
    if name == "triton":
        return _hindrance_of_triton(device, dtype)
    if name == "native" and not native_is_there():
        return "is not built: see gated.core.native"
    if dtype not in (torch.float32, torch.float64) and (name, dtype) not in _IN_FLOAT32:
        return f"computes in float32 or float64, the weights are {dtype}"
    if device not in ("cpu", "meta"):
        return f"computes on the CPU, the input is on {device}"
    return None


_IN_FLOAT32 = {("native", torch.bfloat16), ("native", torch.float16)}
"""What is computed in float32, and rounded again."""
_FEW_ROWS = 8
"""So few in sixteen bits are computed by torch in the time that weights take to be converted."""


def _hindrance_of_triton(device: str, dtype: torch.dtype) -> str | None:
    is_interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device != "cuda" and not (device == "cpu" and is_interpreted):
        return f"computes on a GPU, the input is on {device}"
    from gated.nn import triton_layers  # with torch's compiler, which takes as long as all of torch

    if not triton_layers.is_there():
        return "needs the package triton, which comes with PyTorch for CUDA"
    if dtype not in triton_layers.DTYPES:
        return f"computes in no {dtype}"
    return None


def torch_kernel(
    cell: str, weights: Weights[Tensor] | Mapping[str, Tensor], variant: Variant
) -> str | None:
    """The name of torch's own kernel that computes all layers in one call, if there is one."""
    if variant.changes_results or not _named(weights).keys() <= _OF_TORCH:
        return None
    return _KERNELS.get(cell)


_OF_TORCH = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"}
_KERNELS = {
    name: of.name
    for of in (library.rnn_tanh, library.rnn_relu, library.gru, library.lstm)
    for name in (of.name, register(of))
}
"""Names of torch's own cells in the library, by all names that layers have for them."""


@constant
def native_is_there() -> bool:
    """Whether the native core is built; where it is, it shares torch's threads."""
    try:
        native.extension()
    except MissingNativeError:
        return False
    native.share_threads("libtorch_cpu.so")
    return True


def recurrence(
    cell: str,
    x: Tensor,
    initial: States,
    weights: Sequence[Layer],
    lengths: Tensor | None = None,
    *,
    dropout: float = 0.0,
    training: bool = False,
    backend: Backend | None = None,
    variant: Variant | None = None,
    return_gates: bool = False,
    per_step: Mapping[str, Tensor] | None = None,
    observers: Sequence[RunLayer] = (),
) -> Result:
    """Layers of recurrent cells over whole sequences, with gradients.

    Args:
        cell: one of `gated.core.layout.LAYOUTS`.
        x: (T, B, I).
        initial: the hidden state (L·D, B, P) and, of an LSTM, the cell state (L·D, B, H).
        weights: of each layer, of each direction (the second runs backwards).
        lengths: (B), the real steps of each sequence, in any order; T where not given. Padding
            is never read.
        dropout: probability, between layers, while `training`.
        training: whether to drop, and to draw for zoneout.
        backend: `native` computes with the compiled core, `triton` with kernels for a GPU, `torch`
            with torch's own, or step by step, `reference` with the NumPy equations; see
            `chosen_backend` for the default.
        variant: regularisation and recomputation.
        return_gates: also return every gate and state at every step, with gradients.
        per_step: for each of the cell's per-step inputs, by name: (T, B), or (T, B, width).
        observers: functions that are called in place of each layer, see `observed`.

    Raises:
        ConfigurationError: the backend cannot compute this.
    """
    variant = variant or Variant()
    dtype = dtype_of(weights[0][0])
    run = _chosen_run(
        backend, cell, x, weights[0][0], lengths, variant, return_gates,
        return_gates or bool(observers),
    )  # fmt: skip
    stored_as = variant.stored_as
    in_float32 = run is _native_layer and ("native", dtype) in _IN_FLOAT32
    if in_float32:
        weights = [[_converted(of, torch.float32) for of in layer] for layer in weights]
    elif run is _native_layer and dtype == torch.float32 and _is_cast_to_bfloat16():
        stored_as = stored_as or "bfloat16"
    if stored_as is not None:
        matrices = matrix_names(cell, ",".join(_named(weights[0][0])))
        weights = [[rounded_matrices(of, matrices, stored_as) for of in layer] for layer in weights]
    if isinstance(run, str):
        return Result(*_torch_layers(run, x, initial, weights, lengths, dropout, training))
    multiplied_as: StoredAs = "float32"
    kept_as: StoredAs = "float32"
    if run is _native_layer:
        narrow_as = "bfloat16" if dtype == torch.bfloat16 else stored_as
        multiplied_as = _products_of(narrow_as)
        if narrow_as == "bfloat16" and not (return_gates or observers or is_transformed()):
            kept_as = "bfloat16"
    # The core reads and writes bfloat16 by itself: no copies are made that the way back would keep.
    in_bfloat16 = kept_as == "bfloat16" and dtype == torch.bfloat16
    computed_in = dtype_of(weights[0][0])
    states = [state.to(computed_in) for state in initial]  # as autocast may
    # As in torch; and with torch, which computes a few rows itself.
    between = torch.bfloat16 if in_float32 and dtype == torch.bfloat16 else computed_in
    per_step = {name: of.to(computed_in) for name, of in (per_step or {}).items()}
    finals, gates = [], []
    for depth, of_layer in enumerate(weights):
        if depth > 0:
            x = functional.dropout(x.to(between), dropout, training)
        if not (in_bfloat16 and x.dtype == torch.bfloat16):
            x = x.to(computed_in)
        outputs = []
        for direction, of_direction in enumerate(of_layer):
            row = depth * len(of_layer) + direction
            start = [state[row] for state in states]
            named = _named(of_direction)
            steps = _of_direction(per_step, direction == 1)
            call = LayerCall(
                cell,
                x,
                list(named.values()),
                ",".join(named),
                start,
                list(steps.values()),
                lengths,
                direction == 1,
                *_masks(variant, start[0], named.get("weight_hh"), training),
                variant.zoneout,
                _seed(variant, training),
                recompute=variant.recompute and not return_gates,
                stored_as=multiplied_as,
                output_as="bfloat16" if in_bfloat16 else "float32",
                kept_as=kept_as,
            )
            if observers:
                one = _observed_run(observers, row, run)(call, return_gates)
            else:
                one = run(call, return_gates)
            outputs.append(one.output)
            finals.append(one.final)
            gates.append(one.gates or {})
        x = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    final = tuple(
        torch.stack(parts) if len(parts) > 1 else parts[0].unsqueeze(0)
        for parts in zip(*finals, strict=True)
    )
    if in_float32:
        x, *final_states = (of.to(dtype) for of in (x, *final))
        final = tuple(final_states)
        gates = [{name: of.to(dtype) for name, of in one.items()} for one in gates]
    return Result(x, final, gates if return_gates else None)


def _products_of(stored_as: StoredAs | None) -> StoredAs:
    """What the core is told of weights that are rounded already: nothing where it gains nothing."""
    if stored_as == "bfloat16" and not _multiplies_bfloat16():
        return "float32"
    return stored_as or "float32"


@constant
def _multiplies_bfloat16() -> bool:
    return native.multiplies_bfloat16()


def _is_cast_to_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _converted(weights: Weights[Tensor] | Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    named = {name: weight.to(dtype) for name, weight in _named(weights).items()}
    return weights._replace(**named) if isinstance(weights, Weights) else named


def _untraceable(
    cell: str,
    weights: Weights[Tensor] | Mapping[str, Tensor],
    variant: Variant,
    lengths: Tensor | None,
    return_gates: bool,
) -> ConfigurationError:
    """The error for what `torch.jit.trace` cannot write down."""
    what = [name for name, value in variant.changing.items() if value]
    what += ["lengths"] if lengths is not None else []
    what += ["return_gates"] if return_gates else []
    if torch_kernel(cell, weights, Variant()) is None:
        what.append(onnx_layers.in_words(named_cell(cell, _named(weights)), _named(weights)))
    return refusal(", ".join(what) or "observers", "torch.jit.trace")


def _traced_layer(call: LayerCall, return_gates: bool) -> LayerResult:
    return LayerResult(*onnx_layers.traced_layer(call))


def _chosen_run(
    backend: Backend | None,
    cell: str,
    x: Tensor,
    weights: Weights[Tensor] | Mapping[str, Tensor],
    lengths: Tensor | None,
    variant: Variant,
    return_gates: bool,
    seen: bool,
) -> Run | str:
    """What runs each layer; or the name of torch's own kernel, which runs all at once."""
    traced = is_traced()
    name = "torch" if traced else chosen_backend(backend, cell, x, weights, variant, seen)
    exported = traced and torch.onnx.is_in_onnx_export()
    kernel = None
    if name == "torch" and not seen and not is_mapped():
        kernel = torch_kernel(cell, weights, variant)
    if exported and "weight_hr" in _named(weights):  # no node has a projection
        kernel = None
    if kernel is not None and (lengths is None or not traced):
        return kernel
    if return_gates and torch.onnx.is_in_onnx_export():
        onnx_layers.refuse_gates()
    if exported:
        return _traced_layer
    if traced:
        raise _untraceable(cell, weights, variant, lengths, return_gates)
    return _RUNS[name]


def _observed_run(observers: Sequence[RunLayer], place: int, run: Run) -> Run:
    """Return the function that runs a layer, with all observers around it."""
    for observer in observers:
        run = partial(_observed_by, observer, place, run)
    return run


def _observed_by(
    observer: RunLayer, place: int, run: Run, call: LayerCall, return_gates: bool
) -> LayerResult:
    return observer(place, call, return_gates, run)


def dtype_of(weights: Weights[Tensor] | Mapping[str, Tensor]) -> torch.dtype:
    """The dtype that a layer with these weights computes in."""
    return next(iter(_named(weights).values())).dtype


def _named(weights: Weights[Tensor] | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights there are, by name."""
    given = weights._asdict() if isinstance(weights, Weights) else weights
    return {name: weight for name, weight in given.items() if weight is not None}


def _of_direction(per_step: Mapping[str, Tensor], reverse: bool) -> dict[str, Tensor]:
    """The per-step inputs of a direction; read backwards, `resets` are due one step earlier."""
    found = dict(per_step)
    if reverse and "resets" in found:
        begins = found["resets"]
        found["resets"] = torch.cat([begins[1:], torch.zeros_like(begins[:1])])
    return found


def _masks(
    variant: Variant, hidden: Tensor, weight: Tensor | None, training: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the masks of recurrent dropout and weight drop, drawn once for a call."""

    def mask(like: Tensor | None, probability: float) -> Tensor | None:
        if like is None or not (training and probability):
            return None
        kept = torch.full(like.shape, 1 - probability, dtype=like.dtype, device=like.device)
        kept = kept.bernoulli()
        return kept / (1 - probability) if probability < 1 else kept

    return (
        mask(hidden, variant.recurrent_dropout),
        mask(weight, variant.weight_drop),
    )


def _seed(variant: Variant, training: bool) -> Tensor | None:
    """Return the seed of zoneout, which draws only in training."""
    zones_out = training and bool(variant.zoneout)
    return torch.randint(2**63 - 1, (1,)) if zones_out else None


def rates_of(zoneout: float | tuple[float, ...], states: tuple[str, ...]) -> tuple[float, ...]:
    """Return the rate of zoneout for each state, from one for all or one each; empty if all are 0.

    Raises:
        ConfigurationError: a rate is no probability, or there are more or fewer rates than states.
    """
    rates = zoneout if isinstance(zoneout, tuple) else (zoneout,) * len(states)
    if len(rates) != len(states):
        raise ConfigurationError(
            f"zoneout must be one number, or one for each state ({', '.join(states)}), got "
            f"{zoneout}"
        )
    check_probabilities(zoneout=rates)
    return rates if any(rates) else ()


def stored_format(stored_as: StoredAs) -> StoredAs | None:
    """How a variant stores matrices, from the argument of a layer.

    Raises:
        ConfigurationError: there is no such format.
    """
    check_stored_as(stored_as)
    return None if stored_as == "float32" else stored_as


def check_probabilities(**given: float | tuple[float, ...]) -> None:
    """Refuse what is not from 0 to 1.

    Raises:
        ConfigurationError: with the name of the argument.
    """
    for name, of in given.items():
        for probability in of if isinstance(of, tuple) else (of,):
            if not 0 <= probability <= 1:
                raise ConfigurationError(f"{name} is a probability, 0 to 1, got {probability}")


def _tensors(call: LayerCall) -> tuple[Tensor, ...]:
    """What may have gradients."""
    return (call.x, *call.weights, *call.initial, *call.per_step)


def _native_layer(call: LayerCall, return_gates: bool) -> LayerResult:
    call = call._replace(keep=return_gates or needs_gradients(*_tensors(call)))
    if return_gates and may_be_derived_twice(*_tensors(call)):
        return unrolled_layer(call, return_gates)
    results = layer(call, return_gates)
    gates = _named_gates(call, results, call.lengths) if return_gates else None
    return LayerResult(results.output, results.final, gates)


def run_layer(call: LayerCall) -> LayerResult:
    """Run one layer in one direction on the native core, with gradients."""
    return _native_layer(call, False)


def _sizes(call: LayerCall) -> tuple[int, int]:
    """H and P."""
    outputs = call.initial[0].shape[-1]
    projection = call.named_weights.get("weight_hr")
    return (outputs if projection is None else projection.shape[1]), outputs


def _named_gates(call: LayerCall, results: Results, lengths: Tensor | None) -> Gates:
    """The values kept for the backward pass as (T, B, ·), by name; views if there is no padding."""
    T, B, _ = results.output.shape
    sizes = call.x.shape[2], *_sizes(call)
    kept = {  # while torch compiles, the operator returns rows
        name: of if of.dim() == 3 else padded_rows(of, (T, B), lengths)
        for name, of in results.kept.items()
    }
    values = kept.pop("values")
    columns = gate_columns(call.cell, call.names, *sizes)
    gates = {name: values[..., start:stop] for name, start, stop in columns} | kept
    for name, state in states_by_other_names(call.cell, call.names):
        gates[name] = results.output if state is None else gates[state]
    return gates


class _Beside(NamedTuple):
    """Dropout, weight drop and zoneout of a call, for backends that run in torch."""

    cell: Cell
    """With dropout and zoneout in its tape."""
    weights: dict[str, Tensor]
    """After weight drop."""
    per_sequence: dict[str, Tensor]
    draw: Callable[[int, Any, Any], Tensor]
    """For zoneout: from state, times and sequences to the share of the old value that is kept."""


def _beside(call: LayerCall) -> _Beside:
    weights = call.named_weights
    if call.weight_mask is not None:
        weights["weight_hh"] = weights["weight_hh"] * call.weight_mask
    seed = None if call.seed is None else int(call.seed)
    zoneout = Zoneout(tuple(call.zoneout), seed)
    # The cell only needs to know whether there are masks.
    regularisation = Regularisation(call.hidden_mask, None, zoneout)  # type: ignore[arg-type]

    def draw(state: int, times: Any, sequences: Any) -> Tensor:
        units = call.initial[state].shape[-1]
        kept = zoneout.kept(state, times, sequences, units, np.dtype(np.float64))
        return torch.from_numpy(kept).to(call.x)

    masks = {} if call.hidden_mask is None else {"hidden_mask": call.hidden_mask}
    return _Beside(varied(call.plain_cell, regularisation), weights, masks, draw)


def unrolled_layer(call: LayerCall, return_gates: bool) -> LayerResult:
    """Run a layer in one direction step by step, in torch."""
    cell, weights, masks, draw = _beside(call)
    sequences = np.arange(call.x.shape[1])
    result = unrolled(
        cell, call.x, weights, call.initial, call.lengths, call.reverse,
        per_step=call.named_per_step, per_sequence=masks,
        draw=lambda state, time: draw(state, time, sequences),
    )  # fmt: skip
    return LayerResult(result.output, result.final, result.values if return_gates else None)


def _block_diagonal(weight: Tensor, heads: int, units: int) -> Tensor:
    """Each gate's rows (H, H / heads) as a block-diagonal matrix (H, H)."""
    each = units // heads
    blocks = weight.view(-1, heads, each, each)
    eye = torch.eye(heads, device=weight.device, dtype=weight.dtype)
    return torch.einsum("ghij,hk->ghikj", blocks, eye).reshape(-1, units)


def _triton_layer(call: LayerCall, return_gates: bool) -> LayerResult:
    cell, weights, masks, draw = _beside(call)
    if cell.heads > 1:
        weights["weight_hh"] = _block_diagonal(weights["weight_hh"], cell.heads, call.sizes["H"])
        cell = options.heads(cell, 1)
    T, B, _ = call.x.shape
    times, sequences = np.repeat(np.arange(T), B), np.tile(np.arange(B), T)
    draws = {
        node.about: draw(node.about, times, sequences).view(T, B, -1)
        for node in cell.tape.nodes
        if node.operation == "draw"
    }
    given = Given(
        cell, call.x, weights, call.initial, call.per_step,
        [masks[name] for name in cell.per_sequence], draws, call.lengths, call.reverse,
        return_gates or needs_gradients(*_tensors(call)), return_gates, call.recompute,
    )  # fmt: skip
    from gated.nn import triton_layers

    output, final, gates = triton_layers.layer(given)
    return LayerResult(output, final, gates if return_gates else None)


def _reference_layer(call: LayerCall, return_gates: bool) -> LayerResult:
    names = tuple(call.plain_cell.named) if return_gates else ()
    keep = return_gates or needs_gradients(*_tensors(call))
    counts = len(call.weights), len(call.initial)
    output, *others = _ReferenceLayer.apply(  # type: ignore[no-untyped-call]
        call, counts, names, keep, *_tensors(call)
    )
    final, gates = others[: counts[1]], others[counts[1] :]
    return LayerResult(output, tuple(final), dict(zip(names, gates, strict=True)) or None)


class _ReferenceLayer(torch.autograd.Function):
    """One layer in one direction by `gated.core.reference`."""

    @staticmethod
    def forward(
        ctx: Any,
        call: LayerCall,
        counts: tuple[int, int],
        names: tuple[str, ...],
        keep: bool,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        output, final, kept = reference.run(call.checked(), keep=keep)
        arrays = [output, *final]
        if kept is not None:
            arrays += [kept.gate(name).copy() for name in names]
        ctx.kept, ctx.names, ctx.states = kept, names, len(final)
        # The kept values share memory with these; so torch notices if they are changed in place.
        ctx.save_for_backward(*tensors)
        return tuple(map(torch.from_numpy, arrays))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ConfigurationError(
                "create_graph asks for second derivatives, which only backend='torch' has"
            )
        ctx.saved_tensors  # noqa: B018 - raises where one of them has changed
        grad_output, *others = map(as_array, grads)
        found = reference.backward(
            ctx.kept,
            grad_output,
            [np.ascontiguousarray(grad) for grad in others[: ctx.states]],
            dict(zip(ctx.names, others[ctx.states :], strict=True)),
        )
        arrays = (found.x, *found.weights.values(), *found.initial, *found.per_step)
        return (None,) * 4 + tuple(map(torch.from_numpy, arrays))


_RUNS: Mapping[Backend, Run] = {
    "native": _native_layer,
    "triton": _triton_layer,
    "torch": unrolled_layer,
    "reference": _reference_layer,
}


def _torch_layers(
    cell: str,
    x: Tensor,
    initial: States,
    weights: Sequence[Layer],
    lengths: Tensor | None,
    dropout: float,
    training: bool,
) -> tuple[Tensor, States]:
    flat = [w for layer in weights for direction in layer for w in _named(direction).values()]
    has_biases = "bias_ih" in _named(weights[0][0])
    options = (has_biases, len(weights), dropout, training, len(weights[0]) == 2)
    kernel = getattr(_VF, cell)
    batch_first = False

    T, B, _ = x.shape
    if lengths is None and (is_traced() or len(x)):
        output, *final = kernel(x, _as_torch(initial), flat, *options, batch_first)
        return output, tuple(final)
    spans = torch.from_numpy(check_lengths(lengths if lengths is None else lengths.numpy(), T, B))

    # Torch packs by falling length, and no empty sequences: those keep their states.
    spans, order = spans.sort(descending=True, stable=True)
    spans, order = spans[spans > 0], order[: spans.count_nonzero()].to(x.device)
    if not len(order):
        return x.new_zeros(T, B, len(weights[0]) * initial[0].shape[-1]), initial
    packed = pack_padded_sequence(x[:, order], spans)
    states = _as_torch(tuple(state[:, order] for state in initial))
    data, *final = kernel(packed.data, packed.batch_sizes, states, flat, *options)
    padded, _ = pad_packed_sequence(packed._replace(data=data), total_length=T)
    output = padded.new_zeros(T, B, padded.shape[-1]).index_copy(1, order, padded)
    return output, tuple(
        state.to(ran.dtype).index_copy(1, order, ran)
        for state, ran in zip(initial, final, strict=True)
    )


def _as_torch(states: States) -> States | Tensor:
    """Torch's kernels take a pair of states, or one alone."""
    return states if len(states) > 1 else states[0]
