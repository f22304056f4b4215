"""The native layer as registered operators of torch: `torch.ops.gated.layer` and its gradient.

One layer in one direction, functional, with gradients, fake tensors and autocast: `torch.compile`,
`torch.export` and AMP see one node of which they know the shapes.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gated.core import ops
from gated.core.layout import Weights, layout_of
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError

_LAYER = (
    "str cell, Tensor x, Tensor[] weights, int fields, Tensor[] initial, Tensor? lengths, "
    "bool reverse, Tensor? hidden_mask, Tensor? weight_mask, float zoneout_hidden, "
    "float zoneout_cell, Tensor? seed, bool keep, bool recompute"
)
_library = torch.library.Library("gated", "DEF")  # type: ignore[no-untyped-call]
_library.define(  # type: ignore[no-untyped-call]
    f"layer({_LAYER}) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,)
)
_library.define(  # type: ignore[no-untyped-call]
    f"layer_backward({_LAYER}, Tensor[] results, Tensor?[] grads) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


class Results(NamedTuple):
    """What `torch.ops.gated.layer` gives, named."""

    output: Tensor
    """(T, B, P)"""
    final: tuple[Tensor, ...]
    """(B, P) and, of an LSTM, (B, H)."""
    kept: dict[str, Tensor]
    """With `keep`, by the names of `gated.core.ops.kept_shapes`, T·B rows: those of real steps by
    time and then by falling length, and behind them rows that nobody touches."""


class Arguments(NamedTuple):
    """What the operators take, by name."""

    cell: str
    x: Tensor
    """(T, B, I)"""
    weights: list[Tensor]
    fields: int
    """Which of `Weights` these are, by its bits."""
    initial: list[Tensor]
    """(B, P) and, of an LSTM, (B, H)."""
    lengths: Tensor | None
    """(B), int64."""
    reverse: bool = False
    hidden_mask: Tensor | None = None
    weight_mask: Tensor | None = None
    zoneout_hidden: float = 0.0
    zoneout_cell: float = 0.0
    seed: Tensor | None = None
    """Of zoneout, one int64; a tensor, so that it is no constant of what is compiled."""
    keep: bool = False
    recompute: bool = False

    @property
    def named_weights(self) -> Weights[Any]:
        """The weights by name; None where there is none."""
        given = iter(self.weights)
        return Weights(*(next(given) if self.fields >> i & 1 else None for i in _PLACES))

    def kept_shapes(self) -> dict[str, tuple[int, ...]]:
        """What is kept: as many rows as there could be, so that no shape depends on data."""
        if not self.keep:
            return {}
        T, B, _ = self.x.shape
        units = self.weights[1].shape[0] // len(layout_of(self.cell).gates)
        layer_norm = bool(self.fields & _GAINS)
        return ops.kept_shapes(self.cell, T * B, units, layer_norm, self.recompute)

    def fresh(self) -> list[Tensor]:
        """Tensors for all results, not filled."""
        T, B, _ = self.x.shape
        widths = [state.shape[-1] for state in self.initial]
        shapes = [(T, B, widths[0]), *((B, width) for width in widths)]
        return [self.x.new_empty(shape) for shape in (*shapes, *self.kept_shapes().values())]

    def named(self, results: Sequence[Tensor]) -> Results:
        """The operator's results, named."""
        last = 1 + len(self.initial)
        kept = dict(zip(self.kept_shapes(), results[last:], strict=True))
        return Results(results[0], tuple(results[1:last]), kept)

    def call(self) -> ops.Call:
        """The same in arrays that share the tensors' memory, checked."""
        zoneout = None
        if self.zoneout_hidden or self.zoneout_cell:
            seed = None if self.seed is None else int(self.seed.item()) % 2**64
            zoneout = Zoneout(self.zoneout_hidden, self.zoneout_cell, seed)
        return ops.checked_call(
            self.cell,
            _array(self.x),
            Weights(*map(_array, self.named_weights)),
            _array(self.lengths),
            [_array(state) for state in self.initial],
            self.reverse,
            Regularisation(_array(self.hidden_mask), _array(self.weight_mask), zoneout),
        )


_PLACES = range(len(Weights._fields))
_GAINS = 1 << Weights._fields.index("gain_hh")


def fields_of(weights: Weights[Tensor]) -> int:
    """Which weights there are, as the operators want to be told."""
    return sum(1 << place for place, weight in enumerate(weights) if weight is not None)


def _array(tensor: Tensor | None) -> Any:
    """The same memory for NumPy, each row of features in one piece; a copy where it must be."""
    if tensor is None:
        return None
    in_one_piece = tensor.dim() == 3 and tensor.stride(2) == 1
    return (tensor if in_one_piece else tensor.contiguous()).detach().numpy()


def _layer(*given: Any) -> list[Tensor]:
    arguments = Arguments(*given)
    return _run(arguments, arguments.call())


def _run(arguments: Arguments, call: ops.Call) -> list[Tensor]:
    results = arguments.fresh()
    output, final, kept = arguments.named(results)
    ops.forward_into(
        call,
        output.numpy(),
        [state.numpy() for state in final],
        {name: tensor.numpy() for name, tensor in kept.items()},
        torch.get_num_threads(),
    )
    return results


def _layer_backward(*given: Any) -> list[Tensor]:
    arguments = Arguments(*given[:-2])
    return _run_back(arguments.named(given[-2]), arguments.call(), given[-1])


