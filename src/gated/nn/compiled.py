"""All layers of a module as one operator, `torch.ops.gated.run_layers`, for `torch.compile`.

Dynamo then traces a few lines of Python in place of hundreds, and inductor generates no C++ for
what is between the layers.

Shapes: T steps, B sequences, I input features, L layers, D directions, P units of the projected
hidden state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gated.cells.cell import Cell
from gated.core.arguments import check_lengths
from gated.core.plans import kept_shapes, named_cell, sizes_of
from gated.errors import LayerArgumentError
from gated.nn.arguments import Hidden, check_steps, checked_lengths
from gated.nn.backends import native_is_there
from gated.nn.plain import Batch, PlainLayers

_LAYERS = (
    "str cell, Tensor x, Tensor[] initial, Tensor[] weights, str names, int directions, bool keep, "
    "Tensor? lengths"
)
_library = torch.library.Library("gated", "FRAGMENT")  # type: ignore[no-untyped-call]
for _schema in (
    f"run_layers({_LAYERS}) -> Tensor[]",
    # The run alone: autograd's part in Python would take as long as few short steps.
    f"run_layers_forward({_LAYERS}) -> Tensor[]",
    f"run_layers_backward({_LAYERS}, Tensor kept, Tensor?[] grads, bool[] wanted) -> Tensor[]",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]


_known: Any = WeakTensorKeyDictionary()
"""`PlainLayers` that were made before, by the first weight of the layers."""


class _Call(NamedTuple):
    """The operator's arguments, by name."""

    cell: str
    """A name that `gated.core.plans.named_cell` knows."""
    x: Tensor
    """(T, B, I)"""
    initial: list[Tensor]
    """(L·D, B, ·) of each state; none where they are zeros."""
    weights: list[Tensor]
    """Of each direction of each layer."""
    names: str
    """The names of the weights of one direction, separated by commas."""
    directions: int
    keep: bool
    lengths: Tensor | None = None
    """(B), int64."""

    @property
    def given(self) -> list[list[dict[str, Tensor]]]:
        """The weights by name, of each direction of each layer."""
        names = self.names.split(",")
        each = [
            dict(zip(names, self.weights[first:], strict=False))
            for first in range(0, len(self.weights), len(names))
        ]
        return [
            each[first : first + self.directions] for first in range(0, len(each), self.directions)
        ]

    @property
    def definition(self) -> Cell:
        """The cell."""
        return named_cell(self.cell, dict.fromkeys(self.names.split(",")))

    def layers(self) -> PlainLayers:
        """The layers, which share the memory of these weights."""
        mark: list[Any] = [(self.cell, self.names, self.directions)]
        mark += [(weight.data_ptr(), weight.shape, weight.stride()) for weight in self.weights]
        known: tuple[list[Any], PlainLayers] | None = _known.get(self.weights[0])
        if known is None or known[0] != mark:
            self.shapes()
            # Detached: a cached value must not refer to its key, or it would never be freed.
            pieces = [weight.detach().contiguous() for weight in self.weights]
            given = self._replace(weights=pieces).given
            known = mark, PlainLayers(self.definition, self.x.shape[2], given)
            if all(weight.is_contiguous() for weight in self.weights):
                _known[self.weights[0]] = known
        return known[1]

    def batch(self) -> Batch:
        """The layout of x, with rows for padding too: no shape may depend on data.

        Raises:
            DataError: a length is below 0, or above T.
        """
        T, B, _ = self.x.shape
        if self.lengths is None:
            return Batch(T, B, T * B)
        check_lengths(self.lengths.numpy(), T, B)
        return Batch(T, B, T * B, self.lengths)

    def shapes(self) -> list[tuple[Any, ...]]:
        """Shapes of the results: output, final states, and with `keep` that of the kept values.

        Raises:
            LayerArgumentError: the input or the states do not fit.
        """
        cell, given = self.definition, self.given
        T, B, inputs = self.x.shape
        sizes = sizes_of(cell, given[0][0], inputs)
        widths = [sizes[state.width] for state in cell.states]
        if self.lengths is None:
            check_steps(self.x)
        if inputs != given[0][0]["weight_ih"].shape[1]:
            features = given[0][0]["weight_ih"].shape[1]
            raise LayerArgumentError(
                f"input must have {features} features (input_size), got {inputs}"
            )
        states = [(len(given) * self.directions, B, width) for width in widths]
        if self.initial and [tuple(state.shape) for state in self.initial] != states:
            raise LayerArgumentError(
                f"hx must have the shapes {states}, got {[tuple(s.shape) for s in self.initial]}"
            )
        output = self.directions * widths[0]
        results: list[tuple[Any, ...]] = [(T, B, output), *states]
        if self.keep:
            each = sum(shape[1] for shape in kept_shapes(cell, 0, sizes, False).values())
            results.append((T * B, len(given) * (self.directions * each + output)))
        return results

    def fits(self, layers: PlainLayers) -> bool:
        """Whether input and states fit: quicker than `shapes`, which says what does not."""
        B = self.x.shape[1]
        return (
            (self.x.shape[0] > 0 or self.lengths is not None)
            and self.x.shape[2] == layers.inputs
            and all(
                state.shape == (layers.rows, B, width)
                for state, width in zip(self.initial, layers.state_widths, strict=False)
            )
        )


def _forward(*given: Any) -> list[Tensor]:
    call = _Call(*given)
    layers = call.layers()
    if not call.fits(layers):
        call.shapes()
    memory = [call.x.new_empty(call.shapes()[-1])] if call.keep else []
    results, _ = layers.forward(
        call.x, call.initial, call.batch(), (), call.keep, memory[0] if memory else None
    )
    return [*results, *memory]


