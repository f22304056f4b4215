"""Layers of any cell on a GPU: torch's products, and Triton kernels between them.

The input's products are one product for all steps; then, step by step, come the products of each
stage and the kernel that follows from them (`gated.cells.emit_triton`). On the way back likewise;
the weights' gradients are one product each, behind the loop. From the third call with the same
shapes on, the loop is one CUDA graph, so that a step costs no launches from Python.

Triton's interpreter runs the same on the CPU, slowly: TRITON_INTERPRET=1, before Triton is
imported.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

import importlib.util
import linecache
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gated.cells.cell import Cell
from gated.cells.emit_triton import Kernel, Kernels, array_of, blocks_and_slots, kernels
from gated.cells.plan import Operand, Plan, Plans, Product, plans
from gated.core.plans import sizes_of
from gated.errors import ConfigurationError

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""Of arrays; kernels compute in float32 where these are shorter."""
LONGEST_BLOCK = 1024
"""Units of a program instance, unless it sums over more."""
LOOPS = 16
"""How many loops are kept, with their graphs and arrays: those used last."""


def is_there() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def is_interpreted() -> bool:
    """Whether its kernels run on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


class Given(NamedTuple):
    """One layer in one direction, and what it takes."""

    cell: Cell
    """With all that is done beside its equations."""
    x: Tensor
    """(T, B, I)"""
    weights: dict[str, Tensor]
    initial: list[Tensor]
    """(B, ·) each."""
    per_step: list[Tensor]
    """(T, B) each."""
    per_sequence: list[Tensor]
    """(B, ·) each."""
    draws: dict[int, Tensor]
    """Of zoneout: by state, how much of it is kept, (T, B, ·)."""
    lengths: Tensor | None
    reverse: bool
    watched: bool
    """Whether a loss may read gates and states."""
    recompute: bool
    """Whether the way back computes once more what it takes."""

    @property
    def tensors(self) -> list[Tensor]:
        """What may have gradients."""
        return [self.x, *self.weights.values(), *self.initial, *self.per_step]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Given:
        """The same with others in place of these."""
        weights, states = 1 + len(self.weights), 1 + len(self.weights) + len(self.initial)
        return self._replace(
            x=tensors[0],
            weights=dict(zip(self.weights, tensors[1:weights], strict=True)),
            initial=list(tensors[weights:states]),
            per_step=list(tensors[states:]),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many units each width has."""
        return sizes_of(self.cell, self.weights, self.x.shape[2])

    @property
    def running(self) -> Tensor:
        """Which steps are real, (T, B), 1 or 0."""
        T, B, _ = self.x.shape
        if self.lengths is None:
            return torch.ones(T, B, dtype=torch.uint8, device=self.x.device)
        times = torch.arange(T, device=self.x.device)[:, None]
        return (times < self.lengths.to(self.x.device)).to(torch.uint8)

    def before(self, history: Tensor) -> Tensor:
        """Of T + 1 states those before each step, (T, B, ·)."""
        return history[1:] if self.reverse else history[:-1]

    def after(self, history: Tensor) -> Tensor:
        """Those after each step."""
        return history[:-1] if self.reverse else history[1:]


class Results(NamedTuple):
    """What a layer makes of its sequences."""

    output: Tensor
    """(T, B, P); zeros in the padding."""
    final: tuple[Tensor, ...]
    gates: dict[str, Tensor]
    """Where they are watched, every gate and state by name, (T, B, ·); zeros in the padding."""


@torch.compiler.disable  # type: ignore[untyped-decorator]
def layer(given: Given) -> Results:
    """One layer in one direction, with gradients."""
    output, *others = _Layer.apply(given, *given.tensors)  # type: ignore[no-untyped-call]
    states = len(given.initial)
    gates: dict[str, Tensor] = {}
    if given.watched:
        cell, sizes = given.cell, given.sizes
        kept = _plans(cell).kept
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
        keep = given.watched or any(ctx.needs_input_grad)
        output, kept, histories = _forward(given, keep)
        results = [output, *(history[_end(given)].clone() for history in histories)]
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


def _start(given: Given) -> int:
    """Which of T + 1 states a sequence starts from."""
    return -1 if given.reverse else 0


def _end(given: Given) -> int:
    return 0 if given.reverse else -1


# A plan with its kernels, each made once.

_Which: TypeAlias = Literal["inference", "training", "backward", "backward_of_gates"]
Place: TypeAlias = tuple[str, slice]
"""An array, and columns of it."""


class _Part(NamedTuple):
    """Blocks of a matrix, their slots side by side, by a vector; or what these give back to it."""

    matrix: str
    blocks: tuple[int, ...]
    source: Place
    target: Place
    adds: bool
    """To what the target has, or in place of it."""


