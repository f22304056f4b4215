"""The decoder's loop with input feeding, with its backward pass written by hand for speed.

At each step an LSTM reads the previous word, and the attentional state of the previous step (input
feeding, Luong, Pham and Manning 2015, section 3.3); attention then reads the source:

    x_t = [ĥ_{t-1}, h_{t-1}]
    i, f, g, o = σ, σ, tanh, σ of (sums_t + U x_t)
    c_t = f c_{t-1} + i g,   h_t = o tanh(c_t)
    a_t = softmax(score(h_t, keys)),   ĥ_t = tanh(C h_t + Σ_s a_ts values_s)

The steps run one after the other, so what can be done for all steps at once is done outside of
the loop: the products with the words' embeddings (`sums`), with the encoder's states (`keys`,
`values`), and in the backward pass the gradients of all weights. Only U and C act inside. The
equations step by step, with gradients by autograd, are `Decoder.step` of `network.py`.

Shapes: T steps, B sentences, S steps of the source, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gated.tasks.translate.attention import Memory


class AdditiveWeights(NamedTuple):
    """Weights of additive attention inside the loop."""

    query: Tensor
    """`(H, H)`"""
    query_bias: Tensor
    """`(H,)`"""
    energy: Tensor
    """`(H,)`"""


class LoopWeights(NamedTuple):
    """Weights used inside the loop."""

    recurrent: Tensor
    """U, `(4·H, 2·H)`: gates in PyTorch's order; columns of the attentional, then of the hidden
    state."""
    combine: Tensor
    """C, `(H, H)`."""
    additive: AdditiveWeights | None = None
    """None where attention is multiplicative."""


def unroll(
    sums: Tensor, hidden: Tensor, cell: Tensor, weights: LoopWeights, memory: Memory
) -> Tensor:
    """Run the decoder over given words (teacher forcing).

    Args:
        sums: `(T, B, 4·H)`, contribution of each step's word to the gates' pre-activations, with
            biases.
        hidden: `(B, H)`, initial hidden state; the attentional state starts at 0.
        cell: `(B, H)`, initial cell state.
        weights: used inside the loop.
        memory: keys and values of the source sentences.

    Returns:
        The attentional states ĥ, `(T, B, H)`.
    """
    recurrent, combine, additive = weights
    tensors = (sums, hidden, cell, recurrent, combine, *memory, *(additive or ()))
    with torch.autocast(sums.device.type, enabled=False):
        same = (tensor.to(recurrent.dtype) for tensor in tensors)
        states: Tensor = _Loop.apply(*same)  # type: ignore[no-untyped-call]
    return states


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Tensor:
        sums, hidden, cell = tensors[:3]
        weights, memory = _named(tensors[3:])
        T, B, H = sums.shape[0], sums.shape[1], hidden.shape[1]
        states = sums.new_empty(T + 1, B, 2 * H)
        fed, hiddens = states[..., :H], states[..., H:]
        cells, gates = sums.new_empty(T + 1, B, H), torch.empty_like(sums)
        squashed, attention = sums.new_empty(T, B, H), sums.new_empty(T, *memory.padding.shape)
        fed[0], hiddens[0], cells[0] = 0, hidden, cell
        recurrent, combine = weights.recurrent.t().contiguous(), weights.combine.t().contiguous()
        for t in range(T):
            now = gates[t]
            torch.addmm(sums[t], states[t], recurrent, out=now)
            i, f, g, o = now.chunk(4, dim=1)
            now[:, : 2 * H].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
            torch.tanh(cells[t + 1], out=squashed[t])
            h = hiddens[t + 1].copy_(o * squashed[t])
            scores = _scores(h, weights, memory.keys).add_(memory.padding)
            torch.softmax(scores, dim=1, out=attention[t])
            context = torch.bmm(attention[t].unsqueeze(1), memory.values).squeeze(1)
            fed[t + 1] = context.addmm_(h, combine).tanh_()
        ctx.save_for_backward(*tensors[3:], states, cells, gates, squashed, attention)
        attentional: Tensor = fed[1:].contiguous()
        return attentional

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, cells, gates, squashed, attention = ctx.saved_tensors[-5:]
        weights, memory = _named(ctx.saved_tensors[:-5])
        T, B, H = grad.shape
        fed, hiddens = states[1:, :, :H], states[1:, :, H:]
        mixed, scored = torch.empty_like(grad), torch.empty_like(attention)
        additive = _AdditiveGradients(weights.additive, memory.keys) if weights.additive else None
        projected = torch.empty_like(grad) if additive else hiddens
        sums = torch.empty_like(gates)
        carried, carried_cell = grad.new_zeros(B, 2 * H), grad.new_zeros(B, H)
        for t in reversed(range(T)):
            # ĥ = tanh(…): what comes from the output and from the step after.
            now = torch.mul(grad[t] + carried[:, :H], 1 - fed[t].square(), out=mixed[t])
            a = attention[t]
            of_weights = torch.bmm(memory.values, now.unsqueeze(2)).squeeze(2)
            inner = (a * of_weights).sum(1, keepdim=True)
            of_scores = torch.mul(a, of_weights - inner, out=scored[t])
            h = torch.addmm(carried[:, H:], now, weights.combine)
            if additive is None:
                h += torch.bmm(of_scores.unsqueeze(1), memory.keys).squeeze(1)
            else:
                projected[t] = additive.step(hiddens[t], of_scores)
                h.addmm_(projected[t], additive.weights.query)
            carried_cell = _cell_backward(h, carried_cell, gates[t], squashed[t], cells[t], sums[t])
            carried = sums[t] @ weights.recurrent
        flat = sums.flatten(0, 1)
        of_loop = (
            flat.t() @ states[:-1].flatten(0, 1),
            mixed.flatten(0, 1).t() @ hiddens.flatten(0, 1),
        )
        values = torch.bmm(attention.permute(1, 2, 0), mixed.transpose(0, 1))
        start = (sums, carried[:, H:], carried_cell)
        if additive is None:
            keys = torch.bmm(scored.permute(1, 2, 0), projected.transpose(0, 1))
            return *start, *of_loop, keys, values, None
        of_query = projected.flatten(0, 1).t() @ hiddens.flatten(0, 1), projected.sum((0, 1))
        return *start, *of_loop, additive.keys, values, None, *of_query, additive.energy


def _named(tensors: Sequence[Tensor]) -> tuple[LoopWeights, Memory]:
    """Weights and memory from the row in which autograd takes them."""
    recurrent, combine, *memory = tensors[:5]
    additive = AdditiveWeights(*tensors[5:]) if len(tensors) > 5 else None
    return LoopWeights(recurrent, combine, additive), Memory(*memory)


def _scores(hidden: Tensor, weights: LoopWeights, keys: Tensor) -> Tensor:
    """Scores `(B, S)` of the keys for the hidden state `(B, H)`."""
    if weights.additive is None:
        return torch.bmm(keys, hidden.unsqueeze(2)).squeeze(2)
    return _energies(hidden, weights.additive, keys) @ weights.additive.energy


def _energies(hidden: Tensor, weights: AdditiveWeights, keys: Tensor) -> Tensor:
    """Tanh of query and key, `(B, S, H)`."""
    query = torch.nn.functional.linear(hidden, weights.query, weights.query_bias)
    return (query.unsqueeze(1) + keys).tanh_()


class _AdditiveGradients:
    """Gradients of additive attention, added up over the steps."""

    def __init__(self, weights: AdditiveWeights, keys: Tensor) -> None:
        self.weights, self.read = weights, keys
        self.keys = torch.zeros_like(keys)
        self.energy = torch.zeros_like(weights.energy)

    def step(self, hidden: Tensor, of_scores: Tensor) -> Tensor:
        """Return the gradients of a step's query, `(B, H)`, from those of its scores, `(B, S)`."""
        energies = _energies(hidden, self.weights, self.read)
        self.energy += of_scores.flatten() @ energies.flatten(0, 1)
        inner = energies.square_().neg_().add_(1).mul_(self.weights.energy)
        inner *= of_scores.unsqueeze(2)
        self.keys += inner
        return inner.sum(1)


def _cell_backward(
    hidden: Tensor, cell: Tensor, gates: Tensor, squashed: Tensor, before: Tensor, sums: Tensor
) -> Tensor:
    """Fill the gradients of the gates' `sums`; return that of the cell state `before`."""
    H = hidden.shape[1]
    i, f, g, o = gates.chunk(4, dim=1)
    of_i, of_f, of_g, of_o = sums.chunk(4, dim=1)
    cell = torch.addcmul(cell, hidden * o, 1 - squashed.square())
    torch.mul(cell, g, out=of_i)
    torch.mul(cell, before, out=of_f)
    torch.mul(hidden, squashed, out=of_o)
    torch.mul(cell * i, 1 - g.square(), out=of_g)
    for of_gate, gate in ((sums[:, : 2 * H], gates[:, : 2 * H]), (of_o, o)):
        of_gate.mul_(gate).mul_(1 - gate)
    return cell.mul_(f)