def _fake(*given: Any) -> list[Tensor]:
    call = _Call(*given)
    return [call.x.new_empty(shape) for shape in call.shapes()]


def _backward(*given: Any) -> list[Tensor]:
    call, (memory, grads, wanted) = _Call(*given[:-3]), given[-3:]
    x = call.x if call.x.stride(2) == 1 else call.x.contiguous()
    grad_output, *grad_finals = grads
    layers, batch = call.layers(), call.batch()
    kept = [x, *chain.from_iterable(layers.kept_in(memory, batch))]
    found = layers.backward(call.initial, batch, (), kept, grad_output, grad_finals, wanted)
    # A gradient that is not needed is an empty tensor, as nothing reads it.
    return [like.new_empty(0) if of is None else of for of, like in zip(found, _asked(call))]  # noqa: B905


def _fake_backward(*given: Any) -> list[Tensor]:
    call, wanted = _Call(*given[:-3]), given[-1]
    states = len(call.initial)
    return [
        tensor.new_empty(tensor.shape if wanted[place] or 0 < place <= states else 0)
        for place, tensor in enumerate(_asked(call))
    ]


def _asked(call: _Call) -> list[Tensor]:
    """The tensors that may need gradients."""
    return [call.x, *call.initial, *call.weights]


class _Run(torch.autograd.Function):
    """The operator with gradients."""

    @staticmethod
    def forward(
        ctx: Any, rest: tuple[str, str, int], states: int, lengths: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        with torch._C._AutoDispatchBelowAutograd():
            results = torch.ops.gated.run_layers_forward(*_call_of(rest, states, lengths, tensors))
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(results[-1])
        ctx.save_for_backward(lengths, *tensors, results[-1])
        ctx.rest, ctx.states = rest, states
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        lengths, *tensors, kept = ctx.saved_tensors
        call = _call_of(ctx.rest, ctx.states, lengths, tensors)
        needs = ctx.needs_input_grad[3:]
        wanted = [needs[0], *[True] * ctx.states, *needs[1 + ctx.states :]]
        found = torch.ops.gated.run_layers_backward(*call, kept, list(grads[:-1]), wanted)
        given = [of if yes else None for of, yes in zip(found, wanted, strict=True)]
        return (None, None, None, *given)


def _call_of(
    rest: tuple[str, str, int], states: int, lengths: Tensor | None, tensors: Sequence[Tensor]
) -> _Call:
    (cell, names, directions), (x, *more) = rest, tensors
    return _Call(cell, x, more[:states], more[states:], names, directions, True, lengths)


def _with_gradients(*given: Any) -> list[Tensor]:
    call = _Call(*given)
    tensors = _asked(call)
    if call.keep and torch.is_grad_enabled() and any(of.requires_grad for of in tensors):
        rest = call.cell, call.names, call.directions
        found = _Run.apply(rest, len(call.initial), call.lengths, *tensors)  # type: ignore[no-untyped-call]
        return list(found)
    with torch._C._AutoDispatchBelowAutograd():
        results: list[Tensor] = torch.ops.gated.run_layers_forward(*call)
    return results


for _name in ("run_layers", "run_layers_forward"):
    _library.impl(_name, _forward, "CPU")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"gated::{_name}", _fake)
_library.impl("run_layers", _with_gradients, "Autograd")  # type: ignore[no-untyped-call]
_library.impl("run_layers_backward", _backward, "CPU")  # type: ignore[no-untyped-call]
torch.library.register_fake("gated::run_layers_backward", _fake_backward)


def run_compiled(
    module: Any, input: Any, hx: Hidden | None, lengths: ArrayLike | Tensor | None = None
) -> tuple[Tensor, Hidden] | None:
    """Return the output and the final states; None for calls that the operator does not support.

    Args:
        module: a `SequencesOfTorch`.
        input: as the caller gave it.
        hx: as the caller gave it.
        lengths: as the caller gave them.
    """
    names: Sequence[str] = module._flat_weights_names
    if (
        not isinstance(input, Tensor)
        or input.dim() != 3
        or input.device.type != "cpu"
        or module._all_of_weights
        or module.observers
        or module.backend not in (None, "native")
        or any(module.variant)
        or (module.dropout and module.training and module.num_layers > 1)
        or torch.compiler.is_exporting()
        or torch.is_autocast_enabled("cpu")
        or not native_is_there()
    ):
        return None
    weights = [getattr(module, name) for name in names]
    states = [] if hx is None else [hx] if isinstance(hx, Tensor) else list(hx)
    tensors = [input, *states, *weights]
    if input.dtype not in (torch.float32, torch.float64) or any(
        of.dtype != input.dtype or of.device.type != "cpu" for of in tensors
    ):
        return None
    lstm = module.mode == "LSTM"
    if hx is not None and (isinstance(hx, Tensor) == lstm or len(states) != 1 + lstm):
        return None
    directions = 1 + module.bidirectional
    each = len(names) // (module.num_layers * directions)
    keep = torch.is_grad_enabled() and any(of.requires_grad for of in tensors)
    x = input.transpose(0, 1) if module.batch_first else input
    output, *final = torch.ops.gated.run_layers(
        module._cell,
        x,
        states,
        weights,
        ",".join([name.removesuffix("_l0") for name in names[:each]]),
        directions,
        keep,
        None if lengths is None else checked_lengths(lengths, *x.shape[:2]),
    )
    if module.batch_first:
        output = output.transpose(0, 1)
    return output, (final[0], final[1]) if lstm else final[0]
