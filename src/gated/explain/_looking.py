"""A model runs with something put around what its recurrent layers do, and is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import nn

from gated.errors import ConfigurationError, DataError
from gated.nn.accelerate import accelerate, restore
from gated.nn.backends import Result
from gated.nn.sequences import Sequences

Run: TypeAlias = Callable[..., Result]
"""What a module does with sequences (T, B, I), initial states, lengths and `return_gates`."""


@contextmanager
def looking(model: nn.Module, watched: Callable[[str, Any, Run], Run]) -> Iterator[dict[str, str]]:
    """Put something around what every recurrent layer of the model does, and take it off again.

    Args:
        model: its layers of `torch.nn` run in the fused core meanwhile.
        watched: from a layer's name, the layer and what it does, to what it is to do.

    Yields:
        The recurrent layers and cells that cannot be looked into, by name, and why; what torch
        computes after all is added when it runs.
    """
    replaced, unseen = accelerate(model)
    modules: dict[str, Any] = dict(model.named_modules())
    layers: dict[str, Any] = {n: m for n, m in modules.items() if isinstance(m, Sequences)}
    left = {name: why for name, why in unseen.items() if not why.startswith("accelerated")}
    for name, module in modules.items():
        if isinstance(module, nn.RNNCellBase):
            left[name or type(module).__name__] = "a cell, called step by step"
    before = {
        (name, method): vars(layer).get(method)
        for name, layer in layers.items()
        for method in ("_run", "forward")
    }
    try:
        for name, layer in layers.items():
            known = name or type(layer).__name__
            _put_around(layer, known, watched(known, layer, layer._run), left)
        yield left
    finally:
        for (name, method), own in before.items():
            vars(layers[name]).pop(method, None)
            if own is not None:
                setattr(layers[name], method, own)
        for name in replaced:
            restore(modules.get(name, model))


def _put_around(layer: Any, name: str, run: Run, left: dict[str, str]) -> None:
    """Make a layer run so; what it computes without this is named in `left`."""
    forward, ran = layer.forward, [False]

    def noticed(*arguments: Any) -> Result:
        ran[0] = True
        return run(*arguments)

    def noticing(*arguments: Any, **options: Any) -> Any:
        ran[0] = False
        try:
            result = forward(*arguments, **options)
        except _Refusal as refusal:
            raise refusal.error from None
        if not ran[0]:
            left[name] = "computed by torch: its dtype or device is not for the core"
        return result

    layer._run, layer.forward = noticed, noticing


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


class _Refusal(Exception):  # noqa: N818 - seen by nobody: the layer's own forward takes it off
    """Carries an error out of accelerated layers, which leave a DataError to be told by torch."""

    def __init__(self, error: DataError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def refusing() -> Iterator[None]:
    """Within `looking`: errors of the looking itself, which a layer must not take for its own."""
    try:
        yield
    except DataError as error:
        raise _Refusal(error) from error


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