class _Steps(NamedTuple):
    """How any of the steps of a layer is computed."""

    cell: Cell
    which: _Which
    plan: Plan
    kernels: Kernels
    functions: dict[str, Any]
    """Triton's, by name."""

    @property
    def is_backward(self) -> bool:
        """Whether they are those of the way back."""
        return self.which.startswith("backward")

    def columns(self, sizes: Mapping[str, int]) -> tuple[dict[int, slice], int]:
        """Of each slot that lies in memory, and how many there are."""
        found, start = {}, 0
        for slot in self.kernels.slots:
            end = start + sizes[self.plan.slots[slot]]
            found[slot] = slice(start, end)
            start = end
        return found, start

    def place(self, operand: int, sizes: Mapping[str, int]) -> Place:
        """Where the value of an operand is at each step."""
        of: Operand = self.plan.operands[operand]
        if of.base == "slot":
            return "slot", self.columns(sizes)[0][of.number]
        if of.base != "kept":
            return array_of(of), slice(None)
        widths = [sizes[width] for width in self.plan.kept]
        return "kept", slice(sum(widths[: of.number]), sum(widths[: of.number + 1]))

    def parts(self, products: Iterable[Product], sizes: Mapping[str, int]) -> list[_Part]:
        """The products as few as can be."""
        columns, _ = self.columns(sizes)
        found = []
        written: set[str] = set()
        for of in products:
            matrix = self.cell.matrices[of.matrix].name
            for run in _runs(blocks_and_slots(self.plan, of), columns):
                blocks, slots = tuple(block for block, _ in run), [slot for _, slot in run]
                here = "slot", slice(columns[slots[0]].start, columns[slots[-1]].stop)
                if not self.is_backward:
                    source = self.place(of.source, sizes)
                    found.append(_Part(matrix, blocks, source, here, True))
                    continue
                target = ("grad_input", slice(None))
                if of.targets[0] >= 0:
                    target = self.place(of.targets[0], sizes)
                adds = target[0] != "slot" or str(target) in written
                written.add(str(target))
                found.append(_Part(matrix, blocks, here, target, adds))
        return found


def _runs(
    pairs: Sequence[tuple[int, int]], columns: Mapping[int, slice]
) -> list[list[tuple[int, int]]]:
    """Blocks and their slots, those together whose slots lie side by side."""
    runs: list[list[tuple[int, int]]] = []
    for block, slot in sorted(pairs, key=lambda pair: columns[pair[1]].start):
        if runs and columns[runs[-1][-1][1]].stop == columns[slot].start:
            runs[-1].append((block, slot))
        else:
            runs.append([(block, slot)])
    return runs


@cache
def _plans(cell: Cell) -> Plans:
    return plans(cell)


@cache
def _steps(cell: Cell, which: _Which) -> _Steps:
    plan: Plan = getattr(_plans(cell), which)
    written = kernels(plan)
    name = f"<{which} of {cell.name}:{cell.digest}>"
    # Triton reads a function's source where Python's own tracebacks do.
    lines = written.text.splitlines(keepends=True)
    linecache.cache[name] = (len(written.text), None, lines, name)
    import triton
    import triton.language

    functions = {"__name__": __name__, "triton": triton, "tl": triton.language}
    exec(compile(written.text, name, "exec"), functions)
    return _Steps(cell, which, plan, written, functions)


# The loop over time.