def _run_back(results: Results, call: ops.Call, grads: Sequence[Tensor | None]) -> list[Tensor]:
    output, final, kept = results
    grad_output, *others = map(_array, grads)
    grad_of = dict(zip(kept, others[len(final) :], strict=True))
    arrays = {name: tensor.numpy() for name, tensor in kept.items()}
    found = ops.backward_packed(
        ops.Kept(
            call, output.numpy(), arrays.pop("gates", None), arrays.pop("cells", None), **arrays
        ),
        np.zeros(output.shape, call.x.dtype) if grad_output is None else grad_output,
        (others[0], others[1] if len(final) > 1 else None),
        grad_of.get("gates"),
        grad_of.get("cells"),
        threads=torch.get_num_threads(),
    )
    grad_weights = [grad for grad in found.weights if grad is not None]
    return [torch.from_numpy(array) for array in (found.x, *grad_weights, *found.initial)]


def _fake_layer_backward(*given: Any) -> list[Tensor]:
    arguments = Arguments(*given[:-2])
    of = (arguments.x, *arguments.weights, *arguments.initial)
    return [tensor.new_empty(tensor.shape) for tensor in of]


class _Saved(NamedTuple):
    """The operator's arguments without their tensors, which torch watches."""

    rest: tuple[Any, ...]
    optional: tuple[bool, ...]
    weights: int
    initial: int


_TENSORS = ("lengths", "hidden_mask", "weight_mask", "seed")


def _taken_apart(arguments: Arguments) -> tuple[_Saved, list[Tensor]]:
    there = tuple(getattr(arguments, name) is not None for name in _TENSORS)
    weights, initial = len(arguments.weights), len(arguments.initial)
    tensors = [arguments.x, *arguments.weights, *arguments.initial]
    tensors += [t for t in (getattr(arguments, name) for name in _TENSORS) if t is not None]
    rest = tuple(v for v in arguments if not isinstance(v, (Tensor, list)) and v is not None)
    return _Saved(rest, there, weights, initial), tensors


def _put_together(saved: _Saved, tensors: Sequence[Tensor]) -> Arguments:
    x, *more = tensors
    weights, more = list(more[: saved.weights]), more[saved.weights :]
    initial, more = list(more[: saved.initial]), more[saved.initial :]
    optional = iter(more)
    found = (next(optional) if there else None for there in saved.optional)
    lengths, hidden_mask, weight_mask, seed = found
    cell, fields, reverse, zoneout_hidden, zoneout_cell, keep, recompute = saved.rest
    return Arguments(
        cell, x, weights, fields, initial, lengths, reverse, hidden_mask, weight_mask,
        zoneout_hidden, zoneout_cell, seed, keep, recompute,
    )  # fmt: skip


def _save(ctx: Any, saved: _Saved, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *results)
    ctx.saved = saved
    ctx.count = len(tensors)


def _saved_by(ctx: Any) -> tuple[Arguments, list[Tensor]]:
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise ConfigurationError(
            "create_graph asks for second derivatives, which only backend='torch' has, and a layer "
            "of torch.nn after gated.restore"
        )
    if not ctx.saved.rest[5]:
        raise ConfigurationError("torch.ops.gated.layer has gradients with keep=True alone")
    tensors = ctx.saved_tensors
    return _put_together(ctx.saved, tensors[: ctx.count]), list(tensors[ctx.count :])


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    _save(ctx, *_taken_apart(Arguments(*inputs)), output)


def _gradient(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    arguments, results = _saved_by(ctx)
    found = torch.ops.gated.layer_backward(*arguments, results, list(grads))
    last = 1 + len(arguments.weights)
    rest = (None,) * (len(arguments) - 5)
    return (None, found[0], found[1:last], None, found[last:], *rest)


class _Eager(torch.autograd.Function):
    """The same without torch's dispatcher, which costs more than a short sequence."""

    @staticmethod
    def forward(ctx: Any, saved: _Saved, *tensors: Tensor) -> tuple[Tensor, ...]:
        arguments = _put_together(saved, tensors)
        call = arguments.call()
        results = _run(arguments, call)
        if arguments.keep:
            _save(ctx, saved, tensors, results)
            ctx.call = call  # checked; shares the memory of what torch watches
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        arguments, results = _saved_by(ctx)
        found = _run_back(arguments.named(results), ctx.call, grads)
        return (None, *found, *(None for _ in range(sum(ctx.saved.optional))))


def layer(arguments: Arguments) -> Results:
    """One layer in one direction, by the operator or, where nobody traces, without it."""
    if torch.compiler.is_compiling() or type(arguments.x) is not Tensor or arguments.x.is_meta:
        return arguments.named(torch.ops.gated.layer(*arguments))
    saved, tensors = _taken_apart(arguments)
    results: tuple[Tensor, ...] = _Eager.apply(saved, *tensors)  # type: ignore[no-untyped-call]
    return arguments.named(results)


_library.impl("layer", _layer, "CPU")  # type: ignore[no-untyped-call]
_library.impl("layer_backward", _layer_backward, "CPU")  # type: ignore[no-untyped-call]
torch.library.register_fake("gated::layer", lambda *given: Arguments(*given).fresh())
torch.library.register_fake("gated::layer_backward", _fake_layer_backward)
torch.library.register_autograd("gated::layer", _gradient, setup_context=_remember)
torch.library.register_autocast("gated::layer", "cpu", torch.float32)
