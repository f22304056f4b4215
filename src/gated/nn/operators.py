"""The one place where recurrent layers meet what computes them.

Shapes: T steps, B sequences, I input features, H hidden units, L layers, D directions, P units of
the projected hidden state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import _VF, Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gated.core import ops, reference
from gated.core.layout import Weights
from gated.errors import ConfigurationError

Backend: TypeAlias = Literal["torch", "reference", "native"]
Lengths: TypeAlias = NDArray[np.int64] | None
States: TypeAlias = tuple[Tensor, ...]
Layer: TypeAlias = Sequence[Weights[Tensor]]
"""The weights of each direction."""
Result: TypeAlias = tuple[Tensor, States]

DEFAULT_BACKEND: Backend = "torch"


def chosen_backend(backend: str | None) -> Backend:
    """The backend of this name; the default where none is named.

    Raises:
        ConfigurationError: there is no such backend.
    """
    for name in ("torch", "reference", "native"):
        if name == (backend or DEFAULT_BACKEND):
            return name
    raise ConfigurationError(f"backend must be torch, reference or native, got {backend!r}")


def recurrence(
    cell: str,
    x: Tensor,
    initial: States,
    weights: Sequence[Layer],
    lengths: Lengths = None,
    *,
    dropout: float = 0.0,
    training: bool = False,
    backend: Backend | None = None,
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
        training: whether to drop.
        backend: `torch` computes with torch's own kernels, `reference` with the NumPy equations,
            `native` with the compiled core.

    Returns:
        The last layer's hidden states (T, B, D·P), zeros in the padding, and the states after
        each sequence's last step, in the shapes of `initial`.

    Raises:
        ConfigurationError: the backend cannot compute this.
    """
    backend = chosen_backend(backend)
    if backend == "torch":
        return _torch_layers(cell, x, initial, weights, lengths, dropout, training)
    core: ModuleType = reference
    options = {}
    if backend == "native":
        core = ops
        options["threads"] = torch.get_num_threads()
    dtype = weights[0][0].weight_ih.dtype
    if dtype not in (torch.float32, torch.float64):
        raise ConfigurationError(
            f"backend {backend} computes in float32 or float64, the weights are {dtype}: choose "
            "backend='torch'"
        )
    x, *states = (tensor.to(dtype) for tensor in (x, *initial))  # autocast may have changed them
    finals = []
    for depth, layer in enumerate(weights):
        if depth > 0:
            x = functional.dropout(x, dropout, training)
        outputs = []
        for direction, of_direction in enumerate(layer):
            row = depth * len(layer) + direction
            given = (x, *of_direction, *(state[row] for state in states))
            keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
            output, *final = _CoreLayer.apply(  # type: ignore[no-untyped-call]
                core, options, cell, lengths, direction == 1, keep, *given
            )
            outputs.append(output)
            finals.append(final)
        x = torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0]
    return x, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))


def _torch_layers(
    cell: str,
    x: Tensor,
    initial: States,
    weights: Sequence[Layer],
    lengths: Lengths,
    dropout: float,
    training: bool,
) -> Result:
    peepholes = weights[0][0].peepholes is not None
    if cell not in ("rnn_tanh", "rnn_relu", "gru", "lstm") or peepholes:
        what = f"{cell} with peepholes" if peepholes else cell
        raise ConfigurationError(f"backend torch has no {what}: choose backend='reference'")
    flat = [w for layer in weights for direction in layer for w in direction if w is not None]
    has_biases = weights[0][0].bias_ih is not None
    options = (has_biases, len(weights), dropout, training, len(weights[0]) == 2)
    kernel = getattr(_VF, cell)
    batch_first = False

    T, B, _ = x.shape
    if T > 0 and (lengths is None or (lengths == T).all()):
        output, *final = kernel(x, _as_torch(initial), flat, *options, batch_first)
        return output, tuple(final)

    # Torch's packed sequences fall in length and none is empty: the others keep their states.
    spans = torch.zeros(B, dtype=torch.int64) if lengths is None else torch.from_numpy(lengths)
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


class _CoreLayer(torch.autograd.Function):
    """One layer in one direction, forward and backward by a module of `gated.core`."""

    @staticmethod
    def forward(
        ctx: Any,
        core: ModuleType,
        options: dict[str, Any],
        cell: str,
        lengths: Lengths,
        reverse: bool,
        keep: bool,
        x: Tensor,
        *weights_and_initial: Tensor | None,
    ) -> tuple[Tensor, ...]:
        count = len(Weights._fields)
        weights: Weights[Any] = Weights(*map(_array, weights_and_initial[:count]))
        result = core.forward(
            cell,
            _array(x),
            weights,
            lengths=lengths,
            initial=[_array(state) for state in weights_and_initial[count:]],
            reverse=reverse,
            keep=keep,
            **options,
        )
        output, *final = (torch.from_numpy(a).to(x.device) for a in (result[0], *result[1]))
        ctx.core, ctx.options, ctx.kept = core, options, result.kept
        # What is kept shares memory with these: so torch notices when they change in place.
        ctx.save_for_backward(x, *weights_and_initial, output)
        return output, *final

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ConfigurationError(
                "create_graph asks for second derivatives, which only backend='torch' has"
            )
        x, *_ = ctx.saved_tensors
        grad_output, *grad_final = map(_array, grads)
        grad_x, grad_weights, grad_initial = ctx.core.backward(
            ctx.kept, grad_output, grad_final, **ctx.options
        )
        arrays = (grad_x, *grad_weights, *grad_initial)
        return (None,) * 6 + tuple(
            None if array is None else torch.from_numpy(array).to(x.device) for array in arrays
        )


def _array(tensor: Tensor | None) -> Any:
    """The same memory for NumPy, each row of features in one piece; a copy where it must be."""
    if tensor is None:
        return None
    in_one_piece = tensor.dim() == 3 and tensor.stride(2) == 1
    return (tensor if in_one_piece else tensor.contiguous()).detach().cpu().numpy()
