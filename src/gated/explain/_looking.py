"""Observing the recurrent layers of any model while it runs, without changing the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from gated.errors import ConfigurationError
from gated.nn.accelerate import accelerate, restore
from gated.nn.backends import LayerResult, Run, RunLayer, can_be_observed, observed
from gated.nn.operators import LayerCall


@contextmanager
def looking(model: nn.Module, watched: Callable[[str, Any], RunLayer]) -> Iterator[dict[str, str]]:
    """Run every recurrent layer of a model through an observer while the context is active.

    Args:
        model: its layers of `torch.nn` run in the fused core meanwhile.
        watched: function from a module's name and the module to the observer of its layers.

    Yields:
        The recurrent layers and cells that cannot be examined, from name to reason; modules that
        torch computes are added when they run.
    """
    replaced, unseen = accelerate(model)
    modules: dict[str, Any] = dict(model.named_modules())
    left_out = {name: why for name, why in unseen.items() if not why.startswith("accelerated")}
    for name, module in modules.items():
        if isinstance(module, nn.RNNCellBase):
            left_out[name or type(module).__name__] = "a cell, called step by step"
    with ExitStack() as around:
        for name in replaced:
            around.callback(restore, modules.get(name, model))
        for name, module in modules.items():
            if can_be_observed(module):
                known = name or type(module).__name__
                around.enter_context(_watching(module, known, watched(known, module), left_out))
        yield left_out


@contextmanager
def _watching(
    module: Any, name: str, run_layer: RunLayer, left_out: dict[str, str]
) -> Iterator[None]:
    """Observe a module; if it runs without its observers, add it to `left_out`."""
    ran = [False]

    def noticed(place: int, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
        ran[0] = True
        return run_layer(place, call, return_gates, run)

    def begins(*_: Any) -> None:
        ran[0] = False

    def ends(*_: Any) -> None:
        if not ran[0]:
            left_out[name] = "computed by torch: the core does not support its dtype or device"

    hooks = module.register_forward_pre_hook(begins), module.register_forward_hook(ends)
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
        "Cells that are called step by step, layers with a forward of their own and models on "
        "another device cannot be examined." + as_lines(left_out)
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