class _Loop:
    """The steps of a plan over arrays of some shapes.

    Where it is to last, its arrays stay where they are in memory, and from its second run on it is
    one graph: the first has compiled what there is to compile.
    """

    def __init__(self, steps: _Steps, given: Given, lasts: bool = False) -> None:
        self.steps = steps
        self.sizes = given.sizes
        self.lasts = lasts
        self.dtype = given.x.dtype
        self.rows = given.x.shape[1]
        self.before = steps.parts(steps.plan.before, self.sizes)
        self.stages = [steps.parts(stage.products, self.sizes) for stage in steps.plan.stages]
        self.arrays: dict[str, Tensor] = {}
        """By name; what differs from step to step with T in front."""
        self.read = {name for of in steps.kernels.of_stage if of for name in of.arrays}
        self.read |= {part.source[0] for parts in self.stages for part in parts}
        self.runs = 0
        self.graph: Any = None

    def put(self, name: str, value: Tensor) -> None:
        """Hand in an array, unless nothing reads it."""
        if name not in self.read:
            return
        if not self.lasts:
            self.arrays[name] = value.contiguous()
        elif name in self.arrays:
            self.arrays[name].copy_(value)
        else:
            self.arrays[name] = value.clone(memory_format=torch.contiguous_format)

    def put_given(self, given: Given) -> None:
        """Hand in what both passes read."""
        self.put("running", given.running)
        self.put("input", given.x)
        for number, of in enumerate(given.cell.parameters):
            value = given.weights.get(of.name)
            if value is None:  # a bias that the layer does not have
                value = given.x.new_zeros(max(1, len(of.gates)) * self.sizes["H"])
            self.put(f"parameter{number}", value)
        for name, values in (("per_step", given.per_step), ("sequence", given.per_sequence)):
            for number, value in enumerate(values):
                self.put(f"{name}{number}", value)
        for state, value in given.draws.items():
            self.put(f"draw{state}", value)
        for number, parts in enumerate(self.stages):
            for place, part in enumerate(parts):
                self.read.add(f"weight{number}.{place}")
                self.put(f"weight{number}.{place}", self.weight(part, given.weights))

    def room(self, name: str, *shape: int) -> Tensor:
        """An array for results."""
        if name not in self.arrays:
            like = self.arrays["running"]
            self.arrays[name] = like.new_empty(shape, dtype=self.dtype)
        return self.arrays[name]

    def states(self, given: Given, name: str, ends: Sequence[Tensor | None], at: int) -> None:
        """Room for T + 1 states, of which those at one end are known; zeros for None."""
        T, B, _ = given.x.shape
        before, after = ("before", "after") if name == "state" else ("grad_before", "grad_after")
        for k, (of, end) in enumerate(zip(given.cell.states, ends, strict=True)):
            every = self.room(f"{name}{k}", T + 1, B, self.sizes[of.width])
            if end is None:
                every[at].zero_()
            else:
                every[at] = end
            self.arrays[f"{before}{k}"] = given.before(every)
            self.arrays[f"{after}{k}"] = given.after(every)

    def taken(self, name: str) -> Tensor:
        """A result, for whoever keeps it."""
        return self.arrays[name].clone() if self.lasts else self.arrays[name]

    def weight(self, part: _Part, weights: Mapping[str, Tensor]) -> Tensor:
        """The rows of a matrix that a product is with."""
        height = self.sizes[self.steps.cell.matrix(part.matrix).rows]
        whole = weights[part.matrix]
        rows = [whole[block * height : (block + 1) * height] for block in part.blocks]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def run(self, times: Sequence[int]) -> None:
        """All steps, in this order."""

        def every_step() -> None:
            for t in times:
                self.step(t)

        if self.lasts and self.runs == 1:
            self.graph = _captured(every_step)
        if self.graph is None:
            every_step()
        else:
            self.graph.replay()
        self.runs += 1

    def step(self, t: int) -> None:
        """Of each stage the products, then the kernel."""
        for number, parts in enumerate(self.stages):
            for place, part in enumerate(parts):
                weight = self.arrays[f"weight{number}.{place}"]
                source, target = (
                    self.arrays[name][t][:, columns] for name, columns in (part.source, part.target)
                )
                weight = weight if self.steps.is_backward else weight.t()
                target.addmm_(source, weight, beta=int(part.adds))
            kernel = self.steps.kernels.of_stage[number]
            if kernel is not None and self.rows:
                self.launch(kernel, t)

    def launch(self, kernel: Kernel, t: int) -> None:
        """A kernel for all rows of one step."""
        from triton import language, next_power_of_2

        widest = max([1, *(self.sizes[width] for width in kernel.widths)])
        block = next_power_of_2(widest)
        if not kernel.reduces:
            block = min(block, LONGEST_BLOCK)
        arrays = [
            self.arrays[name] if name.startswith(_STILL) else self.arrays[name][t]
            for name in kernel.arrays
        ]
        self.steps.functions[kernel.name][self.rows, -(-widest // block)](
            *arrays,
            *(self.sizes[width] for width in "HIP"),
            block,
            language.float64 if self.dtype == torch.float64 else language.float32,
            num_warps=min(max(block // 256, 1), 8),
        )


_STILL = ("parameter", "sequence")
"""What the names of arrays begin with that are the same at all steps."""

_loops: OrderedDict[Any, _Loop | None] = OrderedDict()
"""By all that their graphs depend on; None where there was one call."""


def _loop(steps: _Steps, given: Given) -> _Loop:
    """The loop for some shapes: one that lasts from the second call on."""
    key = _key(steps, given)
    if key is None:
        return _Loop(steps, given)
    again = key in _loops
    loop = _loops.pop(key, None)
    if again and loop is None:
        loop = _Loop(steps, given, lasts=True)
    _loops[key] = loop
    if len(_loops) > LOOPS:
        _loops.popitem(last=False)
    return loop or _Loop(steps, given)


def _key(steps: _Steps, given: Given) -> Any:
    """What the graph of a loop depends on, or None where there can be none."""
    x = given.x
    if not x.is_cuda or not x.numel() or torch.cuda.is_current_stream_capturing():
        return None
    stream = torch.cuda.current_stream(x.device).cuda_stream
    sizes = tuple(given.sizes.values())
    return steps.cell, steps.which, x.shape, sizes, x.dtype, x.device, given.reverse, stream


def _captured(every_step: Callable[[], None]) -> Any:
    """A CUDA graph of all steps, or None where there is none to be had."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            every_step()
    except RuntimeError as error:
        warnings.warn(f"steps are launched one by one, without a graph: {error}", stacklevel=2)
        return None
    return graph


@contextmanager
def _where_and_as_it_is(x: Tensor) -> Iterator[None]:
    """On the device of a tensor, and in its dtype."""
    on_device = torch.cuda.device_of(x)  # type: ignore[no-untyped-call]
    with on_device, torch.autocast(x.device.type, enabled=False):
        yield


def _forward(given: Given, keep: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The output, what steps keep, (T, B, ·), and T + 1 of each state, (T + 1, B, ·)."""
    steps = _steps(given.cell, "training" if keep else "inference")
    loop, plan, sizes = _loop(steps, given), steps.plan, given.sizes
    T, B, I = given.x.shape  # noqa: E741
    columns, width = steps.columns(sizes)
    with _where_and_as_it_is(given.x):
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
        loop.states(given, "state", given.initial, _start(given))
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
    """The gradients of `given.tensors`, for those of what `_Layer` gave."""
    cell, sizes, states = given.cell, given.sizes, len(given.initial)
    grad_output, grad_final, of_gates = grads[0], grads[1 : 1 + states], grads[1 + states :]
    is_watched = any(grad is not None for grad in of_gates)
    steps = _steps(cell, "backward_of_gates" if is_watched else "backward")
    loop = _loop(steps, given)
    T, B, _ = given.x.shape
    columns, width = steps.columns(sizes)
    with _where_and_as_it_is(given.x):
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
        loop.states(given, "grad_state", grad_final, _end(given))
        loop.run(range(T) if given.reverse else range(T)[::-1])
        found = _summed(loop, given, kept, histories, slots)
        grad_x = _grad_x(loop, given, slots) if wants_x else None
    initial = [loop.arrays[f"grad_state{k}"][_start(given)].clone() for k in range(states)]
    per_step = [torch.zeros_like(of) for of in given.per_step]
    for slot, number in steps.plan.grad_per_step:
        per_step[number] = slots.view(T, B, width)[..., columns[slot]].squeeze(-1).clone()
    return [grad_x, *found.values(), *initial, *per_step]


def _grad_x(loop: _Loop, given: Given, slots: Tensor) -> Tensor:
    """The gradient of the input."""
    T, B, I = given.x.shape  # noqa: E741
    columns, _ = loop.steps.columns(loop.sizes)
    direct = loop.steps.plan.grad_input
    found = given.x.new_zeros(T * B, I) if direct < 0 else slots[:, columns[direct]].clone()
    for part in loop.before:
        found.addmm_(slots[:, part.source[1]], loop.weight(part, given.weights))
    return found.view(T, B, I)


def _summed(
    loop: _Loop, given: Given, kept: Tensor, histories: Sequence[Tensor], slots: Tensor
) -> dict[str, Tensor]:
    """The gradients of weights, biases and parameters: sums over all steps and sequences."""
    steps, cell, sizes = loop.steps, given.cell, loop.sizes
    columns, _ = steps.columns(sizes)
    found = {name: torch.zeros_like(weight) for name, weight in given.weights.items()}
    x = given.x
    if given.lengths is not None:  # whatever the padding has, NaN times 0 is NaN
        x = torch.where(given.running.unsqueeze(-1) != 0, x, 0)
    sources = {"input": x, "kept": kept, "slot": slots.unsqueeze(0)}
    for k, history in enumerate(histories):
        sources |= {f"before{k}": given.before(history), f"after{k}": given.after(history)}
    for of in steps.plan.summed:
        matrix = cell.matrices[of.matrix]
        name, of_source = steps.place(of.source, sizes)
        source = sources[name].flatten(0, 1)[:, of_source]
        blocks = found[matrix.name].view(len(matrix.gates), sizes[matrix.rows], -1)
        pairs = [(block, steps.plan.operands[operand].number) for block, operand in of.blocks]
        for run in _runs(pairs, columns):
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
