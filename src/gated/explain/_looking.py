"""Observing the recurrent layers of any model while it runs, without changing the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.core.layout import Array
from gated.errors import ConfigurationError
from gated.nn.accelerate import accelerate, restore
from gated.nn.backends import LayerResult, Run, can_be_observed, observed
from gated.nn.cells import OneStep, with_options
from gated.nn.operators import LayerCall, as_array


class Part(NamedTuple):
    """A call of a layer in one direction, as a part of what it reads."""

    number: int
    """In `gated.explain.Trace.layers`: of the first call, where this one goes on."""
    turn: int
    """How many times this layer had begun anew before, in the same run of the model."""
    place: int
    """Among the layers and directions of its module, in PyTorch's order."""
    before: NDArray[np.int64]
    """(B,), the steps of each sequence that former calls have read."""


Watch: TypeAlias = Callable[[Part, LayerCall, bool, Run], LayerResult]
"""As `gated.nn.RunLayer`, with the part in place of its place."""


class Calls:
    """The calls of a model's layers, from first to last: which of them continue a former one.

    A call whose initial states are those in which a former one of the same layer ended, with the
    same weights, is the next part of the same sequences: as where a model calls a layer one step at
    a time. Each call of a direction that runs backwards begins anew.
    """

    def __init__(self) -> None:
        self.count = 0
        """How many there are, those that go on not counted."""
        self._ends: dict[Any, list[tuple[Part, str, list[Tensor]]]] = {}
        """Parts that may be continued, their cells and weights, by module, place and states."""
        self.turns: dict[tuple[str, int], int] = defaultdict(int)
        """How many times each module's layer, by its place, has begun anew."""

    def begins(self, name: str, place: int, call: LayerCall, given: bool) -> Part:
        """Return the part that a call is; `given` says whether the model gave its first states."""
        fresh = not given and not any(state.any() for state in call.initial)
        ends = [] if fresh or call.reverse else self._ends.get(_key(name, place, call.initial), [])
        for k, (former, cell, weights) in enumerate(ends):
            if cell == call.cell and _alike(weights, call.weights):
                del ends[k]
                return former
        turn = self.turns[name, place]
        self.turns[name, place] += 1
        self.count += 1
        return Part(self.count - 1, turn, place, np.zeros(call.x.shape[1], np.int64))

    def ends(self, name: str, part: Part, call: LayerCall, final: Sequence[Tensor]) -> None:
        """Note where a call ended."""
        if not call.reverse:
            part = part._replace(before=part.before + real_steps(call))
            here = self._ends.setdefault(_key(name, part.place, final), [])
            here.append((part, call.cell, call.weights))


def _key(name: str, place: int, states: Sequence[Tensor]) -> Any:
    arrays = [np.ascontiguousarray(as_array(state)) for state in states]
    return name, place, tuple((of.shape, of.dtype.str, of.tobytes()) for of in arrays)


def _alike(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    """Whether the weights of two calls are the same: parametrised ones are made for each call."""
    return len(these) == len(those) and all(
        a is b or torch.equal(a, b) for a, b in zip(these, those, strict=True)
    )


def real_steps(call: LayerCall) -> NDArray[np.int64]:
    """Return the steps of each sequence, (B,)."""
    T, B, _ = call.x.shape
    real = np.full(B, T) if call.lengths is None else call.lengths.numpy()
    return real.astype(np.int64)


class Placed(NamedTuple):
    """Values of some steps of a call, and where they belong."""

    before: NDArray[np.int64]
    """(B,), as in `Part`."""
    real: NDArray[np.int64]
    """(B,), the real steps of the call."""
    at: NDArray[np.int64]
    """(K,), its steps that the values are of."""
    values: Array
    """(K, B, ·)"""


def laid_together(parts: Sequence[Placed], time: int) -> Array:
    """Return the values of calls that go on from each other, (T, B, ·), with zeros as padding."""
    first = parts[0].values
    whole = np.zeros((time, *first.shape[1:]), first.dtype)
    for before, real, at, values in parts:
        step, sequence = np.nonzero(at[:, None] < real)
        whole[before[sequence] + at[step], sequence] = values[step, sequence]
    return whole


class Looking(NamedTuple):
    """What is known of a model whose layers are observed."""

    left_out: dict[str, str]
    """The recurrent layers and cells that cannot be examined, from name to reason; modules that
    torch computes are added when they run."""
    calls: list[Calls]
    """One, of the run that is under way; an observer may put a new one in its place."""


@contextmanager
def looking(model: nn.Module, watched: Callable[[str, Any], Watch]) -> Iterator[Looking]:
    """Run every recurrent layer and cell of a model through an observer in this context.

    Args:
        model: its layers and cells of `torch.nn` run in the fused core meanwhile.
        watched: function from a module's name and the module to the observer of its layers.
    """
    replaced, unseen = accelerate(model)
    modules: dict[str, Any] = dict(model.named_modules())
    left_out = {name: why for name, why in unseen.items() if not why.startswith("accelerated")}
    looked = Looking(left_out, [Calls()])
    with ExitStack() as around:
        for name in replaced:
            around.callback(restore, modules.get(name, model))
        for name, module in modules.items():
            known = name or type(module).__name__
            if isinstance(module, nn.RNNCellBase) and not isinstance(module, OneStep):
                kind = type(module)
                changed = with_options(kind)
                if changed is None:
                    left_out[known] = f"a cell of a class of its own, {kind.__qualname__}"
                    continue
                around.callback(setattr, module, "__class__", kind)
                module.__class__ = changed
            if can_be_observed(module):
                around.enter_context(_watching(module, known, watched(known, module), looked))
        yield looked


@contextmanager
def _watching(module: Any, name: str, watch: Watch, looked: Looking) -> Iterator[None]:
    """Observe a module; if it runs without its observers, add it to `left_out`."""
    ran, given = [False], [False]

    def noticed(place: int, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
        ran[0] = True
        (calls,) = looked.calls
        part = calls.begins(name, place, call, given[0])
        result = watch(part, call, return_gates, run)
        calls.ends(name, part, call, result.final)
        return result

    def begins(_: Any, arguments: Any, options: Any) -> None:
        ran[0] = False
        hx = arguments[1] if len(arguments) > 1 else options.get("hx")
        given[0] = hx is not None

    def ends(*_: Any) -> None:
        if not ran[0]:
            looked.left_out[name] = (
                "computed by torch: the core does not support its dtype or device"
            )

    hooks = (
        module.register_forward_pre_hook(begins, with_kwargs=True),
        module.register_forward_hook(ends),
    )
    try:
        with observed(module, noticed):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def as_lines(left_out: dict[str, str]) -> str:
    """Return lines about the modules that are left out, for the end of a message."""
    return "".join(f"\n{name} is not examined: {why}" for name, why in left_out.items())


def nothing_ran(left_out: dict[str, str]) -> ConfigurationError:
    """Return the error for a model without a layer that can be examined."""
    return ConfigurationError(
        "no recurrent layer of torch.nn or gated.nn ran in the fused core: nothing to examine. "
        "Layers with a forward of their own and models on another device cannot be examined."
        + as_lines(left_out)
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode; afterwards each module is in its former mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
