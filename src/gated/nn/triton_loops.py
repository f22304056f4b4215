"""The loop of `gated.nn.triton_layers` over time: torch's products and Triton's kernels.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

import linecache
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gated.cells.cell import Cell
from gated.cells.emit_triton import Kernel, Kernels, array_of, blocks_and_slots, kernels
from gated.cells.plan import Operand, Plan, Product
from gated.cells.plans import Plans, plans
from gated.core.plans import sizes_of

LONGEST_BLOCK = 1024
"""Units of a program instance, unless it sums over more."""
LOOPS = 16
"""How many loops are kept, with their graphs and arrays: those used last."""


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
    keep: bool
    """What the way back takes."""
    watched: bool
    """Whether a loss may read gates and states; then `keep` too."""
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

    @property
    def start(self) -> int:
        """Which of T + 1 states a sequence starts from."""
        return -1 if self.reverse else 0

    @property
    def end(self) -> int:
        """Which it ends with."""
        return 0 if self.reverse else -1

    def before(self, history: Tensor) -> Tensor:
        """Of T + 1 states those before each step, (T, B, ·)."""
        return history[1:] if self.reverse else history[:-1]

    def after(self, history: Tensor) -> Tensor:
        """Those after each step."""
        return history[:-1] if self.reverse else history[1:]


Which: TypeAlias = Literal["inference", "training", "backward", "backward_of_gates"]
Place: TypeAlias = tuple[str, slice]
"""An array, and columns of it."""


class Part(NamedTuple):
    """Blocks of a matrix, their slots side by side, by a vector; or what these give back to it."""

    matrix: str
    blocks: tuple[int, ...]
    source: Place
    target: Place
    adds: bool
    """To what the target has, or in place of it."""


class Steps(NamedTuple):
    """How any of the steps of a layer is computed."""

    cell: Cell
    which: Which
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

    def parts(self, products: Iterable[Product], sizes: Mapping[str, int]) -> list[Part]:
        """The products as few as can be."""
        columns, _ = self.columns(sizes)
        found = []
        written: set[str] = set()
        for of in products:
            matrix = self.cell.matrices[of.matrix].name
            for run in runs_of(blocks_and_slots(self.plan, of), columns):
                blocks, slots = tuple(block for block, _ in run), [slot for _, slot in run]
                here = "slot", slice(columns[slots[0]].start, columns[slots[-1]].stop)
                if not self.is_backward:
                    source = self.place(of.source, sizes)
                    found.append(Part(matrix, blocks, source, here, True))
                    continue
                target = ("grad_input", slice(None))
                if of.targets[0] >= 0:
                    target = self.place(of.targets[0], sizes)
                adds = target[0] != "slot" or str(target) in written
                written.add(str(target))
                found.append(Part(matrix, blocks, here, target, adds))
        return found


def runs_of(
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
def plans_of(cell: Cell) -> Plans:
    """The plans of a cell."""
    return plans(cell)


@cache
def steps_of(cell: Cell, which: Which) -> Steps:
    """One of them, with its kernels."""
    plan: Plan = getattr(plans_of(cell), which)
    written = kernels(plan)
    name = f"<{which} of {cell.name}:{cell.digest}>"
    # Triton reads a function's source where Python's own tracebacks do.
    lines = written.text.splitlines(keepends=True)
    linecache.cache[name] = (len(written.text), None, lines, name)
    import triton
    import triton.language

    functions = {"__name__": __name__, "triton": triton, "tl": triton.language}
    exec(compile(written.text, name, "exec"), functions)
    return Steps(cell, which, plan, written, functions)


class Loop:
    """The steps of a plan over arrays of some shapes.

    Where it is to last, its arrays stay where they are in memory, and from its second run on it is
    one graph: the first has compiled what there is to compile.
    """

    def __init__(self, steps: Steps, given: Given, lasts: bool = False) -> None:
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

    def weight(self, part: Part, weights: Mapping[str, Tensor]) -> Tensor:
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

loops_by_key: OrderedDict[Any, Loop | None] = OrderedDict()
"""By all that their graphs depend on; None where there was one call."""


def loop_for(steps: Steps, given: Given) -> Loop:
    """The loop for some shapes: one that lasts from the second call on."""
    key = _key(steps, given)
    if key is None:
        return Loop(steps, given)
    again = key in loops_by_key
    loop = loops_by_key.pop(key, None)
    if again and loop is None:
        loop = Loop(steps, given, lasts=True)
    loops_by_key[key] = loop
    if len(loops_by_key) > LOOPS:
        loops_by_key.popitem(last=False)
    return loop or Loop(steps, given)


def _key(steps: Steps, given: Given) -> Any:
    """What the graph of a loop depends on, or None where there can be none."""
    x = given.x
    if not x.is_cuda or not x.numel() or torch.cuda.is_current_stream_capturing():
        return None
    stream = torch.cuda.current_stream(x.device).cuda_stream
    sizes = tuple(given.sizes.values())
    mode = torch.is_inference_mode_enabled()  # whose tensors may be written to in it alone
    return steps.cell, steps.which, x.shape, sizes, x.dtype, x.device, given.reverse, stream, mode


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
