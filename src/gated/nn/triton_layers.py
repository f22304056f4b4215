"""Layers of any cell on a GPU: torch's products, and Triton kernels between them.

The products with the input are one matrix product for all steps; then each step runs the products
of each stage, and after these the stage's kernel (`gated.cells.emit_triton`). So does the backward
pass; each weight's gradient is one matrix product after the loop. From the third call with the same
shapes on, the loop is one CUDA graph, so that no step is launched from Python.

Triton's interpreter runs the same on the CPU, slowly: TRITON_INTERPRET=1, before Triton is
imported.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gated.errors import ConfigurationError
from gated.nn.triton_loops import Given, Loop, loop_for, plans_of, runs_of, steps_of

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""The dtypes of arrays; kernels compute in float32 on those of 16 bits."""


def is_there() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


class Results(NamedTuple):
    """The results of a layer in one direction."""

    output: Tensor
    """(T, B, P); zeros in the padding."""
    final: tuple[Tensor, ...]
    gates: dict[str, Tensor]
    """Every gate and state by name, (T, B, ·), zeros in the padding; empty unless `watched`."""


@torch.compiler.disable  # type: ignore[untyped-decorator]
def layer(given: Given) -> Results:
    """Run one layer in one direction, with gradients."""
    output, *others = _Layer.apply(given, *given.tensors)  # type: ignore[no-untyped-call]
    states = len(given.initial)
    gates: dict[str, Tensor] = {}
    if given.watched:
        cell, sizes = given.cell, given.sizes
        kept = plans_of(cell).kept
        widths = [sizes[cell.tape[place].width] for place in kept]
        values = dict(zip(kept, others[states].split(widths, dim=-1), strict=True))
        histories = zip(cell.states, others[states + 1 :], strict=True)
        values |= {state.after: history for state, history in histories}
        if cell.output_is_hidden:
            values[cell.output] = output
        gates = {name: values[place] for name, place in cell.named.items()}
    return Results(output, tuple(others[:states]), gates)


class _Layer(torch.autograd.Function):
    """One layer in one direction."""

    @staticmethod
    def forward(ctx: Any, given: Given, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = given.with_tensors(tensors)
        output, kept, histories = _forward(given, given.keep)
        results = [output, *(history[given.end].clone() for history in histories)]
        if given.watched:
            runs = given.running.unsqueeze(-1) != 0
            results.append(kept.clone())
            results += [torch.where(runs, given.after(history), 0) for history in histories]
        ctx.given = given
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *([] if given.recompute else [kept, *histories]))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ConfigurationError(
                "create_graph asks for second derivatives, which only backend='torch' has"
            )
        count = len(ctx.given.tensors)
        given = ctx.given.with_tensors(ctx.saved_tensors[:count])
        saved = list(ctx.saved_tensors[count:])
        if given.recompute:
            _, kept, saved = _forward(given, keep=True)
        else:
            kept, *saved = saved
        return (None, *_backward(given, kept, saved, grads, wants_x=ctx.needs_input_grad[1]))


@contextmanager
def _on_device_of(x: Tensor) -> Iterator[None]:
    """Run what is within on a tensor's device, without autocast."""
    on_device = torch.cuda.device_of(x)  # type: ignore[no-untyped-call]
    with on_device, torch.autocast(x.device.type, enabled=False):
        yield


