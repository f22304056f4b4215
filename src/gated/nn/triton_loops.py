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
"""The most units of a program instance, unless it must sum over more."""
LOOPS = 16
"""How many loops are cached with their graphs and arrays, those used last."""


class Given(NamedTuple):
    """The arguments of one layer in one direction."""

    cell: Cell
    """With dropout and zoneout in its tape."""
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
    """For zoneout, by state: the share of the old value that is kept, (T, B, ·)."""
    lengths: Tensor | None
    reverse: bool
    keep: bool
    """Whether to save what the backward pass reads."""
    watched: bool
    """Whether a loss may read gates and states; then `keep` is set, too."""
    recompute: bool
    """Whether the backward pass recomputes what it reads."""

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that may have gradients."""
        return [self.x, *self.weights.values(), *self.initial, *self.per_step]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Given:
        """Return the same arguments with other `tensors`."""
        weights, states = 1 + len(self.weights), 1 + len(self.weights) + len(self.initial)
        return self._replace(
            x=tensors[0],
            weights=dict(zip(self.weights, tensors[1:weights], strict=True)),
            initial=list(tensors[weights:states]),
            per_step=list(tensors[states:]),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each width."""
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
        """The index of the initial state in a history of T + 1 states."""
        return -1 if self.reverse else 0

    @property
    def end(self) -> int:
        """The index of the final state in such a history."""
        return 0 if self.reverse else -1

    def before(self, history: Tensor) -> Tensor:
        """The states before each step, (T, B, ·), in a history (T + 1, B, ·)."""
        return history[1:] if self.reverse else history[:-1]

    def after(self, history: Tensor) -> Tensor:
        """The states after each step, (T, B, ·), in a history (T + 1, B, ·)."""
        return history[:-1] if self.reverse else history[1:]


Which: TypeAlias = Literal["inference", "training", "backward", "backward_of_gates"]
Place: TypeAlias = tuple[str, slice]
"""The name of an array, and columns of it."""


class Part(NamedTuple):
    """One product of adjacent blocks of a matrix with a vector; transposed in the backward pass."""

    matrix: str
    blocks: tuple[int, ...]
    source: Place
    target: Place
    adds: bool
    """Whether to add to the target, or to overwrite it."""


class Steps(NamedTuple):
    """How a step of a layer is computed: a plan and its kernels."""

    cell: Cell
    which: Which
    plan: Plan
    kernels: Kernels
    functions: dict[str, Any]
    """The compiled kernels, by name."""

    @property
    def is_backward(self) -> bool:
        """Whether these are steps of the backward pass."""
        return self.which.startswith("backward")

    def columns(self, sizes: Mapping[str, int]) -> tuple[dict[int, slice], int]:
        """The columns of each slot in memory, and how many columns there are."""
        found, start = {}, 0
        for slot in self.kernels.slots:
            end = start + sizes[self.plan.slots[slot]]
            found[slot] = slice(start, end)
            start = end
        return found, start

    def place(self, operand: int, sizes: Mapping[str, int]) -> Place:
        """The array and the columns that hold an operand."""
        of: Operand = self.plan.operands[operand]
        if of.base == "slot":
            return "slot", self.columns(sizes)[0][of.number]
        if of.base != "kept":
            return array_of(of), slice(None)
        widths = [sizes[width] for width in self.plan.kept]
        return "kept", slice(sum(widths[: of.number]), sum(widths[: of.number + 1]))

    def parts(self, products: Iterable[Product], sizes: Mapping[str, int]) -> list[Part]:
        """The products in as few parts as possible: adjacent blocks are one product."""
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
    """Group pairs of block and slot into runs whose slots are adjacent."""
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
    """One plan of a cell, with its kernels."""
    plan: Plan = getattr(plans_of(cell), which)
    written = kernels(plan)
    name = f"<{which} of {cell.name}:{cell.digest}>"
    # Triton reads a function's source from `linecache`, as tracebacks do.
    lines = written.text.splitlines(keepends=True)
    linecache.cache[name] = (len(written.text), None, lines, name)
    import triton
    import triton.language

    functions = {"__name__": __name__, "triton": triton, "tl": triton.language}
    exec(compile(written.text, name, "exec"), functions)
    return Steps(cell, which, plan, written, functions)


class Loop:
    """The loop over a plan's steps, for arrays of given shapes.

    With `lasts` it is used more than once: its arrays keep their addresses, and its second run is
    captured as a CUDA graph, which later runs replay; the first run has compiled the kernels.
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
        """By name; arrays that differ from step to step have T as their first axis."""
        self.read = {name for of in steps.kernels.of_stage if of for name in of.arrays}
        self.read |= {part.source[0] for parts in self.stages for part in parts}
        self.runs = 0
        self.graph: Any = None

    def put(self, name: str, value: Tensor) -> None:
        """Set an array, unless nothing reads it."""
        if name not in self.read:
            return
        if not self.lasts:
            self.arrays[name] = value.contiguous()
        elif name in self.arrays:
            self.arrays[name].copy_(value)
        else:
            self.arrays[name] = value.clone(memory_format=torch.contiguous_format)

    def put_given(self, given: Given) -> None:
        """Set the arrays that both passes read."""
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
        """Return an array for results, uninitialised at first."""
        if name not in self.arrays:
            like = self.arrays["running"]
            self.arrays[name] = like.new_empty(shape, dtype=self.dtype)
        return self.arrays[name]

    def states(self, given: Given, name: str, ends: Sequence[Tensor | None], at: int) -> None:
        """Make the histories (T + 1, B, ·) of states, with `ends` at one end; zeros for None."""
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
        """Return a result that later runs do not overwrite."""
        return self.arrays[name].clone() if self.lasts else self.arrays[name]

    def weight(self, part: Part, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the rows of a matrix that a product uses."""
        height = self.sizes[self.steps.cell.matrix(part.matrix).rows]
        whole = weights[part.matrix]
        rows = [whole[block * height : (block + 1) * height] for block in part.blocks]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def run(self, times: Sequence[int]) -> None:
        """Run all steps, in the order of `times`."""

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
        """Run one step: for each stage its products, then its kernel."""
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
        """Launch a kernel for all rows of one step."""
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
"""Prefixes of the names of arrays that are the same at all steps."""

loops_by_key: OrderedDict[Any, Loop | None] = OrderedDict()
"""By all that their graphs depend on; None after the first call."""


def loop_for(steps: Steps, given: Given) -> Loop:
    """Return the loop for these shapes: from the second call on, one that lasts."""
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
    """All that the graph of a loop depends on, or None where there can be no graph."""
    x = given.x
    if not x.is_cuda or not x.numel() or torch.cuda.is_current_stream_capturing():
        return None
    stream = torch.cuda.current_stream(x.device).cuda_stream
    sizes = tuple(given.sizes.values())
    mode = torch.is_inference_mode_enabled()  # its tensors can be written to only in that mode
    return steps.cell, steps.which, x.shape, sizes, x.dtype, x.device, given.reverse, stream, mode


def _captured(every_step: Callable[[], None]) -> Any:
    """A CUDA graph of all steps, or None if capturing it fails."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            every_step()
    except RuntimeError as error:
        warnings.warn(f"steps are launched one by one, without a graph: {error}", stacklevel=2)
        return None
    return graph
