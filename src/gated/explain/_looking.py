"""A model runs with something put around what its recurrent layers do, and is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from gated.errors import ConfigurationError
from gated.nn.accelerate import accelerate, restore
from gated.nn.backends import LayerResult, Run, RunLayer, observed
from gated.nn.operators import LayerCall
from gated.nn.sequences import Sequences


@contextmanager
def looking(model: nn.Module, watched: Callable[[str, Any], RunLayer]) -> Iterator[dict[str, str]]:
    """Take part in what every recurrent layer of the model does.

    Args:
        model: its layers of `torch.nn` run in the fused core meanwhile.
        watched: from a module's name and the module, what is put around its layers.

    Yields:
        The recurrent layers and cells that cannot be looked into, by name, and why; what torch
        computes after all is added when it runs.
    """
    replaced, unseen = accelerate(model)
    modules: dict[str, Any] = dict(model.named_modules())
    left = {name: why for name, why in unseen.items() if not why.startswith("accelerated")}
    for name, module in modules.items():
        if isinstance(module, nn.RNNCellBase):
            left[name or type(module).__name__] = "a cell, called step by step"
    with ExitStack() as around:
        for name in replaced:
            around.callback(restore, modules.get(name, model))
        for name, module in modules.items():
            if isinstance(module, Sequences):
                known = name or type(module).__name__
                around.enter_context(_watching(module, known, watched(known, module), left))
        yield left


@contextmanager
def _watching(module: Any, name: str, run_layer: RunLayer, left: dict[str, str]) -> Iterator[None]:
    """Observe a module; what it computes without its observers is named in `left`."""
    ran = [False]

    def noticed(place: int, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
        ran[0] = True
        return run_layer(place, call, return_gates, run)

    def begins(*_: Any) -> None:
        ran[0] = False

    def ends(*_: Any) -> None:
        if not ran[0]:
            left[name] = "computed by torch: its dtype or device is not for the core"

    hooks = module.register_forward_pre_hook(begins), module.register_forward_hook(ends)
    try:
        with observed(module, noticed):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def as_lines(left: dict[str, str]) -> str:
    """What is left out, for the end of a message."""
    return "".join(f"\n{name} is not looked into: {why}" for name, why in left.items())


def nothing_ran(left: dict[str, str]) -> ConfigurationError:
    """What to raise where there was no layer to look into."""
    return ConfigurationError(
        "no recurrent layer of torch.nn or gated.nn ran in the fused core: nothing to look into. "
        "Cells that are called step by step, layers with a forward of their own and models on "
        "another device cannot be looked into." + as_lines(left)
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and each module in its own again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
