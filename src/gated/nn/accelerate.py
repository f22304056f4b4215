"""Make the recurrent layers of any model run on the native core, and undo it.

A layer is the same object afterwards, but of another class with the same name and module, in whose
order of inheritance the forward pass of gated comes just before that of `torch.nn`. So parameters,
optimizers, hooks, state dicts, tied weights, parametrizations, `isinstance`, references to the
layer and methods of subclasses do not change; copies and pickles of it are accelerated too.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from gated.core import native
from gated.errors import DataError
from gated.nn.arguments import Hidden
from gated.nn.backends import chosen_backend
from gated.nn.sequences import SequencesOfTorch

_CLASSES = (nn.RNN, nn.GRU, nn.LSTM)
_STEPS_OF_FORWARD = (
    "__call__",
    "check_forward_args",
    "check_input",
    "check_hidden_size",
    "get_expected_hidden_size",
    "permute_hidden",
)
"""Methods that `forward` of `torch.nn` calls: a subclass that overrides one changes the results."""


class Accelerated(NamedTuple):
    """The result of `accelerate` or `restore`."""

    replaced: tuple[str, ...]
    """Names in the model of the layers whose class was changed."""
    left: dict[str, str]
    """Recurrent layers that were not changed: from name in the model to reason."""

    def __str__(self) -> str:
        lines = [f"{name}: replaced" for name in self.replaced]
        lines += [f"{name}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "no recurrent layer of torch.nn"


def accelerate(model: nn.Module) -> Accelerated:
    """Run every `torch.nn.RNN`, `GRU` and `LSTM` of a model on the native core, in place.

    Results are the same up to rounding. Calls that the core does not support (other devices and
    dtypes, autocast) are computed by torch as before. A
    subclass keeps its methods: where its `forward` calls that of `torch.nn`, the core's is called.
    Cells are not changed: torch's kernels are as fast for a single step.

    Args:
        model: any module: a recurrent layer, or a module that contains some.

    Returns:
        Which layers were replaced, and which were left and why.

    Raises:
        MissingNativeError: the native core is not built, so nothing would be faster.

    >>> tagger = nn.ModuleDict({"words": nn.LSTM(8, 16), "tags": nn.Linear(16, 3)})
    >>> print(accelerate(tagger))
    words: replaced
    >>> restore(tagger).replaced
    ('words',)
    """
    native.extension()
    done = Accelerated((), {})
    for name, layer in _recurrent(model):
        why = _why_left(layer)
        if why is None:
            _change_class(layer, _accelerated)
            done = done._replace(replaced=(*done.replaced, name))
        else:
            done.left[name] = why
    return done


def restore(model: nn.Module) -> Accelerated:
    """Undo `accelerate`: the layers of a model get their own classes back, in place.

    Args:
        model: any module.

    Returns:
        Which layers were replaced.
    """
    found = [(name, layer) for name, layer in _recurrent(model) if _is_accelerated(layer)]
    for _, layer in found:
        _change_class(layer, _plain)
    return Accelerated(tuple(name for name, _ in found), {})


class _ByTheCore(SequencesOfTorch):
    """The forward pass of gated, just before a layer of `torch.nn` in the order of inheritance."""

    def forward(self, input: Any, hx: Hidden | None = None, **options: Any) -> Any:
        """Run over whole sequences, as `torch.nn` does; `options` are those of `gated.nn`."""
        if options:
            return super().forward(input, hx, **options)
        found = self._run_plainly(input, hx)
        if found is not None:
            return found
        if self._is_for_the_core(input):
            try:
                asked = self._asked(input, hx, None, {})
            except DataError:  # torch raises its own error for arguments that do not fit
                pass
            else:
                return self._computed(asked)
        return super(SequencesOfTorch, self).forward(input, hx)  # type: ignore[misc]

    def _is_for_the_core(self, input: Any) -> bool:
        data = input.data if isinstance(input, PackedSequence) else input
        if not isinstance(data, Tensor) or data.device.type != "cpu":
            return False
        if torch.is_autocast_enabled("cpu") or torch._C._get_tracing_state() is not None:
            return False
        weights = self._weights()[0][0]
        return chosen_backend(None, self._cell, data, weights, self.variant) == "native"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the original class, which can be imported."""
        made: Any = super().__reduce_ex__(protocol)
        return (_new, (_plain(type(self)),), *made[2:])


def _recurrent(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the recurrent layers of `torch.nn` and their names, each once."""
    modules = model.named_modules()
    return [(name or type(m).__name__, m) for name, m in modules if isinstance(m, _CLASSES)]


def _is_accelerated(layer: nn.Module) -> bool:
    return isinstance(layer, _ByTheCore)


def _why_left(layer: nn.Module) -> str | None:
    if _is_accelerated(layer):
        return "accelerated already"
    kind: Any = type(layer)
    of_torch = _torch_class(kind)
    if "forward" in vars(layer):
        return "its forward was replaced on the object"
    changed = [m for m in _STEPS_OF_FORWARD if getattr(kind, m) is not getattr(of_torch, m)]
    if changed:
        return f"its class {kind.__qualname__} has a {changed[0]} of its own"
    forward: Any = inspect.unwrap(kind.forward)
    if forward is not of_torch.forward and "super" not in forward.__code__.co_names:
        return f"its class {kind.__qualname__} has a forward of its own"
    return None


def _torch_class(kind: type) -> Any:
    return next(of_torch for of_torch in _CLASSES if issubclass(kind, of_torch))


def _change_class(layer: nn.Module, changed: Callable[[type], type]) -> None:
    """Change a layer's class; of a parametrized layer, the base of its parametrized class."""
    kind = type(layer)
    if not is_parametrized(layer):
        layer.__class__ = changed(kind)
        return
    own = {n: value for n, value in vars(kind).items() if n not in ("__dict__", "__weakref__")}
    layer.__class__ = type(kind.__name__, (changed(kind.__bases__[0]),), own)


@cache
def _accelerated(kind: type) -> Any:
    of_torch = _torch_class(kind)
    bases = (_ByTheCore, of_torch) if kind is of_torch else (kind, _accelerated(of_torch))
    body = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return types.new_class(
        kind.__name__, bases, exec_body=lambda own: own.update(body, _plain=kind)
    )


def _plain(kind: type) -> Any:
    return vars(kind)["_plain"]


def _new(plain: type) -> Any:
    """Return an empty layer, for unpickling and copying."""
    kind = _accelerated(plain)
    return kind.__new__(kind)