def _forward(given: Given, keep: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The output, the kept values (T, B, ·), and the history of each state, (T + 1, B, ·)."""
    steps = steps_of(given.cell, "training" if keep else "inference")
    loop, plan, sizes = loop_for(steps, given), steps.plan, given.sizes
    T, B, I = given.x.shape  # noqa: E741
    columns, width = steps.columns(sizes)
    with _on_device_of(given.x):
        loop.put_given(given)
        biases = given.x.new_zeros(width)
        for slot, number, block in plan.vectors:
            matrix = given.cell.matrices[number]
            bias = given.weights.get(matrix.bias) if matrix.has_bias else None
            if bias is not None:
                biases[columns[slot]] += bias.view(len(matrix.gates), -1)[block]
        slots = loop.room("slot", T, B, width)
        slots.copy_(biases.expand_as(slots))
        for part in loop.before:
            target = slots.view(T * B, width)[:, part.target[1]]
            target.addmm_(given.x.reshape(T * B, I), loop.weight(part, given.weights).t())
        loop.states(given, "state", given.initial, given.start)
        loop.room("output", T, B, sizes[given.cell.states[0].width])
        kept = loop.room("kept", T, B, sum(sizes[width] for width in plan.kept))
        loop.run(range(T)[::-1] if given.reverse else range(T))
    kept = loop.taken("kept")
    histories = [loop.taken(f"state{k}") for k in range(len(given.initial))]
    return loop.taken("output"), kept, histories


def _backward(
    given: Given,
    kept: Tensor,
    histories: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    wants_x: bool,
) -> list[Tensor | None]:
    """The gradients of `given.tensors`, from those of the results of `_Layer`."""
    cell, sizes, states = given.cell, given.sizes, len(given.initial)
    grad_output, grad_final, of_gates = grads[0], grads[1 : 1 + states], grads[1 + states :]
    is_watched = any(grad is not None for grad in of_gates)
    steps = steps_of(cell, "backward_of_gates" if is_watched else "backward")
    loop = loop_for(steps, given)
    T, B, _ = given.x.shape
    columns, width = steps.columns(sizes)
    with _on_device_of(given.x):
        loop.put_given(given)
        loop.put("kept", kept)
        shape = T, B, sizes[cell.states[0].width]
        loop.put("grad_output", given.x.new_zeros(shape) if grad_output is None else grad_output)
        if is_watched:
            of_kept, *of_histories = of_gates
            loop.put("grad_kept", torch.zeros_like(kept) if of_kept is None else of_kept)
            for k, (grad, history) in enumerate(zip(of_histories, histories, strict=True)):
                none = torch.zeros_like(history[1:])
                loop.put(f"grad_history{k}", none if grad is None else grad)
        for k, history in enumerate(histories):
            loop.put(f"before{k}", given.before(history))
            loop.put(f"after{k}", given.after(history))
        slots = loop.room("slot", T, B, width).view(T * B, width)
        loop.states(given, "grad_state", grad_final, given.end)
        loop.run(range(T) if given.reverse else range(T)[::-1])
        found = _summed(loop, given, kept, histories, slots)
        grad_x = _grad_x(loop, given, slots) if wants_x else None
    initial = [loop.arrays[f"grad_state{k}"][given.start].clone() for k in range(states)]
    per_step = [torch.zeros_like(of) for of in given.per_step]
    for slot, number in steps.plan.grad_per_step:
        grad = slots.view(T, B, width)[..., columns[slot]]
        per_step[number] = grad.reshape(per_step[number].shape).clone()
    return [grad_x, *found.values(), *initial, *per_step]


def _grad_x(loop: Loop, given: Given, slots: Tensor) -> Tensor:
    """The gradient of the input."""
    T, B, I = given.x.shape  # noqa: E741
    columns, _ = loop.steps.columns(loop.sizes)
    direct = loop.steps.plan.grad_input
    found = given.x.new_zeros(T * B, I) if direct < 0 else slots[:, columns[direct]].clone()
    for part in loop.before:
        found.addmm_(slots[:, part.source[1]], loop.weight(part, given.weights))
    return found.view(T, B, I)


def _summed(
    loop: Loop, given: Given, kept: Tensor, histories: Sequence[Tensor], slots: Tensor
) -> dict[str, Tensor]:
    """The gradients of weights, biases and parameters: sums over all steps and sequences."""
    steps, cell, sizes = loop.steps, given.cell, loop.sizes
    columns, _ = steps.columns(sizes)
    found = {name: torch.zeros_like(weight) for name, weight in given.weights.items()}
    x = given.x
    if given.lengths is not None:  # whatever the padding has, NaN times 0 is NaN
        x = torch.where(given.running.unsqueeze(-1) != 0, x, 0)
    sources = {"input": x, "kept": kept, "slot": slots.unsqueeze(0)}
    for number, of_step in enumerate(given.per_step):
        if of_step.dim() == 3:
            real = given.running.unsqueeze(-1) != 0
            sources[f"per_step{number}"] = torch.where(real, of_step, 0)
    for k, history in enumerate(histories):
        sources |= {f"before{k}": given.before(history), f"after{k}": given.after(history)}
    for of in steps.plan.summed:
        matrix = cell.matrices[of.matrix]
        name, of_source = steps.place(of.source, sizes)
        source = sources[name].flatten(0, 1)[:, of_source]
        blocks = found[matrix.name].view(len(matrix.gates), sizes[matrix.rows], -1)
        pairs = [(block, steps.plan.operands[operand].number) for block, operand in of.blocks]
        for run in runs_of(pairs, columns):
            here = slice(columns[run[0][1]].start, columns[run[-1][1]].stop)
            product = (slots[:, here].t() @ source).view(len(run), *blocks.shape[1:])
            for (block, _), grad in zip(run, product, strict=True):
                blocks[block] += grad
    sums = slots.sum(0)
    for slot, number, block in steps.plan.vectors:
        if number < len(cell.matrices):
            matrix = cell.matrices[number]
            name = matrix.bias if matrix.has_bias else ""
        else:
            name = cell.parameters[number - len(cell.matrices)].name
        if name in found:
            found[name].view(-1, sizes[steps.plan.slots[slot]])[block] += sums[columns[slot]]
    return found
